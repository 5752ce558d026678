"""Which rule of a VirtualService takes a request? One row per field of a match."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.route_match import Asked, may_take, takes, wants
from meshdoctor.model.istio import VirtualService

ASKED = Asked(
    namespace="web",
    labels={"app": "cart", "version": "v1"},
    port=80,
    method="GET",
    path="/orders/7?day=mon",
    authority="pay.shop",
    headers={"x-tenant": "blue"},
)
NOTHING_KNOWN = Asked(namespace="web", labels={"app": "cart"}, port=80)


def route(*matches: Any) -> VirtualService:
    rules = [{"match": one} if one is not None else {} for one in matches]
    return msgspec.convert({"spec": {"http": rules}}, VirtualService)


@pytest.mark.parametrize(
    ("match", "found", "unknown"),
    [
        ({}, True, True),
        ({"uri": {"prefix": "/orders"}}, True, None),
        ({"uri": {"prefix": "/admin"}}, False, None),
        ({"uri": {"exact": "/orders/7"}}, True, None),
        ({"uri": {"exact": "/orders"}}, False, None),
        ({"uri": {"exact": "/ORDERS/7"}}, False, None),
        ({"uri": {"exact": "/ORDERS/7"}, "ignoreUriCase": True}, True, None),
        ({"uri": {"regex": "/a.*"}}, None, None),
        ({"method": {"exact": "POST"}}, False, None),
        ({"authority": {"prefix": "pay"}}, True, None),
        ({"headers": {"X-Tenant": {"exact": "blue"}}}, True, None),
        ({"headers": {"x-tenant": {"exact": "red"}}}, False, None),
        ({"headers": {"x-other": {"exact": "red"}}}, None, None),
        ({"withoutHeaders": {"x-tenant": {}}}, False, None),
        ({"queryParams": {"day": {"exact": "mon"}}}, True, None),
        ({"queryParams": {"night": {"exact": "mon"}}}, False, None),
        ({"port": 80}, True, True),
        ({"port": 81}, False, False),
        ({"sourceLabels": {"app": "cart"}}, True, True),
        ({"sourceLabels": {"app": "web"}}, False, False),
        ({"sourceNamespace": "web"}, True, True),
        ({"sourceNamespace": "shop"}, False, False),
        ({"gateways": ["edge/front"]}, False, False),
        ({"gateways": ["edge/front", "mesh"]}, True, True),
        ({"gateways": ["mesh"], "sourceLabels": {"app": "web"}}, True, True),  # not compared
        ({"uri": {"prefix": "/admin"}, "headers": {"x-other": {"exact": "a"}}}, False, None),
    ],
)
def test_fields(match: Any, found: bool | None, unknown: bool | None) -> None:
    """Beside a rule that this proxy gets and that takes nothing."""
    never = [{"method": {"exact": "POST"}, "uri": {"exact": "/never"}}]
    assert takes(route([match], never), ASKED) is found
    assert takes(route([match], never), NOTHING_KNOWN) is (None if unknown is False else unknown)


def test_rules_for_other_proxies_alone_leave_the_service_s_route_in_place() -> None:
    for match in ({"port": 81}, {"sourceNamespace": "shop"}, {"sourceLabels": {"app": "web"}}):
        assert takes(route([match]), ASKED) is True
    assert takes(route([{"gateways": ["edge/front"]}]), NOTHING_KNOWN) is True


def test_one_of_several_will_do() -> None:
    no, yes, maybe = {"uri": {"exact": "/"}}, {"port": 80}, {"uri": {"regex": "x"}}
    assert takes(route([no, yes]), ASKED) is True
    assert takes(route([no], [yes]), ASKED) is True
    assert takes(route([no], [maybe]), ASKED) is None
    assert takes(route([no], [no]), ASKED) is False
    assert takes(route([no], None), ASKED) is True


def test_in_words() -> None:
    found = wants(
        route(
            [{"uri": {"prefix": "/a"}, "withoutHeaders": {"x": {}}}, {"port": 81}],
            [{"headers": {"x-tenant": {}}, "sourceLabels": {"app": "web"}}],
            None,
        )
    )
    assert found == (
        "rule 1: uri prefix /a, no header x or port 81; "
        "rule 2: header x-tenant present, app=web; rule 3: anything"
    )


@given(st.text(), st.text())
def test_a_prefix_takes_what_begins_with_it(prefix: str, rest: str) -> None:
    asked = msgspec.structs.replace(ASKED, path=f"/{prefix.replace('?', '')}{rest}")
    match = {"uri": {"prefix": f"/{prefix.replace('?', '')}"}}
    assert takes(route([match]), asked) is True


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({"uri": {"exact": "/"}}, False),
        ({"uri": {"exact": "/a"}}, True),
        ({"uri": {"exact": "/A"}, "ignoreUriCase": True}, True),
        ({"uri": {"regex": "/b"}}, True),  # nobody matched it: it may
        ({"authority": {"exact": "b.x"}}, False),
        ({"method": {"exact": "POST"}}, False),
        ({"headers": {"x-user": {"exact": "me"}}}, True),
        ({"queryParams": {"day": {"exact": "mon"}}}, True),
        ({"sourceLabels": {"app": "other"}}, True),
        (None, True),
    ],
)
def test_what_an_access_log_does_not_tell_may_hold(match: Any, taken: bool) -> None:
    rule = route([match] if match is not None else None).spec.http[0]
    assert may_take(rule, "a.x", "/a", "GET") is taken
