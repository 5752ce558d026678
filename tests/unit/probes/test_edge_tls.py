"""Does the edge-tls probe put the objects of an edge together rightly?"""

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import EdgeSubject, Request, ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError, ForbiddenError
from meshdoctor.probes.edge_caller import Caller, caller
from meshdoctor.probes.edge_network import EdgeTlsExtras, edge_tls_extras
from meshdoctor.probes.edge_tls import EdgeTls, edge_tls
from tests.unit.world import world


def pod(ns: str, app: str, ip: str, *, proxy: bool = True, notes: str = "{}") -> str:
    label = "security.istio.io/tlsMode: istio, " if proxy else ""
    sidecar = "- {name: istio-proxy, args: [proxy, sidecar]}" if proxy else ""
    return f"""
---
apiVersion: v1
kind: Pod
metadata:
  name: {app}-1
  namespace: {ns}
  labels: {{{label}app: {app}}}
  annotations: {notes}
spec:
  containers:
  - {{name: app, image: {app}:1}}
  {sidecar}
status: {{phase: Running, podIP: {ip}, hostIP: 10.0.9.9}}
"""


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec:
  clusterIP: 10.96.0.5
  selector: {app: pay}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
STRICT = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


def rule(ns: str, mode: str, host: str = "pay.shop.svc.cluster.local", more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: pay-{ns}, namespace: {ns}}}
spec:
  host: "{host}"
  trafficPolicy: {{tls: {{mode: {mode}}}{more}}}
"""


CART, PAY = WorkloadSubject("web", "cart-1", "Pod"), WorkloadSubject("shop", "pay-1", "Pod")
BOTH = pod("web", "cart", "10.0.1.1") + pod("shop", "pay", "10.0.1.2") + SERVICE


def edge(client: WorkloadSubject | None = CART, *, host: str = "", ip: str = "") -> EdgeSubject:
    return EdgeSubject(
        client=client,
        server=PAY,
        service=ServiceSubject("shop", "pay"),
        host="pay.shop.svc.cluster.local",
        port=80,
        request=Request(host=host),
        client_ip=ip,
    )


def facts(objects: str, subject: EdgeSubject | None = None) -> EdgeTls:
    found = edge_tls.run(world(objects), subject or edge())
    assert isinstance(found, EdgeTls)
    return found


def test_two_sidecars_speak_mutual_tls() -> None:
    f = facts(BOTH + STRICT)
    assert (f.says, f.reason, f.fails, f.mode) == ("mutual TLS", "auto", False, "STRICT")
    assert (f.workload_port, f.protocol, f.http) == (8080, "HTTP", True)
    assert f.policy == "PeerAuthentication/shop/default"


def test_a_rule_that_disables_tls_is_guilty() -> None:
    f = facts(BOTH + STRICT + rule("shop", "DISABLE"))
    assert f.fails and f.rule_guilty and f.rule == "DestinationRule/shop/pay-shop"
    assert facts(BOTH + rule("shop", "DISABLE")).fails is False


def test_a_rule_of_the_clients_namespace_shadows_another() -> None:
    f = facts(BOTH + STRICT + rule("shop", "ISTIO_MUTUAL") + rule("web", "DISABLE"))
    assert f.shadow_guilty and f.shadowed == "DestinationRule/shop/pay-shop"
    assert f.rule == "DestinationRule/web/pay-web"


def leads_to(*subsets: str) -> str:
    """A VirtualService of the service for sidecars."""
    shares = ", ".join(
        f"{{destination: {{host: pay, subset: {one}}}, weight: 5}}" for one in subsets
    )
    return f"""
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {{name: pay, namespace: shop}}
spec: {{hosts: [pay], http: [{{route: [{shares}]}}]}}
"""


def test_one_patch_mends_all_subsets_with_tls_of_their_own() -> None:
    more = """
  subsets:
  - {name: v0}
  - {name: v1, trafficPolicy: {tls: {mode: DISABLE}}}
  - name: v2
    trafficPolicy: {tls: {mode: DISABLE}, connectionPool: {tcp: {maxConnections: 5}}}
"""
    both = BOTH + STRICT + rule("shop", "ISTIO_MUTUAL") + more
    f = facts(both + leads_to("v1", "v2"))
    assert (f.subset, f.subsets, f.subset_mode) == ("v1", "v1, v2", "DISABLE")
    assert facts(both + leads_to("v0", "v2")).subsets == "v2"
    assert facts(both + leads_to("v0")).subset == "", "no route leads to them"
    assert facts(both).subset == ""
    assert f.subset_patch == (
        '[{"op":"remove","path":"/spec/subsets/1/trafficPolicy"},'
        '{"op":"remove","path":"/spec/subsets/2/trafficPolicy/tls"}]'
    )
    assert (f.client_target, f.server_target) == ("pod/cart-1", "pod/pay-1")
    assert facts(BOTH + STRICT).subset_patch == ""


def test_a_port_entry_by_service_port() -> None:
    more = ", portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]"
    f = facts(BOTH + STRICT + rule("shop", "ISTIO_MUTUAL", more=more))
    assert f.rule_level == "port" and f.port_guilty
    more = more.replace("number: 80", "number: 8080")
    assert not facts(BOTH + STRICT + rule("shop", "ISTIO_MUTUAL", more=more)).fails


def test_a_bare_client() -> None:
    objects = pod("web", "cart", "10.0.1.1", proxy=False) + pod("shop", "pay", "10.0.1.2")
    f = facts(objects + SERVICE + STRICT)
    assert f.fails and f.reason == "no-proxy"


def test_a_bare_server_under_a_forced_rule() -> None:
    objects = pod("web", "cart", "10.0.1.1") + pod("shop", "pay", "10.0.1.2", proxy=False)
    f = facts(objects + SERVICE + rule("shop", "ISTIO_MUTUAL"))
    assert f.fails and f.rule_guilty and f.unmeshed_pod == "Pod/shop/pay-1"


def test_the_hosts_a_proxy_does_not_know() -> None:
    assert facts(BOTH + STRICT, edge(host="10.0.1.2:80")).passthrough == "pod-ip"
    assert facts(BOTH + STRICT, edge(host="10.96.0.5:80")).passthrough == ""
    assert facts(BOTH + STRICT, edge(host="pay.shop:80")).passthrough == ""
    assert facts(BOTH + STRICT, edge(host="pay.example.com")).passthrough == "unknown-host"
    # a cluster service that does not exist is no host that a proxy knows
    assert facts(BOTH + STRICT, edge(host="pay")).passthrough == "unknown-host"
    # the routes of a port without a declared protocol lead to its service, whatever the host
    sniffed = BOTH.replace("name: http,", "name: odd,")
    assert sniffed != BOTH
    assert facts(sniffed + STRICT, edge(host="pay.example.com")).passthrough == ""
    routed = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: web}
spec: {hosts: [pay.example.com]}
"""
    assert facts(BOTH + STRICT + routed, edge(host="pay.example.com")).passthrough == ""
    private = BOTH.replace(
        "metadata: {name: pay, namespace: shop}",
        'metadata: {name: pay, namespace: shop, annotations: {networking.istio.io/exportTo: "."}}',
    )
    hidden = facts(private + STRICT)
    assert hidden.passthrough == "exportTo" and hidden.fails


def test_bypasses_and_uncaptured_ports() -> None:
    notes = '{traffic.sidecar.istio.io/excludeOutboundPorts: "80"}'
    out = pod("web", "cart", "10.0.1.1", notes=notes) + pod("shop", "pay", "10.0.1.2")
    assert facts(out + SERVICE + STRICT).reason == "bypass"
    notes = '{traffic.sidecar.istio.io/excludeInboundPorts: "8080"}'
    into = pod("web", "cart", "10.0.1.1") + pod("shop", "pay", "10.0.1.2", notes=notes)
    f = facts(into + SERVICE + STRICT)
    assert f.fails and str(f.server_bypass).endswith("excludeInboundPorts")


def test_a_policy_that_may_not_be_read_is_not_an_absent_one() -> None:
    view = world(BOTH, failing={"PeerAuthentication": ForbiddenError("PeerAuthentication")})
    with pytest.raises(EvidenceError):
        edge_tls.run(view, edge())


def test_caller() -> None:
    def who(subject: EdgeSubject, objects: str = BOTH) -> Caller:
        found = caller.run(world(objects), subject)
        assert isinstance(found, Caller)
        return found

    assert (who(edge()).proxy, who(edge()).unmeshed) == ("sidecar", False)
    assert who(edge(None, ip="10.0.9.9")).kind == "node"
    assert who(edge(None, ip="10.0.1.1")).workload == "Pod/web/cart-1"
    assert who(edge(None, ip="203.0.113.9")).kind == "outside"
    bare = pod("web", "cart", "10.0.1.1", proxy=False) + pod("shop", "pay", "10.0.1.2") + SERVICE
    assert who(edge(), bare).unmeshed
    assert who(edge(), bare.replace("cart:1", "registry.k8s.io/ingress-nginx/controller")).ingress
    assert who(edge(), bare.replace("cart:1", "prom/prometheus:v3")).scraper
    with pytest.raises(EvidenceError) as error:
        who(edge(None))
    assert isinstance(error.value.unavailable, Unavailable)


def test_a_port_entry_without_tls_towards_an_outside_host() -> None:
    outside = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: web}
spec: {hosts: [api.example.com], location: MESH_EXTERNAL, ports: [{number: 443, name: https}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ext, namespace: web}
spec:
  host: api.example.com
  trafficPolicy:
    tls: {mode: SIMPLE, sni: api.example.com}
    portLevelSettings: [{port: {number: 443}, connectionPool: {tcp: {maxConnections: 9}}}]
"""
    subject = EdgeSubject(client=CART, server=None, host="api.example.com", port=443)
    f = facts(pod("web", "cart", "10.0.1.1") + outside, subject)
    assert f.port_reset and f.port_guilty and f.top_mode == "SIMPLE" and f.external
    assert f.rule_path == "/spec/trafficPolicy/portLevelSettings/0/tls"
    assert f.port_patch == (
        '[{"op":"add","path":"/spec/trafficPolicy/portLevelSettings/0/tls",'
        '"value":{"mode":"SIMPLE","sni":"api.example.com"}}]'
    )


def test_a_rule_of_the_clients_own_hides_the_tls_of_a_host_outside() -> None:
    outside = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: shared}
spec: {hosts: [api.example.com], location: MESH_EXTERNAL, ports: [{number: 80, name: http}]}
"""
    shared = rule("shared", "SIMPLE", "api.example.com")
    pool = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pool, namespace: web}
spec: {host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}
"""
    subject = EdgeSubject(client=CART, server=None, host="api.example.com", port=80)
    client = pod("web", "cart", "10.0.1.1") + outside
    f = facts(client + shared + pool, subject)
    assert (f.shadow_guilty, f.shadowed) == (True, "DestinationRule/shared/pay-shared")
    assert f.chosen == "DestinationRule/web/pool"
    # A rule that begins TLS too hides nothing, nor does one that hides a rule without TLS.
    own = rule("web", "SIMPLE", "api.example.com")
    assert not facts(client + shared + own, subject).shadow_guilty
    plain = rule("shared", "DISABLE", "api.example.com")
    assert not facts(client + plain + pool, subject).shadow_guilty


def test_a_filter_at_both_ends_is_told_once() -> None:
    filters = """
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: old-client, namespace: istio-system}
spec:
  configPatches:
  - applyTo: FILTER_CHAIN
    patch: {operation: MERGE, value: {transport_socket: {name: envoy.transport_sockets.tls}}}
  - applyTo: CLUSTER
    patch: {operation: MERGE, value: {transport_socket: {name: envoy.transport_sockets.tls}}}
"""
    found = edge_tls_extras.run(world(BOTH + filters), edge())
    assert isinstance(found, EdgeTlsExtras)
    assert (found.filter, found.filters) == ("EnvoyFilter/istio-system/old-client", 1)


def test_one_bare_endpoint_of_a_headless_service() -> None:
    headless = SERVICE.replace("clusterIP: 10.96.0.5", "clusterIP: None")
    bare = pod("shop", "pay", "10.0.1.3", proxy=False).replace("name: pay-1", "name: pay-old")
    meshed = pod("web", "cart", "10.0.1.1") + pod("shop", "pay", "10.0.1.2")
    f = facts(meshed + bare + headless + STRICT)
    assert (f.fails, f.reason, f.unmeshed, f.endpoints) == (True, "headless", 1, 2)
    assert not facts(meshed + headless + STRICT).fails
