"""How far did this workload's pods come, and what stopped the worst of them?"""

from functools import lru_cache
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.annotations import quantity
from meshdoctor.mesh.cni import PRIMARY, refused_unnamed
from meshdoctor.mesh.pod_ends import (
    Eviction,
    eviction,
    job_held_by_proxy,
    out_of_memory,
    probe_kills,
    proxy_ended,
)
from meshdoctor.mesh.pod_startup import (
    INIT,
    MESH_CONTAINERS,
    Stage,
    Startup,
    stays_behind_its_proxy,
)
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import NOT_INJECTED, PROXY, is_native_sidecar
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Container, Pod, Workload
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.reading import workload
from meshdoctor.probes.startup_reads import events_of, startups
from meshdoctor.probes.startup_told import (
    NOTHING_SAID,
    TIMEOUT,
    died_early,
    own_events,
    said_of,
    told_at_its_end,
    told_of,
)
from meshdoctor.probes.view import View, attempt, known, probe

CNI_TAINT = "cni.istio.io/not-ready"
_SHORT = pattern(r"Insufficient (cpu|memory|ephemeral-storage)")
_MESH_MOUNT = pattern(r"istio-ca-root-cert|istiod-ca-cert|istio-token|istio-ca-crl")
_CITADEL = pattern(r'secrets? "(istio\.[\w.-]{1,253})" not found')
"""What Citadel (to 1.4) called the Secret with the certificate of an account."""
_TOKEN = pattern(r'failed to fetch token|volume "istio-token"')
_SYSTEM = ("kube-system", "calico-system", "kube-flannel")
_WAITS = (Stage.PROXY, Stage.APP, Stage.STARTING)
_ROOT = pattern(r"breaks non-root policy|runAsNonRoot and image will run as root")


class PodStartup(Struct, frozen=True, kw_only=True):
    """The worst pod's stage and cause, and what any pod of the workload shows."""

    workload: Annotated[Fact[Ref], "the workload"]
    workload_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    namespace_ref: Annotated[Fact[Ref], "its Namespace"]
    resource: Annotated[Fact[str], "what kubectl calls its controller"]
    pods: Annotated[Fact[int], "pods of the workload"]
    blocked: Annotated[Fact[int], "pods that something keeps from Ready", OBSERVED]
    stage: Annotated[Fact[str], "how far the worst pod came (mesh/pod_startup.py)", OBSERVED]
    pod: Annotated[Fact[str], "that pod"]
    node: Annotated[Fact[str], "its node; empty: unscheduled"]
    node_ref: Annotated[Fact[Ref], "its Node"]
    container: Annotated[Fact[str], "the container that blocks it", OBSERVED]
    mesh_container: Annotated[Fact[bool], "that container is Istio's", OBSERVED]
    not_injected: Annotated[Fact[bool], "its image is `auto`: nobody injected the gateway's pod"]
    reason: Annotated[Fact[str], "why that container waits, or OOMKilled", OBSERVED]
    exit_code: Annotated[Fact[int], "how that container last ended", OBSERVED]
    restarts: Annotated[Fact[int], "how often it was restarted", OBSERVED]
    event: Annotated[Fact[str], "the event that tells why", OBSERVED]
    event_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    has_proxy: Annotated[Fact[bool], "the pod has istio-proxy"]
    native: Annotated[Fact[bool], "istio-proxy is a native sidecar"]
    proxy_started: Annotated[Fact[bool], "istio-proxy has started, ready or not"]
    proxy_runs: Annotated[Fact[bool], "istio-proxy runs, started or not"]
    plugin: Annotated[Fact[str], "network plugin that a sandbox failure blames", OBSERVED]
    plugin_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    plugin_refused: Annotated[
        Fact[bool], "the API server refused a plugin that is not named", OBSERVED
    ]
    plugin_owner: Annotated[Fact[Ref], "DaemonSet of that plugin; empty: not found"]
    definition: Annotated[
        Fact[Ref], "NetworkAttachmentDefinition that multus looked for in vain; or empty", OBSERVED
    ]
    definition_space: Annotated[Fact[Ref], "the Namespace that lacks it", OBSERVED]
    mesh_mount: Annotated[Fact[bool], "the volume that fails is Istio's", OBSERVED]
    mount_at_fault: Annotated[Fact[Ref], "its Namespace lacks a ConfigMap; else the workload"]
    ca_secret: Annotated[
        Fact[Ref],
        "the Secret that Citadel writes for an account, where the kubelet misses it; or empty",
        OBSERVED,
    ]
    short_of: Annotated[Fact[str], "cpu or memory that no node has left", OBSERVED]
    proxy_share: Annotated[Fact[int], "percent of the pod's CPU requests that the proxy asks for"]
    awaits_cni: Annotated[
        Fact[bool], "nodes that it may run on wait for istio-cni, as their taint says", OBSERVED
    ]
    fargate: Annotated[Fact[bool], "Fargate refuses the init container's capabilities", OBSERVED]
    complaint: Annotated[Fact[str], "why istio-proxy says it is not ready", OBSERVED]
    complaint_text: Annotated[Fact[str], "its own words", OBSERVED]
    complaint_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    unreached: Annotated[
        Fact[Ref], "istiod's Service, where the proxy says its address does not answer", OBSERVED
    ]
    proxy_was_ready: Annotated[Fact[bool], "istio-proxy was ready at some time"]
    refused_on_ipv6: Annotated[
        Fact[str],
        "event: nobody takes the probe of istio-proxy at the pod's IPv6 address",
        OBSERVED,
    ]
    proxy_ipv4: Annotated[
        Fact[str], "an IPv4 address that such a pod's proxy found for itself; empty: none", OBSERVED
    ]
    proxy_oom: Annotated[Fact[bool], "istio-proxy was killed for want of memory", OBSERVED]
    proxy_oom_pod: Annotated[Fact[str], "the pod it happened in"]
    proxy_memory_limit: Annotated[Fact[str], "memory limit of istio-proxy; empty: none"]
    probe_kills: Annotated[Fact[int], "events: start-up probe of istio-proxy gave up", OBSERVED]
    probe_timeouts: Annotated[Fact[int], "events: readiness of istio-proxy timed out", OBSERVED]
    hook_failed: Annotated[Fact[str], "event: the hook that waits for the proxy failed", OBSERVED]
    app_probe: Annotated[Fact[str], "event: rewritten probe on 15020 fails", OBSERVED]
    app_died_early: Annotated[Fact[str], "container that died before the proxy ran", OBSERVED]
    probe_late: Annotated[Fact[bool], "that probe ran out of time", OBSERVED]
    evicted: Annotated[Fact[str], "why the kubelet evicted a pod of late; empty: none", OBSERVED]
    evicted_pod: Annotated[Fact[Ref], "that pod"]
    evicted_over_proxy: Annotated[Fact[bool], "istio-proxy took most of what ran out", OBSERVED]
    may_not_be_root: Annotated[
        Fact[bool],
        "the kubelet does not make istio-init, which is root, as the pod forbids",
        OBSERVED,
    ]
    stuck_pod: Annotated[
        Fact[Ref],
        "the pod, where it is deleted and stays because its native sidecar never started; or empty",
        OBSERVED,
    ]
    job_held: Annotated[Fact[bool], "only istio-proxy still runs in a finished job", OBSERVED]
    proxy_ended: Annotated[
        Fact[bool], "its proxy ended for good, and the application still runs", OBSERVED
    ]
    restart_policy: Annotated[Fact[str], "the pod's restartPolicy"]
    job_pod: Annotated[Fact[str], "the pod of that job"]


@probe(
    "pod-startup",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Deployment", "Event", "Job", "Pod", "StatefulSet", "log"),
)
def pod_startup(view: View, subject: WorkloadSubject) -> PodStartup:
    """How far did this workload's pods come, and what stopped the worst of them?"""
    found = startups(view, subject)
    states, one, ended = found.states, found.worst, found.ended
    unready = [s for s in states if s.stage is not Stage.READY]
    pod = one.pod
    proxy = pod.container(PROXY)
    oom = next((p for p in ended if out_of_memory(p, PROXY, view.now)), None)
    held = next((p for p in ended if job_held_by_proxy(p)), None)
    plugin = one.plugin
    said = said_of(view, one) if one.stage in _WAITS else NOTHING_SAID
    told = told_of(view, one) if one.stage < Stage.STARTING else told_at_its_end(view, one)
    evicted = _evicted(view, subject)
    return PodStartup(
        workload=Ref(subject.ref),
        workload_name=subject.name,
        namespace=subject.namespace,
        namespace_ref=Ref(f"Namespace//{subject.namespace}"),
        resource=subject.owner.lower(),
        pods=len(states),
        blocked=sum([s.blocked for s in unready]),
        stage=one.stage.word,
        pod=pod.name,
        node=pod.spec.node_name,
        node_ref=Ref(f"Node//{pod.spec.node_name}" if pod.spec.node_name else ""),
        container=one.container,
        mesh_container=one.container in MESH_CONTAINERS,
        not_injected=proxy is not None and proxy.image == NOT_INJECTED,
        reason=clean(one.reason, 63),
        exit_code=one.exit_code,
        restarts=one.restarts,
        event=one.event.rstrip("."),
        event_said=f": {one.event.rstrip('.')}" if one.event else "",
        has_proxy=proxy is not None,
        native=is_native_sidecar(pod),
        proxy_started=_has_started(pod),
        proxy_runs=_runs(pod),
        plugin=plugin,
        plugin_said=f", but {plugin}" if plugin else "",
        plugin_refused=one.stage is Stage.SANDBOX and refused_unnamed(one.event),
        plugin_owner=attempt(lambda: Ref(_plugin_owner(view, plugin))) if plugin else Ref(""),
        definition=Ref(_definition(one)),
        definition_space=Ref(f"Namespace//{one.definition[0]}" if one.definition[0] else ""),
        mesh_mount=one.stage is Stage.MOUNT
        and bool(_MESH_MOUNT.search(one.event) or _CITADEL.search(one.event)),
        ca_secret=Ref(_ca_secret(one)),
        mount_at_fault=Ref(
            subject.ref if _TOKEN.search(one.event) else f"Namespace//{subject.namespace}"
        ),
        short_of=_short_of(one),
        proxy_share=_share(pod),
        awaits_cni=one.stage is Stage.UNSCHEDULED and CNI_TAINT in one.event,
        fargate="not supported on Fargate" in one.event and one.stage is Stage.UNSCHEDULED,
        complaint=said.complaint,
        complaint_text=said.text,
        complaint_said=said.ending,
        unreached=said.unreached,
        proxy_was_ready=said.was_ready,
        refused_on_ipv6=told.refused_on_ipv6,
        proxy_ipv4=said.ipv4,
        proxy_oom=oom is not None,
        proxy_oom_pod=oom.name if oom is not None else "",
        proxy_memory_limit=_limit(oom.container(PROXY) if oom is not None else proxy),
        probe_kills=_count_kills(view, unready),
        probe_timeouts=told.probe_timeouts,
        hook_failed=told.hook_failed,
        app_probe=told.app_probe,
        app_died_early=attempt(lambda: died_early(view, ended)) if ended else "",
        probe_late=attempt(lambda: bool(TIMEOUT.search(known(told.app_probe)))),
        evicted=evicted.text if evicted is not None else "",
        evicted_pod=Ref(evicted.pod.ref if evicted is not None else ""),
        evicted_over_proxy=evicted is not None and evicted.over_proxy,
        may_not_be_root=one.stage is Stage.CONFIG
        and one.container == INIT
        and bool(_ROOT.search(one.event)),
        stuck_pod=Ref(pod.ref if stays_behind_its_proxy(pod, view.now) else ""),
        job_held=held is not None,
        proxy_ended=proxy_ended(pod),
        restart_policy=pod.spec.restart_policy,
        job_pod=held.name if held is not None else "",
    )


def _has_started(pod: Pod) -> bool:
    status = pod.container_status(PROXY)
    return status is not None and (status.started or status.ready)


def _runs(pod: Pod) -> bool:
    status = pod.container_status(PROXY)
    return status is not None and status.state.running is not None


def _limit(proxy: Container | None) -> str:
    return _shown(str(proxy.resources.limits.get("memory", ""))) if proxy is not None else ""


@lru_cache(maxsize=256)
def _shown(quantity: str) -> str:
    return clean(quantity, 40)


def _plugin_owner(view: View, plugin: str) -> str:
    """The DaemonSet that installs a primary plugin, by the name its project gives it."""
    wanted = PRIMARY.get(plugin, "")
    for namespace in _SYSTEM if wanted else ():
        for one in view.objects("DaemonSet", Workload, namespace):
            if one.name == wanted:
                return one.ref
    return ""


def _definition(one: Startup) -> str:
    namespace, name = one.definition
    return f"NetworkAttachmentDefinition/{namespace}/{name}" if name else ""


def _ca_secret(one: Startup) -> str:
    missed = _CITADEL.search(one.event) if one.stage is Stage.MOUNT else None
    return f"Secret/{one.pod.namespace}/{missed[1]}" if missed is not None else ""


def _evicted(view: View, subject: WorkloadSubject) -> Eviction | None:
    pods = workload(view, subject).pods
    if not any(p.status.reason == "Evicted" for p in pods):
        return None
    about = events_of(view, subject.namespace)
    return eviction(pods, {p.name: about.get(("Pod", p.name), ()) for p in pods}, view.now)


def _short_of(one: Startup) -> str:
    if one.stage is not Stage.UNSCHEDULED:
        return ""
    return ", ".join(sorted(set(_SHORT.findall(one.event))))


def _share(pod: Pod) -> int:
    """Percent of the pod's CPU requests that istio-proxy asks for; 0 without a proxy."""
    mine = [c for c in pod.spec.init_containers if c.name == PROXY]
    asked = {
        c.name: quantity(c.resources.requests.get("cpu", 0)) or 0.0
        for c in (*mine, *pod.spec.containers)
    }
    total = sum(asked.values())
    return round(100 * asked.get(PROXY, 0.0) / total) if total else 0


def _count_kills(view: View, unready: list[Startup]) -> int:
    """Start-up probe kills of pods that are not Ready now: those of Ready pods are over."""
    return sum([probe_kills(s.pod, own_events(view, s), view.now) for s in unready])
