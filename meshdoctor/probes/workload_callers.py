"""How do calls of other proxies to a workload's pods end?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import address
from meshdoctor.mesh.edge_target import ips
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class WorkloadCallers(Struct, frozen=True, kw_only=True):
    """What the proxies of callers logged of calls to the workload's pods, by their addresses."""

    tls_failures: Annotated[Fact[int], "calls to the pods that failed in TLS", OBSERVED]


@probe(
    "workload-callers",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "StatefulSet",
        "Telemetry",
        "log",
    ),
    costly=True,
)
def workload_callers(view: View, subject: WorkloadSubject) -> WorkloadCallers:
    """How do calls of other proxies to the workload's pods end?"""
    own = {ip for pod in reading.workload(view, subject).pods for ip in ips(pod)}
    logs = proxy_logs.of_callers(view)
    lines = logs.lines(lambda log: log.lines)
    failed = [x for x in lines if address(x.upstream_host)[0] in own and ev.tls_word(x)]
    return WorkloadCallers(tls_failures=logs.seen(len(failed)))
