# ruff: noqa: E501
"""Which limits of a rule or route end calls, and which calls they end."""

import pytest

from meshdoctor.mesh import call_limits
from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.mesh.client_tls import Client, choose
from meshdoctor.model.istio import DestinationRule, OutlierDetection, VirtualService
from tests.unit.mesh.objects import many

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pay, namespace: shop}
spec:
  host: pay
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 5}, http: {http1MaxPendingRequests: 1, maxRetries: 3}}
    outlierDetection: {consecutive5xxErrors: 3}
    portLevelSettings: [{port: {number: 90}, tls: {mode: DISABLE}}]
  subsets:
  - {name: v1, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 7}}}}
  - {name: v2, labels: {v: "2"}}
"""
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay.example.com]
  http:
  - {match: [{uri: {prefix: /slow}}], timeout: 9s, route: [{destination: {host: pay}}]}
  - {match: [{uri: {prefix: /other}}], timeout: 1s, route: [{destination: {host: other}}]}
  - {timeout: 30s, retries: {attempts: 3, perTryTimeout: 2s}, route: [{destination: {host: pay}}]}
"""
HOST = "pay.shop.svc.cluster.local"


def line(
    path: str,
    code: int,
    flags: str,
    ms: int = 3,
    details: str = "-",
    upstream: str = "10.0.0.9:80",
    minute: int = 0,
) -> Line:
    text = f'[2026-11-18T09:{minute:02}:00.000Z] "GET {path} HTTP/1.1" {code} {flags} {details} - "-" 0 0 {ms} - "-" "curl" "id" "pay.example.com" "{upstream}" outbound|80||{HOST} - 10.0.0.1:80 10.0.0.1:4000 - -'
    return parse(text).lines[0]


@pytest.mark.parametrize(
    ("port", "subset", "words"),
    [
        (80, "", "maxConnections 5, http1MaxPendingRequests 1"),
        (80, "v2", "maxConnections 5, http1MaxPendingRequests 1"),
        (80, "v1", "http2MaxRequests 7"),
        (90, "", ""),
    ],
)
def test_the_pool_of_a_port_and_a_subset(port: int, subset: str, words: str) -> None:
    chosen = choose(
        many(DestinationRule, RULE),
        Client(namespace="web", labels={}),
        HOST,
        "shop",
        "istio-system",
    )
    found, owner = call_limits.in_force(chosen, port, subset, call_limits.pool)
    assert call_limits.pool_words(found) == words
    assert (owner is None) == (not words)


def test_errors_that_eject() -> None:
    assert call_limits.errors_allowed(OutlierDetection()) == 5
    assert call_limits.errors_allowed(OutlierDetection(consecutive_errors=3)) == 3
    assert call_limits.errors_allowed(OutlierDetection(consecutive_5xx_errors=0)) == 0
    assert (
        call_limits.errors_allowed(
            OutlierDetection(consecutive_5xx_errors=0, consecutive_gateway_errors=4)
        )
        == 4
    )


def test_a_run_of_errors_before_none_is_left() -> None:
    bad = [line("/", 503, "-", minute=i) for i in range(3)]
    none = line("/", 503, "UH", upstream="-", minute=4)
    assert call_limits.run_before_none([none, *bad], 3) == 3
    assert call_limits.run_before_none([*bad, none], 4) == 0
    assert call_limits.run_before_none([*bad, none], 0) == 0
    assert (
        call_limits.run_before_none(
            [*bad[:2], line("/", 200, "-", minute=2), line("/", 500, "-", minute=3), none], 3
        )
        == 0
    )
    assert call_limits.run_before_none(bad, 3) == 0
    assert (
        call_limits.run_before_none(
            [line("/", 503, "UH", upstream="-"), *bad[1:], line("/", 503, "-", minute=3)], 3
        )
        == 0
    )


@pytest.mark.parametrize(
    ("path", "ms", "details", "said"),
    [
        ("/slow/x?y=1", 9000, "response_timeout", "timeout 9s"),
        ("/slow", 8000, "response_timeout", ""),
        ("/other", 2000, "response_timeout", ""),
        ("/", 30001, "response_timeout", "timeout 30s"),
        ("/", 8001, "upstream_per_try_timeout", "perTryTimeout 2s"),
        ("/", 8001, "response_timeout", ""),
    ],
)
def test_what_ended_a_call_that_took_long(path: str, ms: int, details: str, said: str) -> None:
    found = call_limits.time_limit(
        many(VirtualService, ROUTES), HOST, [line(path, 504, "UT", ms, details)]
    )
    assert (f"{found.field} {found.text}" if found is not None else "") == said
