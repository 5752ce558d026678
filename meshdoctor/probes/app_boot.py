"""Was the application refused in its first moments only, before its proxy was ready?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.agent_log import read as read_agent
from meshdoctor.mesh.app_boot import refused_early
from meshdoctor.mesh.pod_ends import OOM_RECENT
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, app_containers, is_native_sidecar
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs
from meshdoctor.probes.reading import WORKLOAD_READS, workload
from meshdoctor.probes.view import View, attempt, probe


class AppBoot(Struct, frozen=True, kw_only=True):
    """Told by logs where they can be read, and not looked for in a whole mesh; a container that
    ended then is pod-startup's to tell."""

    container: Annotated[
        Fact[str],
        "container that was refused before the proxy was ready, and runs; or empty",
        OBSERVED,
    ]
    said: Annotated[Fact[str], "what it said, as the end of a sentence", OBSERVED]


NOTHING = AppBoot(container="", said="")


@probe(
    "app-boot",
    subject=SubjectKind.WORKLOAD,
    reads=(*WORKLOAD_READS, "log"),
)
def app_boot(view: View, subject: WorkloadSubject) -> AppBoot:
    """Was the application refused in its first moments only, before its proxy was ready?"""
    if view.namespaces is None:
        return NOTHING
    pods = workload(view, subject).sidecars
    pod = pods[-1] if pods else None
    ready = _ready_at(view, pod) if pod is not None and not is_native_sidecar(pod) else None
    if pod is None or ready is None or view.now - ready > OOM_RECENT:
        return NOTHING
    for container in app_containers(pod):
        status = pod.container_status(container.name)
        if status is None or status.state.running is None or status.last_state.terminated:
            continue
        for text in container_logs.readable(view, pod, [container]):
            line = refused_early(text, ready)
            if line:
                return AppBoot(container=container.name, said=f": {clean(line, 200)}")
    return NOTHING


def _ready_at(view: View, pod: Pod) -> datetime | None:
    """When the proxy first said that it was ready; None: it was started again, or its log does not
    tell."""
    status = pod.container_status(PROXY)
    if status is None or status.restart_count or not status.ready:
        return None
    log = attempt(lambda: read_agent(view.log(pod.namespace, pod.name, PROXY).text).ready_at)
    return log if isinstance(log, datetime) else None
