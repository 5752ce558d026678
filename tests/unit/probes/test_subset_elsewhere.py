"""A subset that is defined where the callers of its route do not look."""

import pytest

from meshdoctor.model.subjects import ConfigSubject
from meshdoctor.probes.config_virtual_service import config_virtual_service
from tests.unit.world import world

OBJECTS = """
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay.shop.svc.cluster.local]
  http: [{route: [{destination: {host: pay.shop.svc.cluster.local, subset: v2}}]}]
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: team}
spec: {host: pay.shop.svc.cluster.local, subsets: [{name: NAME}]}
"""


@pytest.mark.parametrize(("name", "rule"), [("v2", "DestinationRule/team/pay"), ("v1", "")])
def test_subset_elsewhere(name: str, rule: str) -> None:
    view = world(OBJECTS.replace("NAME", name))
    found = config_virtual_service.run(view, ConfigSubject("VirtualService", "shop", "pay"))
    assert (found.subset, found.subset_rule) == ("v2", rule)
    assert found.subset_said.startswith(f" ({rule}") if rule else found.subset_said == ""


PROXY = """
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop}
spec: {containers: [{name: cart}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
"""


@pytest.mark.parametrize(
    ("export", "pods", "subset"),
    [
        ("[nobody-is-here]", PROXY, ""),
        ("[nobody-is-here, shop]", PROXY, "v2"),
        ("['*']", PROXY, "v2"),
        ("[.]", PROXY, "v2"),
        ("[nobody-is-here]", "", "v2"),
    ],
)
def test_a_route_that_no_proxy_sees_spoils_no_call(export: str, pods: str, subset: str) -> None:
    objects = OBJECTS.replace("spec:\n  hosts", f"spec:\n  exportTo: {export}\n  hosts", 1)
    view = world(objects.replace("NAME", "v1") + pods)
    found = config_virtual_service.run(view, ConfigSubject("VirtualService", "shop", "pay"))
    assert found.subset == subset


def test_a_rule_that_selects_nobody_defines_no_subset() -> None:
    """A workloadSelector chooses among the workloads of the rule's own namespace alone."""
    selector = "spec: {workloadSelector: {matchLabels: {app: cart}}, host:"
    text = OBJECTS.replace("spec: {host:", selector)
    text = text.replace("namespace: team", "namespace: shop").replace("NAME", "v2")
    cart = """
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: SPACE, labels: {app: cart}}
spec: {containers: [{name: cart}, {name: istio-proxy, args: [proxy, sidecar]}]}
"""

    def missing(space: str) -> object:
        view = world(text + cart.replace("SPACE", space))
        found = config_virtual_service.run(view, ConfigSubject("VirtualService", "shop", "pay"))
        return found.subset

    assert missing("shop") == ""
    assert missing("team") == "v2"
