"""How does a judgement become a finding of the report, or one that was ruled out?"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshdoctor.engine.changes import Changes
from meshdoctor.engine.commands import completed_by_hand, fill_command
from meshdoctor.engine.rank import Ranked
from meshdoctor.engine.symptoms import Seen
from meshdoctor.engine.tree import NOT_SEEN, Judgement, fill, plain
from meshdoctor.mesh.text import clean
from meshdoctor.model import report as r
from meshdoctor.model.cause import Strength, Verdict
from meshdoctor.model.evidence import Unavailable

if TYPE_CHECKING:
    from meshdoctor.engine.diagnose import Run

MOST_ALSO_ON = 20


def finding(one: Ranked, position: int, changes: Changes, failing: Sequence[Seen]) -> r.Finding:
    """A ranked cause as the report shows it; `failing` are the calls that were seen to fail."""
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


def ruled_out(run: "Run") -> list[r.RuledOut]:
    """Causes that no subject has, with what decided against the first one."""
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
