"""How does a run become a report? Pure but for look-ups of objects already read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshdoctor import __version__
from meshdoctor.engine.changes import Changes, text_of
from meshdoctor.engine.evidence import RecordingView
from meshdoctor.engine.findings import finding, missing, ruled_out
from meshdoctor.engine.rank import Ranked, rank
from meshdoctor.engine.symptoms import Seen, seen, symptoms
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, proxy_container
from meshdoctor.model import report as r
from meshdoctor.model.cause import Exit, Severity, Verdict
from meshdoctor.model.evidence import Reason
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.edge_seen import edge_seen
from meshdoctor.probes.reading import workloads

if TYPE_CHECKING:
    from meshdoctor.engine.diagnose import Run

_HARMLESS = frozenset({Reason.NOT_FOUND, Reason.NOT_SERVED, Reason.NOT_ASKED})


def compose(run: "Run") -> r.Report:
    """The report of a run: ranked findings, what was ruled out, what could not be seen."""
    changes = Changes(run.evidence)
    asked, called = run.resolved.asked, run.resolved.called
    ranked = rank(run.judgements, asked, changes.time, called=called, works=lambda: _works(run))
    seen_failing = _seen(run)
    findings = [
        finding(one, position, changes, seen_failing) for position, one in enumerate(ranked, 1)
    ]
    unseen = _unseen(run, findings)
    concerned = {n: one.concerned for n, one in enumerate(ranked, 1)}
    accounts = {one.lead.cause.code: one.lead.cause.symptom for one in ranked}
    failing = symptoms(seen_failing, findings, concerned, accounts)
    exit_ = _exit(run, ranked, unseen, failing)
    coverage = _coverage(run)
    return r.Report(
        schema=r.SCHEMA,
        tool_version=__version__,
        generated_at=text_of(run.evidence.now),
        observed_at=text_of(run.evidence.now),
        source=run.source.describe(),
        scope=str(run.scope),
        exit=int(exit_),
        summary=_summary(findings, exit_, coverage),
        partial=run.partial,
        healthy=exit_ is Exit.HEALTHY,
        versions=_versions(run),
        findings=findings,
        ruled_out=ruled_out(run),
        unseen=unseen,
        symptoms=failing,
        changes=_changes(run, changes, findings, exit_),
        coverage=coverage,
        timings=run.timings,
    )


def _changes(
    run: "Run", changes: Changes, findings: Sequence[r.Finding], exit_: Exit
) -> list[r.ChangeNote]:
    """Of the objects of findings; where no cause is known, of whatever was judged too."""
    if exit_ is Exit.INCOMPLETE and not any(f.group == "main" for f in findings):
        some = run.resolved.subjects
        judged = [
            *(str(one) for one in some.get(SubjectKind.CONFIG, ())),
            *(
                one.ref
                for one in some.get(SubjectKind.WORKLOAD, ())
                if isinstance(one, WorkloadSubject)
            ),
            *(f"Service/{one}" for one in some.get(SubjectKind.SERVICE, ())),
        ]
        return changes.lately(judged, run.evidence.now)
    return changes.listed(ref for f in findings if f.group != "undecided" for ref in f.objects)


def _coverage(run: "Run") -> r.Coverage:
    reads, objects = run.evidence.counts()
    logs, proxies = (0, 0) if run.scope.pair else _logs(run)
    aside = run.evidence.set_aside()
    return r.Coverage(
        subjects={k.value: len(v) for k, v in sorted(run.resolved.subjects.items()) if v},
        reads=reads,
        objects=objects,
        set_aside=[clean(f"{a.ref} in {a.where}: {a.problem}") for a in aside],
        logs=logs,
        proxies=proxies,
    )


def _logs(run: "Run") -> tuple[int, int]:
    """(workloads of which an access log was read, workloads with a proxy); zeros when Pods may
    not be read."""
    try:
        found = workloads(RecordingView(run.evidence)).values()
    except EvidenceError:
        return 0, 0
    read = run.evidence.logs_of(PROXY)
    known = [w.envoys for w in found if w.envoys]
    return sum(any((p.namespace, p.name) in read for p in pods) for pods in known), len(known)


def _seen(run: "Run") -> list[Seen]:
    if run.partial:
        return []
    edges = run.resolved.edges if run.scope.pair else ()
    try:
        return seen(RecordingView(run.evidence), edges)
    except EvidenceError:
        return []


def _works(run: "Run") -> bool:
    """Whether the logs show every call asked about at work."""
    if run.partial or not run.scope.pair or not run.resolved.edges:
        return False
    view = RecordingView(run.evidence)
    try:
        return all(edge_seen.run(view, edge).working is True for edge in run.resolved.edges)
    except EvidenceError:
        return False


def _unseen(run: "Run", findings: Sequence[r.Finding]) -> list[r.Missing]:
    """Reads that failed, and what undecided findings miss; each once."""
    out = {
        why.what: missing(why)
        for why in (
            *run.evidence.failures(),
            *run.source.failed_reads(),
            *([run.cut] if run.cut else []),
        )
        if why.reason not in _HARMLESS
    }
    for found in findings:
        for one in found.missing:
            out.setdefault(one.what, one)
    return [out[what] for what in sorted(out)]


def _exit(
    run: "Run",
    ranked: Sequence[Ranked],
    unseen: Sequence[r.Missing],
    failing: Sequence[r.Symptom],
) -> Exit:
    threshold = run.options.fail_on.rank
    confirmed = [
        one
        for one in ranked
        if one.lead.verdict is Verdict.CONFIRMED
        and one.lead.cause.severity.rank <= threshold
        and not one.aside
    ]
    if confirmed:
        return Exit.CONFIRMED
    undecided = any(one.lead.verdict is Verdict.UNDECIDED for one in ranked)
    unexplained = any(not s.explained_by and not s.over for s in failing)
    if undecided or unseen or unexplained or run.partial or not run.judgements:
        return Exit.INCOMPLETE
    return Exit.HEALTHY


def _summary(findings: Sequence[r.Finding], exit_: Exit, coverage: r.Coverage) -> str:
    main = [f for f in findings if f.group == "main"]
    undecided = sum(f.group == "undecided" for f in findings)
    if main:
        return f"{len(main)} cause{'s' if len(main) > 1 else ''} confirmed"
    aside = sum(
        f.group == "also_noticed" and f.severity != Severity.HYGIENE.value for f in findings
    )
    if exit_ is Exit.HEALTHY and aside:
        return f"healthy: the call works; {aside} noticed beside it, on other calls"
    if exit_ is Exit.HEALTHY and coverage.logs < coverage.proxies:
        return f"healthy: nothing is wrong; logs of {coverage.logs} in {coverage.proxies} read"
    if exit_ is Exit.HEALTHY:
        return "healthy: everything was seen, nothing is wrong"
    if undecided:
        return f"nothing confirmed, {undecided} undecided"
    return "nothing confirmed, but not everything could be seen"


def _versions(run: "Run") -> dict[str, str]:
    out = dict(run.source.defaults().versions)
    try:
        from_pods = _image_versions(run)
    except EvidenceError:
        from_pods = {}
    return {**out, **from_pods}


def _image_versions(run: "Run") -> dict[str, str]:
    images: dict[str, set[str]] = {"istiod": set(), "proxies": set()}
    for workload in workloads(RecordingView(run.evidence)).values():
        for pod in workload.pods:
            images["istiod"].update(c.image for c in pod.spec.containers if c.name == "discovery")
            proxy = proxy_container(pod)
            if proxy is not None:
                images["proxies"].add(proxy.image)
    tags = {part: {_tag(image) for image in found} - {""} for part, found in images.items()}
    return {part: ", ".join(sorted(found)) for part, found in tags.items() if found}


def _tag(image: str) -> str:
    name = image.partition("@")[0].rpartition("/")[2]
    return clean(name.partition(":")[2].partition("-distroless")[0], 40)
