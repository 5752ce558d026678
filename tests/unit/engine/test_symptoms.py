"""Which failures are seen, and does a finding explain them?"""

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


def test_what_nothing_explains_says_where_to_look() -> None:
    found = symptoms([Seen(EDGE, "503 UC", count=1, over=False)], [])
    assert found[0].explained_by == []
    assert found[0].look_next == "meshdoctor diagnose --from shop/cart --to shop/pay:80 --explain"


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
    finding = Finding(
        code="MD1017",
        name="pod-ip-or-unknown-host",
        title="",
        verdict="confirmed",
        strength="observed",
        severity="outage",
        subject_kind="edge",
        subject=subject,
        group="main",
        rank=1,
        mesh=True,
    )
    (found,) = symptoms([Seen(edge, "503 UF", count=1, over=False)], [finding])
    assert bool(found.explained_by) is explained
