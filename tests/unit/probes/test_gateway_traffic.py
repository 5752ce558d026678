"""`gateway-front`, `gateway-log` and `egress-tls` on small meshes."""

from typing import Any

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import EdgeSubject, Request, WorkloadSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.edge_endpoints import EdgeEndpoints, edge_endpoints
from meshdoctor.probes.egress_tls import EgressTls, egress_tls
from meshdoctor.probes.gateway_front import GatewayFront, gateway_front
from meshdoctor.probes.gateway_log import GatewayLog, gateway_log
from meshdoctor.probes.gateway_refusals import GatewayRefusals, gateway_refusals
from meshdoctor.probes.gateway_requests import GatewayRequests, gateway_requests
from tests.unit.mesh.test_gateway_front import NR
from tests.unit.world import world

OBJECTS = """
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'accessLogFile: /dev/stdout'}
---
kind: Pod
apiVersion: v1
metadata: {name: gw-1, namespace: istio-system, labels: {istio: gw}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
kind: Pod
apiVersion: v1
metadata: {name: app-1, namespace: shop}
spec: {containers: [{name: app}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.3}
---
kind: Service
apiVersion: v1
metadata:
  name: gw
  namespace: istio-system
  annotations: {service.beta.kubernetes.io/aws-load-balancer-proxy-protocol: '*'}
spec: {type: LoadBalancer, selector: {istio: gw}, ports: [{port: 443, targetPort: 8443}]}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: a, namespace: shop}
spec:
  selector: {istio: gw}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.x.com],
     tls: {mode: SIMPLE, credentialName: x}}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: b, namespace: shop}
spec:
  selector: {istio: gw}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [b.x.com],
     tls: {mode: SIMPLE, credentialName: x}}
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: ext, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: HTTPS}]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: ext, namespace: shop}
spec: {host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}
"""
GW, APP = WorkloadSubject("istio-system", "gw-1", "Pod"), WorkloadSubject("shop", "app-1", "Pod")


def front(subject: WorkloadSubject) -> GatewayFront:
    found = gateway_front.run(world(OBJECTS), subject)
    assert isinstance(found, GatewayFront)
    return found


def test_front() -> None:
    found = front(GW)
    assert found.gateway and found.terminates and not found.east_west
    assert found.first == "Gateway/shop/a"
    assert (found.sends_proxy, found.expects_proxy, found.balanced) == (True, False, True)
    assert not front(APP).gateway and front(APP).service == ""


K8S = """
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: api, namespace: istio-system}
spec:
  listeners:
  - {name: https, hostname: a.x.com, port: 443, protocol: HTTPS}
"""


@pytest.mark.parametrize(("name", "terminates"), [("api", True), ("other", False)])
def test_front_of_the_gateway_api(name: str, terminates: bool) -> None:
    label = f"labels: {{istio: gw, gateway.networking.k8s.io/gateway-name: {name}}}"
    text = OBJECTS.replace("kind: Gateway", "kind: Sidecar").replace("labels: {istio: gw}", label)
    found = gateway_front.run(world(text + K8S), GW)
    assert isinstance(found, GatewayFront) and found.terminates is terminates
    assert found.first == ("Gateway/istio-system/api" if terminates else "")


@pytest.mark.parametrize(("host", "asked"), [("c.x.com", True), ("a.x.com", False)])
def test_log(host: str, asked: bool) -> None:
    logs = {("istio-system", "gw-1", "istio-proxy"): NR.format(sni="c.x.com")}
    view: Any = world(OBJECTS, logs=logs, request=Request(host=host))
    found = gateway_log.run(view, GW)
    assert isinstance(found, GatewayLog)
    assert (found.unserved, found.sni, found.asked) == (1, "c.x.com", asked)
    assert found.other is not asked
    off = OBJECTS.replace("/dev/stdout", "''''''")
    silent = gateway_log.run(world(off, logs=dict.fromkeys(logs, "")), GW)
    assert isinstance(silent.unserved, Unavailable)


REFUSED = (
    "2026-11-18T09:24:00.1Z\twarning\tenvoy config x.cc:128\tgRPC config for type.googleapis.com/"
    "envoy.extensions.transport_sockets.tls.v3.{type} rejected: Failed to load private key from "
    "<inline>, Cause: error:09000068:PEM routines:OPENSSL_internal:BAD_PASSWORD_READ\tthread=30\n"
)
SERVED = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/2" 200 - via_upstream - "-" 0 0 1 - "-" "-" "-" "{sni}" '
    '"10.0.0.3:80" outbound|80||x - 10.0.0.2:8443 1.2.3.4:5 {sni} -\n'
)


@pytest.mark.parametrize(
    ("type_", "served", "secret"),
    [
        ("Secret", ("b.x.com",), "Secret/istio-system/x"),
        ("Secret", ("a.x.com", "b.x.com"), ""),
        ("Cluster", ("b.x.com",), None),
    ],
)
def test_a_key_that_envoy_cannot_load(
    type_: str, served: tuple[str, ...], secret: str | None
) -> None:
    """Envoy names no Secret: the one over whose server nothing came is meant."""
    text = REFUSED.format(type=type_) + "".join(SERVED.format(sni=one) for one in served)
    head, _, tail = OBJECTS.rpartition("credentialName: x")
    logs = {("istio-system", "gw-1", "istio-proxy"): text}
    found = gateway_log.run(world(f"{head}credentialName: y{tail}", logs=logs), GW)
    assert isinstance(found, GatewayLog)
    assert bool(found.key_refused) is (secret is not None)
    assert (found.key_secret, found.key_gateway) == (
        secret or "",
        "Gateway/shop/a" if secret else "",
    )


@pytest.mark.parametrize(
    ("host", "secrets", "secret", "how"),
    [
        ("a.x.com", None, "Secret/istio-system/x", "of the host asked about"),
        ("b.x.com:443", None, "Secret/istio-system/y", "of the host asked about"),
        ("", "kubernetes://x Cert WARMING false", "Secret/istio-system/x", "WARMING"),
        ("", "kubernetes://istio-system/y Cert WARMING", "Secret/istio-system/y", "WARMING"),
        ("", "kubernetes://x Cert ACTIVE true", "", ""),
        ("", "", None, ""),
    ],
)
def test_a_key_of_one_of_several_servers_without_visitors(
    host: str, secrets: str | None, secret: str | None, how: str
) -> None:
    head, _, tail = OBJECTS.rpartition("credentialName: x")
    logs = {("istio-system", "gw-1", "istio-proxy"): REFUSED.format(type="Secret")}
    dumps = {"proxy-config secret gw-1.istio-system": secrets} if secrets else {}
    view: Any = world(
        f"{head}credentialName: y{tail}", logs=logs, istioctl=dumps, request=Request(host=host)
    )
    found = gateway_log.run(view, GW)
    assert isinstance(found, GatewayLog) and found.key_refused
    if secret is None:
        assert isinstance(found.key_secret, Unavailable)
    else:
        assert found.key_secret == secret and how in str(found.key_how)


def test_a_connection_made_for_another_host() -> None:
    line = (
        '[2026-11-18T09:24:00Z] "GET / HTTP/2" 404 NR route_not_found - "-" 0 0 1 - "-" "-" "-" '
        '"b.x.com" "-" - - 10.0.0.2:8443 1.2.3.4:5 {sni} -\n'
    )
    for sni, over in (("a.x.com", "Gateway/shop/a"), ("cdn.example.org", "")):
        logs = {("istio-system", "gw-1", "istio-proxy"): line.format(sni=sni)}
        found = gateway_log.run(world(OBJECTS, logs=logs), GW)
        assert isinstance(found, GatewayLog)
        assert (found.reused, found.reused_gateway) == (1, "Gateway/shop/b")
        assert (found.reused_sni, found.reused_over) == (sni, over)
    logs = {("istio-system", "gw-1", "istio-proxy"): line.format(sni="a.x.com")}
    for host, reused in (("*.x.com", 1), ('a.x.com", "b.x.com', 0)):
        served = gateway_log.run(world(OBJECTS.replace("[a.x.com]", f'["{host}"]'), logs=logs), GW)
        assert isinstance(served, GatewayLog) and served.reused == reused


@pytest.mark.parametrize(
    ("host", "text", "asked"),
    [
        ("a.x.com", NR.format(sni="-"), True),
        ("c.x.com", NR.format(sni="-"), False),
        ("", NR.format(sni="-"), False),
        (
            "a.x.com",
            NR.format(sni="-") + NR.format(sni="a.x.com").replace("NR filter", "- x"),
            False,
        ),
        (
            "a.x.com",
            "".join(NR.format(sni="-").replace("24:00", f"24:{i}0") for i in range(5)),
            False,
        ),
    ],
)
def test_connections_without_server_name(host: str, text: str, asked: bool) -> None:
    logs = {("istio-system", "gw-1", "istio-proxy"): text}
    view: Any = world(OBJECTS, logs=logs, request=Request(host=host))
    found = gateway_log.run(view, GW)
    assert isinstance(found, GatewayLog)
    assert (found.nameless, found.nameless_asked) == (text.count("NR filter_chain"), asked)


def test_egress() -> None:
    edge = EdgeSubject(client=APP, server=None, host="api.example.com", port=443)
    found = egress_tls.run(world(OBJECTS), edge)
    assert isinstance(found, EgressTls)
    assert found.external and found.proxied and found.twice and found.verified
    assert (found.rule, found.entry) == ("DestinationRule/shop/ext", "ServiceEntry/shop/ext")
    other = EdgeSubject(client=APP, server=None, host="other.example.com", port=443)
    assert not egress_tls.run(world(OBJECTS), other).external


@pytest.mark.parametrize(
    ("client", "exported", "external"),
    [(GW, ".", False), (APP, ".", True), (GW, "istio-system", True), (APP, "'~'", False)],
)
def test_an_entry_that_the_proxy_does_not_get(
    client: WorkloadSubject, exported: str, external: bool
) -> None:
    only = f"{{exportTo: [{exported}], hosts: [api.example.com],"
    objects = OBJECTS.replace("{hosts: [api.example.com],", only)
    edge = EdgeSubject(client=client, server=None, host="api.example.com", port=443)
    found = egress_tls.run(world(objects), edge)
    assert isinstance(found, EgressTls) and found.external is external


@pytest.mark.parametrize(
    ("client", "hosts", "twice"),
    [(GW, "a.x.com", False), (APP, "a.x.com", False), (APP, "api.example.com", True)],
)
def test_what_is_routed_there_as_http_is_encrypted_once(
    client: WorkloadSubject, hosts: str, twice: bool
) -> None:
    route = f"""
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {{name: out, namespace: shop}}
spec: {{hosts: [{hosts}], http: [{{route: [{{destination: {{host: api.example.com}}}}]}}]}}
"""
    edge = EdgeSubject(client=client, server=None, host="api.example.com", port=443)
    found = egress_tls.run(world(OBJECTS + route), edge)
    assert isinstance(found, EgressTls)
    assert found.twice is twice


@pytest.mark.parametrize(
    ("data", "lacks"),
    [
        ("{tls.crt: x, tls.key: x}", "It has no CA certificate: Secret/istio-system/client "),
        ("{tls.crt: x, tls.key: x, ca.crt: x}", ""),
        ("", "It does not exist."),
    ],
)
def test_the_secret_of_a_rule(data: str, lacks: str) -> None:
    objects = OBJECTS.replace("{mode: SIMPLE}}", "{mode: MUTUAL, credentialName: client}}")
    if data:
        objects += f"---\n{{kind: Secret, apiVersion: v1, metadata: {{name: client, namespace: istio-system}}, data: {data}}}\n"  # noqa: E501
    edge = EdgeSubject(client=GW, server=None, host="api.example.com", port=443)
    found = egress_tls.run(world(objects), edge)
    assert isinstance(found, EgressTls)
    assert found.credential == "Secret/istio-system/client"
    said = str(found.credential_lacks)
    assert said.startswith(lacks) and bool(said) is bool(lacks)
    blind = egress_tls.run(world(objects, failing={"Secret": ForbiddenError("Secret")}), edge)
    assert isinstance(blind, EgressTls) and blind.credential_lacks == ""


@pytest.mark.parametrize(
    ("client", "spec", "bare"),
    [
        (GW, "resolution: NONE", "ServiceEntry/shop/ext"),
        (GW, "location: MESH_EXTERNAL", "ServiceEntry/shop/ext"),  # NONE is the default
        (GW, "resolution: DNS", ""),
        (GW, "endpoints: [{address: 10.9.9.9}]", ""),
        (APP, "resolution: NONE", ""),
    ],
)
def test_an_entry_without_address_for_a_gateway(
    client: WorkloadSubject, spec: str, bare: str
) -> None:
    objects = OBJECTS.replace("{hosts: [api.example.com],", f"{{hosts: [api.example.com], {spec},")
    edge = EdgeSubject(client=client, server=None, host="api.example.com", port=443)
    found = edge_endpoints.run(world(objects), edge)
    assert isinstance(found, EdgeEndpoints) and found.bare_entry == bare


ROUTED_TO = """
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: v, namespace: shop}
spec: {hosts: [api.example.com], http: [{route: [{destination: {host: HOST}}]}]}
"""


@pytest.mark.parametrize(
    ("spec", "more", "empty"),
    [
        ("resolution: STATIC", "", "resolution STATIC and no endpoints"),
        ("resolution: STATIC, endpoints: [{address: 10.9.9.9}]", "", ""),
        ("resolution: DNS", "", ""),
        ("resolution: NONE", "", ""),
        (
            "resolution: STATIC, workloadSelector: {labels: {app: x}}",
            "",
            "a workloadSelector (app=x) that no pod and no WorkloadEntry of shop has",
        ),
        (
            "resolution: STATIC, workloadSelector: {labels: {app: x}}",
            "{kind: WorkloadEntry, apiVersion: networking.istio.io/v1, metadata: {name: x, "
            "namespace: shop}, spec: {address: 10.9.9.9, labels: {app: x}}}",
            "",
        ),
        (
            "resolution: STATIC",
            ROUTED_TO.replace("HOST", "other.shop"),
            "",
        ),
        (
            "resolution: STATIC",
            ROUTED_TO.replace("HOST", "api.example.com"),
            "resolution STATIC and no endpoints",
        ),
    ],
)
def test_an_entry_without_endpoints(spec: str, more: str, empty: str) -> None:
    objects = OBJECTS.replace("{hosts: [api.example.com],", f"{{hosts: [api.example.com], {spec},")
    edge = EdgeSubject(client=APP, server=None, host="api.example.com", port=443)
    found = edge_endpoints.run(world(f"{objects}\n---\n{more}" if more else objects), edge)
    assert isinstance(found, EdgeEndpoints) and found.empty_said == empty
    assert found.empty_entry == ("ServiceEntry/shop/ext" if empty else "")


def test_egress_by_a_rule_beside_the_service_entry() -> None:
    edge = EdgeSubject(client=GW, server=None, host="api.example.com", port=443)
    found = egress_tls.run(world(OBJECTS), edge)
    assert isinstance(found, EgressTls)
    assert (found.rule, found.mode) == ("DestinationRule/shop/ext", "SIMPLE")


ROUTED = f"""{OBJECTS}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {{name: plain, namespace: shop}}
spec:
  selector: {{istio: gw}}
  servers: [{{port: {{number: 443, name: http, protocol: HTTP}}, hosts: ['*/a.x.com'], tls: {{httpsRedirect: true}}}}]
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {{name: a, namespace: shop}}
spec: {{hosts: [a.x.com], gateways: [plain], http: [{{match: [{{uri: {{prefix: /old}}}}], redirect: {{}}}}]}}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {{name: elsewhere, namespace: shop}}
spec: {{hosts: [a.x.com], http: [{{}}]}}
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {{name: front, namespace: istio-system}}
spec: {{ingressClassName: alb, defaultBackend: {{service: {{name: gw}}}}}}
"""  # noqa: E501
REQUEST = (
    '[2026-11-18T09:24:0{i}Z] "GET {path} HTTP/1.1" {code} {flags} - - "-" 0 0 1 - "-" "curl" "-" '
    '"a.x.com" "{upstream}" {cluster} - 10.0.0.2:8443 1.2.3.4:5 {sni} -\n'
)
DIRECT = {"path": "/", "code": 301, "flags": "-", "upstream": "-", "cluster": "-", "sni": "-"}


def requests(text: str, asked: str = "") -> GatewayRequests:
    logs = {("istio-system", "gw-1", "istio-proxy"): text}
    view: Any = world(ROUTED, logs=logs, request=Request(host=asked))
    found = gateway_requests.run(view, GW)
    assert isinstance(found, GatewayRequests)
    return found


@pytest.mark.parametrize(
    ("more", "by"),
    [
        ({}, "Gateway/shop/plain"),
        ({"sni": "a.x.com"}, ""),
        ({"sni": "a.x.com", "path": "/old"}, "VirtualService/shop/a"),
        (
            {"upstream": "10.0.0.3:80", "cluster": "outbound|80||app.shop.svc.cluster.local"},
            "Service/shop/app",
        ),
    ],
)
def test_redirects_that_lead_back(more: dict[str, object], by: str) -> None:
    found = requests("".join(REQUEST.format(i=i, **(DIRECT | more)) for i in range(4)))
    assert (found.circles, found.circle_code, found.circle_by) == (4, 301, by)
    assert found.circle_upstream is ("upstream" in more)
    assert found.circle_plain is ("sni" not in more)
    assert ("x-forwarded-proto" in str(found.circle_why)) is ("sni" not in more)


def test_a_port_where_nothing_is_http() -> None:
    bad = '[2026-11-18T09:24:00Z] "- - HTTP/1.1" 400 DPE - - "-" 0 0 1 - "-" "-" "-" "-" "-" '
    found = requests(f"{bad}- - 10.0.0.2:8443 1.2.3.4:5 - -\n" * 3)
    assert (found.unread, found.unread_by) == (3, "Gateway/shop/plain")
    assert (found.unread_port, found.unread_server) == (8443, 443)
    assert requests(f"{bad}- - 10.0.0.2:9000 1.2.3.4:5 - -\n").unread_by == ""


def test_a_path_without_rule() -> None:
    lost = REQUEST.format(i=0, **(DIRECT | {"code": 404, "flags": "NR"}))
    found = requests(lost, "a.x.com")
    assert (found.unrouted, found.narrow) == (1, "VirtualService/shop/a")
    assert requests(lost).unrouted == 0


@pytest.mark.parametrize(("port", "others"), [("80", True), ("443", None)])
def test_a_rule_for_the_port_of_another_server(port: str, others: bool | None) -> None:
    """TLS that the gateway ends came by the server of its own port all the same."""
    lost = REQUEST.format(i=0, **(DIRECT | {"code": 404, "flags": "NR", "sni": "a.x.com"}))
    view: Any = world(
        ROUTED.replace("{uri: {prefix: /old}}", f"{{port: {port}}}"),
        logs={("istio-system", "gw-1", "istio-proxy"): lost},
        request=Request(host="a.x.com"),
    )
    found = gateway_requests.run(view, GW)
    assert isinstance(found, GatewayRequests)
    assert (found.narrow == "VirtualService/shop/a") is bool(others)
    assert ("port of the match" in str(found.narrow_said)) is bool(others)


@pytest.mark.parametrize("bound", ["mesh", "none"])
def test_a_host_without_route_on_the_port_that_was_called(bound: str) -> None:
    """Though a VirtualService bound to another port's Gateway, or to none here, has it."""
    lost = REQUEST.format(i=0, **(DIRECT | {"code": 404, "flags": "NR"}))
    here = requests(lost, "a.x.com")
    assert here.bound is True and here.elsewhere == ""
    view: Any = world(
        ROUTED.replace("gateways: [plain]", f"gateways: [{bound}]"),
        logs={("istio-system", "gw-1", "istio-proxy"): lost},
        request=Request(host="a.x.com"),
    )
    found = gateway_requests.run(view, GW)
    assert isinstance(found, GatewayRequests)
    assert found.bound is (bound == "none"), "that it is none is a fault of its own"
    if bound == "none":
        return
    assert (found.bound, found.unrouted, found.serving) == (False, 1, "Gateway/shop/a")
    assert found.elsewhere == "VirtualService/shop/a"
    assert found.elsewhere_bound == "; VirtualService/shop/a has it, and is bound to mesh"


SOLVER = """
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: solver, namespace: shop}
spec: {rules: [{host: a.x.com, http: {paths: [{path: /.well-known/acme-challenge/x}]}}]}
"""


def refusals(text: str, objects: str = ROUTED + SOLVER) -> GatewayRefusals:
    view: Any = world(objects, logs={("istio-system", "gw-1", "istio-proxy"): text})
    found = gateway_refusals.run(view, GW)
    assert isinstance(found, GatewayRefusals)
    return found


@pytest.mark.parametrize(
    ("redirect", "own", "by"),
    [
        ("httpsRedirect: true", "prefix: /old", "Gateway/shop/plain"),
        ("", "prefix: /.well-known", "VirtualService/shop/a"),  # its rule redirects
        ("", "prefix: /old", "VirtualService/shop/a"),  # it has the host
        ("", "", "Gateway/shop/a"),
    ],
)
def test_who_takes_a_challenge(redirect: str, own: str, by: str) -> None:
    objects = (ROUTED + SOLVER).replace("httpsRedirect: true", redirect)
    if own:
        objects = objects.replace("prefix: /old", own)
    else:
        objects = objects.replace("gateways: [plain]", "gateways: [none]")
    path = "/.well-known/acme-challenge/x"
    asked = REQUEST.format(i=0, **(DIRECT | {"path": path})).replace("curl", "cert-manager/v1")
    found = refusals(asked * 2, objects)
    assert (found.challenges, found.challenge_code, found.challenge_by) == (2, 301, by)
    assert found.challenge_url == f"a.x.com{path}"
    assert found.solver == "Ingress/shop/solver"
    assert refusals(asked, ROUTED).solver == ""


LIMITS = """
---
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {name: limits, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: gw}}
  configPatches: [{applyTo: NETWORK_FILTER, patch: {value: {max_stream_duration: 120s}}}]
"""


def test_streams_that_an_envoyfilter_ends() -> None:
    text = REQUEST.format(i=0, **(DIRECT | {"code": 200, "flags": "DT"}))
    text = text.replace("200 DT -", "200 DT max_duration_timeout").replace(
        " 0 0 1 ", " 0 0 120001 "
    )
    found = refusals(text, ROUTED + LIMITS)
    assert (found.cut, found.cut_seconds, found.cut_url) == (1, 120, "a.x.com/")
    assert (found.cut_by, found.cut_by_name) == ("EnvoyFilter/istio-system/limits", "limits")
    assert refusals(text, ROUTED + LIMITS.replace("istio: gw", "istio: other")).cut_by == ""
    assert refusals(text).cut_by == ""


def test_upgrades_and_headers() -> None:
    refused = REQUEST.format(i=0, **(DIRECT | {"code": 403}))
    refused = refused.replace("403 - -", "403 - upgrade_failed")
    found = refusals(refused)
    assert (found.upgrades, found.upgrade_url) == (1, "a.x.com/")
    assert (found.upgrade_route, found.upgrade_gateway) == (
        "VirtualService/shop/a",
        "Gateway/shop/a",
    )
    found = refusals(refused.replace("a.x.com", "unknown.com"))
    assert (found.upgrade_route, found.upgrade_gateway) == ("", "")
    found = refusals(refused.replace(" 403 ", " 431 "))
    assert (found.oversized, found.oversized_details) == (1, "upgrade_failed")
    assert refusals("").upgrades == 0


def test_an_ingress_before_the_gateway() -> None:
    found = gateway_front.run(world(ROUTED), GW)
    assert isinstance(found, GatewayFront) and found.ingress == "Ingress/istio-system/front"
    assert not found.nameless
    https = (
        "metadata: {name: front, annotations: {alb.ingress.kubernetes.io/backend-protocol: HTTPS},"
    )
    named = gateway_front.run(world(ROUTED.replace("metadata: {name: front,", https)), GW)
    assert isinstance(named, GatewayFront) and named.nameless and named.named == "Gateway/shop/a"
    assert front(GW).ingress == ""
    blind = world(ROUTED, failing={"Ingress": ForbiddenError("Ingress")})
    unread = gateway_front.run(blind, GW)
    assert isinstance(unread, GatewayFront) and isinstance(unread.nameless, Unavailable)


IDLE = (
    OBJECTS
    + """
---
kind: Pod
apiVersion: v1
metadata: {name: second-1, namespace: istio-system, labels: {istio: second, app: gw}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.9}
---
kind: Service
apiVersion: v1
metadata: {name: second, namespace: istio-system}
spec: {type: LoadBalancer, selector: {istio: second}, ports: [{port: 80, targetPort: 8080}]}
"""
)
SECOND = WorkloadSubject("istio-system", "second-1", "Pod")


def idle(objects: str, subject: WorkloadSubject = SECOND, asked: bool = True) -> GatewayFront:
    view = world(objects, namespaces=("istio-system",) if asked else None)
    found = gateway_front.run(view, subject)
    assert isinstance(found, GatewayFront)
    return found


def gateway_api(namespace: str) -> str:
    return f"""---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {{name: x, namespace: {namespace}}}
"""


def test_a_gateway_that_no_gateway_object_selects() -> None:
    found = idle(IDLE)
    assert found.idle and (found.near_selector, found.labels) == (
        "istio=gw",
        "app=gw, istio=second",
    )
    assert found.near in ("Gateway/shop/a", "Gateway/shop/b")
    assert not idle(IDLE, GW).idle, "its Gateways select it"
    assert not idle(IDLE, asked=False).idle, "nobody asks about it: it may be meant to stand idle"
    assert not idle(
        IDLE.replace("type: LoadBalancer, selector: {istio: second}", "selector: {istio: second}")
    ).idle
    made = IDLE.replace("app: gw}", "gateway.networking.k8s.io/gateway-name: x}")
    assert not idle(made).idle
    api = gateway_api("istio-system")
    assert not idle(IDLE + api).idle


PASSED = """
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: mq, namespace: mq}
spec:
  selector: {istio: gw}
  servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}]
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: mq, namespace: mq}
spec:
  hosts: [SNI]
  gateways: [mq]
  tls: [{match: [{sniHosts: [SNI]}], route: [{destination: {host: broker}}]}]
"""


@pytest.mark.parametrize(("name", "unrouted"), [("other.x.com", 3), ("c.x.com", 0), ("*.x.com", 0)])
def test_a_name_that_is_passed_through_and_that_no_route_takes(name: str, unrouted: int) -> None:
    log = NR.format(sni="c.x.com") * 3
    view = world(
        OBJECTS + PASSED.replace("SNI", f"'{name}'"),
        logs={("istio-system", "gw-1", "istio-proxy"): log},
    )
    found = gateway_log.run(view, GW)
    assert isinstance(found, GatewayLog)
    assert found.unrouted == unrouted
    if unrouted:
        near = f"VirtualService/mq/mq has {name}"
        assert (found.unrouted_sni, found.unrouted_near) == ("c.x.com", near)
        assert found.unrouted_gateway == "Gateway/mq/mq"
        assert found.unrouted_route == "VirtualService/mq/mq"


@pytest.mark.parametrize(
    ("change", "near"),
    [
        (("gateways: [mq]", "gateways: [old]"), "and is bound to old"),
        (("  gateways: [mq]\n", ""), "and is bound to mesh alone"),
        (("{sniHosts", "{port: 8443, sniHosts"), "there is none"),
        (("{sniHosts", "{port: 443, sniHosts"), None),
    ],
)
def test_what_the_route_of_such_a_name_misses(change: tuple[str, str], near: str | None) -> None:
    view = world(
        OBJECTS + PASSED.replace("SNI", "c.x.com").replace(*change),
        logs={("istio-system", "gw-1", "istio-proxy"): NR.format(sni="c.x.com")},
    )
    found = gateway_log.run(view, GW)
    assert isinstance(found, GatewayLog)
    assert found.unrouted == (0 if near is None else 1)
    assert isinstance(found.unrouted_near, str) and found.unrouted_near.endswith(near or "")


PASSED_API = """
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: gw-1, namespace: istio-system}
spec:
  listeners:
  - {name: tls, hostname: '*.x.com', port: 443, protocol: TLS, tls: {mode: Passthrough}}
---
kind: TLSRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: mq, namespace: mq}
spec:
  parentRefs: [{name: PARENT, namespace: istio-system}]
  hostnames: [SNI]
"""


@pytest.mark.parametrize(
    ("parent", "name", "unrouted", "route"),
    [
        ("gw-1", "other.x.com", 3, "TLSRoute/mq/mq"),
        ("gw-2", "c.x.com", 3, ""),
        ("gw-1", "c.x.com", 0, ""),
        ("gw-1", "", 0, ""),  # takes every name
    ],
)
def test_a_name_that_no_route_of_the_gateway_api_takes(
    parent: str, name: str, unrouted: int, route: str
) -> None:
    objects = PASSED_API.replace("PARENT", parent).replace("SNI", name)
    log = {("istio-system", "gw-1", "istio-proxy"): NR.format(sni="c.x.com") * 3}
    found = gateway_log.run(world(OBJECTS + objects, logs=log), GW)
    assert isinstance(found, GatewayLog)
    assert (found.unrouted, found.unrouted_route) == (unrouted, route)
