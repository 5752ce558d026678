"""Are the phrases right?"""

import msgspec
import pytest

from meshdoctor.model.report import Missing, Symptom
from meshdoctor.report import wording
from tests.unit.report import reports


@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        ("2026-11-24T03:11:40Z", "2026-11-24T03:39:54Z", "03:11:40 (28 min before)"),
        ("2026-11-22T03:11:40Z", "2026-11-24T03:39:54Z", "2026-11-22 03:11:40 (2 d before)"),
        ("2026-11-24T03:39:50Z", "2026-11-24T03:39:54Z", "03:39:50 (4 s before)"),
        ("2026-11-24T05:40:00Z", "2026-11-24T03:39:54Z", "05:40:00 (2 h after)"),
        ("yesterday", "2026-11-24T03:39:54Z", "yesterday"),
        ("2026-11-24T03:11:40", "2026-11-24T03:39:54Z", "03:11:40 (28 min before)"),
    ],
)
def test_a_moment_says_how_long_before(at: str, now: str, expected: str) -> None:
    assert wording.moment(at, now) == expected


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("DestinationRule/shop/pay", "DestinationRule shop/pay"),
        ("Node//ip-10-0-0-1", "Node ip-10-0-0-1"),
        ("mesh", "mesh"),
    ],
)
def test_a_reference_reads_as_words(ref: str, expected: str) -> None:
    assert wording.thing(ref) == expected


def test_undecided_findings_are_grouped_by_what_would_settle_them() -> None:
    groups = wording.needs(reports.BLIND)
    assert [[f.code for f in g.findings] for g in groups] == [["MD1104", "MD1105"], ["MD2001"]]


def test_what_is_named_under_undecided_is_not_named_again() -> None:
    assert [m.reason for m in wording.unseen(reports.BLIND)] == ["timeout"]


def test_a_symptom_says_where_and_since_when() -> None:
    found = Symptom(subject="a -> b:80", text="503 UC", count=3, first="2026-11-24T03:12:08Z")
    said = wording.symptom(found, "2026-11-24T03:39:54Z")
    assert said == "3 x 503 UC on a -> b:80 since 03:12:08"


def test_a_remedy_that_repeats_what_is_missing_is_left_out() -> None:
    run = "kubectl -n shop logs pay-1"
    missing = Missing(what=run, reason="not_recorded", remedy=f"Record it: {run}")
    assert wording.remedy(missing) == ""
    assert wording.remedy(reports.SECRET) == reports.SECRET.remedy


def test_the_subject_is_not_repeated_in_what_was_observed() -> None:
    finding = msgspec.structs.replace(
        reports.DR_OFF, observed=f"3 x 503 on {reports.EDGE}, 03:12:08"
    )
    rows = dict(wording.detail(finding, reports.ONE_CAUSE))
    assert rows["observed"] == "3 x 503, 03:12:08"


def test_a_correlation_is_not_called_confirmed() -> None:
    verdicts = [wording.verdict(f) for f in reports.WHOLE_MESH.main]
    assert verdicts[:2] == ["CONFIRMED", "SUSPECTED"]


def test_only_a_healthy_and_fully_seen_run_is_called_healthy() -> None:
    assert wording.verdict_line(reports.HEALTHY).startswith("Healthy. 3 causes ruled out")
    assert wording.verdict_line(reports.BLIND).startswith("Nothing confirmed. That is not")
    assert wording.verdict_line(reports.ONE_CAUSE) == ""


def test_what_changed_lately_is_told_where_no_cause_is_known() -> None:
    assert wording.lately(reports.BLIND) == [
        "VirtualService shop/pay, 03:11:40 (28 min before), by argocd",
        "Deployment shop/pay created, 2026-11-23 21:02:00 (6 h before), by helm",
    ]
    assert wording.lately(reports.ONE_CAUSE) == []
    assert wording.lately(msgspec.structs.replace(reports.BLIND, healthy=True)) == []


def test_a_sample_of_the_logs_is_called_one() -> None:
    some = msgspec.structs.replace(
        reports.HEALTHY,
        coverage=msgspec.structs.replace(reports.HEALTHY.coverage, logs=60, proxies=3000),
    )
    assert "logs of 60 of 3000 workloads" in wording.verdict_line(some)
    assert "logs" not in wording.verdict_line(reports.HEALTHY)
