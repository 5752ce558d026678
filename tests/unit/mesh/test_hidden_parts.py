"""Do proxies see a route, and the subsets that it routes to?"""

from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.hidden_parts import lost_subset, unseen_by
from meshdoctor.model.istio import (
    DestinationRule,
    DestinationRuleSpec,
    Gateway,
    GatewaySpec,
    MeshConfig,
    VirtualService,
    VirtualServiceSpec,
)
from meshdoctor.model.kubernetes import Container, Meta, Pod, PodSpec

GATEWAY = Gateway(kind="Gateway", spec=GatewaySpec(selector={"istio": "in"}))
TO_V1 = [{"route": [{"destination": {"host": "web", "subset": "v1"}}]}]


def pod(namespace: str) -> Pod:
    proxy = Container(name="istio-proxy", args=("proxy", "router"))
    meta = Meta(name="gw", namespace=namespace, labels={"istio": "in"})
    return Pod(kind="Pod", metadata=meta, spec=PodSpec(containers=(proxy,)))


def route(**spec: Any) -> VirtualService:
    found = msgspec.convert({"hosts": ["a.example"], "http": TO_V1, **spec}, VirtualServiceSpec)
    return VirtualService(
        kind="VirtualService", metadata=Meta(name="web", namespace="shop"), spec=found
    )


def rule(namespace: str, subset: str = "v1", **spec: Any) -> DestinationRule:
    whole = {"host": "web.shop.svc.cluster.local", "subsets": [{"name": subset}], **spec}
    found = msgspec.convert(whole, DestinationRuleSpec)
    return DestinationRule(
        kind="DestinationRule", metadata=Meta(name="web", namespace=namespace), spec=found
    )


@pytest.mark.parametrize(
    ("export", "pods", "unseen"),
    [
        ([], ["in"], 0),
        (["*"], ["in"], 0),
        (["."], ["in"], 1),
        (["."], ["shop"], 0),
        (["in"], ["in"], 0),
        (["."], ["in", "shop"], 0),
        (["~"], ["in", "other"], 2),
        (["."], [], 0),
    ],
)
def test_a_route_reaches_the_gateways_that_it_is_exported_to(
    export: list[str], pods: list[str], unseen: int
) -> None:
    found = unseen_by(route(exportTo=export), [GATEWAY], map(pod, pods), MeshConfig())
    assert len(found) == unseen


@pytest.mark.parametrize(
    ("rules", "lost"),
    [
        ([rule("shop")], False),
        ([rule("shop", exportTo=["."])], True),
        ([rule("shop"), rule("in", "v2")], True),
        ([rule("shop", exportTo=["."]), rule("in")], False),
        ([rule("shop", exportTo=["."]), rule("istio-system")], False),
        ([rule("shop", "v2")], False),
        ([], False),
    ],
)
def test_a_proxy_takes_the_subsets_of_one_namespace(
    rules: list[DestinationRule], lost: bool
) -> None:
    found = lost_subset(route(), pod("in"), rules, "istio-system", MeshConfig())
    assert (found is not None) is lost
    if found is not None:
        assert (found.subset, found.namespace, found.rule.namespace) == ("v1", "in", "shop")
