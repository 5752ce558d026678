"""Which pods of the mesh run on every node? Read once per run.

Not a probe: it judges nothing.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.cni import (
    agents_by_node,
    called_by_multus_only,
    excluded_namespaces,
    is_agent,
    makes_agents,
)
from meshdoctor.mesh.workloads import has_proxy, is_ready, owner_of, proxy_type
from meshdoctor.model.facts import Ref
from meshdoctor.model.kubernetes import ConfigMap, Pod, Workload
from meshdoctor.probes.view import View

CNI_CONFIG = "istio-cni-config"


class NodePod(Struct, frozen=True, kw_only=True):
    """A pod that serves its node, and the workload that it belongs to."""

    pod: Pod
    owner: Ref
    ready: bool


class NodePods(Struct, frozen=True, kw_only=True):
    """ztunnel and istio-cni by node, wherever they are usually installed; `agents` are all pods
    of istio-cni."""

    tunnels: dict[str, NodePod]
    agents_on: dict[str, NodePod]
    agents: tuple[Pod, ...]


class CniConfig(Struct, frozen=True, kw_only=True):
    """What istio-cni was told; `ref` is empty when its ConfigMap is not there. `by_multus`: only
    multus calls it, for pods whose annotation says so."""

    ref: Ref
    excluded: frozenset[str]
    by_multus: bool


def node_pods(view: View) -> NodePods:
    """The pods of ztunnel and of istio-cni."""
    return view.memo("node-pods", _node_pods)


def agent_set(view: View) -> Workload | None:
    """istio-cni's DaemonSet, wherever it is usually installed; None: there is none."""
    return view.memo("agent-set", _agent_set)


def _agent_set(view: View) -> Workload | None:
    spaces = dict.fromkeys((view.istio_namespace, "kube-system"))
    sets = (one for ns in spaces for one in view.objects("DaemonSet", Workload, ns))
    return next((one for one in sets if makes_agents(one)), None)


def _node_pods(view: View) -> NodePods:
    spaces = dict.fromkeys((view.istio_namespace, "kube-system"))
    pods = [p for ns in spaces for p in view.objects("Pod", Pod, ns)]
    agents = tuple(p for p in pods if is_agent(p))
    tunnels: dict[str, Pod] = {}
    for pod in pods:
        if has_proxy(pod) and proxy_type(pod) == "ztunnel":
            tunnels.setdefault(pod.spec.node_name, pod)
    return NodePods(
        tunnels=_known(tunnels.items()),
        agents_on=_known(agents_by_node(agents).items()),
        agents=agents,
    )


def _known(pods: Iterable[tuple[str, Pod]]) -> dict[str, NodePod]:
    return {
        node: NodePod(pod=pod, owner=Ref(owner_of(pod).ref), ready=is_ready(pod))
        for node, pod in pods
    }


def cni_config(view: View) -> CniConfig:
    """The configuration of istio-cni, beside its first pod; its defaults without such pods."""
    return view.memo("cni-config", _cni_config)


def _cni_config(view: View) -> CniConfig:
    agent = next(iter(node_pods(view).agents), None)
    home = agent.namespace if agent is not None else ""
    found = view.object("ConfigMap", ConfigMap, home, CNI_CONFIG) if agent is not None else None
    return CniConfig(
        ref=Ref(found.ref if found is not None else ""),
        excluded=frozenset(excluded_namespaces(found)),
        by_multus=agent is not None
        and called_by_multus_only(found, (e for c in agent.spec.containers for e in c.env)),
    )


def log_of_agent(view: View, agent: Pod) -> str:
    """What a pod of istio-cni logged."""
    container = agent.spec.containers[0].name if agent.spec.containers else "install-cni"
    return view.log(agent.namespace, agent.name, container).text
