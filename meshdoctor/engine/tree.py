"""Which causes do the facts confirm, rule out, or leave undecided?

Pure: facts in, judgements out. Every branch is walked; a tree orders questions, it never hides a
second cause.
"""

import re
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from meshdoctor.engine.collect import FactSet
from meshdoctor.engine.conditions import Condition
from meshdoctor.engine.playbook import PLACEHOLDER, Playbook, Question, Rule
from meshdoctor.model.cause import Cause, Strength, Verdict
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Ref, Scalar
from meshdoctor.model.subjects import Subject

NOT_SEEN = "(not seen)"


class TrailStep(Struct, frozen=True, kw_only=True):
    ask: str
    condition: Condition
    holds: bool | None


class Judgement(Struct, frozen=True, kw_only=True):
    """One cause on one subject, with the trail that led there."""

    playbook: Playbook
    rule: Rule
    subject: Subject
    verdict: Verdict
    strength: Strength
    facts: FactSet
    trail: tuple[TrailStep, ...]

    @property
    def cause(self) -> Cause:
        return self.rule.cause

    @property
    def objects(self) -> tuple[str, ...]:
        """References at fault, most guilty first; facts that name none are left out."""
        return self._named(self.cause.at_fault)

    @property
    def concerned(self) -> tuple[str, ...]:
        """References to services and workloads whose calls suffer, beside the subject."""
        return self._named(self.cause.concerns)

    def _named(self, given: tuple[str, ...]) -> tuple[str, ...]:
        refs = []
        for ref in given:
            if ref.startswith("'"):
                text = fill(ref.strip("'"), self.facts)
                refs.append("" if NOT_SEEN in text else text)
            else:
                refs.append(str(self.facts.bound.get(ref, "")))
        return tuple(dict.fromkeys(r for r in refs if r))

    @property
    def missing(self) -> tuple[Unavailable, ...]:
        """The unavailable evidence that keeps the verdict open."""
        out: dict[str, Unavailable] = {}
        for step in self.trail:
            if step.holds is None:
                for name in step.condition.uses:
                    if name in self.facts.unavailable:
                        why = self.facts.unavailable[name]
                        out.setdefault(why.what, why)
        return tuple(out.values())


def judge(
    playbook: Playbook, subject: Subject, facts: FactSet, ruled_out: Counter[str] | None = None
) -> list[Judgement]:
    """Every cause of a playbook on one subject.

    With `ruled_out`, causes ruled out are counted there, and only the first to be so is returned:
    on a whole mesh nearly all are, and each would hold its subject's facts.
    """
    out = []
    for rule in playbook.rules:
        holds = rule.whole.holds(facts.bound)
        if holds is False and ruled_out is not None:
            code = rule.cause.code
            ruled_out[code] += 1
            if ruled_out[code] > 1:
                continue
        out.append(_judgement(playbook, rule, subject, facts, holds))
    return out


def needs(playbook: Playbook, facts: FactSet) -> set[str]:
    """Pending (costly) steps that a still unknown cause asks for."""
    wanted: set[str] = set()
    for rule in playbook.rules:
        if not facts.pending.isdisjoint(rule.whole.steps) and rule.whole.holds(facts.bound) is None:
            wanted |= rule.whole.steps & facts.pending
        seen = rule.observed
        if seen is not None and not facts.pending.isdisjoint(seen.steps):
            wanted |= (seen.steps & facts.pending) if rule.whole.holds(facts.bound) else set()
    return wanted


def _judgement(
    playbook: Playbook, rule: Rule, subject: Subject, facts: FactSet, holds: bool | None
) -> Judgement:
    verdict = {
        True: Verdict.CONFIRMED,
        False: Verdict.RULED_OUT,
        None: Verdict.UNDECIDED,
    }[holds]
    trail: tuple[TrailStep, ...] = ()
    strength = Strength.DERIVED
    if holds is not False:
        trail = _trail(rule, facts.bound)
        strength = _strength(rule, facts)
    return Judgement(
        playbook=playbook,
        rule=rule,
        subject=subject,
        verdict=verdict,
        strength=strength,
        facts=facts,
        trail=trail,
    )


def _strength(rule: Rule, facts: FactSet) -> Strength:
    if rule.cause.suspected:
        return Strength.SUSPECTED
    if rule.observed is not None and rule.observed.holds(facts.bound):
        return Strength.OBSERVED
    if rule.observed_by_itself and rule.observed is None:
        return Strength.OBSERVED
    return Strength.DERIVED


def _trail(rule: Rule, bound: Mapping[str, Scalar]) -> tuple[TrailStep, ...]:
    path = _path(rule, bound)
    steps = [
        TrailStep(ask=q.ask, condition=q.when, holds=q.when.holds(bound)) for q in path if q.when
    ]
    if rule.when is not None:
        last = path[-1].ask if path else rule.cause.title
        steps.append(TrailStep(ask=last, condition=rule.when, holds=rule.when.holds(bound)))
    if rule.observed is not None:
        steps.append(
            TrailStep(
                ask="Is it seen happening?",
                condition=rule.observed,
                holds=rule.observed.holds(bound),
            )
        )
    return tuple(steps)


def _path(rule: Rule, bound: Mapping[str, Scalar]) -> tuple[Question, ...]:
    """The way through the tree that holds, else the first that is not false."""
    open_: tuple[Question, ...] = ()
    for path in rule.paths:
        results = [q.when.holds(bound) for q in path if q.when]
        if all(r is True for r in results):
            return path
        if not open_ and not any(r is False for r in results):
            open_ = path
    return open_ or (rule.paths[0] if rule.paths else ())


def fill(template: str, facts: FactSet) -> str:
    """A template with its facts' values; an unavailable fact reads `(not seen)`, and one that only
    adds to the word before it is left out."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in facts.bound:
            return plain(facts.bound[name])
        before = template[: match.start()][-1:]
        return "" if before == "}" or before.isalnum() else NOT_SEEN

    return PLACEHOLDER.sub(value, template)


def plain(value: Scalar) -> str:
    """A fact as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Ref):
        return value.replace("//", "/")
    return str(value)
