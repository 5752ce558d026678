"""Do calls to a host outside meet what makes the port HTTP?"""

from typing import Any

import pytest

from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.probes.edge_outbound import EdgeOutbound, edge_outbound
from tests.unit.world import world

MESH = """
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'accessLogFile: /dev/stdout'}
---
kind: Namespace
apiVersion: v1
metadata: {name: tools}
---
kind: Pod
apiVersion: v1
metadata: {name: app-1, namespace: shop}
spec: {containers: [{name: app}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.3}
---
kind: Service
apiVersion: v1
metadata: {name: hook, namespace: tools}
spec: {selector: {app: hook}, ports: [{name: PORT, port: 443}]}
"""
GARBLED = (
    '[2026-11-18T09:24:00Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 11 0 - "-" "-" "id" '
    '"-" "-" - - 203.0.113.9:443 10.0.0.3:5 - -\n'
)
APP = WorkloadSubject("shop", "app-1", "Pod")


@pytest.mark.parametrize(
    ("port", "log", "garbled", "by"),
    [
        ("http-admin", GARBLED * 2, 2, "Service/tools/hook"),
        ("https", GARBLED * 2, 2, ""),
        ("http-admin", "", 0, ""),
        ("http-admin", GARBLED.replace(":443", ":80"), 0, ""),
    ],
)
def test_tls_to_a_port_that_a_service_makes_http(
    port: str, log: str, garbled: int, by: str
) -> None:
    logs = {("shop", "app-1", "istio-proxy"): log}
    view: Any = world(MESH.replace("PORT", port), logs=logs)
    edge = EdgeSubject(client=APP, server=None, host="api.example.com", port=443)
    found = edge_outbound.run(view, edge)
    assert isinstance(found, EdgeOutbound)
    assert (found.garbled, found.http_by) == (garbled, by)


PAST = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UC - - "-" 0 95 1 - "-" "curl" "id" "203.0.113.9" '
    '"203.0.113.9:443" PassthroughCluster 10.0.0.3:9 203.0.113.9:443 10.0.0.3:5 - allow_any\n'
)


@pytest.mark.parametrize(
    ("port", "log", "by"),
    [(443, PAST, True), (443, PAST.replace('"GET / HTTP/1.1" 503', '"- - -" 0'), False)],
)
def test_requests_read_on_a_port_tell_that_somebody_makes_it_http(
    port: int, log: str, by: bool
) -> None:
    view = world(MESH.replace("PORT", "http"), logs={("shop", "app-1", "istio-proxy"): log})
    found = edge_outbound.run(view, EdgeSubject(client=APP, server=None, host="x.y", port=port))
    assert isinstance(found, EdgeOutbound)
    assert (found.http_by == "Service/tools/hook") is by


def test_a_port_whose_servers_speak_first_needs_no_line() -> None:
    mesh = MESH.replace("PORT, port: 443", "http, port: 3306")
    view = world(mesh, logs={("shop", "app-1", "istio-proxy"): ""})
    found = edge_outbound.run(view, EdgeSubject(client=APP, server=None, host="x.y", port=3306))
    assert isinstance(found, EdgeOutbound)
    assert found.http_by == "Service/tools/hook"


MADE_UP = """
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: ext, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 9444, name: tcp, protocol: TCP}], resolution: DNS}
"""


@pytest.mark.parametrize(("flags", "entry"), [("UF", "ServiceEntry/shop/ext"), ("-", "")])
def test_an_address_that_stands_for_another_port(flags: str, entry: str) -> None:
    log = PAST.replace("203.0.113.9:443", "240.240.0.7:443").replace("UC", flags)
    log = log.replace('"203.0.113.9"', '"api.example.com"')
    view = world(MESH + MADE_UP, logs={("shop", "app-1", "istio-proxy"): log})
    edge = EdgeSubject(client=APP, server=None, host="api.example.com", port=443)
    found = edge_outbound.run(view, edge)
    assert isinstance(found, EdgeOutbound)
    assert found.adrift_entry == entry
    assert found.adrift_to == ("240.240.0.7:443" if entry else "")


CLOSED = (
    '[2026-11-18T09:24:00Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - '
    "203.0.113.9:443 10.0.0.3:5 - -\n"
)
OTHER = """
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: other, namespace: shop}
spec:
  hosts: [other.example.com]
  addresses: [203.0.113.9]
  ports: [{number: 80, name: t, protocol: TCP}]
"""


@pytest.mark.parametrize(("objects", "count"), [("", 1), (OTHER, 0)])
def test_what_is_closed_at_another_hosts_address(objects: str, count: int) -> None:
    view: Any = world(MESH + objects, logs={("shop", "app-1", "istio-proxy"): CLOSED})
    edge = EdgeSubject(client=APP, server=None, host="api.example.com", port=443)
    found = edge_outbound.run(view, edge)
    assert isinstance(found, EdgeOutbound) and found.nameless == count
