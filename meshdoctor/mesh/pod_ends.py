"""How did a pod's containers end, and what does that say of its proxy?

Reads container states and events as the kubelet writes them (Kubernetes 1.23 to 1.36). Exit 137 is
out-of-memory only when the reason says so.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.pod_events import of_late
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import ContainerStatus, Event, Pod, Terminated
from meshdoctor.model.patterns import pattern

KILLING = "Killing"
OOM_RECENT = timedelta(hours=6)


def ended_state(status: ContainerStatus) -> Terminated | None:
    """How the container last ended; None when it never did."""
    return status.state.terminated or status.last_state.terminated


def done(status: ContainerStatus) -> bool:
    """Whether the container ended well, and stays so."""
    ended = status.state.terminated
    return ended is not None and ended.exit_code == 0


def ended_of_late(pod: Pod, container: str, now: datetime) -> Terminated | None:
    """How the container last ended, within OOM_RECENT or at a time that is not known; None: it did
    not."""
    status = pod.container_status(container)
    ended = ended_state(status) if status is not None else None
    if ended is None or ended.finished_at is None or now - ended.finished_at <= OOM_RECENT:
        return ended
    return None


def out_of_memory(pod: Pod, container: str, now: datetime) -> Terminated | None:
    """The container's recent end by the kernel's memory limit (reason OOMKilled); None: none."""
    ended = ended_of_late(pod, container, now)
    return ended if ended is not None and ended.reason == "OOMKilled" else None


class Eviction(Struct, frozen=True, kw_only=True):
    """A pod that the kubelet took off its node, and whether istio-proxy took most of what ran out
    there."""

    pod: Pod
    text: str
    over_proxy: bool


_USED = pattern(r"Container (\S{1,63}) was using (\d{1,15})(Ki)?")
EventsByPod = Mapping[str, Iterable[Event]]


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
        if e.reason == KILLING and e.message.startswith(told) and of_late(e, pod, now)
    )


def job_held_by_proxy(pod: Pod) -> bool:
    """Whether every application container ended well and only a plain sidecar still runs."""
    proxy = next((s for s in pod.status.container_statuses if s.name == PROXY), None)
    others = [s for s in pod.status.container_statuses if s.name != PROXY]
    return (
        proxy is not None
        and proxy.state.running is not None
        and bool(others)
        and pod.spec.restart_policy != "Always"
        and all(done(s) for s in others)
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
        and any(not done(s) for s in others)
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
