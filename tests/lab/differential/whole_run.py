"""Does `meshdoctor diagnose` name a cause where a call fails, and none where it works?

No truth is known of a drawn case but this: whether the call works. What is named first is kept for
a reader.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from meshdoctor.cli.diagnose import diagnose
from tests.lab import istio
from tests.lab.api import Object
from tests.lab.differential import real, whole_kinds
from tests.lab.differential.case import SERVICE, SPACES, Ask
from tests.lab.differential.ground import Ground
from tests.lab.differential.real import Answer
from tests.lab.differential.rounds import Round, close
from tests.lab.differential.tally import FOLDER, Tally
from tests.lab.differential.whole_cases import WholeCase
from tests.lab.differential.world import PORT_NAMES, authorizers
from tests.lab.processes import LabError

CALLS = 3
QUIET = 15
"""Seconds between the making of a round's objects and its calls, so that no diagnosis, which reads
logs since these calls, hears of earlier ones."""
LETS_IN = frozenset(
    {"MD2012", "MD2017", "MD2027", "MD2028", "MD2029", "MD2034", "MD3103", "MD3112", "MD4004"}
)
"""Causes that may say no more than that calls come through, which a policy was to refuse or a route
to lead elsewhere."""
PATIENCE = 25
"""Seconds until the pods of a round's cases are ready, or taken to be so never."""
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
        host = f"{'https' if ask.tls else 'http'}://{ask.authority}"
        words = f"{ask.client} -> {ask.place}:{ask.port} {ask.path} {dict(ask.headers)}"
        words = f"{self.case.kind}: {words}" + (f" {host}" if ask.http else "")
        specs = [*self.case.objects, *self.case.pods, *self.everywhere]
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
            f"a cause; named first: {words}{''.join(map(self._of, whole_kinds.KINDS))}"
        )

    def _of(self, kind: str) -> str:
        """The same of one kind of mistakes."""
        here = [one for one in self.outcomes if one.case.kind == kind]
        works = [one for one in here if one.works]
        fails = [one for one in here if one.works is False]
        alarms, silent = (sum(not one.agrees for one in some) for some in (works, fails))
        return (
            f"\n  {kind}: {len(here)} cases; {len(works)} work, {alarms} with an alarm; "
            f"{len(fails)} fail, {silent} without a cause"
        )


def told(
    ask: Ask, called: float, record: Path
) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """The causes that a live diagnosis of one call leads with; those among them that say that it
    fails, not only that configuration is wrong; and the report in short. What it saw is kept."""
    argv = ["--from", ask.client, "--to", f"{ask.place}:{ask.port}", "--since"]
    argv.append(f"{math.ceil(time.monotonic() - called) + 1}s")
    if ask.http:
        argv += ["--request", f"{ask.method} {ask.path}", "-H", f"host:{ask.authority}"]
        argv += [word for name, value in ask.headers for word in ("-H", f"{name}:{value}")]
    shutil.rmtree(record, ignore_errors=True)
    argv += ["--record", str(record)]
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
        and one["code"] not in LETS_IN
        and (one["strength"] == "observed" or one["subject_kind"] != "config")
    ]
    blamed = f"{led[0]['subject']} {led[0]['objects']} {led[0]['because']}" if led else ""
    return tuple(one["code"] for one in led), tuple(alarms), blamed, "\n".join(lines[:8])


def run(ground: Ground, seed: int, indexes: Sequence[int]) -> Reports:
    """Make the calls of every case, and diagnose each."""
    tally = Reports("whole")
    config = {"enableAutoMtls": True, "trustDomainAliases": []}
    ground.configure({**config, "extensionProviders": authorizers()})
    services, pods = Services(ground), Pods(ground)
    try:
        for number, group in groupby(sorted(indexes), key=lambda index: index // len(SPACES)):
            cases = [whole_kinds.draw(seed, index) for index in group]
            tally.add(
                number, one_round(ground, (services, pods), cases, (seed, number), tally), "cases"
            )
    finally:
        services.restore()
        pods.clear()
    tally.end()
    return tally


def one_round(
    ground: Ground,
    around: tuple[Services, Pods],
    cases: list[WholeCase],
    place: tuple[int, int],
    tally: Reports,
) -> list[Outcome]:
    """One round of cases."""
    everywhere = whole_kinds.everywhere(*place)
    for changed in around:
        changed.change(cases)
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
        named, alarms, blamed, report = told(case.ask, called, folder / f"{case.seed}-{case.index}")
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
                one["appProtocol"] = change.get("appProtocol")
                one["name"] = f"{protocol}-{PORT_NAMES[port]}" if protocol else one["name"]
        body = {
            "metadata": {"annotations": {EXPORT: change.get("export")}},
            "spec": {
                "selector": {
                    **dict.fromkeys(("app", "dif", "version")),
                    **change.get("selector", kept["selector"]),
                },
                "ports": ports,
            },
        }
        self._api.merge(self._path(space), body)


class Pods:
    """The Deployments and Services that cases add, gone after their round."""

    def __init__(self, ground: Ground) -> None:
        self._api = ground.api
        self._made: list[str] = []

    def clear(self) -> None:
        """Take away those of the last round."""
        while self._made:
            self._api.call("DELETE", self._made.pop())

    def change(self, cases: Sequence[WholeCase]) -> None:
        """Those of a round's cases, once their pods are ready, or never will be."""
        self.clear()
        items = [item for case in cases for item in case.pods]
        for item in items:
            namespace = item["metadata"]["namespace"]
            group, plural = {
                "Deployment": ("apis/apps/v1", "deployments"),
                "Service": ("api/v1", "services"),
            }[item["kind"]]
            path = f"/{group}/namespaces/{namespace}/{plural}"
            self._api.call("POST", path, item)
            self._made.append(f"{path}/{item['metadata']['name']}")
        if any(item["kind"] == "Deployment" for item in items):
            with contextlib.suppress(LabError):
                istio.rollout(seconds=PATIENCE)
