"""Under which path do requests reach an application?"""

from typing import Any

import msgspec
import pytest

from meshdoctor.mesh import path_rewrites
from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.model.istio import VirtualService, VirtualServiceSpec
from meshdoctor.model.kubernetes import Meta

TO = [{"destination": {"host": "pay"}}]
RULE = {"match": [{"uri": {"prefix": "/pay"}}], "route": TO}
ROOT = RULE | {"rewrite": {"uri": "/"}}


def route(*rules: dict[str, Any]) -> VirtualService:
    spec = msgspec.convert({"hosts": ["a.example.com"], "http": list(rules)}, VirtualServiceSpec)
    return VirtualService(
        kind="VirtualService", metadata=Meta(name="pay", namespace="shop"), spec=spec
    )


def line(path: str, code: int, *, inbound: bool = False, host: str = "a.example.com") -> str:
    cluster = "inbound|80||" if inbound else "outbound|80||pay.shop.svc.cluster.local"
    local = "10.0.0.9:80" if inbound else "10.0.0.5:8080"
    return (
        f'[2026-11-18T09:24:00.313Z] "GET {path} HTTP/1.1" {code} - via_upstream - "-" 0 0 1 - "-" '
        f'"curl" "id" "{host}" "10.0.0.9:80" {cluster} 10.0.0.5:999 {local} 203.0.113.9:501 - -'
    )


def lines(*texts: str) -> tuple[Line, ...]:
    return parse("\n".join(texts)).lines


@pytest.mark.parametrize(
    ("rules", "log", "stripped"),
    [
        ([RULE], (line("/pay/v1?a=b", 404), line("/v1", 200, inbound=True)), "/v1"),
        ([RULE], (*[line("/pay", 404)] * 3, line("/", 302, inbound=True)), "/"),
        ([RULE], (*[line("/pay", 404)] * 2, line("/", 302, inbound=True)), ""),
        ([RULE], (line("/pay/v1", 404),), ""),
        ([RULE], (line("/pay/v1", 404), line("/v1", 500, inbound=True)), ""),
        ([RULE], (line("/pay/v1", 404), line("/pay/v2", 200)), None),
        ([RULE], (line("/pay/v1", 404), line("/pay/v2", 401)), None),
        ([RULE], (line("/pay/v1", 404), line("/pay/v2", 200, inbound=True, host="pay")), None),
        ([RULE], (line("/payments", 404),), None),
        ([RULE], (line("/pay/v1", 404, host="b.example.com"),), None),
        ([RULE], (line("/pay/v1", 404).replace("via_upstream", "route_not_found"),), None),
        ([ROOT], (line("/pay/v1", 404), line("/v1", 200, inbound=True)), None),
        ([{"match": [{"uri": {"prefix": "/"}}], "route": TO}], (line("/pay/v1", 404),), None),
        ([ROOT, RULE], (line("/pay/v1", 404),), None),  # the first rule takes it
    ],
)
def test_paths_that_are_passed_on(
    rules: list[dict[str, Any]], log: tuple[str, ...], stripped: str | None
) -> None:
    found = path_rewrites.passed(route(*rules), lines(*log))
    assert (found.stripped if found else None) == stripped


@pytest.mark.parametrize(
    ("paths", "at_root"), [(["/pay/"], True), (["/pay/a", "/pay/b"], True), (["/pay/a"] * 2, False)]
)
def test_whether_it_is_about_the_prefix(paths: list[str], at_root: bool) -> None:
    found = path_rewrites.passed(route(RULE), lines(*(line(path, 404) for path in paths)))
    assert found is not None and found.at_root is at_root


@pytest.mark.parametrize(
    ("rule", "log", "refused"),
    [
        (ROOT, (line("/pay/v1", 404), line("//v1", 404, inbound=True)), 1),
        (ROOT, (line("/pay/v1", 404), line("/v1", 404, inbound=True)), 0),
        (ROOT, (line("/pay/v1", 404), line("//v1", 200, inbound=True)), 0),
        (ROOT, (line("/pay/v1", 404), line("//v1", 404, inbound=True, host="b.example.com")), 0),
        (RULE, (line("/pay/v1", 404), line("//v1", 404, inbound=True)), 0),
        (ROOT, (line("//v1", 404, inbound=True),), 0),  # another server's, for all we know
    ],
)
def test_two_slashes(rule: dict[str, Any], log: tuple[str, ...], refused: int) -> None:
    found = path_rewrites.doubled(route(rule), lines(*log))
    assert (found.refused if found else 0) == refused


def test_which_routes_are_looked_at() -> None:
    slash = {**ROOT, "match": [{"uri": {"prefix": "/pay/"}}]}
    assert path_rewrites.passes_prefix(route(RULE)) and not path_rewrites.passes_prefix(route(ROOT))
    assert path_rewrites.doubles_slash(route(ROOT)) and not path_rewrites.doubles_slash(
        route(slash)
    )
