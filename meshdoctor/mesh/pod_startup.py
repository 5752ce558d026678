"""How far did a pod come on its way to Ready, and what stopped it there?

Reads phase, conditions, container states and the pod's events, as the kubelet writes them
(Kubernetes 1.23 to 1.36). A pod that is deleted goes only when its sandbox can be taken down. A
native sidecar is an init container with restartPolicy Always: it is started, then ready, and never
ends. Exit 137 is out-of-memory only when the reason says so.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum

from msgspec import Struct

from meshdoctor.mesh.cni import blame, definition_missing, plugin_of
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_ready
from meshdoctor.model.kubernetes import ContainerStatus, Event, Pod, Terminated
from meshdoctor.model.patterns import pattern

RECENT = timedelta(hours=1)
OOM_RECENT = timedelta(hours=6)
KILLING = "Killing"
VALIDATION = "istio-validation"
INIT = "istio-init"
MESH_CONTAINERS = frozenset({PROXY, INIT, VALIDATION, "enable-core-dump"})
RACE_EXIT = 126
EventsByPod = Mapping[str, Iterable[Event]]


class Stage(IntEnum):
    """Where a pod stands; the earliest is the worst."""

    UNSCHEDULED = 0
    SANDBOX = 1
    MOUNT = 2
    IMAGE = 3
    CONFIG = 4
    INIT = 5
    PROXY = 6
    APP = 7
    STARTING = 8
    READY = 9
    ENDED = 10

    @property
    def word(self) -> str:
        return self.name.lower()


class Startup(Struct, frozen=True, kw_only=True):
    """One pod's state. `container` blocks it; `reason` and `exit_code` are that container's
    waiting reason and last exit; `event` is the text of the event that tells why, `plugin` the
    network plugin that its whole text blames, `definition` the NetworkAttachmentDefinition
    (namespace, name) that it misses."""

    pod: Pod
    stage: Stage
    container: str = ""
    reason: str = ""
    exit_code: int = 0
    restarts: int = 0
    event: str = ""
    plugin: str = ""
    definition: tuple[str, str] = ("", "")
    at: datetime | None = None

    @property
    def blocked(self) -> bool:
        """Whether the pod is short of Ready for a reason that is seen."""
        return self.stage < Stage.STARTING


def judge(pod: Pod, events: Iterable[Event], now: datetime) -> Startup:
    """The pod's stage. `events` may be of other objects too; only this pod's recent ones count."""
    if is_ready(pod) or pod.status.phase in _OVER:
        return at_rest(pod)
    own = recent(pod, events, now)
    stuck = stays_for_its_sandbox(pod, own)
    if stuck is not None:
        return _with(pod, Stage.SANDBOX, stuck)
    if not pod.spec.node_name or _is(pod, "PodScheduled", "False"):
        return _unscheduled(pod, own)
    for stage, reasons in _BEFORE_CONTAINERS:
        told = next((e for e in own if e.reason in reasons), None)
        if told is not None and not _any_started(pod):
            return _with(pod, stage, told)
    return _containers(pod, own)


def stays_for_its_sandbox(pod: Pod, events: Iterable[Event]) -> Event | None:
    """The event that says why a pod that is deleted stays: its sandbox cannot be taken down."""
    if pod.metadata.deletion_timestamp is None:
        return None
    found = (e for e in events if e.reason == "FailedKillPod" and "KillPodSandbox" in e.message)
    return next(found, None)


def at_rest(pod: Pod) -> Startup:
    """The stage of a pod that is Ready, or that ended, whatever its conditions say."""
    return Startup(pod=pod, stage=Stage.ENDED if pod.status.phase in _OVER else Stage.READY)


_OVER = frozenset({"Succeeded", "Failed"})
_BEFORE_CONTAINERS = (
    (Stage.SANDBOX, ("FailedCreatePodSandBox",)),
    (Stage.MOUNT, ("FailedMount", "FailedAttachVolume")),
)


def recent(pod: Pod, events: Iterable[Event], now: datetime) -> list[Event]:
    """This pod's events of the last hour, newest first; Normal ones left out."""
    found = [e for e in events if e.type != "Normal" and _of_late(e, pod, now)]
    return sorted(found, key=lambda e: (e.last_seen or now, e.name), reverse=True)


def _of_late(event: Event, pod: Pod, now: datetime) -> bool:
    """Of this pod and of the last hour. An event of a former pod of that name does not count."""
    born = pod.metadata.creation_timestamp
    return (
        event.involved_object.kind == "Pod"
        and event.involved_object.name == pod.name
        and (event.involved_object.namespace or event.namespace) == pod.namespace
        and event.last_seen is not None
        and now - event.last_seen <= RECENT
        and (born is None or event.last_seen >= born)
    )


def _unscheduled(pod: Pod, own: list[Event]) -> Startup:
    told = next((e for e in own if e.reason == "FailedScheduling"), None)
    if told is not None:
        return _with(pod, Stage.UNSCHEDULED, told)
    condition = pod.condition("PodScheduled")
    message = clean(condition.message) if condition is not None else ""
    stage = Stage.UNSCHEDULED if message else Stage.STARTING
    return Startup(pod=pod, stage=stage, event=message)


def _with(pod: Pod, stage: Stage, event: Event) -> Startup:
    if stage is not Stage.SANDBOX:
        return Startup(pod=pod, stage=stage, event=clean(event.message), at=event.last_seen)
    return Startup(
        pod=pod,
        stage=stage,
        event=clean(blame(event.message)),
        plugin=plugin_of(event.message),
        definition=definition_missing(event.message),
        at=event.last_seen,
    )


def _containers(pod: Pod, own: list[Event]) -> Startup:
    native = {c.name for c in pod.spec.init_containers if c.restart_policy == "Always"}
    for status in pod.status.init_container_statuses:
        if status.name in native:
            if not (status.started or status.ready):
                return _stopped(pod, Stage.PROXY, status, own)
        elif not _done(status):
            return _stopped(pod, Stage.INIT, status, own)
    statuses = sorted(pod.all_statuses, key=lambda s: s.name != PROXY)
    gone = proxy_ended(pod)
    for status in statuses:
        if not status.ready and (gone or not _done(status)):
            stage = Stage.PROXY if status.name == PROXY else Stage.APP
            return _stopped(pod, stage, status, own)
    return Startup(pod=pod, stage=Stage.STARTING)


def _stopped(pod: Pod, stage: Stage, status: ContainerStatus, own: list[Event]) -> Startup:
    waiting = status.state.waiting
    reason = waiting.reason if waiting is not None else ""
    ended = ended_state(status)
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        stage = Stage.IMAGE
    elif reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        stage = Stage.CONFIG
    message = waiting.message if waiting is not None else ""
    told = next((e for e in own if _names(e, status.name)), own[0] if own else None)
    begins = reason in ("", "ContainerCreating", "PodInitializing")
    if begins and ended is None and status.state.running is None and told is None:
        stage = Stage.STARTING
    return Startup(
        pod=pod,
        stage=stage,
        container=status.name,
        reason=(ended.reason if ended is not None and ended.reason == "OOMKilled" else reason),
        exit_code=ended.exit_code if ended is not None else 0,
        restarts=status.restart_count,
        event=clean(told.message if told is not None else message),
        at=told.last_seen if told is not None else None,
    )


def _names(event: Event, container: str) -> bool:
    return container in event.message


def glance(pods: Iterable[Pod]) -> tuple[bool, list[Pod]]:
    """(one of them waits or has a container that is not ready; those of which a container ended).

    Init containers are meant to end, the proxy excepted. Where no other did, nothing was killed,
    nothing died early, and no job waits for its proxy.
    """
    waits, ended = False, []
    for pod in pods:
        mine, init = pod.status.container_statuses, pod.status.init_container_statuses
        over = False
        if pod.status.phase == "Pending" or not (mine or init):
            waits = True
        for one in mine:
            if not one.ready:
                waits = True
            if one.state.terminated is not None or one.last_state.terminated is not None:
                over = True
        for one in init:
            if not one.ready:
                waits = True
            if one.name == PROXY and ended_state(one) is not None:
                over = True
        if over:
            ended.append(pod)
    return waits, ended


def ended_state(status: ContainerStatus) -> Terminated | None:
    """How the container last ended; None when it never did."""
    return status.state.terminated or status.last_state.terminated


def _done(status: ContainerStatus) -> bool:
    ended = status.state.terminated
    return ended is not None and ended.exit_code == 0


def _any_started(pod: Pod) -> bool:
    return any(s.state.running is not None or ended_state(s) is not None for s in pod.all_statuses)


def _is(pod: Pod, type_: str, status: str) -> bool:
    condition = pod.condition(type_)
    return condition is not None and condition.status == status


def out_of_memory(pod: Pod, container: str, now: datetime) -> Terminated | None:
    """The container's recent end by the kernel's memory limit (reason OOMKilled); None: none."""
    status = pod.container_status(container)
    ended = ended_state(status) if status is not None else None
    if ended is None or ended.reason != "OOMKilled":
        return None
    if ended.finished_at is not None and now - ended.finished_at > OOM_RECENT:
        return None
    return ended


class Eviction(Struct, frozen=True, kw_only=True):
    """A pod that the kubelet took off its node, and whether istio-proxy took most of what ran out
    there."""

    pod: Pod
    text: str
    over_proxy: bool


_USED = pattern(r"Container (\S{1,63}) was using (\d{1,15})(Ki)?")


def eviction(pods: Iterable[Pod], events: EventsByPod, now: datetime) -> Eviction | None:
    """The last eviction of late, by its event; where events are gone, only of a workload that has
    no other pod."""
    mine = list(pods)
    alone = all(p.status.phase == "Failed" for p in mine)
    for pod in reversed(mine):
        if pod.status.phase != "Failed" or pod.status.reason != "Evicted":
            continue
        told = [e for e in events.get(pod.name, ()) if e.reason == "Evicted" and e.last_seen]
        at = max((e.last_seen for e in told if e.last_seen), default=None)
        if (at is not None and now - at <= OOM_RECENT) or (at is None and alone):
            text = pod.status.message or (told[0].message if told else "")
            used = [(int(n), name) for name, n, _ in _USED.findall(text)]
            return Eviction(
                pod=pod,
                text=clean(text).rstrip("."),
                over_proxy=bool(used) and max(used)[1] == PROXY,
            )
    return None


def probe_kills(pod: Pod, events: Iterable[Event], now: datetime) -> int:
    """How often, of late, the kubelet ended istio-proxy because its start-up probe gave up.

    It says so in an event of type Normal. Each single failure of the probe is an event too, and
    every proxy that ends early for another reason has those.
    """
    status = pod.container_status(PROXY)
    if status is None or status.restart_count == 0:
        return 0
    told = f"Container {PROXY} failed startup probe"
    return sum(
        max(e.count, 1)
        for e in events
        if e.reason == KILLING and e.message.startswith(told) and _of_late(e, pod, now)
    )


def worst(states: Iterable[Startup]) -> Startup | None:
    """The pod furthest from Ready, newest first; None without pods."""
    return min(states, key=lambda s: (s.stage, s.pod.name), default=None)


def job_held_by_proxy(pod: Pod) -> bool:
    """Whether every application container ended well and only a plain sidecar still runs."""
    proxy = next((s for s in pod.status.container_statuses if s.name == PROXY), None)
    others = [s for s in pod.status.container_statuses if s.name != PROXY]
    return (
        proxy is not None
        and proxy.state.running is not None
        and bool(others)
        and pod.spec.restart_policy != "Always"
        and all(_done(s) for s in others)
    )


def proxy_ended(pod: Pod) -> bool:
    """Whether a plain sidecar ended well and is not started again, while the application goes on:
    kubelet ends the proxy whose hook failed, and its exit code is 0 (not with `Always`)."""
    proxy = next((s for s in pod.status.container_statuses if s.name == PROXY), None)
    over = proxy.state.terminated if proxy is not None else None
    others = [s for s in pod.status.container_statuses if s.name != PROXY]
    return (
        over is not None
        and pod.spec.restart_policy != "Always"
        and (over.exit_code == 0 or pod.spec.restart_policy == "Never")
        and any(not _done(s) for s in others)
    )


def app_died_early(pod: Pod, proxy_ready: datetime | None, now: datetime) -> str:
    """An application container that failed before the proxy was ready and runs since; "" if none.

    `proxy_ready` None: not known, or the proxy itself was restarted. Deaths of long ago are over.
    """
    if proxy_ready is None or now - proxy_ready > OOM_RECENT:
        return ""
    for status in pod.status.container_statuses:
        ended = status.last_state.terminated
        if (
            status.name != PROXY
            and ended is not None
            and ended.exit_code not in (0, 137, 143)
            and ended.finished_at is not None
            and ended.finished_at <= proxy_ready
            and status.state.running is not None
        ):
            return status.name
    return ""
