"""What is seen failing, how often, and does a finding explain it?

Aggregates the failing access-log lines of the proxies in question: the two ends of a pair, or the
proxies that triage reads. A symptom that no confirmed finding touches is itself reported, with
what to look at next.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from meshdoctor.engine.triage import edges_of, failures, stream
from meshdoctor.engine.tunnels import failing_tunnels
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.edge_evidence import of_host
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import has_proxy, owner_of, proxy_type
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.report import Finding, Symptom
from meshdoctor.model.subjects import EdgeSubject, Subject, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.proxy_logs import chosen, pod_log
from meshdoctor.probes.reading import workloads
from meshdoctor.probes.view import View

MOST = 20
MOMENT = timedelta(seconds=1)
HANDED_ON = "via_upstream"
"""Envoy's details of an answer that came from beyond it."""


class Seen(Struct):
    """One kind of failure on one edge; `at`: the gateway that led the requests nowhere."""

    edge: EdgeSubject
    text: str
    count: int = 0
    times: list[datetime] = field(default_factory=list)
    requests: set[str] = field(default_factory=set)
    over: bool = True
    at: WorkloadSubject | None = None

    def concerns(self, subject: Subject) -> bool:
        """Whether the failure is on that edge, or at that workload or service."""
        edge = self.edge
        if not isinstance(subject, EdgeSubject):
            return str(subject) in {str(s) for s in (edge.client, edge.server, edge.service) if s}
        same_server = edge.server is not None and edge.server == subject.server
        return same_server or str(edge.service or edge.host) == str(subject.service or subject.host)

    def spoils(self, refs: Collection[str]) -> bool:
        """Whether one of these services or workloads (`Service/ns/name`) is called here, or the
        gateway that did not get that far."""
        edge = self.edge
        called = {f"Service/{edge.service}"} if edge.service else set()
        called |= {one.ref for one in (edge.server, self.at) if one is not None}
        return bool(called & set(refs))

    def said(self) -> str:
        """`3 x "503 UC" on a -> b:80, 09:24:00 to 09:24:14`."""
        text = f'{self.count} x "{self.text}" on {self.edge}'
        if not self.times:
            return text
        first, last = min(self.times), max(self.times)
        span = f", {first:%H:%M:%S}" + (f" to {last:%H:%M:%S}" if last != first else "")
        return text + span


def seen(view: View, edges: Sequence[EdgeSubject]) -> list[Seen]:
    """Failures in the logs of the edges' ends (or of triage's proxies when none is named)."""
    wanted = {str(e) for e in edges}
    out: dict[tuple[str, str], Seen] = {}
    for pod in _pods(view, edges):
        try:
            lines = of_host(pod_log(view, pod.namespace, pod.name).lines, _asked_of(pod, edges))
        except EvidenceError:
            continue
        bad = failures(lines)
        ended = _over(lines, bad)
        for line in bad:
            for edge in _edges(view, pod, line, edges):
                if wanted and not _touches(edge, edges):
                    continue
                at = owner_of(pod) if _led_nowhere(pod, line) else None
                found = out.setdefault((str(edge), words(line)), Seen(edge, words(line), at=at))
                found.count += 1
                found.over = found.over and ended[stream(line)]
                if line.request_id:
                    found.requests.add(line.request_id)
                if line.start is not None:
                    found.times.append(line.start)
    ends = [s for e in edges for s in (e.client, e.server) if s is not None]
    for tunnel in failing_tunnels(view, ends if edges else None):
        if wanted and not _touches(tunnel.edge, edges):
            continue
        text = clean(f"ztunnel: {tunnel.connection.error}", 120)
        found = out.setdefault((str(tunnel.edge), text), Seen(tunnel.edge, text))
        found.count += 1
        found.over = found.over and tunnel.over
        if tunnel.connection.at is not None:
            found.times.append(tunnel.connection.at)
    return sorted(out.values(), key=lambda s: (-s.count, str(s.edge), s.text))[:MOST]


def _edges(view: View, pod: Pod, line: Line, edges: Sequence[EdgeSubject]) -> Iterable[EdgeSubject]:
    """What a line is about: of a request that a gateway led nowhere, the edge of the host asked."""
    if not _led_nowhere(pod, line):
        return edges_of(view, pod, line)
    owner = owner_of(pod)
    mine = [e for e in edges if e.client == owner and line.host == bare_host(e.request.host)]
    return mine if line.host and mine else edges_of(view, pod, line)


def _led_nowhere(pod: Pod, line: Line) -> bool:
    return not line.upstream_cluster and proxy_type(pod) == "router"


def _asked_of(pod: Pod, edges: Sequence[EdgeSubject]) -> str:
    """The host that is asked of a gateway's pod; "": of no gateway, or any."""
    if proxy_type(pod) != "router":
        return ""
    owner = owner_of(pod)
    hosts = (edge.request.host for edge in edges if edge.server == owner)
    return next((bare_host(host) for host in hosts if host), "")


def _over(lines: Sequence[Line], bad: Iterable[Line]) -> dict[tuple[str, str], bool]:
    """Per stream, whether its failures ended: so many successes since the last one that the rate
    of failures before would make them less than 5 % likely."""
    failed: dict[tuple[str, str], int] = {}
    total: dict[tuple[str, str], int] = {}
    since: dict[tuple[str, str], int] = {}
    failing = set(map(id, bad))
    for line in lines:
        key = stream(line)
        total[key] = total.get(key, 0) + 1
        if id(line) in failing:
            failed[key] = failed.get(key, 0) + 1
            since[key] = 0
        else:
            since[key] = since.get(key, 0) + 1
    out = {}
    for key, count in failed.items():
        rate = count / (total[key] - since[key])
        out[key] = since[key] >= 3 and (1 - rate) ** since[key] < 0.05
    return out


def _pods(view: View, edges: Sequence[EdgeSubject]) -> Iterable[Pod]:
    if not edges:
        return chosen(view)
    found = workloads(view)
    ends = {s for e in edges for s in (e.client, e.server) if s is not None}
    members = [found[(s.namespace, s.name)] for s in ends if (s.namespace, s.name) in found]
    return sorted(
        (p for w in members for p in w.pods if has_proxy(p)), key=lambda p: (p.namespace, p.name)
    )


def _touches(edge: EdgeSubject, edges: Sequence[EdgeSubject]) -> bool:
    return any(
        (edge.server is not None and edge.server == e.server)
        or (edge.service is not None and edge.service == e.service)
        or (e.server is None and edge.host == e.host)
        for e in edges
    )


def words(line: Line) -> str:
    """`503 UC upstream_reset...`: the code, flags and details that a person would quote."""
    parts = [str(line.code)] if line.code else ["connection"]
    if line.flags - {"-", ""}:
        parts.append(",".join(sorted(line.flags)))
    detail = line.details or line.termination
    if detail and detail != "-":
        parts.append(detail)
    return clean(" ".join(parts), 120)


def symptoms(
    some: Iterable[Seen],
    findings: Sequence[Finding],
    concerned: Mapping[int, Collection[str]] | None = None,
    accounts: Mapping[str, str] | None = None,
) -> list[Symptom]:
    """Symptoms as the report says them; `explained_by` names codes of confirmed findings.

    `concerned`: by a finding's rank, the services and workloads it spoils beside its subject.
    `accounts`: by code, words of the failures that it accounts for where it is only advice.
    """
    every = list(some)
    own = [_causes(one, findings, concerned or {}, accounts or {}) for one in every]
    return [
        _symptom(one, codes or _handed_on(one, every, own))
        for one, codes in zip(every, own, strict=True)
    ]


def _causes(
    one: Seen,
    findings: Sequence[Finding],
    concerned: Mapping[int, Collection[str]],
    accounts: Mapping[str, str],
) -> list[str]:
    edge = one.edge
    ends = {str(s) for s in (edge, edge.client, edge.server, edge.service) if s is not None}
    causes = [
        f.code
        for f in findings
        if (f.group in ("main", "folded") or _accounted(one, f, accounts))
        and (
            {f.subject, *f.also_on} & ends
            or f.subject_kind == "mesh"
            or _same_edge(f, edge)
            or one.spoils(concerned.get(f.rank, ()))
        )
    ]
    return list(dict.fromkeys(causes))


def _accounted(one: Seen, finding: Finding, accounts: Mapping[str, str]) -> bool:
    said = accounts.get(finding.code)
    return finding.group == "also_noticed" and bool(said) and str(said) in one.text


def _handed_on(one: Seen, every: Sequence[Seen], causes: Sequence[list[str]]) -> list[str]:
    """What explains the same requests where they failed further on: who handed an answer back
    did not fail itself."""
    if HANDED_ON not in one.text:
        return []
    found = (
        code
        for other, codes in zip(every, causes, strict=True)
        if other.requests & one.requests or _further(one, other)
        for code in codes
    )
    return list(dict.fromkeys(found))


def _further(one: Seen, other: Seen) -> bool:
    """Whether the server that gave an answer was itself answered so, then: a gateway gives
    requests ids of its own."""
    return (
        one.edge.server is not None
        and one.edge.server == other.edge.client
        and one.text.partition(" ")[0] == other.text.partition(" ")[0]
        and bool(one.times and other.times)
        and min(one.times) <= max(other.times) + MOMENT
        and min(other.times) <= max(one.times) + MOMENT
    )


def _symptom(one: Seen, causes: list[str]) -> Symptom:
    times = sorted(one.times)
    return Symptom(
        subject=str(one.edge),
        text=one.text,
        count=one.count,
        first=_time(times[0]) if times else "",
        last=_time(times[-1]) if times else "",
        explained_by=causes,
        look_next="" if causes or one.over else look_next(one.edge),
        over=one.over,
    )


def _same_edge(finding: Finding, edge: EdgeSubject) -> bool:
    """Whether it is about calls to the same target, or of the same client to the same server: one
    may be named by its Service, the other by its pods' address."""
    target = str(edge.service or edge.server or edge.host)
    pair = f"{edge.client} -> {edge.server}:" if edge.client and edge.server else ""
    subjects = (finding.subject, *finding.also_on)
    return any(
        s.endswith(f"-> {target}") or f"-> {target}:" in s or bool(pair) and s.startswith(pair)
        for s in subjects
    )


def look_next(edge: EdgeSubject) -> str:
    """What a person would run for a symptom that no known cause matches."""
    parts = []
    if edge.client is not None:
        parts.append(f"--from {edge.client}")
    target = edge.service or edge.server
    if target is not None:
        parts.append(f"--to {target}:{edge.port}" if edge.port else f"--to {target}")
    elif edge.host:
        parts.append(f"--to {edge.host}:{edge.port}" if edge.port else f"--to {edge.host}")
    return f"meshdoctor diagnose {' '.join(parts)} --explain" if parts else ""


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
