"""Do istiod's containers stay up?

Exit 137 alone is an out-of-memory kill or a failed probe: the reason tells which (trap T55).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready, owner_of
from meshdoctor.model.kubernetes import ContainerStatus, Pod

CONTAINER = "discovery"


class Health(Struct, frozen=True, kw_only=True):
    """Of all istiod pods; `pod`, `reason`, `exit_code` are of the one that restarted most."""

    pods: int
    ready: int
    not_ready_pod: str
    restarting: int
    restarts: int
    reason: str
    exit_code: int
    pod: str
    workload: str
    memory_limit: str
    cpu_limit: str


def health(pods: Iterable[Pod], now: datetime, window: timedelta) -> Health:
    """Judge istiod's pods; endings older than `window` are history."""
    live = [p for p in pods if p.metadata.deletion_timestamp is None]
    recent = [
        (p, s) for p in live if (s := p.container_status(CONTAINER)) and _ended(s, now, window)
    ]
    worst = max(recent, key=lambda r: (r[1].restart_count, r[0].name), default=None)
    down = [p for p in live if p.status.phase == "Running" and not is_ready(p)]
    stuck = min(down, key=lambda p: p.name, default=None)
    pod, status = worst if worst else (stuck or (live[0] if live else None), None)
    last = status.last_state.terminated or status.state.terminated if status else None
    container = pod.container(CONTAINER) if pod else None
    limits = container.resources.limits if container else {}
    return Health(
        pods=len(live),
        ready=sum(map(is_ready, live)),
        not_ready_pod=stuck.name if stuck is not None else "",
        restarting=len(recent),
        restarts=status.restart_count if status else 0,
        reason=clean(last.reason, 60) if last else "",
        exit_code=last.exit_code if last else 0,
        pod=pod.name if worst and pod else "",
        workload=owner_of(pod).ref if pod else "",
        memory_limit=str(limits.get("memory", "")),
        cpu_limit=str(limits.get("cpu", "")),
    )


def _ended(status: ContainerStatus, now: datetime, window: timedelta) -> bool:
    if status.restart_count == 0:
        return False
    waiting = status.state.waiting
    if waiting is not None and waiting.reason == "CrashLoopBackOff":
        return True
    last = status.last_state.terminated or status.state.terminated
    return last is not None and last.finished_at is not None and now - last.finished_at <= window
