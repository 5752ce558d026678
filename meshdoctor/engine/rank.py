"""In which order do causes explain what is seen, and which are consequences?

Pure. Sort key: verdict, strength of evidence, whether it concerns the subject asked about,
severity, nearness of the last change to the objects at fault, code. Strength and severity are
also those of the consequences that are folded under a cause.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct, field

from meshdoctor.engine.tree import Judgement
from meshdoctor.mesh.concerns import HOST_KINDS
from meshdoctor.model.cause import Severity, Strength, Verdict
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    MeshSubject,
    NodeSubject,
    ServiceSubject,
    WorkloadSubject,
)

BY_HOST = HOST_KINDS | {"Gateway"}
"""Kinds of objects that act on calls by the host that is called."""
LastChange = Callable[[str], datetime | None]


class Ranked(Struct):
    """A group of judgements that are one finding: same cause, same objects at fault. `aside`: it
    is about other calls than the one asked about, which needs no further cause."""

    lead: Judgement
    members: list[Judgement]
    asked: bool
    changed: datetime | None
    group: str = "main"
    aside: bool = False
    folded: list["Ranked"] = field(default_factory=list)

    @property
    def concerned(self) -> frozenset[str]:
        """The services and workloads that any member concerns."""
        return frozenset(ref for member in self.members for ref in member.concerned)

    @property
    def severity(self) -> Severity:
        """Its own, or that of the worst failure it brought about."""
        return min((r.lead.cause.severity for r in self.explained()), key=lambda s: s.rank)

    @property
    def strength(self) -> Strength:
        """Its own, or that of the best seen failure it brought about."""
        return min((r.lead.strength for r in self.explained()), key=lambda s: s.rank)

    def explained(self) -> Iterable["Ranked"]:
        """Itself and all that is folded under it."""
        yield self
        for one in self.folded:
            yield from one.explained()

    @property
    def key(self) -> tuple[object, ...]:
        cause = self.lead.cause
        return (
            self.lead.verdict.rank,
            self.strength.rank,
            not self.asked,
            self.severity.rank,
            self.lead.strength.rank,
            -(self.changed.timestamp() if self.changed else 0.0),
            cause.code,
            str(self.lead.subject),
        )


def rank(
    judgements: Iterable[Judgement],
    asked: frozenset[str],
    last_change: LastChange,
    *,
    called: frozenset[str] | None = None,
    works: Callable[[], bool] = lambda: False,
) -> list[Ranked]:
    """Findings in order; consequences folded under their cause, advice marked also_noticed.
    `called`: of those asked about what does not merely call (None: all); routes and rules concern
    a call by the host that it calls. `works`: whether the call asked about is seen to work; asked
    only where it matters."""
    names = Names(asked=asked, called=asked if called is None else called)
    ranked = sorted(_grouped(judgements, names, last_change), key=lambda r: r.key)
    confirmed = [r for r in ranked if r.lead.verdict is Verdict.CONFIRMED]
    _fold(confirmed)
    _set_aside([r for r in confirmed if r.group == "main"], works)
    _demote([r for r in confirmed if r.group == "main"])
    for one in ranked:
        if one.lead.verdict is Verdict.UNDECIDED:
            one.group = "undecided"
    order = {"main": 0, "folded": 1, "also_noticed": 2, "undecided": 3}
    return sorted(ranked, key=lambda r: (order[r.group], r.key))


class Names(Struct, frozen=True, kw_only=True):
    """Of a pair: who is asked about, and who of them is called."""

    asked: frozenset[str]
    called: frozenset[str]


def _grouped(
    judgements: Iterable[Judgement], names: Names, last_change: LastChange
) -> list[Ranked]:
    groups: dict[tuple[object, ...], list[Judgement]] = defaultdict(list)
    for one in judgements:
        if one.verdict is Verdict.RULED_OUT:
            continue
        what = one.objects or (str(one.subject),)
        if one.verdict is Verdict.UNDECIDED:
            what = tuple(sorted({m.reason for m in one.missing}))
        groups[(one.cause.code, one.verdict, what)].append(one)
    out = []
    for members in groups.values():
        members.sort(key=lambda j: (j.strength.rank, not _is_asked(j, names), str(j.subject)))
        lead = members[0]
        changes = [c for c in map(last_change, lead.objects) if c is not None]
        out.append(
            Ranked(
                lead=lead,
                members=members,
                asked=not names.asked or any(_is_asked(m, names) for m in members),
                changed=max(changes, default=None),
            )
        )
    return out


def _is_asked(one: Judgement, names: Names) -> bool:
    wanted = names.called if _acts_on_host(one) else names.asked
    return str(one.subject) in wanted or any(_name(ref) in wanted for ref in one.concerned)


def _name(ref: str) -> str:
    """`Service/shop/pay` as a subject says it: `shop/pay`."""
    return ref.partition("/")[2]


def _fold(confirmed: list[Ranked]) -> None:
    """A finding that another one explains, on related subjects, goes under it.

    Advice that explains a failure is its cause: it is no mere advice any more, and ranks as what
    it brought about.
    """
    for one in confirmed:
        parents = [
            p
            for p in confirmed
            if p is not one
            and one.lead.cause.code in p.lead.cause.explains
            and not _below(p, one)
            and not _guess_over_failure(p, one)
            and _related(p, one)
        ]
        if parents:
            one.group = "folded"
            parents[0].folded.append(one)


def _guess_over_failure(parent: Ranked, child: Ranked) -> bool:
    """A correlation hides no failure that is known better."""
    guess = Strength.SUSPECTED
    return parent.lead.strength is guess and child.lead.strength is not guess


def _below(child: Ranked, ancestor: Ranked) -> bool:
    """Whether `child` is already folded somewhere under `ancestor`: no cycles."""
    return any(f is child or _below(child, f) for f in ancestor.folded)


def _related(parent: Ranked, child: Ranked) -> bool:
    """Same object at fault, a subject in common (or one that the parent concerns), or a parent as
    wide as a mesh or a node. A workload or a service explains its neighbours in a namespace only
    where it touches them."""
    if isinstance(parent.lead.subject, MeshSubject | NodeSubject):
        return True
    if set(parent.lead.objects) & set(child.lead.objects):
        return True
    if isinstance(parent.lead.subject, WorkloadSubject | ServiceSubject):
        return bool(_ends(parent) & _touched(child))
    return bool(_touched(parent) & _touched(child))


def _touched(one: Ranked) -> set[str]:
    spaces = {getattr(member.subject, "namespace", "") for member in one.members}
    return _ends(one) | (spaces - {""})


def _ends(one: Ranked) -> set[str]:
    out: set[str] = set()
    for member in one.members:
        subject = member.subject
        out.add(str(subject))
        if isinstance(subject, EdgeSubject):
            out |= {str(s) for s in (subject.client, subject.server, subject.service) if s}
        out |= {_name(ref) for ref in member.concerned}
    return out


def _set_aside(main: list[Ranked], works: Callable[[], bool]) -> None:
    """Mistakes in routes, rules and entries for other hosts than the one called, where the call
    asked about has its cause or works. Of policies nothing is said: what they leave open works."""
    others = [one for one in main if not one.asked and _by_host(one)]
    explained = any(one.asked and one.severity is not Severity.HYGIENE for one in main)
    for one in others if others and (explained or works()) else ():
        one.aside = True


def _by_host(one: Ranked) -> bool:
    return all(_acts_on_host(member) for member in one.members)


def _acts_on_host(one: Judgement) -> bool:
    return isinstance(one.subject, ConfigSubject) and one.subject.config_kind in BY_HOST


def _demote(main: list[Ranked]) -> None:
    """Advice, and derived causes beside an observed one on the same subject: also noticed."""
    observed: set[str] = set()
    for one in main:
        if one.strength is Strength.OBSERVED and one.severity is not Severity.HYGIENE:
            observed |= _ends(one)
    for one in main:
        advice = one.severity is Severity.HYGIENE
        seen = one.strength is Strength.OBSERVED
        if one.aside or advice or (not seen and _ends(one) & observed):
            one.group = "also_noticed"
