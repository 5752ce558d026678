"""ServiceEntries that share a host, name identities, or stand for an authorizer outside."""

import doctest

import pytest

from meshdoctor.mesh import authz_custom, entries, entry_identity
from meshdoctor.mesh.hosts import catalogue
from meshdoctor.model.istio import DestinationRule, ServiceEntry, WorkloadEntry
from meshdoctor.model.kubernetes import Pod
from tests.unit.mesh.objects import many, one

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {space}}}
spec: {{hosts: [{host}], ports: [{ports}]}}
"""


def entry(
    name: str = "a", space: str = "mq", host: str = "mq.x.com", ports: tuple[int, ...] = (1,)
) -> ServiceEntry:
    listed = ", ".join(f"{{number: {p}, protocol: TLS}}" for p in ports)
    return one(ServiceEntry, ENTRY.format(name=name, space=space, host=host, ports=listed))


@pytest.mark.parametrize(
    ("other", "ports"),
    [
        (entry("b", ports=(2,)), {1}),
        (entry("b", ports=(1, 2)), set()),
        (entry("b", space="other", ports=(2,)), set()),
        (entry("b", host="mq2.x.com", ports=(2,)), set()),
        (entry("a", ports=(2,)), set()),
    ],
)
def test_a_host_of_two_entries(other: ServiceEntry, ports: set[int]) -> None:
    mine = entry()
    found = entries.split(mine, catalogue([], [mine, other]))
    assert (found.ports if found else frozenset()) == ports
    assert found is None or found.other is other


def test_of_two_entries_of_one_age_the_first_name_owns_the_host() -> None:
    mine, other = entry("b", space="shop"), entry("a", space="mq")
    known = catalogue([], [mine, other])
    found = entries.collision(mine, known)
    assert found is not None and found.rival == other.ref
    assert entries.collision(other, known) is None


INTERNAL = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: shop}
spec:
  hosts: [echo]
  location: MESH_INTERNAL
  subjectAltNames: [spiffe://td/ns/echo/sa/named]
  endpoints: [{address: 10.0.0.9}]
  workloadSelector: {labels: {app: echo}}
"""
BEHIND = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: echo-1, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: echo}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: echo-1, namespace: echo}
spec: {serviceAccountName: real}
status: {podIP: 10.0.0.1}
"""


@pytest.mark.parametrize(
    ("given", "behind", "refused"),
    [
        (INTERNAL, BEHIND, True),
        (INTERNAL.replace("sa/named", "sa/real"), BEHIND, False),
        (
            INTERNAL.replace("  subjectAltNames: [spiffe://td/ns/echo/sa/named]\n", ""),
            BEHIND,
            False,
        ),
        (INTERNAL, BEHIND.replace("app: echo", "app: other"), False),
        (INTERNAL, BEHIND.replace("namespace: shop", "namespace: other"), False),
        (INTERNAL, BEHIND.replace("10.0.0.1", "10.0.0.2"), False),
        (INTERNAL.replace("10.0.0.9", "10.0.0.1"), BEHIND.replace("10.0.0.1", "-"), True),
        # The account of a WorkloadEntry is one of the entry's own namespace.
        (INTERNAL, BEHIND.replace("spec: {", "spec: {serviceAccount: real, "), True),
    ],
)
def test_identities_behind_an_entry(given: str, behind: str, refused: bool) -> None:
    named, pod = one(ServiceEntry, given), one(Pod, POD)
    ends = entry_identity.endpoints(named, many(WorkloadEntry, behind))
    found = entry_identity.stranger(named, ends, {"10.0.0.1": pod}, "td")
    assert (found is not None) is refused
    if found is not None:
        assert found.identity == "spiffe://td/ns/echo/sa/real"
        assert found.accepted[0] == "spiffe://td/ns/echo/sa/named"


def test_accounts_that_workload_entries_name() -> None:
    bare = INTERNAL.replace("  subjectAltNames: [spiffe://td/ns/echo/sa/named]\n", "")
    named = one(ServiceEntry, bare.replace("namespace: shop", "namespace: echo"))
    mine = BEHIND.replace("namespace: shop", "namespace: echo")
    pods = {"10.0.0.1": one(Pod, POD)}
    for account, refused in (("real", False), ("other", True)):
        text = mine.replace("spec: {", f"spec: {{serviceAccount: {account}, ")
        ends = entry_identity.endpoints(named, many(WorkloadEntry, text))
        assert (entry_identity.stranger(named, ends, pods, "td") is not None) is refused


@pytest.mark.parametrize(
    ("spec", "meshed"),
    [
        ("labels: {app: echo}", False),
        ("serviceAccount: real, labels: {app: echo}", True),
        ("labels: {app: echo, security.istio.io/tlsMode: istio}", True),
        ("serviceAccount: real, labels: {app: echo, security.istio.io/tlsMode: disabled}", False),
    ],
)
def test_endpoints_that_clients_take_for_meshed(spec: str, meshed: bool) -> None:
    behind = many(WorkloadEntry, BEHIND.replace("labels: {app: echo}", spec))
    own, selected = entry_identity.endpoints(one(ServiceEntry, INTERNAL), behind)
    assert (own.meshed, selected.meshed) == (False, meshed)


RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: mq}
spec: {host: mq.x.com, trafficPolicy: {tls: {mode: SIMPLE}}}
"""


@pytest.mark.parametrize(
    ("ports", "port", "rules", "plain"),
    [
        ((443,), 443, "", True),
        ((443,), 443, RULE, False),
        ((443,), 443, RULE.replace("SIMPLE", "DISABLE"), True),
        ((443,), 443, RULE.replace("mq.x.com", "other.x.com"), True),
        ((443,), 443, RULE.replace(", trafficPolicy: {tls: {mode: SIMPLE}}", ""), True),
        (
            (443,),
            443,
            RULE.replace("tls:", "portLevelSettings: [{port: {number: 443}}], tls:"),
            True,
        ),
        ((443,), 80, "", False),
    ],
)
def test_an_authorizer_outside(ports: tuple[int, ...], port: int, rules: str, plain: bool) -> None:
    found = many(DestinationRule, rules) if rules else []
    assert authz_custom.asked_plainly(entry(ports=ports), "mq.x.com", port, found) is plain


def test_an_authorizer_that_takes_no_tls() -> None:
    plain = ENTRY.format(name="a", space="mq", host="h", ports="{number: 80, protocol: HTTP}")
    assert not authz_custom.asked_plainly(one(ServiceEntry, plain), "h", 80, [])
    https = plain.replace("number: 80", "number: 80, targetPort: 443")
    assert authz_custom.asked_plainly(one(ServiceEntry, https), "h", 80, [])
    inside = https.replace("spec: {", "spec: {location: MESH_INTERNAL, ")
    assert not authz_custom.asked_plainly(one(ServiceEntry, inside), "h", 80, [])


def test_examples() -> None:
    assert doctest.testmod(entry_identity).failed == 0


@pytest.mark.parametrize(
    ("spec", "port", "protocol"),
    [
        ("{hosts: [x.com], ports: [{number: 80, protocol: TCP}]}", 80, "TCP"),
        ("{hosts: [x.com], ports: [{number: 80, protocol: TCP}]}", 81, ""),
        ("{hosts: [x.com], ports: [{number: 80, protocol: HTTP}]}", 80, ""),
        ("{hosts: [x.com], ports: [{number: 80, protocol: TLS}]}", 80, ""),
        ("{hosts: [x.com], addresses: [192.0.2.1], ports: [{number: 80, protocol: TCP}]}", 80, ""),
    ],
)
def test_a_port_of_bytes_without_address(spec: str, port: int, protocol: str) -> None:
    text = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: x}, spec: S}"
    assert (
        entries.bare_protocol(one(ServiceEntry, text.replace("S}", f"{spec}}}")), port) == protocol
    )


def tcp(name: str, space: str, host: str, **more: str) -> ServiceEntry:
    rest = "".join(f", {key}: {value}" for key, value in more.items())
    ports = "{number: 443, protocol: TCP}"
    text = ENTRY.format(name=name, space=space, host=host, ports=ports)
    return one(ServiceEntry, text.rstrip().removesuffix("}") + rest + "}")


KEYS = tcp("keys", "apps", "keys.x.com", resolution="DNS")


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ([], True),
        ([tcp("a", "apps", "other.x.com", resolution="DNS")], False),
        ([tcp("keyt", "apps", "www.x.com", resolution="DNS")], True),
        ([tcp("a", "apps", "www.x.com", resolution="DNS")], False),
        ([tcp("keyt", "apps", "www.x.com", addresses="[10.0.0.1]")], False),
        ([entry("w", "apps", "www.x.com", ports=(443,))], False),
        ([entry("w", "apps", "www.x.com", ports=(80,))], True),
    ],
)
def test_a_port_that_takes_the_connections_of_other_hosts(
    others: list[ServiceEntry], taken: bool
) -> None:
    found = entries.taker([KEYS, *others], "www.x.com", 443)
    assert (found is KEYS) is taken


def test_a_port_that_takes_none() -> None:
    assert entries.taker([KEYS], "keys.x.com", 443) is None, "its own host"
    assert entries.taker([KEYS], "www.x.com", 80) is None, "another port"
    through = tcp("keys", "apps", "keys.x.com", resolution="NONE")
    assert entries.taker([through], "www.x.com", 443) is None, "they go on where they were for"
    placed = tcp("keys", "apps", "keys.x.com", resolution="DNS", addresses="[10.0.0.1]")
    assert entries.taker([placed], "www.x.com", 443) is None, "it has an address"


def test_entries_of_one_age_go_by_name_and_namespace() -> None:
    first = tcp("pg-a", "a", "a.x.com", resolution="DNS")
    later = tcp("pg", "b", "b.x.com", resolution="DNS")
    assert entries.shared_listener(first, [later, first]) is None
    found = entries.shared_listener(later, [later, first])
    assert found is not None and found.rival is first
