"""Does a whole run on a recorded incident say what it said when we last looked?

`MESHDOCTOR_UPDATE_GOLDEN=1 pytest tests/incidents -m slow` writes the expected reports again: read
the difference before committing it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshdoctor.cli.options import build_scope
from meshdoctor.engine.diagnose import Options, diagnose
from meshdoctor.engine.playbook import Playbook, load_all
from meshdoctor.engine.scope import Scope
from meshdoctor.engine.score import mark, truth_from
from meshdoctor.model.report import Finding, Report
from meshdoctor.report.render import NAMES, render
from meshdoctor.sources.open import open_recorded
from tests.incidents.make.__main__ import SHIPPED, TESTS, build
from tests.incidents.make.demos import DEMOS
from tests.incidents.make.scenes import SCENES

INCIDENTS = {
    path.parent.name: path.parent
    for folder in (SHIPPED, TESTS)
    for path in sorted(folder.glob("*/truth.yaml"))
}

GAPS: dict[str, str] = {}
OF_A_PAIR = {
    "alb-sends-to-gateways-that-are-gone": "only a client without proxy tells of these calls",
    "denied-namespace-calls-by-address": "the call works, and only its policy's author misses a no",
    "match-for-port-80-under-tls": "a host may be served on one of two ports on purpose",
    "name-of-an-entry-alone": "no call comes as far as a proxy, only the application's log tells",
    "namespace-not-enabled": "a namespace may be outside the mesh on purpose",
    "second-gateway-that-nothing-selects": "a gateway may stand idle on purpose",
    "tcp-port-takes-other-hosts": "no proxy sees these calls fail, only the application's own log",
}
"""Causes that only a person's question tells from what is meant so."""


@pytest.fixture(scope="module")
def books() -> tuple[Playbook, ...]:
    return load_all()


def run(folder: Path, books: tuple[Playbook, ...]) -> Report:
    source = open_recorded(folder)
    scope = build_scope(source.defaults(), "", "", "", (), ())
    return diagnose(source, books, scope, Options(strict=True))


def told(finding: Finding) -> dict[str, Any]:
    """What must not change unnoticed; wording may."""
    return {
        "cause": f"{finding.code} {finding.name}",
        "verdict": f"{finding.verdict} {finding.strength}",
        "subject": finding.subject,
        "objects": finding.objects,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_the_report_is_the_expected_one(name: str, books: tuple[Playbook, ...]) -> None:
    report = run(INCIDENTS[name], books)
    shown = [told(f) for f in report.main]
    text = json.dumps({"exit": report.exit, "findings": shown}, indent=1) + "\n"
    path = TESTS / "expected" / f"{name}.json"
    if os.environ.get("MESHDOCTOR_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_the_true_cause_comes_first(name: str, books: tuple[Playbook, ...]) -> None:
    if name in GAPS:
        pytest.xfail(GAPS[name])
    folder = INCIDENTS[name]
    truth = truth_from(yaml.safe_load((folder / "truth.yaml").read_text()))
    got = mark(name, truth, run(folder, books))
    assert got.good, got


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(INCIDENTS) - set(OF_A_PAIR)))
def test_the_true_cause_comes_first_when_nobody_names_a_pair(
    name: str, books: tuple[Playbook, ...]
) -> None:
    folder = INCIDENTS[name]
    truth = truth_from(yaml.safe_load((folder / "truth.yaml").read_text()))
    report = diagnose(open_recorded(folder), books, Scope(), Options(strict=True))
    got = mark(name, truth, report)
    assert got.good, got


@pytest.mark.slow
def test_every_format_draws_every_report(books: tuple[Playbook, ...]) -> None:
    for folder in INCIDENTS.values():
        report = run(folder, books)
        for name in NAMES:
            assert render(report, name, verbose=True, trail=True)


def test_incidents_are_what_their_makers_write(tmp_path: Path) -> None:
    for scenes, folder in ((DEMOS, SHIPPED), (SCENES, TESTS)):
        build(scenes, tmp_path)
        for made in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
            kept = folder / made.relative_to(tmp_path)
            assert kept.read_text() == made.read_text(), "run: python -m tests.incidents.make"
            made.unlink()
