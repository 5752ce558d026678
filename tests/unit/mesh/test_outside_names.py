"""Under which name do requests reach a host outside?"""

from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.mesh.outside_names import kept, turned_down
from meshdoctor.model.istio import (
    ServiceEntry,
    ServiceEntrySpec,
    VirtualService,
    VirtualServiceSpec,
)
from meshdoctor.model.kubernetes import Meta, Service, ServiceSpec

HOST = "a.example.com"
ENTRY = ServiceEntry(
    kind="ServiceEntry", metadata=Meta(name="a"), spec=ServiceEntrySpec(hosts=(HOST,))
)
OUT = {"route": [{"destination": {"host": HOST}}]}
HEADERS = {"request": {"set": {"Host": HOST}}}


def route(rule: dict[str, Any], *hosts: str) -> VirtualService:
    spec = msgspec.convert({"hosts": list(hosts or ("a",)), "http": [rule]}, VirtualServiceSpec)
    return VirtualService(
        kind="VirtualService", metadata=Meta(name="a", namespace="shop"), spec=spec
    )


@pytest.mark.parametrize(
    ("rule", "hosts", "found"),
    [
        (OUT, (), True),
        (OUT, ("*",), True),
        (OUT, (HOST,), False),
        ({**OUT, "rewrite": {"authority": HOST}}, (), False),
        ({**OUT, "rewrite": {"uri": "/x"}}, (), True),
        ({**OUT, "headers": HEADERS}, (), False),
        ({"route": [{**OUT["route"][0], "headers": HEADERS}]}, (), False),
        ({**OUT, "headers": {"request": {"set": {"x-user": "a"}}}}, (), True),
    ],
)
def test_a_rule_writes_the_name_or_keeps_it(
    rule: dict[str, Any], hosts: tuple[str, ...], found: bool
) -> None:
    assert bool(kept(route(rule, *hosts), lambda _: ENTRY)) is found


def test_only_what_lies_outside_has_a_name_of_its_own() -> None:
    inside = ServiceEntrySpec(hosts=(HOST,), location="MESH_INTERNAL")
    assert not kept(route(OUT), lambda _: ServiceEntry(kind="ServiceEntry", spec=inside))
    assert not kept(route(OUT), lambda _: None)
    assert not kept(route(OUT), lambda _: Service(kind="Service"))
    alias = ServiceSpec(type="ExternalName", external_name="b.example.com")
    (found,) = kept(route(OUT), lambda _: Service(kind="Service", spec=alias))
    assert found.names == ("b.example.com",)


def line(authority: str, code: int = 404, details: str = "via_upstream") -> Line:
    text = (
        f'[2026-11-18T09:24:00.502Z] "GET / HTTP/1.1" {code} - {details} - "-" 0 95 12 - "-" '
        f'"curl" "id" "{authority}" "1.2.3.4:80" outbound|80||{HOST} - 1.2.3.4:80 10.0.0.1:4000 - -'
    )
    return parse(text).lines[0]


def test_requests_under_a_foreign_name() -> None:
    (found,) = kept(route(OUT), lambda _: ENTRY)
    assert found.foreign(line("a.shop:80")) and not found.foreign(line(f"{HOST}:80"))
    assert turned_down(line("a.shop")) and not turned_down(line("a.shop", 200))
    assert not turned_down(line("a.shop", 401)), "the server asks for a login"
    assert not turned_down(line("a.shop", 503, "no_healthy_upstream"))
