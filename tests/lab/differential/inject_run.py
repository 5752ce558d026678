"""Would a pod get its sidecar as `meshdoctor inject-check` says?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from click.testing import CliRunner

from meshdoctor.cli.inject_check import inject_check
from tests.lab.api import Object
from tests.lab.differential import inject_cases, offline
from tests.lab.differential.inject_cases import SIZE, InjectCase, Surroundings, without_injection
from tests.lab.differential.inject_ground import InjectGround
from tests.lab.differential.tally import FOLDER, Tally


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One pod of one case: what was seen of it, and what was said."""

    case: InjectCase
    number: int
    around: Surroundings
    seen: str
    words: str
    said: str
    why: str

    @property
    def agrees(self) -> bool:
        return self.said in (self.seen, "undecided")

    def __str__(self) -> str:
        objects = [*self.case.objects, self.case.pods[self.number]]
        return (
            f"--- case {self.case.name} pod {self.number} in {self.case.namespace} "
            f"{self.case.labels}\n  round:   {self.around}\n"
            f"  real:    {self.seen} {self.words}\n  offline: {self.said} {self.why}\n"
            f"{yaml.safe_dump_all(objects, sort_keys=False, width=100)}"
        )


class Pods(Tally[Outcome]):
    """What a run counted."""

    dropped: int = 0

    def summary(self) -> str:
        """One paragraph of numbers."""
        kinds = Counter(one.seen for one in self.outcomes)
        unknown = sum(one.said == "undecided" for one in self.outcomes)
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return (
            f"inject: {self.cases} cases, {len(self.outcomes)} pods in {self.seconds:.0f} s, "
            f"{len(self.disagreements)} disagreements, {unknown} unknown; {self.dropped} pods "
            f"refused without a sidecar too; seen: {words}"
        )


def said(folder: Path, pod: Object) -> tuple[str, str]:
    """The outcome that the command tells of a manifest, and its reasons."""
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pod, file)
        file.flush()
        namespace = pod["metadata"]["namespace"]
        argv = ["-f", file.name, "-n", namespace, "--bundle", str(folder), "-o", "json"]
        done = CliRunner().invoke(inject_check, argv)
    if done.exit_code not in (0, 1, 3) or not done.stdout.startswith("{"):
        return "error", f"{done.output[-300:]} {done.exception!r}"
    row: dict[str, Any] = json.loads(done.stdout)["workloads"][0]
    reasons = [row["clause"], row["because"], *row["refusals"], *row["not_seen"]]
    return str(row["outcome"]), "; ".join(reasons)


def run(ground: InjectGround, seed: int, indexes: Sequence[int]) -> Pods:
    """Ask for every pod, and ask what the command says of it."""
    tally = Pods("inject")
    for number, group in groupby(sorted(indexes), key=lambda index: index // SIZE):
        cases = inject_cases.every(seed, list(group))
        around = inject_cases.around(seed, number)
        ground.surround(around, number)
        ground.lay_out(cases)
        time.sleep(0.5)
        tally.add(number, one_round(ground, around, cases, tally), "pods")
    tally.end()
    return tally


def one_round(
    ground: InjectGround, around: Surroundings, cases: list[InjectCase], tally: Pods
) -> list[Outcome]:
    """One round of cases. A pod that is refused without injection too says nothing and is left
    out; what differs is asked once more, for the API server learns of labels a little later."""
    folder = FOLDER / "inject"
    offline.record(folder, ground.recorded())
    asks = [(case, at) for case in cases for at in range(len(case.pods))]
    fit = [(c, at) for c, at in asks if ground.asked(without_injection(c.pods[at]))[0] != "refused"]
    tally.dropped += len(asks) - len(fit)
    told = offline.every(said, [(folder, case.pods[at]) for case, at in fit])
    found = []
    for (case, at), (outcome, why) in zip(fit, told, strict=True):
        seen, words = ground.asked(case.pods[at])
        one = Outcome(
            case=case, number=at, around=around, seen=seen, words=words, said=outcome, why=why
        )
        if not one.agrees:
            time.sleep(0.5)
            seen, words = ground.asked(case.pods[at])
            one = replace(one, seen=seen, words=words)
        found.append(one)
    return found
