"""Was Envoy killed under its agent?

When the kernel wants memory back it kills Envoy, the larger process of the container; pilot-agent
sees `signal: killed` and ends with an error of its own, so the kubelet names no OOMKilled
(pkg/envoy/agent.go and proxy.go; `Epoch 0 exited` to 1.13, `Envoy exited` since).
"""

from collections.abc import Iterable
from datetime import datetime

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.pod_ends import ended_of_late
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

_KILLED = pattern(
    r"Envoy may have been out of memory killed|"
    r"(?:Epoch \d+|Envoy) exited with error: signal: killed"
)


def ended_with_error(pods: Iterable[Pod], now: datetime) -> Pod | None:
    """The first pod whose istio-proxy ended of late with an error that the kubelet does not
    explain."""
    return next((pod for pod in pods if _ended_with_error(pod, now)), None)


def _ended_with_error(pod: Pod, now: datetime) -> bool:
    ended = ended_of_late(pod, PROXY, now)
    return ended is not None and ended.exit_code != 0 and ended.reason == "Error"


def killed(text: str) -> str:
    """The agent's last line that says so; "": none.

    >>> killed("info\\tready\\nerror\\tEpoch 0 exited with error: signal: killed")
    'error Epoch 0 exited with error: signal: killed'
    """
    said = [line for line in lines(text) if _KILLED.search(line[:2000])]
    return clean(said[-1], 200) if said else ""
