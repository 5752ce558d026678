"""What do a pod's proxy and its recent events tell of its start?

Not a probe: shared reads of pod-startup.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.agent_log import NO_PROBER, AgentLog, Complaint, own_ipv4
from meshdoctor.mesh.agent_log import read as read_agent
from meshdoctor.mesh.pod_ends import app_died_early
from meshdoctor.mesh.pod_events import recent
from meshdoctor.mesh.pod_startup import Stage, Startup
from meshdoctor.mesh.revisions import discovery_host
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import ContainerStatus, Event, Pod
from meshdoctor.model.patterns import pattern
from meshdoctor.probes.startup_reads import events_of
from meshdoctor.probes.view import View, attempt

_HOOK = ("pilot-agent", "istio-proxy", "PostStartHook failed")
TIMEOUT = pattern(r"timeout|deadline exceeded|Client\.Timeout")


class Said(Struct, frozen=True, kw_only=True):
    """What istio-proxy says of its own start; as its log is when it is empty."""

    complaint: Fact[str] = Complaint.NONE.value
    text: Fact[str] = ""
    ending: Fact[str] = ""
    was_ready: Fact[bool] = False
    unreached: Fact[Ref] = Ref("")
    ipv4: Fact[str] = ""


class Told(Struct, frozen=True, kw_only=True):
    """What recent events tell of a pod that something keeps from Ready."""

    probe_timeouts: int = 0
    hook_failed: Fact[str] = ""
    app_probe: Fact[str] = ""
    refused_on_ipv6: str = ""


UNKNOWN = "statuscode: 404"
EVER = datetime.min.replace(tzinfo=UTC)
NOTHING_SAID, NOTHING_TOLD = Said(), Told()


def said_of(view: View, one: Startup) -> Said:
    """What istio-proxy says of its own start, where the pod waits for it."""
    log = attempt(lambda: _agent(view, one))
    if isinstance(log, Unavailable):
        four = log if _has_ipv6(one.pod) else ""
        return Said(complaint=log, text=log, ending=log, was_ready=log, unreached=log, ipv4=four)
    return Said(
        complaint=log.complaint.value,
        text=log.text,
        ending=f": {log.text}" if log.text else "",
        was_ready=log.ready,
        unreached=Ref(_istiod(view, one.pod) if log.unreached else ""),
        ipv4=attempt(lambda: _ipv4(view, one.pod)) if _has_ipv6(one.pod) else "",
    )


def _has_ipv6(pod: Pod) -> bool:
    """Whether the kubelet calls the pod at an IPv6 address."""
    return ":" in pod.status.pod_ip


def _ipv4(view: View, pod: Pod) -> str:
    return own_ipv4(view.log(pod.namespace, pod.name, PROXY).text)


def _istiod(view: View, pod: Pod) -> str:
    """The Service that the proxy was told to use; the default one when it was not told."""
    name, _, rest = discovery_host(pod).partition(".")
    space = rest.partition(".")[0]
    return f"Service/{space or view.istio_namespace}/{name or 'istiod'}"


def told_of(view: View, one: Startup) -> Told:
    """What recent events tell of a pod that something keeps from Ready."""
    own = recent(one.pod, own_events(view, one), view.now)
    return Told(
        probe_timeouts=_events(own, ("Unhealthy",), ("15021",), timeout=True)[0],
        hook_failed=_events(own, ("FailedPostStartHook",), _HOOK)[1],
        app_probe=attempt(lambda: _app_probe(view, one, own)),
        refused_on_ipv6=_refused(own) if _has_ipv6(one.pod) else "",
    )


def _refused(own: list[Event]) -> str:
    """A probe of the proxy that nobody takes, again and again."""
    times, text = _events(own, ("Unhealthy",), ("]:15021: connect: connection refused",))
    return text if times > 4 else ""


def told_at_its_end(view: View, one: Startup) -> Told:
    """What is told of a pod that failed: a hook that gave up started the application too early."""
    if one.pod.status.phase != "Failed" or one.pod.container(PROXY) is None:
        return NOTHING_TOLD
    return Told(
        hook_failed=attempt(
            lambda: _events(
                recent(one.pod, own_events(view, one), view.now), ("FailedPostStartHook",), _HOOK
            )[1]
        )
    )


def _agent(view: View, one: Startup) -> AgentLog:
    """istio-proxy's log, read only for a pod that is short of Ready because of its proxy."""
    status = one.pod.container_status(PROXY)
    if status is None or status.ready or not _ran(status):
        return read_agent("")
    now = view.now if status.state.running is not None else None
    return read_agent(view.log(one.pod.namespace, one.pod.name, PROXY).text, now)


def _ran(status: ContainerStatus) -> bool:
    return status.restart_count > 0 or status.state.waiting is None


def own_events(view: View, one: Startup) -> list[Event]:
    """All events of the pod that were read."""
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
        and (not timeout or TIMEOUT.search(e.message))
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


def died_early(view: View, pods: tuple[Pod, ...]) -> str:
    """An application container that died before its proxy was ready; "" if none."""
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
