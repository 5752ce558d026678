"""What the probes on injection find out once for many workloads holds for each of them."""

import pytest

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import Request, WorkloadSubject
from meshdoctor.ports import ForbiddenError, MissingError
from meshdoctor.probes.injection_call import injection_call
from meshdoctor.probes.injection_decision import injection_decision
from meshdoctor.probes.injection_refusal import injection_refusal
from meshdoctor.probes.pod_redirect import pod_redirect
from tests.unit.probes.test_injection import FAILED, NEW, POLICY
from tests.unit.world import FakeSource, world
from tests.unit.world_injection import MESH, SHOP, pod

CART, PAY = WorkloadSubject("shop", "cart"), WorkloadSubject("shop", "pay")
NEVER = MESH.replace(
    "policy: enabled\\n", "policy: enabled\\nneverInjectSelector: [{matchLabels: {tier: raw}}]\\n"
)
CHOOSY = MESH.replace(
    "values: ['false']}]", "values: ['false']}, {key: team, operator: NotIn, values: [raw]}]"
)


def deployment(name: str, more: str = "", spec: str = "", namespace: str = "shop") -> str:
    """A Deployment whose template carries more labels, or says more of its pod."""
    return f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 1
  template:
    metadata: {{labels: {{app: {name}{more}}}}}
    spec: {{{spec}containers: [{{name: {name}, image: {name}}}]}}
status: {{replicas: 1, readyReplicas: 1}}
"""


@pytest.mark.parametrize(
    ("mesh", "more", "spec", "clause"),
    [
        (CHOOSY, ", team: raw", "", "selector"),
        (NEVER, ", tier: raw", "", "never-selector"),
        (MESH, ", sidecar.istio.io/inject: 'false'", "", "pod-label-false"),
        (MESH, ", sidecar.istio.io/inject: 'true'", "", "value-true"),
        (MESH, "", "hostNetwork: true, ", "host-network"),
    ],
)
def test_neighbours_are_decided_each_by_its_own_template(
    mesh: str, more: str, spec: str, clause: str
) -> None:
    objects = mesh + SHOP + deployment("pay", more, spec)
    for order in ((CART, PAY), (PAY, CART)):
        view = world(objects)
        told = {one: injection_decision.run(view, one).clause for one in order}
        assert told == {CART: "policy-enabled", PAY: clause}


def test_a_namespace_is_decided_by_its_own_labels() -> None:
    other = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: till}\n"
    view = world(MESH + SHOP + other + deployment("pay", namespace="till"))
    pay = WorkloadSubject("till", "pay")
    assert injection_decision.run(view, CART).asked is True
    facts = injection_decision.run(view, pay)
    assert (facts.clause, facts.namespace) == ("no-label", "Namespace//till")


def test_a_younger_sidecar_speaks_for_its_own_namespace() -> None:
    till = (
        "---\napiVersion: v1\nkind: Namespace\n"
        "metadata: {name: till, labels: {istio-injection: enabled}}\n"
    )
    view = world(
        MESH + SHOP + POLICY + pod(NEW, sidecar=True) + till + deployment("pay", namespace="till")
    )
    assert injection_call.run(view, CART).policy == ""
    far = injection_call.run(view, WorkloadSubject("till", "pay"))
    assert far.policy == "NetworkPolicy/istio-system/closed"
    assert far.obstacle == "NetworkPolicy/istio-system/closed does not admit the API server"


def test_the_road_of_each_webhook_is_its_own() -> None:
    canary = MESH[: MESH.index("---")]
    canary = canary.replace("name: istio-sidecar-injector\n", "name: istio-sidecar-injector-x\n")
    canary = canary.replace("istio.io/rev: default", "istio.io/rev: x")
    canary = canary.replace("name: istiod,", "name: istiod-x,")
    canary = canary.replace(
        "{key: istio-injection, operator: In, values: [enabled]}",
        "{key: istio.io/rev, operator: In, values: [x]}",
    )
    till = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: till, labels: {istio.io/rev: x}}"
    objects = MESH + SHOP + "---\n" + canary + till + deployment("pay", namespace="till")
    view = world(objects)
    near = injection_call.run(view, CART)
    far = injection_call.run(view, WorkloadSubject("till", "pay"))
    assert (near.service, near.service_exists) == ("Service/istio-system/istiod", True)
    assert (far.service, far.service_exists) == ("Service/istio-system/istiod-x", False)
    assert injection_refusal.run(view, CART).injector_name == "istio-sidecar-injector"
    assert injection_refusal.run(view, WorkloadSubject("till", "pay")).injector_name == ""


def test_commands_are_those_of_the_workload_alone() -> None:
    till = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: till}\n"
    objects = MESH + SHOP + till + deployment("pay", namespace="till")

    def commands(*subjects: WorkloadSubject) -> list[str]:
        evidence = Evidence(FakeSource(objects), Request(), None)
        for subject in subjects:
            view = RecordingView(evidence)
            injection_decision.run(view, subject)
        return list(view.commands)

    pay = WorkloadSubject("till", "pay")
    assert commands(CART, pay) == commands(pay)
    assert not any("istio-sidecar-injector" in c for c in commands(pay))


def test_a_condition_of_a_controller_that_has_its_pods_stands() -> None:
    failed = FAILED.split("---\napiVersion: v1\nkind: Event")[0].replace(
        "{replicas: 0}",
        "{replicas: 1, readyReplicas: 1, conditions: [{type: ReplicaFailure, status: 'True',"
        " message: 'exceeded quota: compute, requested: limits.cpu=2'}]}",
    )
    facts = injection_refusal.run(world(MESH + SHOP + failed), CART)
    assert (facts.kind, facts.quota) == ("quota", "ResourceQuota/shop/compute")


def test_what_was_read_before_a_failure_stays_on_record() -> None:
    view = world(MESH + SHOP, failing={"MutatingWebhookConfiguration": ForbiddenError("webhooks")})
    with pytest.raises(ForbiddenError):
        injection_decision.run(view, CART)
    assert "kubectl get namespaces shop -o yaml" in view.commands
    missing = world(MESH + SHOP)
    with pytest.raises(MissingError):
        injection_decision.run(missing, WorkloadSubject("shop", "nobody"))
    assert "kubectl get namespaces shop -o yaml" not in missing.commands


def test_an_injector_that_is_not_there_is_not_one_that_was_not_seen() -> None:
    mesh = MESH.split("---\napiVersion: v1\nkind: ConfigMap")[0]
    absent = pod_redirect.run(world(mesh + SHOP), CART)
    assert absent.injector == ""
    assert absent.told_by == "ConfigMap/istio-system/istio-sidecar-injector"
    forbidden = world(MESH + SHOP, failing={"ConfigMap": ForbiddenError("ConfigMap")})
    assert isinstance(pod_redirect.run(forbidden, CART).injector, Unavailable)
    found = pod_redirect.run(world(MESH + SHOP), CART)
    assert found.injector == "ConfigMap/istio-system/istio-sidecar-injector"


def test_what_is_wrong_with_one_workload_is_not_said_of_its_neighbour() -> None:
    wrong = "annotations: {sidecar.istio.io/proxyCPU: x, inject.istio.io/templates: none}"
    sick = deployment("pay").replace("labels: {app: pay}", f"labels: {{app: pay}}, {wrong}")
    text = (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": Post: '
        'no endpoints available for service \\"istiod\\"'
    )
    events = FAILED.replace("cart", "pay") % text
    for order in ((CART, PAY), (PAY, CART)):
        view = world(MESH + SHOP + sick + events)
        refused = {one: injection_refusal.run(view, one) for one in order}
        called = {one: injection_call.run(view, one) for one in order}
        assert (refused[CART].annotation_conflict, refused[CART].template) == ("", "")
        assert refused[CART].resources_at_fault == "ConfigMap/istio-system/istio-sidecar-injector"
        assert str(refused[PAY].annotation_conflict).startswith("sidecar.istio.io/proxyCPU is no")
        assert refused[PAY].template == "none"
        assert refused[PAY].resources_at_fault == "Deployment/shop/pay"
        assert (called[CART].refused, called[CART].text) == ("", "")
        assert called[PAY].refused == "call-no-endpoints"
        assert (refused[PAY].kind, refused[PAY].text) == ("", "")


def test_limits_of_a_namespace_are_its_own() -> None:
    till = (
        "---\napiVersion: v1\nkind: Namespace\n"
        "metadata: {name: till, labels: {istio-injection: enabled}}\n"
        "---\napiVersion: v1\nkind: LimitRange\nmetadata: {name: small, namespace: till}\n"
    )
    view = world(MESH + SHOP + till + deployment("pay", namespace="till"))
    assert injection_refusal.run(view, CART).limit_range == ""
    far = injection_refusal.run(view, WorkloadSubject("till", "pay"))
    assert far.limit_range == "LimitRange/till/small"


PLAIN = SHOP.replace("istio-injection: enabled", "a: b")
NOTED = deployment("pay").replace(
    "labels: {app: pay}", "labels: {app: pay}, annotations: {proxy.istio.io/config: '{}'}"
)


def bare(namespace: str, name: str) -> str:
    """A pod of a workload without a sidecar."""
    text = pod(NEW, sidecar=False).replace("namespace: shop", f"namespace: {namespace}")
    return text.replace("name: cart-7c9d8b6f5", f"name: {name}-7c9d8b6f5")


def test_who_expects_a_sidecar_is_told_of_each_namespace_and_each_template() -> None:
    till = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: till, labels: {istio-inject: x}}"
    view = world(
        MESH
        + PLAIN
        + NOTED
        + till
        + deployment("pay", namespace="till")
        + bare("shop", "cart")
        + bare("shop", "pay")
        + bare("till", "pay")
    )

    def told(subject: WorkloadSubject) -> object:
        return injection_decision.run(view, subject).expected_by

    assert told(CART) == ""
    assert "annotation proxy.istio.io/config" in str(told(PAY))
    assert "istio-inject=x" in str(told(WorkloadSubject("till", "pay")))


def test_policies_that_cannot_be_read_may_expect_a_sidecar() -> None:
    failing = {"Sidecar": ForbiddenError("Sidecar")}
    view = world(MESH + PLAIN + bare("shop", "cart"), failing=failing)
    facts = injection_decision.run(view, CART)
    assert isinstance(facts.expected, Unavailable)
    assert any("PeerAuthentication" in command for command in view.commands)
