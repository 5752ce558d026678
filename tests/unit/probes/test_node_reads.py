"""What runs on every node is read once and means to each workload what its own node has."""

from typing import Any

import pytest

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import Request, WorkloadSubject
from meshdoctor.ports import Answer, ForbiddenError
from meshdoctor.probes.ambient_enrolment import ambient_enrolment
from meshdoctor.probes.pod_redirect import pod_redirect
from meshdoctor.probes.reading import istiod_pods
from tests.unit.world import FakeSource, world

CART, TILL = WorkloadSubject("shop", "cart", "Pod"), WorkloadSubject("till", "till", "Pod")
SPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: till}
"""


def pod(name: str, namespace: str, node: str, more: str = "", ready: str = "True") -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}{more}}}
spec: {{nodeName: {node}, containers: [{{name: app}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}
"""


def agent(name: str, node: str, ready: str = "True") -> str:
    owner = "ownerReferences: [{kind: DaemonSet, name: istio-cni-node, controller: true}]"
    labels = "labels: {k8s-app: istio-cni-node}"
    return pod(name, "kube-system", node, f", {labels}, {owner}", ready)


def tunnel(name: str, node: str, ready: str) -> str:
    text = pod(name, "istio-system", node, ", labels: {app: ztunnel}", ready)
    return text.replace("{name: app}", "{name: istio-proxy, args: [proxy, ztunnel]}")


ENROLLED = ", annotations: {ambient.istio.io/redirection: enabled}"
CONFIG = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-cni-config, namespace: kube-system}
data: {EXCLUDE_NAMESPACES: 'till, istio-system'}
"""
MESH = (
    SPACES
    + CONFIG
    + pod("cart", "shop", "n1", ENROLLED)
    + pod("till", "till", "n2")
    + agent("cni-1", "n1")
    + agent("cni-2", "n2", "False")
    + tunnel("ztunnel-1", "n1", "True")
    + tunnel("ztunnel-2", "n2", "False")
)


def test_each_workload_has_what_runs_on_its_node() -> None:
    view = world(MESH)
    near, far = ambient_enrolment.run(view, CART), ambient_enrolment.run(view, TILL)
    assert near.broken == far.broken == "DaemonSet/kube-system/istio-cni-node"
    assert (near.ztunnel_ready, far.ztunnel_ready) == (True, False)
    assert (near.ztunnel, far.ztunnel) == (
        "Pod/istio-system/ztunnel-1",
        "Pod/istio-system/ztunnel-2",
    )
    assert near.agent == far.agent == "DaemonSet/kube-system/istio-cni-node"
    assert (near.peers_enrolled, far.peers_enrolled) == (1, 0)
    assert (near.wanted, far.wanted) == ("yes", "not-labelled")
    net = pod_redirect.run(view, TILL)
    assert (net.agent, net.agent_ready, net.agents) == ("cni-2", False, 2)
    assert (net.excluded, net.cni_config) == (True, "ConfigMap/kube-system/istio-cni-config")
    assert pod_redirect.run(view, CART).excluded is False


DAEMON_SET = """
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: NAME, namespace: kube-system}
spec: {template: {metadata: {labels: {LABELS}}}}
"""


@pytest.mark.parametrize(
    ("objects", "broken"),
    [
        (agent("cni-1", "n1", "False") + tunnel("z", "n1", "True"), "istio-cni-node"),
        (agent("cni-1", "n1", "True") + tunnel("z", "n1", "False"), "z"),
        (agent("cni-1", "n1", "False") + tunnel("z", "n1", "False"), "istio-cni-node"),
        # No pod of istio-cni is on the node: the DaemonSet tells who should be.
        (
            tunnel("z", "n1", "True")
            + DAEMON_SET.replace("NAME", "cni").replace("LABELS", "k8s-app: istio-cni-node"),
            "cni",
        ),
        (
            tunnel("z", "n1", "True")
            + DAEMON_SET.replace("NAME", "istio-cni-node").replace("LABELS", ""),
            "istio-cni-node",
        ),
        (tunnel("z", "n1", "True"), "z"),
    ],
)
def test_what_is_to_be_mended_on_a_node(objects: str, broken: str) -> None:
    view = world(SPACES + CONFIG + pod("cart", "shop", "n1", ENROLLED) + objects)
    assert ambient_enrolment.run(view, CART).broken.rpartition("/")[2] == broken


class Shut(FakeSource):
    """kube-system may not be read."""

    def list(self, kind: str, namespace: str | None) -> Answer:
        if namespace == "kube-system":
            raise ForbiddenError("kube-system")
        return super().list(kind, namespace)


def test_nodes_that_may_not_be_seen_are_not_empty() -> None:
    evidence = Evidence(Shut(MESH), Request(), ("istio-system", "shop"))

    def ran(probe: Any) -> Any:
        return probe.run(RecordingView(evidence), CART)

    facts = ran(ambient_enrolment)
    for unknown in (facts.ambient_mesh, facts.wanted, facts.ztunnel, facts.agent):
        assert isinstance(unknown, Unavailable)
    assert (facts.redirection, facts.peers_enrolled, facts.agent_text) == ("enabled", 1, "")
    net = ran(pod_redirect)
    for unknown in (net.agents, net.agent, net.excluded, net.cni_config, net.overwritten):
        assert isinstance(unknown, Unavailable)
    assert (net.init_text, net.by_init) == ("", False)


@pytest.mark.parametrize(("apps", "found"), [("pilot", 1), ("pilot, istiod", 1), ("web", 0)])
def test_pilot_is_istiod_where_there_is_none(apps: str, found: int) -> None:
    meta = "metadata: {{name: {0}-1, namespace: istio-system, labels: {{app: {0}}}}}"
    pod = f"kind: Pod\napiVersion: v1\n{meta}\nspec: {{{{containers: []}}}}"
    pods = istiod_pods(world("\n---\n".join(pod.format(app) for app in apps.split(", "))))
    assert len(pods) == found and (not pods or pods[-1].name == f"{apps.split(', ')[-1]}-1")


def test_istio_cni_that_only_multus_calls() -> None:
    unchained = MESH.replace(
        "EXCLUDE_NAMESPACES:", "CHAINED_CNI_PLUGIN: 'false', EXCLUDE_NAMESPACES:"
    )
    assert pod_redirect.run(world(MESH), CART).unattached is False
    assert pod_redirect.run(world(unchained), CART).unattached is True
    notes = (
        "{ambient.istio.io/redirection: enabled, k8s.v1.cni.cncf.io/networks: default/istio-cni}"
    )
    asked = unchained.replace("{ambient.istio.io/redirection: enabled}", notes)
    assert pod_redirect.run(world(asked), CART).unattached is False


@pytest.mark.parametrize(
    ("log", "settings", "text"),
    [
        (
            "error\tinvalid output level 'loud'\nERROR failed to set GOMEMLIMIT\n"
            "Error: invalid output level 'loud'\n",
            "Error: invalid output level 'loud'",
            "Error: invalid output level 'loud'",
        ),
        ("ERROR failed to set GOMEMLIMIT\nxtables lock held\nend\n", "", "xtables lock held"),
    ],
)
def test_why_istio_init_ends(log: str, settings: str, text: str) -> None:
    ended = "{terminated: {exitCode: 255}}"
    pods = f"""
apiVersion: v1
kind: Pod
metadata: {{name: cart, namespace: shop}}
spec: {{nodeName: n1, initContainers: [{{name: istio-init}}], containers: [{{name: app}}]}}
status:
  phase: Pending
  initContainerStatuses: [{{name: istio-init, state: {ended}}}]
---
apiVersion: v1
kind: Node
metadata: {{name: n1}}
"""
    found = pod_redirect.run(world(pods, logs={("shop", "cart", "istio-init"): log}), CART)
    assert (found.init_settings, found.init_text) == (settings, text)


def test_a_ztunnel_that_has_no_files_left_takes_no_new_pod() -> None:
    says = "2026-11-18T09:00:00Z warn Failed TCP handshake Too many open files (os error 24)\n"
    objects = agent("cni-1", "n1") + tunnel("z", "n1", "True")
    logs = {("istio-system", "z", "istio-proxy"): says, ("kube-system", "cni-1", "app"): ""}
    view = world(SPACES + CONFIG + pod("cart", "shop", "n1", ready="False") + objects, logs=logs)
    found = ambient_enrolment.run(view, CART)
    assert found.broken == "Pod/istio-system/z"
    assert "ztunnel of that node says" in str(found.agent_said)
    logs[("istio-system", "z", "istio-proxy")] = "2026-11-18T09:00:00Z info access\n"
    calm = world(SPACES + CONFIG + pod("cart", "shop", "n1", ready="False") + objects, logs=logs)
    assert ambient_enrolment.run(calm, CART).broken == "DaemonSet/kube-system/istio-cni-node"
