"""Which callers does a workload's proxy refuse: scrapers, nodes, pods without a sidecar?"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import callers
from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import SERVER
from meshdoctor.mesh.peer_authentication import Ruling
from meshdoctor.mesh.proxy_setup import takes_certificates
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy, owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, attempt, probe


class WorkloadRefused(Struct, frozen=True, kw_only=True):
    """Plaintext connections that the workload's listeners refused, on any port."""

    lines: Annotated[Fact[int], "refused plaintext connections", OBSERVED]
    scraper_lines: Annotated[Fact[int], "of them from collectors of metrics", OBSERVED]
    scraper_port: Annotated[Fact[int], "the port that a collector called", OBSERVED]
    scraper: Annotated[Fact[Ref], "the workload of that collector", OBSERVED]
    scraper_certs: Annotated[
        Fact[bool], "its sidecar writes certificates of the mesh for it (OUTPUT_CERTS)"
    ]
    scraper_mode: Annotated[Fact[str], "mode in force on that port; empty: no collector"]
    scraper_policy: Annotated[Fact[Ref], "the PeerAuthentication behind it; empty: the default"]
    node_lines: Annotated[Fact[int], "of them from addresses of nodes", OBSERVED]
    node_ports: Annotated[Fact[str], "the ports that nodes called", OBSERVED]
    other_lines: Annotated[Fact[int], "of them from pods without a sidecar", OBSERVED]
    meshed_lines: Annotated[Fact[int], "of them from pods with a proxy", OBSERVED]


READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "Node",
    "Pod",
    "StatefulSet",
    "Telemetry",
    "log",
)


class WorkloadSeen(Struct, frozen=True, kw_only=True):
    """What the workload's own proxies logged of calls to it."""

    passes: Annotated[
        Fact[bool], "a proxy's log was read and holds calls to its own workload: they pass it"
    ]


@probe(
    "workload-seen",
    subject=SubjectKind.WORKLOAD,
    reads=READS,
    costly=True,
)
def workload_seen(view: View, subject: WorkloadSubject) -> WorkloadSeen:
    """Do calls pass through the workload's proxy? (A log that cannot be read shows nothing.)"""
    try:
        logs = proxy_logs.read(view, reading.workload(view, subject), SERVER)
    except EvidenceError:
        return WorkloadSeen(passes=False)
    lines = logs.lines(lambda log: log.lines)
    return WorkloadSeen(passes=any(line.is_inbound or line.is_listener for line in lines))


@probe(
    "workload-refused",
    subject=SubjectKind.WORKLOAD,
    reads=(*READS, "PeerAuthentication"),
    costly=True,
)
def workload_refused(view: View, subject: WorkloadSubject) -> WorkloadRefused:
    """Which callers does the workload's proxy refuse?"""
    found = reading.workload(view, subject)
    logs = proxy_logs.read(view, found, SERVER)
    refused = [
        line
        for line in logs.lines(lambda log: log.lines)
        if ev.refused(line) and line.server_name_kind == "plaintext"
    ]
    ruling = partial(_ruling, view, found)
    return _facts(logs, refused, reading.addresses(view), ruling)


def _ruling(view: View, found: WorkloadPods, port: int) -> Ruling:
    labels = found.pod.labels if found.pod is not None else {}
    return reading.peer_authentications(view, found.subject.namespace).effective(labels, port)


def _facts(
    logs: proxy_logs.ProxyLogs,
    refused: list[Line],
    at: callers.Addresses,
    ruling: Callable[[int], Ruling],
) -> WorkloadRefused:
    def pod(line: Line) -> Pod | None:
        return at.pods.get(line.peer_ip)

    scraped = [(x, p) for x in refused if (p := pod(x)) is not None and callers.is_scraper(p)]
    knocked = [line for line in refused if line.peer_ip in at.nodes]
    bare = [x for x in refused if (p := pod(x)) is not None and not has_proxy(p)]
    meshed = [x for x in refused if (p := pod(x)) is not None and has_proxy(p)]
    ports = sorted({line.local_port for line in knocked if line.local_port})
    mode = attempt(lambda: ruling(scraped[-1][0].local_port)) if scraped else None
    return WorkloadRefused(
        lines=logs.seen(len(refused)),
        scraper_lines=logs.seen(len(scraped)),
        scraper_port=logs.seen(scraped[-1][0].local_port if scraped else 0),
        scraper=logs.seen(Ref(owner_of(scraped[-1][1]).ref if scraped else "")),
        scraper_certs=bool(scraped) and takes_certificates(scraped[-1][1]),
        scraper_mode=mode if isinstance(mode, Unavailable) else mode.mode if mode else "",
        scraper_policy=mode if isinstance(mode, Unavailable) else Ref(mode.source if mode else ""),
        node_lines=logs.seen(len(knocked)),
        node_ports=logs.seen(", ".join(str(p) for p in ports)),
        other_lines=logs.seen(len(bare)),
        meshed_lines=logs.seen(len(meshed)),
    )
