"""Is this workload enrolled in the ambient mesh, and should it be?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.ambient import (
    CILIUM_CONFIG,
    MODE,
    Wanted,
    cilium_drops_probes,
    probe_blocking_policy,
    redirection,
    wanted,
)
from meshdoctor.mesh.branch_interface import enforcement
from meshdoctor.mesh.cni import DEFAULT_EXCLUDED, NOTHING_LOGGED, CniLog, read_log
from meshdoctor.mesh.control_path import BRANCH_INTERFACE
from meshdoctor.mesh.files_exhausted import exhausted
from meshdoctor.mesh.pod_events import recent
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_ready, is_sidecar
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, NetworkPolicy, Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.eks_reads import group_policy, vpc_cni
from meshdoctor.probes.injection_reads import space_of
from meshdoctor.probes.node_reads import (
    NodePod,
    NodePods,
    agent_set,
    cni_config,
    log_of_agent,
    node_pods,
)
from meshdoctor.probes.reading import workload
from meshdoctor.probes.startup_reads import events_of
from meshdoctor.probes.view import View, attempt, known, probe

NO_POD = Pod()
NOWHERE = NodePods(tunnels={}, agents_on={}, agents=())


class AmbientEnrolment(Struct, frozen=True, kw_only=True):
    """What labels want, what istio-cni did, and what the node's ztunnel is like."""

    workload: Annotated[Fact[Ref], "the workload"]
    namespace: Annotated[Fact[Ref], "its Namespace"]
    namespace_name: Annotated[Fact[str], "the namespace's name"]
    pod: Annotated[Fact[str], "a pod of it; empty: none"]
    ambient_mesh: Annotated[Fact[bool], "the cluster runs ztunnel"]
    wanted: Annotated[Fact[str], "should it be enrolled (mesh/ambient.py Wanted)"]
    mode: Annotated[Fact[str], "the namespace's label istio.io/dataplane-mode"]
    redirection: Annotated[Fact[str], "annotation ambient.istio.io/redirection; empty: absent"]
    sidecar: Annotated[Fact[bool], "the pod has a sidecar"]
    peers_enrolled: Annotated[Fact[int], "other pods of the namespace that are enrolled"]
    ztunnel: Annotated[Fact[Ref], "the ztunnel that runs on the node; empty: none there"]
    ztunnel_ready: Annotated[Fact[bool], "that pod is Ready"]
    agent: Annotated[Fact[Ref], "the istio-cni that runs on the node; empty: none there"]
    agent_ready: Annotated[Fact[bool], "that pod is Ready"]
    broken: Annotated[Fact[Ref], "what is not ready on the node; both ready: istio-cni"]
    agent_text: Annotated[Fact[str], "its log on pods it could not add", OBSERVED]
    agent_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    probe_timeouts: Annotated[Fact[int], "recent events: probes of the pod time out", OBSERVED]
    probe_text: Annotated[Fact[str], "the newest of them", OBSERVED]
    health_text: Annotated[Fact[str], "agent log: the pod will fail its probes", OBSERVED]
    policy: Annotated[Fact[Ref], "NetworkPolicy that drops the kubelet's probes; empty: none"]
    dropped_by: Annotated[
        Fact[Ref],
        "what else drops them: aws-node in strict mode where the pod has a branch interface, or "
        "cilium-config with BPF masquerading or host routing; empty: nothing known",
    ]
    group_policy: Annotated[Fact[Ref], "the SecurityGroupPolicy behind the branch interface"]


@probe(
    "ambient-enrolment",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Event",
        "Job",
        "Namespace",
        "NetworkPolicy",
        "Pod",
        "SecurityGroupPolicy",
        "ServiceAccount",
        "StatefulSet",
        "log",
    ),
)
def ambient_enrolment(view: View, subject: WorkloadSubject) -> AmbientEnrolment:
    """Is this workload enrolled in the ambient mesh, and should it be?"""
    live = workload(view, subject).live
    space = space_of(view, subject.namespace)
    pod = next((p for p in live if redirection(p) != "enabled"), live[0] if live else NO_POD)
    nodes = attempt(lambda: node_pods(view))
    gone = nodes if isinstance(nodes, Unavailable) else None
    near = nodes if isinstance(nodes, NodePods) else NOWHERE
    tunnel, agent = (on.get(pod.spec.node_name) for on in (near.tunnels, near.agents_on))
    want: Fact[Wanted | None] = None
    if live:
        want = attempt(lambda: _wanted(view, pod, space.labels, near)) if gone is None else gone
    touched = want is Wanted.YES and bool(near.tunnels)
    trouble = _trouble(view, pod, agent, tunnel) if touched else NO_TROUBLE
    return AmbientEnrolment(
        workload=Ref(subject.ref),
        namespace=space.ref,
        namespace_name=subject.namespace,
        pod=pod.name,
        ambient_mesh=gone or bool(near.tunnels),
        wanted=want.value if isinstance(want, Wanted) else want or "",
        mode=space.mode,
        redirection=clean(redirection(pod), 63),
        sidecar=is_sidecar(pod),
        peers_enrolled=space.enrolled,
        ztunnel=gone or (tunnel.owner if tunnel is not None else Ref("")),
        ztunnel_ready=gone or (tunnel is not None and tunnel.ready),
        agent=gone or (agent.owner if agent is not None else Ref("")),
        agent_ready=gone or (agent is not None and agent.ready),
        broken=gone
        or (tunnel.owner if tunnel and trouble.no_files else _broken(view, tunnel, agent)),
        agent_text=trouble.agent_text,
        agent_said=trouble.agent_said,
        probe_timeouts=trouble.probe_timeouts,
        probe_text=trouble.probe_text,
        health_text=trouble.health_text,
        policy=trouble.policy,
        dropped_by=trouble.dropped_by,
        group_policy=trouble.group_policy,
    )


def _broken(view: View, tunnel: NodePod | None, agent: NodePod | None) -> Ref:
    """A node without a pod of istio-cni lacks what its DaemonSet should have put there."""
    if agent is not None and agent.ready:
        return agent.owner if tunnel is None or tunnel.ready else tunnel.owner
    if agent is not None:
        return agent.owner
    found = agent_set(view)
    if found is not None:
        return Ref(found.ref)
    return tunnel.owner if tunnel is not None else Ref("")


def _wanted(view: View, pod: Pod, namespace: dict[str, str], nodes: NodePods) -> Wanted:
    excluded: Iterable[str] = DEFAULT_EXCLUDED
    if nodes.agents and MODE in namespace:
        excluded = cni_config(view).excluded
    return wanted(pod, namespace, excluded)


class _Trouble(Struct, frozen=True, kw_only=True):
    """What is told of a pod that belongs in the mesh and is not well there; empty: nothing."""

    agent_text: Fact[str] = ""
    agent_said: Fact[str] = ""
    no_files: str = ""
    probe_timeouts: Fact[int] = 0
    probe_text: Fact[str] = ""
    health_text: Fact[str] = ""
    policy: Fact[Ref] = Ref("")
    dropped_by: Fact[Ref] = Ref("")
    group_policy: Fact[Ref] = Ref("")


NO_TROUBLE = _Trouble()


def _trouble(view: View, pod: Pod, agent: NodePod | None, tunnel: NodePod | None) -> _Trouble:
    timeouts = attempt(lambda: _timeouts(view, pod))
    if redirection(pod) == "enabled" and not timeouts:
        return NO_TROUBLE
    log = attempt(lambda: _log(view, agent, pod))
    policy = attempt(lambda: Ref(_policy(view, pod) if known(timeouts) else ""))
    text = log if isinstance(log, Unavailable) else log.partly_added or log.excluded
    out = "" if redirection(pod) == "enabled" else _no_files(view, tunnel)
    said = f". istio-cni says: {text}" if isinstance(text, str) and text else text
    return _Trouble(
        agent_text=out or text,
        agent_said=f". ztunnel of that node says: {out}" if out else said,
        no_files=out,
        probe_timeouts=attempt(lambda: len(known(timeouts))),
        probe_text=attempt(lambda: next(iter(known(timeouts)), "")),
        health_text=log if isinstance(log, Unavailable) else log.health_checks,
        policy=policy,
        dropped_by=attempt(lambda: _dropped_by(view, pod) if known(timeouts) else Ref("")),
        group_policy=attempt(lambda: _group_policy(view, pod) if known(timeouts) else Ref("")),
    )


def _dropped_by(view: View, pod: Pod) -> Ref:
    """What on the node loses probes that come from a link-local address."""
    if BRANCH_INTERFACE in pod.annotations:
        agent = vpc_cni(view)
        return Ref(agent.ref if agent is not None and enforcement(agent).strict else "")
    config = view.object("ConfigMap", ConfigMap, *CILIUM_CONFIG)
    return Ref(config.ref if config is not None and cilium_drops_probes(config.data) else "")


def _group_policy(view: View, pod: Pod) -> Ref:
    found = group_policy(view, pod)
    return Ref(found.ref if found is not None else "")


def _timeouts(view: View, pod: Pod) -> list[str]:
    """Texts of recent probe time-outs of a pod that is not Ready, newest first."""
    if is_ready(pod):
        return []
    events = events_of(view, pod.namespace).get(("Pod", pod.name), [])
    return [
        clean(e.message)
        for e in recent(pod, events, view.now)
        if e.reason == "Unhealthy" and ("timeout" in e.message or "deadline" in e.message)
    ]


def _log(view: View, agent: NodePod | None, pod: Pod) -> CniLog:
    if agent is None:
        return NOTHING_LOGGED
    return read_log(log_of_agent(view, agent.pod), pod.name)


def _no_files(view: View, tunnel: NodePod | None) -> str:
    """What ztunnel says of having no files left: it then takes no new pod, and istio-cni waits for
    it in vain (istio/istio#56888)."""
    if tunnel is None:
        return ""
    pod = tunnel.pod
    read = attempt(lambda: exhausted(view.log(pod.namespace, pod.name, PROXY).text))
    return read if isinstance(read, str) else ""


def _policy(view: View, pod: Pod) -> str:
    found = probe_blocking_policy(view.objects("NetworkPolicy", NetworkPolicy, pod.namespace), pod)
    return found.ref if found is not None else ""
