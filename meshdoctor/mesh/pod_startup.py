"""How far did a pod come on its way to Ready, and what stopped it there?

Reads phase, conditions, container states and the pod's events, as the kubelet writes them
(Kubernetes 1.23 to 1.36). A pod that is deleted goes only when its sandbox can be taken down. A
native sidecar is an init container with restartPolicy Always: it is started, then ready, and never
ends. Exit 137 is out-of-memory only when the reason says so.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import IntEnum

from msgspec import Struct

from meshdoctor.mesh.cni import blame, definition_missing, plugin_of
from meshdoctor.mesh.pod_ends import done, ended_state, proxy_ended
from meshdoctor.mesh.pod_events import recent
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_native_sidecar, is_ready
from meshdoctor.model.kubernetes import ContainerStatus, Event, Pod

VALIDATION = "istio-validation"
INIT = "istio-init"
MESH_CONTAINERS = frozenset({PROXY, INIT, VALIDATION, "enable-core-dump"})
RACE_EXIT = 126
_OVERDUE = timedelta(minutes=1)
_SUMMARY = "list of un"
"""In the kubelet's events that only list the volumes that it still waits for."""


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
    failed = failed_in_init(pod)
    if failed is not None:
        return _stopped(pod, Stage.INIT, failed, recent(pod, events, now))
    if is_ready(pod) or pod.status.phase in _OVER:
        return at_rest(pod)
    own = recent(pod, events, now)
    stuck = stays_for_its_sandbox(pod, own)
    if stuck is not None:
        return _with(pod, Stage.SANDBOX, stuck)
    if not pod.spec.node_name or _is(pod, "PodScheduled", "False"):
        return _unscheduled(pod, own)
    for stage, reasons in _BEFORE_CONTAINERS:
        told = [e for e in own if e.reason in reasons]
        if told and not _any_started(pod):
            return _with(pod, stage, next((e for e in told if _SUMMARY not in e.message), told[0]))
    return _containers(pod, own)


def stays_for_its_sandbox(pod: Pod, events: Iterable[Event]) -> Event | None:
    """The event that says why a pod that is deleted stays: its sandbox cannot be taken down."""
    if pod.metadata.deletion_timestamp is None:
        return None
    found = (e for e in events if e.reason == "FailedKillPod" and "KillPodSandbox" in e.message)
    return next(found, None)


def failed_in_init(pod: Pod) -> ContainerStatus | None:
    """The init container of Istio's whose end made a pod fail that is not started again (a job's);
    None: the pod did not end so."""
    if pod.status.phase != "Failed":
        return None
    for status in pod.status.init_container_statuses:
        ended = status.state.terminated
        if status.name in (INIT, VALIDATION) and ended is not None and ended.exit_code != 0:
            return status
    return None


def stays_behind_its_proxy(pod: Pod, now: datetime) -> bool:
    """Whether a pod that is deleted is past its grace period and its native sidecar still runs
    without ever having started: some kubelets (Kubernetes 1.29 and 1.30) do not end such a pod."""
    gone = pod.metadata.deletion_timestamp
    proxy = pod.container_status(PROXY)
    return (
        gone is not None
        and now - gone > _OVERDUE
        and pod.status.phase == "Pending"
        and is_native_sidecar(pod)
        and proxy is not None
        and proxy.state.running is not None
        and not (proxy.started or proxy.ready)
    )


def at_rest(pod: Pod) -> Startup:
    """The stage of a pod that is Ready, or that ended, whatever its conditions say."""
    return Startup(pod=pod, stage=Stage.ENDED if pod.status.phase in _OVER else Stage.READY)


_OVER = frozenset({"Succeeded", "Failed"})
_BEFORE_CONTAINERS = (
    (Stage.SANDBOX, ("FailedCreatePodSandBox",)),
    (Stage.MOUNT, ("FailedMount", "FailedAttachVolume")),
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
        elif not done(status):
            return _stopped(pod, Stage.INIT, status, own)
    statuses = sorted(pod.all_statuses, key=lambda s: s.name != PROXY)
    gone = proxy_ended(pod)
    for status in statuses:
        if not status.ready and (gone or not done(status)):
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


def _any_started(pod: Pod) -> bool:
    return any(s.state.running is not None or ended_state(s) is not None for s in pod.all_statuses)


def _is(pod: Pod, type_: str, status: str) -> bool:
    condition = pod.condition(type_)
    return condition is not None and condition.status == status


def worst(states: Iterable[Startup]) -> Startup | None:
    """The pod furthest from Ready, newest first; None without pods."""
    return min(states, key=lambda s: (s.stage, s.pod.name), default=None)
