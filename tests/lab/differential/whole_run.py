"""Does `meshdoctor diagnose` name a cause where a call fails, and none where it works?

No truth is known of a drawn case but this: whether the call works. What is named first is kept for
a reader.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import yaml
from click.testing import CliRunner

from meshdoctor.cli.diagnose import diagnose
from tests.lab.api import Object
from tests.lab.differential import real, whole_cases
from tests.lab.differential.case import SERVICE, SPACES, Ask
from tests.lab.differential.ground import Ground
from tests.lab.differential.real import Answer
from tests.lab.differential.rounds import Round, close
from tests.lab.differential.tally import FOLDER, Tally
from tests.lab.differential.whole_cases import WholeCase
from tests.lab.differential.world import PORT_NAMES
from tests.lab.processes import LabError

CALLS = 3
QUIET = 15
"""Seconds between the making of a round's objects and its calls, so that no diagnosis, which reads
logs since these calls, hears of earlier ones."""
LOGGED = 3.0
"""Seconds until a proxy's log holds a call for certain."""
EXPORT = "networking.istio.io/exportTo"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One case: what the call did, which causes the report leads with, the first one first, and
    which of them say that this call fails: `alarms`."""

    case: WholeCase
    answers: tuple[Answer, ...]
    named: tuple[str, ...]
    alarms: tuple[str, ...]
    blamed: str
    report: str
    everywhere: tuple[Object, ...]

    number: int = 0

    @property
    def mine(self) -> bool:
        """Whether what is named has to do with this case: its objects, its server, its round."""
        words = (
            f"/dif-{self.case.index}-",
            f"{self.case.space}/",
            f".{self.case.space}",
            "-round-",
        )
        return any(word in self.blamed for word in words)

    @property
    def works(self) -> bool | None:
        """None: now it works, now it does not."""
        good = {one.decision == real.ALLOW for one in self.answers}
        return good.pop() if len(good) == 1 else None

    @property
    def agrees(self) -> bool:
        if self.works is None:
            return True
        return not self.alarms if self.works else bool(self.named) and self.mine

    def __str__(self) -> str:
        ask = self.case.ask
        words = f"{ask.client} -> {ask.place}:{ask.port} {ask.path} {dict(ask.headers)}"
        specs = [*self.case.objects, *self.everywhere]
        return (
            f"--- case {self.case.name}: {words} service {self.case.service}\n"
            f"  real:  {'; '.join(map(str, self.answers))}\n  named: {', '.join(self.named)}\n"
            f"{self.report}\n{yaml.safe_dump_all(specs, sort_keys=False, width=100)}"
        )


class Reports(Tally[Outcome]):
    """What a run counted."""

    def summary(self) -> str:
        """One paragraph of numbers."""
        works = sum(one.works is True for one in self.outcomes)
        fails = sum(one.works is False for one in self.outcomes)
        alarms = sum(one.works is True for one in self.disagreements)
        firsts = Counter(one.named[0] for one in self.outcomes if one.named)
        words = ", ".join(f"{count} {code}" for code, count in firsts.most_common())
        return (
            f"whole: {self.cases} cases in {self.seconds:.0f} s; {works} calls work, {alarms} of "
            f"them with an alarm; {fails} fail, {len(self.disagreements) - alarms} of them without "
            f"a cause; named first: {words}"
        )


def told(ask: Ask, called: float) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """The causes that a live diagnosis of one call leads with; those among them that say that it
    fails, not only that configuration is wrong; and the report in short."""
    argv = ["--from", ask.client, "--to", f"{ask.place}:{ask.port}", "--since"]
    argv.append(f"{math.ceil(time.monotonic() - called) + 1}s")
    if ask.http:
        argv += ["--request", f"{ask.method} {ask.path}", "-H", f"host:{ask.authority}"]
        argv += [word for name, value in ask.headers for word in ("-H", f"{name}:{value}")]
    done = CliRunner().invoke(diagnose, [*argv, "-q", "-o", "json"])
    if not done.stdout.startswith("{"):
        raise LabError(f"diagnose: exit {done.exit_code}: {done.output[-500:]} {done.exception!r}")
    body: dict[str, Any] = json.loads(done.stdout)
    led = [one for one in body["findings"] if one["group"] == "main"]
    lines = [
        f"  {one['code']} {one['group']} {one['severity']} {one.get('strength')} {one['subject']}"
        f": {one['because']}"
        for one in body["findings"]
        if one["verdict"] == "confirmed"
    ]
    alarms = [
        one["code"]
        for one in led
        if one["severity"] in ("outage", "partial")
        and (one["strength"] == "observed" or one["subject_kind"] != "config")
    ]
    blamed = f"{led[0]['subject']} {led[0]['objects']} {led[0]['because']}" if led else ""
    return tuple(one["code"] for one in led), tuple(alarms), blamed, "\n".join(lines[:8])


def run(ground: Ground, seed: int, indexes: Sequence[int]) -> Reports:
    """Make the calls of every case, and diagnose each."""
    tally = Reports("whole")
    ground.configure({"enableAutoMtls": True, "trustDomainAliases": []})
    services = Services(ground)
    try:
        for number, group in groupby(sorted(indexes), key=lambda index: index // len(SPACES)):
            cases = [whole_cases.draw(seed, index) for index in group]
            tally.add(number, one_round(ground, services, cases, (seed, number), tally), "cases")
    finally:
        services.restore()
    tally.end()
    return tally


def one_round(
    ground: Ground,
    services: Services,
    cases: list[WholeCase],
    place: tuple[int, int],
    tally: Reports,
) -> list[Outcome]:
    """One round of cases."""
    everywhere = whole_cases.everywhere(*place)
    services.change(cases)
    begun = time.monotonic()
    made = Round(ground, place[1])
    made.apply([*(item for case in cases for item in case.objects), *everywhere])
    tally.refused += made.refused
    time.sleep(max(1.0, QUIET - (time.monotonic() - begun)))
    close(ground)
    called = time.monotonic()
    answers = [real.ask_all(ground, [(case.ask, "dif") for case in cases]) for _ in range(CALLS)]
    time.sleep(LOGGED)
    found = []
    folder = FOLDER / "whole"
    folder.mkdir(parents=True, exist_ok=True)
    for at, case in enumerate(cases):
        named, alarms, blamed, report = told(case.ask, called)
        one = Outcome(
            case=case,
            answers=tuple(round_[at] for round_ in answers),
            named=named,
            alarms=alarms,
            blamed=blamed,
            report=report,
            everywhere=tuple(everywhere),
        )
        (folder / f"{case.seed}-{case.index}.txt").write_text(str(one))
        found.append(one)
    return found


class Services:
    """The servers' Services, changed for a round and put back."""

    def __init__(self, ground: Ground) -> None:
        self._api = ground.api
        self._kept = {space: self._api.get(self._path(space)) for space in SPACES}

    @staticmethod
    def _path(space: str) -> str:
        return f"/api/v1/namespaces/{space}/services/{SERVICE}"

    def restore(self) -> None:
        """As before the run."""
        for space in SPACES:
            self._put(space, {})

    def change(self, cases: Sequence[WholeCase]) -> None:
        """As the cases of a round want them."""
        wanted = {case.space: (case.service, case.ask.port) for case in cases}
        for space in SPACES:
            self._put(space, *wanted.get(space, ({},)))

    def _put(self, space: str, change: Object, port: int = 0) -> None:
        kept = self._kept[space]["spec"]
        ports = [dict(one) for one in kept["ports"]]
        for one in ports:
            if one["port"] == port:
                one["targetPort"] = change.get("target", one["targetPort"])
                protocol = change.get("protocol")
                one["name"] = f"{protocol}-{PORT_NAMES[port]}" if protocol else one["name"]
        body = {
            "metadata": {"annotations": {EXPORT: change.get("export")}},
            "spec": {
                "selector": {"version": None, **change.get("selector", kept["selector"])},
                "ports": ports,
            },
        }
        self._api.merge(self._path(space), body)
