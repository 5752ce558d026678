"""Scores: rank of the first finding that names an object at fault."""

from typing import Any

import pytest

from meshdoctor.engine.score import Mark, mark, total, truth_from
from meshdoctor.model.report import SCHEMA, Finding, Report


def finding(code: str, objects: list[str], group: str = "main", mesh: bool = True) -> Finding:
    return Finding(
        code=code,
        name="n",
        title="t",
        verdict="confirmed",
        strength="observed",
        severity="outage",
        subject_kind="edge",
        subject="a -> b",
        group=group,
        rank=1,
        mesh=mesh,
        objects=objects,
    )


def report(*findings: Finding) -> Report:
    return Report(
        schema=SCHEMA,
        tool_version="0",
        generated_at="",
        observed_at="",
        source="",
        scope="",
        exit=1,
        summary="",
        partial=False,
        healthy=False,
        findings=list(findings),
    )


def truth(**data: Any) -> Any:
    return truth_from({"healthy": False, "objects": ["B//x (AWS, elsewhere)", "C/d/e"], **data})


def test_the_first_finding_that_names_the_fault() -> None:
    one = mark("i", truth(), report(finding("MD1", ["A/a/a"]), finding("MD2", ["B//x"])))
    assert (one.rank, one.code, one.first, one.good) == (2, "MD2", "MD1 A/a/a", False)
    assert mark("i", truth(), report(finding("MD2", ["C/d/e"]))).good
    assert mark("i", truth(), report(finding("MD2", ["C/d/e"], "undecided"))).rank == 0


def test_healthy_incidents_count_false_alarms_against_the_mesh_only() -> None:
    healthy = truth(healthy=True, objects=[])
    assert not mark("i", healthy, report(finding("MD1", ["A/a/a"]))).good
    assert mark("i", healthy, report(finding("MD1", ["A/a/a"], mesh=False))).good
    assert mark("i", healthy, report(finding("MD1", ["A/a/a"], "also_noticed"))).good


def test_totals() -> None:
    def m(rank: int, healthy: bool = False, alarms: tuple[str, ...] = ()) -> Mark:
        return Mark(name="", rank=rank, code="", healthy=healthy, false_alarms=alarms, first="")

    score = total([m(1), m(3), m(0), m(0, True), m(0, True, ("MD1 x",))])
    assert (score.faulty, score.healthy, score.false_alarms) == (3, 2, 1)
    assert score.ac1 == pytest.approx(1 / 3)
    assert score.ac3 == pytest.approx(2 / 3)
    assert score.mrr == pytest.approx((1 + 1 / 3) / 3)
    assert total([]).ac1 == 0


@pytest.mark.parametrize("data", [None, [], {}, {"healthy": "yes"}])
def test_a_truth_that_is_none(data: Any) -> None:
    with pytest.raises(ValueError, match="truth.yaml"):
        truth_from(data)
