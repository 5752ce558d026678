"""Was Envoy killed under its agent?

When the kernel wants memory back it kills Envoy, the larger process of the container; pilot-agent
sees `signal: killed` and ends with an error of its own, so the kubelet names no OOMKilled
(pkg/envoy/agent.go and proxy.go; `Epoch 0 exited` to 1.13, `Envoy exited` since).
"""

from datetime import datetime

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.pod_ends import OOM_RECENT, ended_state
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

_KILLED = pattern(
    r"Envoy may have been out of memory killed|"
    r"(?:Epoch \d+|Envoy) exited with error: signal: killed"
)


def ended_with_error(pod: Pod, now: datetime) -> bool:
    """Whether istio-proxy ended of late with an error that the kubelet does not explain."""
    status = pod.container_status(PROXY)
    ended = ended_state(status) if status is not None else None
    if ended is None or ended.exit_code == 0 or ended.reason != "Error":
        return False
    return ended.finished_at is None or now - ended.finished_at <= OOM_RECENT


def killed(text: str) -> str:
    """The agent's last line that says so; "": none.

    >>> killed("info\\tready\\nerror\\tEpoch 0 exited with error: signal: killed")
    'error Epoch 0 exited with error: signal: killed'
    """
    said = [line for line in lines(text) if _KILLED.search(line[:2000])]
    return clean(said[-1], 200) if said else ""
