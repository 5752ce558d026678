"""What closes the way from a pod to istiod?"""

import msgspec
import pytest

from meshdoctor.mesh.control_path import closed, denies_unselected, own_groups
from meshdoctor.model.kubernetes import (
    Meta,
    NetworkPolicy,
    NetworkPolicySpec,
    Pod,
    PodStatus,
    SecurityGroupPolicy,
    SecurityGroupPolicySpec,
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
