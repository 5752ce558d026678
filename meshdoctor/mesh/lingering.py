"""Does a pod that is being deleted stay because its proxy waits for connections to end?

With EXIT_ON_ZERO_ACTIVE_CONNECTIONS pilot-agent drains for MINIMUM_DRAIN_DURATION and then waits
until no downstream connection is left, whatever terminationDrainDuration says, until the kubelet
kills it (pkg/envoy/agent.go, 1.12 to 1.32-dev).
"""

from datetime import datetime, timedelta

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

PATIENCE = timedelta(minutes=1)
_WAITS = pattern(r"There are still \d+ active connections")
_TAIL = 50


def lingers(pod: Pod, now: datetime) -> bool:
    """Whether only the proxy still runs in a pod whose deletion was asked for a while ago."""
    meta = pod.metadata
    if meta.deletion_timestamp is None:
        return False
    proxy = pod.container_status(PROXY)
    if proxy is None or proxy.state.running is None:
        return False
    asked = meta.deletion_timestamp - timedelta(seconds=meta.deletion_grace_period_seconds or 0)
    others = [s for s in pod.status.container_statuses if s.name != PROXY]
    ended = bool(others) and all(s.state.terminated is not None for s in others)
    return ended and now - asked > PATIENCE


def waits_for(text: str) -> str:
    """What a proxy's log ends in, when it waits for connections; "" when it does not.

    >>> waits_for("2023-12-10T13:59:07.9Z info There are still 1 active connections")
    '2023-12-10T13:59:07.9Z info There are still 1 active connections'
    """
    found = [line for line in list(lines(text))[-_TAIL:] if _WAITS.search(line[:2000])]
    return clean(found[-1], 200) if found else ""
