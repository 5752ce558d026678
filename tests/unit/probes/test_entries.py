"""`edge-entry-identity` and `config-entry-calls` on small meshes."""

import pytest

from meshdoctor.model.facts import Ref
from meshdoctor.model.subjects import ConfigSubject, EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.config_entry_calls import ConfigEntryCalls, config_entry_calls
from meshdoctor.probes.edge_endpoints import edge_endpoints
from meshdoctor.probes.edge_entry_identity import EdgeEntryIdentity, edge_entry_identity
from tests.unit.mesh.test_entries import BEHIND, ENTRY, INTERNAL, POD
from tests.unit.world import world

MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{trustDomain: td, accessLogFile: /dev/stdout}'}
---
apiVersion: v1
kind: Pod
metadata: {name: curl-1, namespace: shop}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.7}
"""
CURL = WorkloadSubject("shop", "curl-1", "Pod")
ECHO = EdgeSubject(client=CURL, server=None, host="echo", port=80)


def identity(objects: str, edge: EdgeSubject = ECHO) -> EdgeEntryIdentity:
    found = edge_entry_identity.run(world("---".join((MESH, objects, BEHIND, POD))), edge)
    assert isinstance(found, EdgeEntryIdentity)
    return found


def test_an_endpoint_of_another_identity() -> None:
    found = identity(INTERNAL)
    assert (found.entry, found.source) == ("ServiceEntry/shop/echo", "WorkloadEntry/shop/echo-1")
    assert (found.stranger, found.address) == ("Pod/echo/echo-1", "10.0.0.1")
    assert found.accepted == "spiffe://td/ns/echo/sa/named"
    assert identity(INTERNAL.replace("sa/named", "sa/real")).stranger == ""
    assert identity(INTERNAL.replace("MESH_INTERNAL", "MESH_EXTERNAL")).entry == ""
    other = EdgeSubject(client=CURL, server=None, host="other", port=80)
    assert identity(INTERNAL, other).entry == ""


STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
SIDECAR = "containers: [{name: istio-proxy, args: [proxy, sidecar]}]"


def plain(objects: str, behind: str, pod: str) -> EdgeEntryIdentity:
    everything = "---".join((MESH, STRICT, objects, behind, pod))
    found = edge_entry_identity.run(world(everything), ECHO)
    assert isinstance(found, EdgeEntryIdentity)
    return found


def test_an_endpoint_that_clients_call_in_plaintext() -> None:
    own = INTERNAL.replace("10.0.0.9", "10.0.0.1")
    meshed = POD.replace("spec: {", f"spec: {{{SIDECAR}, ")
    found = plain(INTERNAL, BEHIND, meshed)
    assert (found.plain, found.plain_mode) == ("ServiceEntry/shop/echo", "STRICT")
    found = plain(own, BEHIND, meshed)
    assert (found.plain, found.plain_workload) == ("ServiceEntry/shop/echo", "Pod/echo/echo-1")
    assert found.plain_policy == "PeerAuthentication/istio-system/default"
    assert plain(own, BEHIND, POD).plain == "", "a pod without a sidecar takes plaintext"


SPLIT = "---".join(
    (
        MESH,
        ENTRY.format(
            name="a", space="shop", host="mq.x.com", ports="{number: 61617, protocol: TLS}"
        ),
        ENTRY.format(
            name="b", space="shop", host="mq.x.com", ports="{number: 8162, protocol: TLS}"
        ),
    )
)
LOST = (
    '[2026-11-18T09:24:00Z] "- - -" 0 NR {why} - "-" 0 0 1 - "-" "-" "-" "-" "-" - - {called} '
    "10.0.0.7:5 {sni} -\n"
)


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        (LOST.format(why="-", called="10.3.7.14:61617", sni="mq.x.com"), 1),
        (LOST.format(why="-", called="10.3.7.14:8162", sni="mq.x.com"), 0),
        (LOST.format(why="-", called="10.3.7.14:61617", sni="other.x.com"), 0),
        (LOST.format(why="-", called="10.3.7.14:61617", sni="mq.x.com").replace(" NR ", " - "), 0),
    ],
)
def test_calls_on_the_ports_of_one_entry(line: str, lost: int) -> None:
    view = world(SPLIT, logs={("shop", "curl-1", "istio-proxy"): line})
    found = config_entry_calls.run(view, ConfigSubject("ServiceEntry", "shop", "a"))
    assert found == ConfigEntryCalls(
        other=Ref("ServiceEntry/shop/b"),
        host="mq.x.com",
        ports="61617",
        lost=lost,
        pod="curl-1.shop" if lost else "",
        taken=0,
    )


def test_calls_where_nobody_could_look() -> None:
    view = world(SPLIT, failing={"log": ForbiddenError("log")})
    with pytest.raises(ForbiddenError):
        config_entry_calls.run(view, ConfigSubject("ServiceEntry", "shop", "a"))
    none = config_entry_calls.run(view, ConfigSubject("Gateway", "shop", "a"))
    assert none == ConfigEntryCalls(other=Ref(""), host="", ports="", lost=0, pod="", taken=0)


TAKEN = """
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: bank}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: old, namespace: shop}
spec:
  hosts: [pay.bank.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, protocol: HTTP}]
  endpoints: [{address: 10.9.9.9}]
"""
CALL = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UF - - "-" 0 0 1 - "-" "-" "-" "pay.bank" '
    '"{upstream}:80" {cluster} - 10.3.7.14:80 10.0.0.7:5 - default\n'
)
OWN = "outbound|80||pay.bank.svc.cluster.local"


@pytest.mark.parametrize(
    ("upstream", "cluster", "taken"),
    [
        ("10.9.9.9", OWN, 1),
        ("10.0.0.8", OWN, 0),  # an endpoint of the Service
        ("10.9.9.9", "outbound|80||other.bank.svc.cluster.local", 0),
    ],
)
def test_calls_that_an_entry_takes_from_a_service(upstream: str, cluster: str, taken: int) -> None:
    line = CALL.format(upstream=upstream, cluster=cluster)
    view = world(MESH + TAKEN, logs={("shop", "curl-1", "istio-proxy"): line})
    found = config_entry_calls.run(view, ConfigSubject("ServiceEntry", "shop", "old"))
    assert found.taken == taken


def test_endpoints_of_an_entry_are_no_stale_ones_of_the_service() -> None:
    line = CALL.format(upstream="10.9.9.9", cluster=OWN)
    logs = {("shop", "curl-1", "istio-proxy"): line}
    pay = ServiceSubject("bank", "pay")
    edge = EdgeSubject(client=CURL, server=None, service=pay, host="pay.bank", port=80)
    stale = world(MESH + TAKEN.replace("pay.bank.svc", "other.bank.svc"), logs=logs)
    assert edge_endpoints.run(stale, edge).dead_calls == 1
    assert edge_endpoints.run(world(MESH + TAKEN, logs=logs), edge).dead_calls == 0


def test_pods_of_the_entrys_own_namespace_are_read_for_a_pair() -> None:
    entry = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo, namespace: echo}}
spec:
  hosts: [echo.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 10.0.0.1}}]
---{STRICT.replace("istio-system", "echo")}"""
    meshed = POD.replace("spec: {", f"spec: {{{SIDECAR}, ")
    edge = EdgeSubject(client=CURL, server=None, host="echo.example.com", port=80)
    view = world("---".join((MESH, entry, meshed)), namespaces=("istio-system", "shop"))
    found = edge_entry_identity.run(view, edge)
    assert (found.plain_workload, found.plain_mode) == ("Pod/echo/echo-1", "STRICT")


def test_a_host_that_two_entries_resolve_in_different_ways() -> None:
    def ways(first: str, second: str, spaces: tuple[str, str] = ("shop", "shop")) -> str:
        text = "---".join(
            ENTRY.format(name=n, space=s, host="mq.x.com", ports="{number: 443, protocol: TLS}")
            for n, s in zip("ab", spaces, strict=True)
        )
        one, other = text.split("---")
        objects = [
            t.replace("spec: {", f"spec: {{resolution: {r}, ") if r else t
            for t, r in ((one, first), (other, second))
        ]
        edge = EdgeSubject(client=CURL, server=None, host="mq.x.com", port=443)
        return str(edge_endpoints.run(world("---".join((MESH, *objects))), edge).ways_said)

    assert ways("", "DNS") == "ServiceEntry/shop/a: NONE, ServiceEntry/shop/b: DNS"
    assert ways("NONE", "") == "" and ways("DNS", "DNS") == ""
    assert ways("", "DNS", ("shop", "front")) == "", "each namespace has its own"
