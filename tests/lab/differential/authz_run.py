"""Do policies decide in the mesh as `meshdoctor authz` says?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import yaml

from tests.lab.differential import offline, policies, real
from tests.lab.differential.case import JUDGES, Ask, Case, Object
from tests.lab.differential.ground import Ground
from tests.lab.differential.offline import Said
from tests.lab.differential.real import Answer
from tests.lab.differential.rounds import Round, close
from tests.lab.differential.tally import FOLDER, Tally
from tests.lab.differential.world import authorizers

RUN = f"{time.time():.0f}"
"""Tells the log lines of this run from those of others."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One request of one case, answered twice."""

    case: Case
    number: int
    answer: Answer
    said: Said
    logged: str | None = None

    @property
    def ask(self) -> Ask:
        return self.case.asks[self.number]

    @property
    def agent(self) -> str:
        """The user agent of the request, by which its log line is found."""
        return agent(self.case, self.number)

    def __str__(self) -> str:
        return shown(self)

    @property
    def agrees(self) -> bool:
        """Whether decision and status are the same, and the reason that the proxy logged;
        "not known" contradicts nothing but the one answer that the external authorizer has."""
        if self.said.decision == "unknown":
            asked = any("external authorizer" in need for need in self.said.needs)
            if asked and self.ask.header("x-deny"):
                return self.answer.decision == real.DENY
            return self.answer.decision != real.OTHER
        same = self.answer.decision == self.said.decision
        if self.logged is not None and self.said.details and same:
            same = self.logged == self.said.details
        return same and (not self.said.status or self.said.status == self.answer.status)


def agent(case: Case, number: int) -> str:
    """The user agent of one request of a case."""
    return f"dif/{case.seed}.{case.index}.{number}.{RUN}"


def shown(outcome: Outcome) -> str:
    """A disagreement as a person reads it: the objects, the request, both answers."""
    case, ask = outcome.case, outcome.ask
    specs = [*case.objects, *policies.everywhere(case.seed, case.index // len(JUDGES))]
    text = yaml.safe_dump_all(specs, sort_keys=False, width=100)
    words = f"{ask.client} -> {ask.space}/server:{ask.port}{' (pod)' if ask.direct else ''}"
    if ask.http:
        words += f" {ask.method} {ask.path} host {ask.authority} {dict(ask.headers)}"
    reasons = "\n".join(f"    {line}" for line in outcome.said.reasoning)
    return (
        f"--- case {case.name} request {outcome.number}: {words}\n"
        f"  real:    {outcome.answer} {outcome.logged or ''}\n"
        f"  offline: {outcome.said}\n{reasons}\n{text}"
    )


class Requests(Tally[Outcome]):
    """What a run counted."""

    def summary(self) -> str:
        """One paragraph of numbers."""
        kinds = Counter(f"{one.said.action or 'none'} {one.said.decision}" for one in self.outcomes)
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        unknown = sum(one.said.decision == "unknown" for one in self.outcomes)
        named = sum(bool(one.logged) for one in self.outcomes)
        return (
            f"authz: {self.cases} cases, {len(self.outcomes)} requests in {self.seconds:.0f} s, "
            f"{len(self.disagreements)} disagreements, {unknown} not known offline; {named} "
            f"denials with the reason that the proxy logged; {len(self.refused)} objects refused "
            f"by validation; offline: {words}"
        )


def rounds(seed: int, indexes: Sequence[int]) -> Iterator[tuple[int, list[Case]]]:
    """Cases in rounds of one for each server; a case is always in the same round."""
    for number, group in groupby(sorted(indexes), key=lambda index: index // len(JUDGES)):
        yield number, [policies.draw(seed, index) for index in group]


def mode_of(number: int) -> tuple[str, tuple[str, ...]]:
    """The mesh's path normalisation and trust domain aliases in a round."""
    return (
        policies.MODES[number // 4 % len(policies.MODES)],
        policies.ALIASES[number // 4 % len(policies.ALIASES)],
    )


def run(ground: Ground, seed: int, indexes: Sequence[int]) -> Requests:
    """Ask everything, and what the command says of it."""
    tally, last = Requests("authz"), None
    for number, cases in rounds(seed, indexes):
        mode = mode_of(number)
        if mode != last:
            changes: Object = {"pathNormalization": {"normalization": mode[0]}}
            changes["extensionProviders"] = authorizers()
            changes["trustDomainAliases"] = list(mode[1])
            changes["enableAutoMtls"] = True
            ground.configure(changes)
            last = mode
        fresh = one_round(ground, seed, number, cases, tally)
        tally.add(number, fresh, "requests")
    tally.outcomes = reasons(ground, tally.outcomes)
    tally.write(tally.disagreements)
    tally.end()
    return tally


def reasons(ground: Ground, found: list[Outcome]) -> list[Outcome]:
    """The outcomes with what the servers' proxies logged of each denied request."""
    time.sleep(2)
    lines = {
        (place, line.user_agent): line.details
        for place in sorted({one.ask.place for one in found})
        for line in real.log_lines(ground, place)
    }
    return [
        replace(one, logged=lines.get((one.ask.place, one.agent)))
        if one.ask.http and one.answer.decision == real.DENY
        else one
        for one in found
    ]


def one_round(
    ground: Ground, seed: int, number: int, cases: list[Case], tally: Requests
) -> list[Outcome]:
    """One round of cases."""
    made = Round(ground, number)
    items = [item for case in cases for item in case.objects]
    made.apply([*items, *policies.everywhere(seed, number)])
    tally.refused += made.refused
    asks = [(case, at) for case in cases for at in range(len(case.asks))]
    answers = real.ask_all(ground, [(case.asks[at], agent(case, at)) for case, at in asks])
    folder = FOLDER / "authz"
    offline.record(folder, ground.recorded())
    jobs = [
        (folder, case.asks[at], agent(case, at), ground.addresses[case.asks[at].client])
        for case, at in asks
    ]
    said = offline.every(offline.authorized, jobs)
    found = [
        Outcome(case=case, number=at, answer=answer, said=word)
        for (case, at), answer, word in zip(asks, answers, said, strict=True)
    ]
    return _again(ground, found)


def _again(ground: Ground, found: list[Outcome]) -> list[Outcome]:
    """Ask once more where the two differ: a pooled connection may have broken under a request,
    or have answered under the policies of the round before. What differs for good differs again.
    """
    doubtful = [one for one in found if not one.agrees]
    if not doubtful:
        return found
    close(ground)
    answers = real.ask_all(ground, [(one.ask, one.agent) for one in doubtful])
    fresh = dict(zip(map(id, doubtful), answers, strict=True))
    return [replace(one, answer=fresh.get(id(one), one.answer)) for one in found]
