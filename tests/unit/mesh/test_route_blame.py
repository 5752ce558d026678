# ruff: noqa: E501
"""Which VirtualService a refused route table leads to, in Envoy's own words."""

import pytest

from meshdoctor.mesh.rejections import Objects, offender
from meshdoctor.model.istio import Gateway, VirtualService
from meshdoctor.model.kubernetes import Service
from tests.unit.mesh.objects import many

ROUTES = """
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: odd, namespace: a}, spec: {hosts: [odd], http: [{match: [{uri: {regex: "^/x(?.*)?$"}}], route: [{destination: {host: odd}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: ahead, namespace: a}, spec: {hosts: [ahead], http: [{match: [{headers: {id: {regex: "^(?!x).*$"}}}], route: [{destination: {host: ahead}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: star, namespace: a}, spec: {hosts: [star], http: [{match: [{uri: {regex: "*/orders"}}], route: [{destination: {host: star}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: fine, namespace: a}, spec: {hosts: [fine], http: [{match: [{uri: {regex: "/v[0-9]+/.*"}}], route: [{destination: {host: fine}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: blank, namespace: a}, spec: {hosts: [blank], http: [{match: [{method: {regex: ""}}], route: [{destination: {host: blank}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: weightless, namespace: a}, spec: {hosts: [w], http: [{route: [{destination: {host: w}, weight: null}, {destination: {host: x}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: origins, namespace: a}, spec: {hosts: [o], http: [{corsPolicy: {allowOrigins: [{regex: "https://(?P>x)"}]}, route: [{destination: {host: o}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: weighted, namespace: a}, spec: {hosts: [y], http: [{redirect: {uri: /}}, {route: [{destination: {host: y}, weight: 0}, {destination: {host: x}, weight: 100}]}, {route: [{destination: {host: y}}]}]}}
"""
KNOWN = Objects(routes=tuple(many(VirtualService, ROUTES)))
WEIGHTS = 'caused by RouteActionValidationError.WeightedClusters: ["embedded message failed validation"] | caused by WeightedClusterValidationError.Clusters: ["value must contain at least " \'\\x01\' " item(s)"]): name: "8080"'


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("invalid perl operator: (?.", "odd"),
        ("Invalid regex '^/x(?.*)?$': invalid perl operator: (?.", "odd"),
        ("invalid perl operator: (?!", "ahead"),
        ("no argument for repetition operator: *", "star"),
        ("invalid named capture group: (?P>x", "origins"),
        (WEIGHTS, "weightless"),
        (
            'HeaderMatcherValidationError.SafeRegexMatch: ["embedded message failed validation"] | caused by RegexMatcherValidationError.Regex: ["value length must be at least " \'\\x01\' " runes"]): name: "80"',
            "blank",
        ),
    ],
)
def test_the_words_lead_to_one_route(message: str, name: str) -> None:
    found = offender(message, KNOWN, "RDS")
    assert [o.name for o in found.objects] == [name]


@pytest.mark.parametrize(
    "message",
    [
        "invalid perl operator: (?<",
        "Proto constraint validation failed (RouteMatchValidationError.PathSpecifier)",
    ],
)
def test_words_that_lead_to_no_route(message: str) -> None:
    assert offender(message, KNOWN, "RDS").objects == ()


def test_weights_that_do_not_make_a_hundred() -> None:
    words = "Sum of weights in the weighted_cluster should add up to 100"
    routes = many(VirtualService, ROUTES)
    uneven = many(VirtualService, ROUTES.replace("weight: 0}", "weight: 20}"))
    named = {o.name for o in offender(words, Objects(routes=tuple(uneven)), "RDS").objects}
    assert "weighted" in named and "fine" not in named
    kept = tuple(r for r in routes if r.name in ("weighted", "fine"))
    assert offender(words, Objects(routes=kept), "RDS").objects == ()


def test_one_destination_needs_no_weight() -> None:
    routes = many(VirtualService, ROUTES)
    kept = tuple(r for r in routes if r.name in ("weighted", "fine"))
    assert offender(WEIGHTS, Objects(routes=kept), "RDS").objects == ()


NO_FILE = r"""Proto constraint validation failed (ListenerValidationError.FilterChains[i]: [\"embedded message failed validation\"] | caused by TlsCertificateValidationError.CertificateChain: [\"embedded message failed validation\"] | caused by DataSourceValidationError.Filename: [\"value length must be at least \" '\\x01' \" bytes\"])"""
SERVERS = """
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: named, namespace: a}, spec: {servers: [{port: {number: 443}, tls: {mode: SIMPLE, credentialName: c}}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: filed, namespace: a}, spec: {servers: [{port: {number: 443}, tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: passing, namespace: a}, spec: {servers: [{port: {number: 443}, tls: {mode: PASSTHROUGH}}]}}
"""


def test_a_tls_server_without_files_where_envoy_wants_one() -> None:
    known = Objects(gateways=tuple(many(Gateway, SERVERS)))
    assert [o.name for o in offender(NO_FILE, known, "LDS").objects] == ["named"]
    assert offender(NO_FILE.replace("Filename", "Other"), known, "LDS").objects == ()


PORTS = """
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: tcp, port: 9100}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: b}, spec: {clusterIP: None, ports: [{name: tcp, port: 9100}]}}
"""


def test_services_without_address_share_a_listener() -> None:
    message = "Error adding/updating listener(s) 0.0.0.0_9100: error adding listener '0.0.0.0:9100': multiple filter chains with the same matching rules are defined"
    both = tuple(many(Service, PORTS))
    assert [o.name for o in offender(message, Objects(services=both), "LDS").objects] == ["bare"]
    assert len(offender(message, Objects(services=both[:1]), "LDS").objects) == 1
