"""Do two ends speak in the mesh as `meshdoctor mtls` says?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import yaml

from meshdoctor.mesh.mtls import MTLS, ONE_WAY, OWN_MTLS
from tests.lab.differential import mtls_cases, offline, real
from tests.lab.differential.case import HTTP, SECOND, SPACES, TARGETS, TLS, Ask, Case
from tests.lab.differential.ground import Ground
from tests.lab.differential.offline import Spoken
from tests.lab.differential.real import Answer
from tests.lab.differential.rounds import Round, close
from tests.lab.differential.tally import FOLDER, Tally

WORKS_MTLS, WORKS_PLAIN, FAILS = "ok mutual TLS", "ok plaintext", "refused"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One call of one case: what was seen of it, and what was said."""

    case: Case
    number: int
    seen: str
    answer: Answer
    said: Spoken

    @property
    def ask(self) -> Ask:
        return self.case.asks[self.number]

    @property
    def expected(self) -> str:
        """What would be seen if the verdict is right, the application's own TLS included.

        The application serves TLS on one port and none elsewhere: where bytes reach it, they
        must be of that kind.
        """
        if self.said.result != "works":
            return FAILS if self.said.result == "fails" else "unknown"
        layers = int(self.ask.tls) + int(self.said.speaks in (ONE_WAY, OWN_MTLS))
        if layers != int(self.ask.target == TARGETS[TLS]):
            return FAILS
        return WORKS_MTLS if self.said.speaks == MTLS else WORKS_PLAIN

    def __str__(self) -> str:
        return shown(self)

    @property
    def agrees(self) -> bool:
        return self.expected in (self.seen, "unknown")


def shown(outcome: Outcome) -> str:
    """A disagreement as a person reads it."""
    case, ask = outcome.case, outcome.ask
    specs = [*case.objects, *mtls_cases.everywhere(case.seed, case.index // len(SPACES))]
    kind = "TLS" if ask.tls else "HTTP" if ask.http else "TCP"
    words = f"{ask.client} -> {ask.place}:{ask.port}{' (pod)' if ask.direct else ''} {kind}"
    reasons = "\n".join(f"    {line}" for line in outcome.said.text.splitlines())
    return (
        f"--- case {case.name} call {outcome.number}: {words}\n"
        f"  real:    {outcome.seen} ({outcome.answer})\n"
        f"  offline: {outcome.expected} ({outcome.said.speaks}, {outcome.said.result})\n"
        f"{reasons}\n{yaml.safe_dump_all(specs, sort_keys=False, width=100)}"
    )


class Calls(Tally[Outcome]):
    """What a run counted."""

    def summary(self) -> str:
        """One paragraph of numbers."""
        kinds = Counter(one.seen for one in self.outcomes)
        unknown = sum(one.expected == "unknown" for one in self.outcomes)
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return (
            f"mtls: {self.cases} cases, {len(self.outcomes)} calls in {self.seconds:.0f} s, "
            f"{len(self.disagreements)} disagreements, {unknown} unknown; {len(self.refused)} "
            f"objects refused by validation; seen: {words}"
        )


def run(ground: Ground, seed: int, indexes: Sequence[int]) -> Calls:
    """Call everything, and ask what the command says of it."""
    tally, last = Calls("mtls"), None
    for number, group in groupby(sorted(indexes), key=lambda index: index // len(SPACES)):
        auto = mtls_cases.AUTO[number % len(mtls_cases.AUTO)]
        if auto != last:
            ground.configure({"enableAutoMtls": auto, "trustDomainAliases": []})
            last = auto
        cases = [mtls_cases.draw(seed, index) for index in group]
        fresh = one_round(ground, seed, number, cases, tally)
        tally.add(number, fresh, "calls")
    tally.end()
    return tally


def one_round(
    ground: Ground, seed: int, number: int, cases: list[Case], tally: Calls
) -> list[Outcome]:
    """One round of cases."""
    made = Round(ground, number)
    items = [item for case in cases for item in case.objects]
    made.apply([*items, *mtls_cases.everywhere(seed, number)])
    tally.refused += made.refused
    asks = [(case, at) for case in cases for at in range(len(case.asks))]
    seen = look(ground, [case.asks[at] for case, at in asks])
    folder = FOLDER / "mtls"
    offline.record(folder, ground.recorded())
    jobs = [(folder, case.asks[at], ground.addresses) for case, at in asks]
    said = offline.every(offline.spoken, jobs)
    found = [
        Outcome(case=case, number=at, seen=word, answer=answer, said=words)
        for (case, at), (word, answer), words in zip(asks, seen, said, strict=True)
    ]
    doubtful = [one for one in found if not one.agrees]
    if not doubtful:
        return found
    close(ground)
    again = look(ground, [one.ask for one in doubtful])
    fresh = dict(zip(map(id, doubtful), again, strict=True))
    return [
        replace(one, seen=fresh[id(one)][0], answer=fresh[id(one)][1]) if id(one) in fresh else one
        for one in found
    ]


def look(ground: Ground, asks: Sequence[Ask]) -> list[tuple[str, Answer]]:
    """Make the calls and see what was spoken: by the certificate that the server's proxy told
    the application of, or by the server name in its log."""
    answers = real.ask_all(ground, [(ask, "dif") for ask in asks])
    calls = list(zip(asks, answers, strict=True))
    opaque = [one for one in calls if one[1].decision == real.ALLOW and not told(*one)]
    if opaque:
        # A connection of a TCP chain is logged when it ends.
        close(ground)
    names = iter(real.server_names(ground, opaque))
    out = []
    for ask, answer in calls:
        if answer.decision != real.ALLOW:
            out.append((FAILS, answer))
            continue
        if told(ask, answer):
            mutual = "x-forwarded-client-cert" in json.loads(answer.text)
        else:
            mutual = (next(names) or "").startswith("outbound_")
        out.append((WORKS_MTLS if mutual else WORKS_PLAIN, answer))
    return out


def told(ask: Ask, answer: Answer) -> bool:
    """Whether the answer itself holds the headers that the application saw, from an HTTP chain."""
    return ask.target in (TARGETS[HTTP], TARGETS[SECOND]) and answer.text.startswith("{")
