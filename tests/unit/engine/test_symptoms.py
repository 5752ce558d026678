"""Which failures are seen, and does a finding explain them?"""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.engine.symptoms import Seen, symptoms
from meshdoctor.model.report import Finding
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject

CART, PAY = WorkloadSubject("shop", "cart"), WorkloadSubject("shop", "pay")
EDGE = EdgeSubject(client=CART, server=PAY, service=ServiceSubject("shop", "pay"), port=80)


def test_a_failure_is_spoilt_by_what_names_its_service_or_server() -> None:
    one = Seen(EDGE, "503 NC cluster_not_found", count=3, over=False)
    assert one.spoils({"Service/shop/pay"}) and one.spoils(["Deployment/shop/pay"])
    assert not one.spoils({"Service/shop/cart"}) and not one.spoils(())
    outside = Seen(EdgeSubject(client=CART, server=None, host="example.com"), "503 UH")
    assert not outside.spoils({"Service/shop/pay"})


def test_a_gateway_that_led_requests_nowhere_spoils_them_too() -> None:
    gate = WorkloadSubject("edge", "gate")
    one = Seen(EDGE, "404 NR route_not_found", count=3, over=False, at=gate)
    assert one.spoils({"Deployment/edge/gate"}) and one.spoils({"Service/shop/pay"})
    assert not Seen(EDGE, "503 UF", count=3, over=False).spoils({"Deployment/edge/gate"})


def test_what_nothing_explains_says_where_to_look() -> None:
    found = symptoms([Seen(EDGE, "503 UC", count=1, over=False)], [])
    assert found[0].explained_by == []
    assert found[0].look_next == "meshdoctor diagnose --from shop/cart --to shop/pay:80 --explain"


def finding(code: str, subject: EdgeSubject | str, group: str = "main") -> Finding:
    return Finding(
        code=code,
        name="n",
        title="t",
        verdict="confirmed",
        strength="observed",
        severity="outage",
        subject_kind="edge",
        subject=str(subject),
        group=group,
        rank=1,
        mesh=True,
    )


@pytest.mark.parametrize(
    ("subject", "explained"),
    [
        ("shop/cart -> shop/pay-pods:16379", True),
        ("shop/cart -> shop/pay:81", True),
        ("shop/other -> shop/pay-pods:16379", False),
        ("shop/cart -> shop/pay-pods-2:16379", False),
    ],
)
def test_the_same_pair_by_service_or_by_address(subject: str, explained: bool) -> None:
    server = WorkloadSubject("shop", "pay-pods")
    edge = EdgeSubject(client=CART, server=server, service=ServiceSubject("shop", "pay"), port=80)
    (found,) = symptoms([Seen(edge, "503 UF", count=1, over=False)], [finding("MD1017", subject)])
    assert bool(found.explained_by) is explained


def test_who_hands_an_answer_back_did_not_fail_itself() -> None:
    """The gateway's callers see what the workload behind it refused: the same requests."""
    gate = WorkloadSubject("edge", "gate")
    before = EdgeSubject(client=CART, server=gate, service=ServiceSubject("edge", "gate"), port=80)
    behind = EdgeSubject(client=gate, server=PAY, service=ServiceSubject("shop", "pay"), port=80)
    handed = Seen(before, "403 via_upstream", count=1, over=False, requests={"r1"})
    itself = Seen(before, "403 rbac_access_denied", count=1, over=False, requests={"r1"})
    other = Seen(before, "403 via_upstream", count=1, over=False, requests={"r2"})
    refused = Seen(behind, "403 rbac_access_denied", count=1, over=False, requests={"r1"})
    found = symptoms([handed, itself, other, refused], [finding("MD2007", behind)])
    assert [one.explained_by for one in found] == [["MD2007"], [], [], ["MD2007"]]


def test_a_gateway_gives_requests_other_ids() -> None:
    gate = WorkloadSubject("edge", "gate")
    before = EdgeSubject(client=CART, server=gate, service=ServiceSubject("edge", "gate"), port=80)
    behind = EdgeSubject(client=gate, server=PAY, service=ServiceSubject("shop", "pay"), port=80)
    at = datetime(2026, 11, 18, 9, 24, tzinfo=UTC)
    late = at + timedelta(minutes=1)
    refused = Seen(behind, "403 rbac_access_denied", count=1, over=False, times=[at])
    handed = Seen(before, "403 via_upstream", count=1, over=False, times=[at])
    another = Seen(before, "503 via_upstream", count=1, over=False, times=[at])
    later = Seen(before, "403 via_upstream", count=1, over=False, times=[late])
    found = symptoms([refused, handed, another, later], [finding("MD2007", behind)])
    assert [one.explained_by for one in found] == [["MD2007"], ["MD2007"], [], []]


def test_advice_accounts_for_the_failures_that_it_names() -> None:
    some = [Seen(EDGE, f"401 {why}", count=1, over=False) for why in ("expired", "malformed")]
    advice = [finding("MD2116", EDGE, "also_noticed")]
    assert [s.explained_by for s in symptoms(some, advice)] == [[], []]
    found = symptoms(some, advice, {}, {"MD2116": "expired"})
    assert [one.explained_by for one in found] == [["MD2116"], []]
