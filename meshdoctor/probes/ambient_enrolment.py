"""Is this workload enrolled in the ambient mesh, and should it be?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.ambient import (
    MODE,
    Wanted,
    probe_blocking_policy,
    redirection,
    wanted,
)
from meshdoctor.mesh.cni import CniLog, agent_on, excluded_namespaces, is_agent, read_log
from meshdoctor.mesh.pod_startup import recent
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import has_proxy, is_ready, is_sidecar, owner_of, proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, NetworkPolicy, Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import events_of, pods_in, space_of
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import View, attempt, known, probe

POD_ENI = "vpc.amazonaws.com/pod-eni"


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
    agent_text: Annotated[Fact[str], "its log on pods it could not add", OBSERVED]
    agent_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    probe_timeouts: Annotated[Fact[int], "recent events: probes of the pod time out", OBSERVED]
    probe_text: Annotated[Fact[str], "the newest of them", OBSERVED]
    health_text: Annotated[Fact[str], "agent log: the pod will fail its probes", OBSERVED]
    policy: Annotated[Fact[Ref], "NetworkPolicy that drops the kubelet's probes; empty: none"]
    branch_eni: Annotated[Fact[bool], "the pod has a branch network interface (EKS)"]


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
        "StatefulSet",
        "log",
    ),
)
def ambient_enrolment(view: View, subject: WorkloadSubject) -> AmbientEnrolment:
    """Is this workload enrolled in the ambient mesh, and should it be?"""
    live = workload(view, subject).live
    space = space_of(view, subject.namespace)
    pod = next((p for p in live if redirection(p) != "enabled"), live[0] if live else Pod())
    tunnels = attempt(lambda: _node_pods(view, "ztunnel"))
    agents = attempt(lambda: _node_pods(view, "cni"))
    agent = attempt(lambda: agent_on(known(agents), pod.spec.node_name))
    tunnel = attempt(
        lambda: next((t for t in known(tunnels) if t.spec.node_name == pod.spec.node_name), None)
    )
    ambient = attempt(lambda: bool(known(tunnels)))
    want = attempt(lambda: _wanted(view, pod, space.labels, known(agents)) if live else None)
    touched = want is Wanted.YES and ambient is True
    timeouts = attempt(lambda: _timeouts(view, pod) if touched else [])
    bad = touched and (redirection(pod) != "enabled" or bool(timeouts))
    log = attempt(lambda: _log(view, known(agent) if bad else None, pod))
    policy = attempt(lambda: _policy(view, pod) if bad and known(timeouts) else "")
    return AmbientEnrolment(
        workload=Ref(subject.ref),
        namespace=space.ref,
        namespace_name=subject.namespace,
        pod=pod.name,
        ambient_mesh=ambient,
        wanted=attempt(lambda: w.value if (w := known(want)) is not None else ""),
        mode=space.mode,
        redirection=clean(redirection(pod), 63),
        sidecar=is_sidecar(pod),
        peers_enrolled=sum(redirection(p) == "enabled" for p in pods_in(view, subject.namespace)),
        ztunnel=attempt(lambda: Ref(owner_of(t).ref if (t := known(tunnel)) is not None else "")),
        ztunnel_ready=attempt(lambda: (t := known(tunnel)) is not None and is_ready(t)),
        agent=attempt(lambda: Ref(owner_of(a).ref if (a := known(agent)) is not None else "")),
        agent_text=attempt(lambda: known(log).partly_added or known(log).excluded),
        agent_said=attempt(
            lambda: (
                f". istio-cni says: {t}"
                if (t := known(log).partly_added or known(log).excluded)
                else ""
            )
        ),
        probe_timeouts=attempt(lambda: len(known(timeouts))),
        probe_text=attempt(lambda: next(iter(known(timeouts)), "")),
        health_text=attempt(lambda: known(log).health_checks),
        policy=attempt(lambda: Ref(known(policy))),
        branch_eni=POD_ENI in pod.annotations,
    )


def _node_pods(view: View, which: str) -> tuple[Pod, ...]:
    """Pods of ztunnel or of istio-cni, wherever they are usually installed."""

    def build(v: View) -> tuple[Pod, ...]:
        spaces = dict.fromkeys((v.istio_namespace, "kube-system"))
        pods = [p for ns in spaces for p in v.objects("Pod", Pod, ns)]
        if which == "cni":
            return tuple(p for p in pods if is_agent(p))
        return tuple(p for p in pods if has_proxy(p) and proxy_type(p) == "ztunnel")

    return view.memo(("ambient-node-pods", which), build)


def _wanted(view: View, pod: Pod, namespace: dict[str, str], agents: tuple[Pod, ...]) -> Wanted:
    config = None
    if agents and MODE in namespace:
        config = view.object("ConfigMap", ConfigMap, agents[0].namespace, "istio-cni-config")
    return wanted(pod, namespace, excluded_namespaces(config))


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


def _log(view: View, agent: Pod | None, pod: Pod) -> CniLog:
    if agent is None:
        return read_log("")
    container = agent.spec.containers[0].name if agent.spec.containers else "install-cni"
    return read_log(view.log(agent.namespace, agent.name, container).text, pod.name)


def _policy(view: View, pod: Pod) -> str:
    found = probe_blocking_policy(view.objects("NetworkPolicy", NetworkPolicy, pod.namespace), pod)
    return found.ref if found is not None else ""
