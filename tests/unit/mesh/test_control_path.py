"""What closes the way from a pod to istiod?"""

import msgspec
import pytest

from meshdoctor.mesh.control_path import closed, denies_unselected, dns_port, own_groups
from meshdoctor.model.kubernetes import (
    Container,
    ContainerPort,
    Meta,
    NetworkPolicy,
    NetworkPolicySpec,
    Pod,
    PodSpec,
    PodStatus,
    SecurityGroupPolicy,
    SecurityGroupPolicySpec,
    Service,
    ServicePort,
    ServiceSpec,
    Workload,
)

SPACES: dict[str, dict[str, str]] = {"shop": {}, "istio-system": {}, "kube-system": {}}


def pod(ns: str, app: str, **annotations: str) -> Pod:
    meta = Meta(name=app, namespace=ns, labels={"app": app}, annotations=annotations)
    return Pod(metadata=meta, status=PodStatus(pod_ip="10.0.0.9"))


PAY, ISTIOD = pod("shop", "pay"), pod("istio-system", "istiod")
DNS = pod("kube-system", "coredns")


def policy(ns: str, spec: object) -> NetworkPolicy:
    return NetworkPolicy(
        kind="NetworkPolicy",
        metadata=Meta(name="np", namespace=ns),
        spec=msgspec.convert(spec, NetworkPolicySpec, strict=False),
    )


def to(space: str, *ports: object) -> dict[str, object]:
    labels = {"kubernetes.io/metadata.name": space}
    return {"to": [{"namespaceSelector": {"matchLabels": labels}}], "ports": list(ports)}


def egress(*rules: object) -> NetworkPolicy:
    return policy("shop", {"podSelector": {}, "policyTypes": ["Egress"], "egress": list(rules)})


XDS, UDP = {"port": 15012}, {"port": 53, "protocol": "UDP"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], ""),
        ([egress(to("shop"))], "; NetworkPolicy/shop/np lets the pod send nothing to port 15012"),
        (
            [egress(to("istio-system", XDS))],
            "; NetworkPolicy/shop/np lets the pod send nothing to DNS",
        ),
        ([egress(to("istio-system", XDS), to("kube-system", UDP))], ""),
        ([egress(to("istio-system", XDS), to("kube-system", {"port": 53}))], "nothing to DNS"),
        ([egress(to("istio-system"), to("kube-system"))], ""),
        (
            [policy("istio-system", {"podSelector": {}, "ingress": []})],
            "; NetworkPolicy/istio-system/np admits nothing to port 15012",
        ),
        ([policy("istio-system", {"podSelector": {}, "ingress": [{"ports": [XDS]}]})], ""),
    ],
)
def test_closed(rules: list[NetworkPolicy], said: str) -> None:
    found = closed(rules, PAY, [ISTIOD], [DNS], SPACES)
    assert said in found.said
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (53, "nothing to DNS (UDP port 8053, behind port 53 of its Service)"),
        (8053, ""),
        ("dns", ""),
    ],
)
def test_a_policy_is_judged_behind_the_dns_service(port: int | str, said: str) -> None:
    named = Container(
        name="coredns", ports=(ContainerPort(name="dns", container_port=8053, protocol="UDP"),)
    )
    resolver = msgspec.structs.replace(DNS, spec=PodSpec(containers=(named,)))
    rules = [egress(to("istio-system"), to("kube-system", {"port": port, "protocol": "UDP"}))]
    found = closed(rules, PAY, [ISTIOD], [resolver], SPACES, 8053)
    assert found.said.partition("lets the pod send ")[2] == said


@pytest.mark.parametrize(
    ("target", "port"), [(8053, 8053), ("dns", 8053), ("gone", 53), (0, 53), (None, 53)]
)
def test_the_port_that_dns_pods_listen_on(target: int | str | None, port: int) -> None:
    named = Container(name="coredns", ports=(ContainerPort(name="dns", container_port=8053),))
    resolver = msgspec.structs.replace(DNS, spec=PodSpec(containers=(named,)))
    ports = () if target is None else (ServicePort(port=53, target_port=target, protocol="UDP"),)
    assert dns_port(Service(spec=ServiceSpec(ports=ports)), resolver) == port


def test_no_dns_service_is_known() -> None:
    assert dns_port(None, None) == 53


def test_one_istiod_that_is_reached_is_enough() -> None:
    only = {"podSelector": {"matchLabels": {"app": "istiod"}}, "ingress": []}
    other = pod("istio-system", "istiod-canary")
    assert not closed([policy("istio-system", only)], PAY, [ISTIOD, other], [], SPACES)


def test_of_an_unknown_istiod_the_pods_own_side_is_judged() -> None:
    assert closed([egress()], PAY, [], [], SPACES)
    assert not closed([egress({"ports": [XDS]})], PAY, [], [], SPACES)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"podSelector": {"matchLabels": {"app": "pay"}}}, True),
        ({"podSelector": {}}, True),
        ({"podSelector": {"matchLabels": {"app": "cart"}}}, False),
        ({"serviceAccountSelector": {"matchLabels": {"role": "db"}}}, True),
        ({"serviceAccountSelector": {"matchLabels": {"role": "web"}}}, False),
        ({}, False),
    ],
)
def test_own_groups(spec: object, found: bool) -> None:
    one = SecurityGroupPolicy(
        kind="SecurityGroupPolicy",
        metadata=Meta(name="sgp", namespace="shop"),
        spec=msgspec.convert(spec, SecurityGroupPolicySpec),
    )
    assert (own_groups([one], pod("shop", "pay"), {"role": "db"}) is one) is found
    assert own_groups([one], pod("bank", "pay"), {"role": "db"}) is None


@pytest.mark.parametrize(
    ("mode", "flag", "selector", "denied"),
    [
        ("strict", "--enable-network-policy=true", None, True),
        ("strict", "--enable-network-policy=true", {"app": "cart"}, True),
        ("strict", "--enable-network-policy=true", {"app": "pay"}, False),
        ("strict", "--enable-network-policy=true", {}, False),
        ("strict", "--enable-network-policy=false", None, False),
        ("standard", "--enable-network-policy=true", None, False),
    ],
)
def test_denies_unselected(
    mode: str, flag: str, selector: dict[str, str] | None, denied: bool
) -> None:
    containers = [
        {"name": "aws-node", "env": [{"name": "NETWORK_POLICY_ENFORCING_MODE", "value": mode}]},
        {"name": "aws-eks-nodeagent", "args": ["--enable-ipv6=false", flag]},
    ]
    template = {"spec": {"containers": containers}}
    agent = msgspec.convert({"kind": "DaemonSet", "spec": {"template": template}}, Workload)
    spec = {"spec": {"podSelector": {"matchLabels": selector}}}
    found = [msgspec.convert(spec, NetworkPolicy)] if selector is not None else []
    own = [msgspec.structs.replace(p, metadata=Meta(namespace="shop")) for p in found]
    other = [msgspec.structs.replace(p, metadata=Meta(namespace="bank")) for p in found]
    assert denies_unselected(agent, own, pod("shop", "pay")) is denied
    if not denied and selector is not None:
        assert denies_unselected(agent, other, pod("shop", "pay"))
