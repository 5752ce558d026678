"""How far did this workload's pods come, and what stopped the worst of them?"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.agent_log import NO_PROBER, AgentLog, Complaint
from meshdoctor.mesh.agent_log import read as read_agent
from meshdoctor.mesh.annotations import quantity
from meshdoctor.mesh.cni import PRIMARY, refused_unnamed
from meshdoctor.mesh.pod_startup import (
    INIT,
    MESH_CONTAINERS,
    Eviction,
    Stage,
    Startup,
    app_died_early,
    eviction,
    job_held_by_proxy,
    out_of_memory,
    probe_kills,
    proxy_ended,
    recent,
)
from meshdoctor.mesh.revisions import discovery_host
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import NOT_INJECTED, PROXY, is_native_sidecar
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Container, ContainerStatus, Event, Pod, Workload
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.reading import workload
from meshdoctor.probes.startup_reads import events_of, startups
from meshdoctor.probes.view import View, attempt, known, probe

CNI_TAINT = "cni.istio.io/not-ready"
_SHORT = pattern(r"Insufficient (cpu|memory|ephemeral-storage)")
_MESH_MOUNT = pattern(r"istio-ca-root-cert|istiod-ca-cert|istio-token|istio-ca-crl")
_TOKEN = pattern(r'failed to fetch token|volume "istio-token"')
_SYSTEM = ("kube-system", "calico-system", "kube-flannel")
_WAITS = (Stage.PROXY, Stage.APP, Stage.STARTING)
_HOOK = ("pilot-agent", "istio-proxy", "PostStartHook failed")
_ROOT = pattern(r"breaks non-root policy|runAsNonRoot and image will run as root")
_TIMEOUT = pattern(r"timeout|deadline exceeded|Client\.Timeout")


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
    said = _said(view, one) if one.stage in _WAITS else NOTHING_SAID
    told = _told(view, one) if one.stage < Stage.STARTING else _at_its_end(view, one)
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
        mesh_mount=one.stage is Stage.MOUNT and bool(_MESH_MOUNT.search(one.event)),
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
        proxy_oom=oom is not None,
        proxy_oom_pod=oom.name if oom is not None else "",
        proxy_memory_limit=_limit(oom.container(PROXY) if oom is not None else proxy),
        probe_kills=_count_kills(view, unready),
        probe_timeouts=told.probe_timeouts,
        hook_failed=told.hook_failed,
        app_probe=told.app_probe,
        app_died_early=attempt(lambda: _died_early(view, ended)) if ended else "",
        probe_late=attempt(lambda: bool(_TIMEOUT.search(known(told.app_probe)))),
        evicted=evicted.text if evicted is not None else "",
        evicted_pod=Ref(evicted.pod.ref if evicted is not None else ""),
        evicted_over_proxy=evicted is not None and evicted.over_proxy,
        may_not_be_root=one.stage is Stage.CONFIG
        and one.container == INIT
        and bool(_ROOT.search(one.event)),
        job_held=held is not None,
        proxy_ended=proxy_ended(pod),
        restart_policy=pod.spec.restart_policy,
        job_pod=held.name if held is not None else "",
    )


class _Said(Struct, frozen=True, kw_only=True):
    """What istio-proxy says of its own start; as its log is when it is empty."""

    complaint: Fact[str] = Complaint.NONE.value
    text: Fact[str] = ""
    ending: Fact[str] = ""
    was_ready: Fact[bool] = False
    unreached: Fact[Ref] = Ref("")


class _Told(Struct, frozen=True, kw_only=True):
    """What recent events tell of a pod that something keeps from Ready."""

    probe_timeouts: int = 0
    hook_failed: Fact[str] = ""
    app_probe: Fact[str] = ""


UNKNOWN = "statuscode: 404"
EVER = datetime.min.replace(tzinfo=UTC)
NOTHING_SAID, NOTHING_TOLD = _Said(), _Told()


def _said(view: View, one: Startup) -> _Said:
    log = attempt(lambda: _agent(view, one))
    if isinstance(log, Unavailable):
        return _Said(complaint=log, text=log, ending=log, was_ready=log, unreached=log)
    return _Said(
        complaint=log.complaint.value,
        text=log.text,
        ending=f": {log.text}" if log.text else "",
        was_ready=log.ready,
        unreached=Ref(_istiod(view, one.pod) if log.unreached else ""),
    )


def _istiod(view: View, pod: Pod) -> str:
    """The Service that the proxy was told to use; the default one when it was not told."""
    name, _, rest = discovery_host(pod).partition(".")
    space = rest.partition(".")[0]
    return f"Service/{space or view.istio_namespace}/{name or 'istiod'}"


def _told(view: View, one: Startup) -> _Told:
    own = recent(one.pod, _own(view, one), view.now)
    return _Told(
        probe_timeouts=_events(own, ("Unhealthy",), ("15021",), timeout=True)[0],
        hook_failed=_events(own, ("FailedPostStartHook",), _HOOK)[1],
        app_probe=attempt(lambda: _app_probe(view, one, own)),
    )


def _at_its_end(view: View, one: Startup) -> _Told:
    """What is told of a pod that failed: a hook that gave up started the application too early."""
    if one.pod.status.phase != "Failed" or one.pod.container(PROXY) is None:
        return NOTHING_TOLD
    return _Told(
        hook_failed=attempt(
            lambda: _events(
                recent(one.pod, _own(view, one), view.now), ("FailedPostStartHook",), _HOOK
            )[1]
        )
    )


def _has_started(pod: Pod) -> bool:
    status = pod.container_status(PROXY)
    return status is not None and (status.started or status.ready)


def _runs(pod: Pod) -> bool:
    status = pod.container_status(PROXY)
    return status is not None and status.state.running is not None


def _agent(view: View, one: Startup) -> AgentLog:
    """istio-proxy's log, read only for a pod that is short of Ready because of its proxy."""
    status = one.pod.container_status(PROXY)
    if status is None or status.ready or not _ran(status):
        return read_agent("")
    now = view.now if status.state.running is not None else None
    return read_agent(view.log(one.pod.namespace, one.pod.name, PROXY).text, now)


def _ran(status: ContainerStatus) -> bool:
    return status.restart_count > 0 or status.state.waiting is None


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
    return sum([probe_kills(s.pod, _own(view, s), view.now) for s in unready])


def _own(view: View, one: Startup) -> list[Event]:
    return events_of(view, one.pod.namespace).get(("Pod", one.pod.name), [])


def _events(
    own: list[Event],
    reasons: tuple[str, ...],
    fragments: tuple[str, ...],
    *,
    timeout: bool = False,
) -> tuple[int, str]:
    """(how many, newest text) of a pod's recent events that tell this."""
    found = [
        e
        for e in own
        if e.reason in reasons
        and any(f in e.message for f in fragments)
        and (not timeout or _TIMEOUT.search(e.message))
    ]
    return sum(max(e.count, 1) for e in found), clean(found[0].message) if found else ""


def _app_probe(view: View, one: Startup, own: list[Event]) -> str:
    """The failure of a probe that the agent answers for the application.

    The event names 15020 when nothing answers; when the agent answers 500 it does not, and the
    agent's own log tells that from an application that answers 500 itself. An agent that was not
    told of the probe answers 404. What it told before the last failed probe was of an application
    that had not started yet.
    """
    direct = _newest(own, ":15020/app-health")
    answered = _newest(own, "statuscode: 500", UNKNOWN)
    if direct is not None and not _before(direct.last_seen, answered):
        return clean(direct.message)
    if answered is None or one.stage is not Stage.APP or not _rewritten(one):
        return ""
    said = read_agent(view.log(one.pod.namespace, one.pod.name, PROXY).text)
    if _before(said.probe_failed_at, answered):
        return ""
    return (
        said.probe_failed
        if UNKNOWN not in answered.message or NO_PROBER in said.probe_failed
        else ""
    )


def _newest(own: list[Event], *fragments: str) -> Event | None:
    found = [
        e for e in own if e.reason == "Unhealthy" and any(one in e.message for one in fragments)
    ]
    return max(found, key=lambda e: e.last_seen or EVER, default=None)


def _before(at: datetime | None, event: Event | None) -> bool:
    """Whether this was surely before the event, whose time may be a little late."""
    seen = event.last_seen if event is not None else None
    return at is not None and seen is not None and at < seen - timedelta(seconds=3)


def _rewritten(one: Startup) -> bool:
    container = one.pod.container(one.container)
    probes = (
        (container.liveness_probe, container.readiness_probe, container.startup_probe)
        if container is not None
        else ()
    )
    return any(p.http_get.path.startswith("/app-health/") for p in probes if p and p.http_get)


def _died_early(view: View, pods: tuple[Pod, ...]) -> str:
    for pod in pods:
        name = app_died_early(pod, _ready_at(view, pod), view.now)
        if name:
            return name
    return ""


def _ready_at(view: View, pod: Pod) -> datetime | None:
    """When the proxy first said it was ready, read only where an application container died."""
    status = pod.container_status(PROXY)
    running = status.state.running if status is not None else None
    if running is None or running.started_at is None or status is None or status.restart_count:
        return None
    if not any(s.last_state.terminated for s in pod.status.container_statuses if s.name != PROXY):
        return None
    log = attempt(lambda: read_agent(view.log(pod.namespace, pod.name, PROXY).text).ready_at)
    fallback = running.started_at + timedelta(seconds=5)
    return log if isinstance(log, datetime) and log >= running.started_at else fallback
