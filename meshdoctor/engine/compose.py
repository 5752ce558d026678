"""How does a run become a report? Pure but for look-ups of objects already read."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from meshdoctor import __version__
from meshdoctor.engine.commands import completed_by_hand, fill_command
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.rank import Ranked, rank
from meshdoctor.engine.symptoms import Seen, seen, symptoms
from meshdoctor.engine.tree import NOT_SEEN, Judgement, fill, plain
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, proxy_container
from meshdoctor.model import report as r
from meshdoctor.model.cause import Exit, Severity, Strength, Verdict
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.edge_seen import edge_seen
from meshdoctor.probes.reading import workloads

if TYPE_CHECKING:
    from meshdoctor.engine.diagnose import Run

_HARMLESS = frozenset({Reason.NOT_FOUND, Reason.NOT_SERVED, Reason.NOT_ASKED})
MOST_ALSO_ON = 20


def compose(run: "Run") -> r.Report:
    """The report of a run: ranked findings, what was ruled out, what could not be seen."""
    changes = Changes(run.evidence)
    asked, called = run.resolved.asked, run.resolved.called
    ranked = rank(run.judgements, asked, changes.time, called=called, works=lambda: _works(run))
    seen_failing = _seen(run)
    findings = [
        _finding(one, position, changes, seen_failing) for position, one in enumerate(ranked, 1)
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
        generated_at=_text(run.evidence.now),
        observed_at=_text(run.evidence.now),
        source=run.source.describe(),
        scope=str(run.scope),
        exit=int(exit_),
        summary=_summary(findings, exit_, coverage),
        partial=run.partial,
        healthy=exit_ is Exit.HEALTHY,
        versions=_versions(run),
        findings=findings,
        ruled_out=_ruled_out(run),
        unseen=unseen,
        symptoms=failing,
        changes=changes.listed(
            ref for f in findings if f.group != "undecided" for ref in f.objects
        ),
        coverage=coverage,
        timings=run.timings,
    )


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


class Changes:
    """When was an object last written, and by whom?"""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def time(self, ref: str) -> datetime | None:
        """The last write to an object's spec or metadata that was seen; None when unknown."""
        found = self._last(ref)
        return found[0] if found else None

    def _last(self, ref: str) -> tuple[datetime, str, str] | None:
        obj = self._evidence.known_object(ref)
        return last_change(obj) if obj is not None else None

    def note(self, ref: str) -> r.ChangeNote | None:
        """The same as the report says it."""
        found = self._last(ref)
        if found is None:
            return None
        at, by, what = found
        return r.ChangeNote(object=ref, at=_text(at), by=clean(by, 60), what=what)

    def listed(self, refs: Iterable[str]) -> list[r.ChangeNote]:
        """Newest first, each object once."""
        notes = [n for n in map(self.note, dict.fromkeys(refs)) if n is not None]
        return sorted(notes, key=lambda n: n.at, reverse=True)


def last_change(obj: Object) -> tuple[datetime, str, str] | None:
    """(time, manager, created or changed) of the newest write outside status."""
    writes = [
        (m.time, m.manager)
        for m in obj.metadata.managed_fields
        if m.time is not None and m.subresource != "status"
    ]
    created = obj.metadata.creation_timestamp
    if not writes:
        return (created, "", "created") if created else None
    at, by = max(writes, key=lambda w: w[0])
    return at, by, "created" if created and abs((at - created).total_seconds()) < 2 else "changed"


def _finding(one: Ranked, position: int, changes: Changes, failing: Sequence[Seen]) -> r.Finding:
    lead = one.lead
    cause = lead.cause
    fix, holes = fill_command(cause.fix, lead.facts)
    return r.Finding(
        code=cause.code,
        name=cause.name,
        title=cause.title,
        verdict=lead.verdict.value,
        strength=lead.strength.value,
        severity=one.severity.value,
        subject_kind=lead.subject.kind.value,
        subject=str(lead.subject),
        group=one.group,
        rank=position,
        mesh=cause.mesh,
        objects=list(lead.objects),
        because=clean(fill(cause.because, lead.facts), 800),
        observed=_seen_of(one, failing),
        trail=_trail(lead),
        explains=list(cause.explains),
        folded=[f"{f.lead.cause.code} {f.lead.cause.title} ({f.lead.subject})" for f in one.folded],
        also_on=[str(m.subject) for m in one.members[1 : MOST_ALSO_ON + 1]],
        changes=changes.listed(lead.objects),
        missing=[missing(m) for m in lead.missing] if lead.verdict is Verdict.UNDECIDED else [],
        fix=clean(fix, 2000),
        by_hand=clean(completed_by_hand(fill(cause.by_hand, lead.facts), holes), 500),
        verify=_verify(lead),
        docs=cause.docs,
        fingerprint=fingerprint(cause.code, str(lead.subject)),
    )


def _verify(lead: Judgement) -> r.VerifyStep:
    """A promise about a value that was not seen is none that a program can check."""
    verify, facts = lead.cause.verify, lead.facts
    told = [
        [text for text in (fill(t, facts) for t in texts) if text and NOT_SEEN not in text]
        for texts in (verify.shows, verify.lacks)
    ]
    return r.VerifyStep(
        run=clean(fill_command(verify.run, facts)[0], 1000),
        expect=clean(fill(verify.expect, facts), 300),
        shows=[clean(text, 300) for text in told[0]],
        lacks=[clean(text, 300) for text in told[1]],
    )


def fingerprint(code: str, subject: str) -> str:
    """Code and subject, hashed: the same across restarts and message changes."""
    return hashlib.sha256(f"{code}\n{subject}".encode()).hexdigest()[:16]


def missing(why: Unavailable) -> r.Missing:
    """Evidence that could not be had, as the report says it."""
    return r.Missing(
        what=clean(why.what, 200),
        reason=why.reason.value,
        detail=clean(why.detail, 300),
        remedy=clean(why.remedy, 300),
    )


def _trail(lead: Judgement) -> list[r.TrailStep]:
    return [
        r.TrailStep(
            ask=step.ask,
            condition=step.condition.text,
            holds=step.holds,
            values={n: _value(lead, n) for n in step.condition.uses},
            commands=_commands(lead, step.condition.uses),
        )
        for step in lead.trail
    ]


def _value(lead: Judgement, name: str) -> str | int | bool | None:
    value = lead.facts.bound.get(name)
    if value is None or isinstance(value, bool | int):
        return value
    return clean(plain(value))


def _commands(lead: Judgement, uses: Sequence[str]) -> list[str]:
    steps = dict.fromkeys(name.partition(".")[0] for name in uses)
    found = (c for s in steps for c in lead.facts.commands.get(s, ()))
    return list(dict.fromkeys(found))[:8]


def _seen_of(one: Ranked, failing: Sequence[Seen]) -> str:
    """What was seen of a finding: itself, or the first consequence of it that was seen."""
    if one.lead.strength is Strength.OBSERVED:
        return _observed(one.lead, failing)
    for child in one.explained():
        if child is not one and child.lead.strength is Strength.OBSERVED:
            cause = child.lead.cause
            told = _observed(child.lead, failing)
            return clean(f"what it explains, {cause.code} {cause.name}: {told}", 300)
    return ""


def _observed(lead: Judgement, failing: Sequence[Seen]) -> str:
    """What was seen: the log lines of this edge when logs decided, else the observed facts."""
    declared = lead.playbook.facts
    logs = {s.name for s in lead.playbook.steps if "log" in s.probe.reads}
    facts: dict[str, str] = {}
    from_logs = False
    for step in lead.trail:
        for name in step.condition.uses if step.holds else ():
            value = lead.facts.bound.get(name)
            if declared[name].observed and value and name not in facts:
                facts[name] = _worded(declared[name].doc, value)
                from_logs = from_logs or name.partition(".")[0] in logs
    lines = [
        one.said() for one in failing if one.concerns(lead.subject) or one.spoils(lead.concerned)
    ][:2]
    if from_logs and lines:
        return clean("; ".join(lines), 300)
    return clean("; ".join(list(dict.fromkeys(facts.values()))[:3]), 300)


def _worded(doc: str, value: object) -> str:
    if isinstance(value, bool):
        return doc
    if isinstance(value, int):
        return f"{value} x {doc}"
    return plain(value) if isinstance(value, str) else f"{doc}: {value}"


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
    for finding in findings:
        for one in finding.missing:
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


def _ruled_out(run: "Run") -> list[r.RuledOut]:
    by_code: dict[str, list[Judgement]] = defaultdict(list)
    for one in run.judgements:
        by_code[one.cause.code].append(one)
    out = []
    for code in sorted(by_code):
        some = by_code[code]
        if all(j.verdict is Verdict.RULED_OUT for j in some):
            text, values = _why_not(some[0])
            out.append(
                r.RuledOut(
                    code=code,
                    name=some[0].cause.name,
                    subjects=run.ruled_out[code],
                    because=text,
                    values=values,
                )
            )
    return out


def _why_not(one: Judgement) -> tuple[str, dict[str, str | int | bool | None]]:
    """The first condition that is false, and the values that it read."""
    rule, bound = one.rule, one.facts.bound
    conditions = [q.when for p in rule.paths[:1] for q in p if q.when]
    if rule.when is not None:
        conditions.append(rule.when)
    for condition in conditions or [rule.whole]:
        if condition.holds(bound) is False:
            return condition.text, {n: _value(one, n) for n in condition.uses if n in bound}
    return rule.whole.text, {n: _value(one, n) for n in rule.whole.uses if n in bound}


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


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
