"""Redirects that lead back, bytes that are no HTTP, and paths without route, at a gateway."""

from functools import partial

import pytest

from meshdoctor.mesh import gateway_requests as gr
from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.mesh.route_match import for_gateway
from meshdoctor.model.istio import VirtualService
from tests.unit.mesh.objects import many, one

LINE = (
    '[2026-11-18T09:24:{second:02}.000Z] "{first}" {code} {flags} {details} - "-" 0 0 1 - '
    '"{client}" "curl" "-" "{host}" "{upstream}" - - 10.0.0.2:{port} 10.1.0.1:5 {sni} -'
)


def line(second: int = 0, **more: object) -> Line:
    fields: dict[str, object] = {
        "first": "GET / HTTP/1.1",
        "code": 301,
        "flags": "-",
        "details": "direct_response",
        "client": "1.2.3.4",
        "host": "a.x.com",
        "upstream": "-",
        "port": 8080,
        "sni": "-",
    }
    return parse(LINE.format(**(fields | {"second": second} | more))).lines[0]


BURST = [line(i) for i in range(4)]
SLOW = [line(i * 15) for i in range(4)]
OTHER = [line(i, client=f"1.2.3.{i}") for i in range(4)]
SERVED = line(30, code=200, port=8443, sni="a.x.com")


@pytest.mark.parametrize(
    ("lines", "asked", "count"),
    [
        (BURST, "", 4),
        (BURST[:3], "", 0),
        (BURST[:3], "a.x.com", 3),
        (BURST[:2], "a.x.com", 0),
        (SLOW, "", 0),
        (SLOW, "a.x.com", 4),
        (SLOW, "b.x.com", 0),
        (OTHER, "", 0),
        # What one redirect led to: the path was answered at last.
        ([*BURST, SERVED], "", 0),
        ([*SLOW, line(30, code=200, first="GET /home HTTP/1.1")], "a.x.com", 0),
        ([*BURST, line(30, code=200, first="GET /home HTTP/1.1")], "", 4),
        ([line(i, first=f"GET /?n={i} HTTP/1.1") for i in range(4)], "", 4),
        ([line(i, first=f"GET /{i} HTTP/1.1") for i in range(4)], "", 0),
    ],
)
def test_circle(lines: list[Line], asked: str, count: int) -> None:
    found = gr.circle(lines, asked)
    assert (found.count if found else 0) == count


def test_who_redirects() -> None:
    found = gr.circle(BURST)
    assert found and found.plain and not found.by_upstream
    found = gr.circle([line(i, upstream="10.0.0.9:80", sni="a.x.com") for i in range(4)])
    assert found and found.by_upstream and not found.plain
    found = gr.circle([line(i, host="A.x.com:443") for i in range(4)])
    assert found and (found.host, found.path) == ("a.x.com", "/")


BAD = line(first="- - HTTP/1.1", code=400, flags="DPE", details="http1.codec_error", host="-")


def test_unread() -> None:
    found = gr.unread([BAD, BAD, line(port=8443)])
    assert found and (found.port, found.count) == (8080, 2)
    assert gr.unread([BAD, BAD, line()]) is None
    assert gr.unread([line()]) is None


ROUTES = """
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: named, namespace: shop}
spec: {hosts: [foo.bar], http: [{match: [{uri: {prefix: /own}, method: {exact: GET}}]}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: any, namespace: shop}
spec: {hosts: ['*'], http: [{match: [{uri: {prefix: /Demo}, ignoreUriCase: true}]}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: tcp, namespace: shop}
spec: {hosts: [other.bar], tcp: [{}]}
"""


@pytest.mark.parametrize(
    ("host", "path", "asked", "told"),
    [
        ("foo.bar", "/demo/1", ("", ""), "named any"),
        ("foo.bar:80", "/demo", ("", ""), "named any"),
        ("foo.bar", "/own/1", ("foo.bar", ""), ""),  # a rule may take it: no fault of rules
        ("foo.bar", "/none", ("", ""), ""),
        ("foo.bar", "/none", ("foo.bar", ""), "named -"),
        ("foo.bar", "/none", ("foo.bar", "/none"), "named -"),
        ("foo.bar", "/none", ("foo.bar", "/home"), ""),
        ("foo.bar", "/none", ("other.bar", "/none"), ""),
        ("other.bar", "/none", ("other.bar", ""), "any -"),
    ],
)
def test_unrouted(host: str, path: str, asked: tuple[str, str], told: str) -> None:
    lost = line(first=f"GET {path}?q HTTP/1.1", code=404, flags="NR", host=host, details="-")
    found = gr.unrouted([lost], many(VirtualService, ROUTES), *asked)
    shown = "" if found is None else f"{_name(found.narrow)} {_name(found.wide)}"
    assert shown == told


def test_an_authority_is_compared_as_it_came() -> None:
    text = ROUTES.replace(
        "{uri: {prefix: /own}, method: {exact: GET}}", "{authority: {prefix: foo}}"
    )
    routes = many(VirtualService, text)
    for host, narrow in (("foo.bar", ""), ("Foo.bar", "named")):
        lost = line(first="GET /x HTTP/1.1", code=404, flags="NR", host=host, details="-")
        found = gr.unrouted([lost], routes, "foo.bar")
        assert (found.narrow.name if found and found.narrow else "") == narrow


def test_scanners_of_a_host_that_is_served() -> None:
    routes = many(VirtualService, ROUTES)
    lost = line(first="GET /.env HTTP/1.1", code=404, flags="NR", host="foo.bar", details="-")
    served = line(first="GET /own HTTP/1.1", code=200, host="foo.bar", upstream="10.0.0.9:80")
    assert gr.unrouted([lost], routes, "foo.bar") is not None
    assert gr.unrouted([lost, served], routes, "foo.bar") is None
    assert gr.unrouted([lost, served], routes, "foo.bar", "/.env") is not None


def _name(route: VirtualService | None) -> str:
    return route.name if route is not None else "-"


@pytest.mark.parametrize(("host", "short"), [("foo", "bar"), ("foo:80", "bar"), ("other", "")])
def test_a_host_without_a_dot(host: str, short: str) -> None:
    text = ROUTES.replace("[foo.bar]", "[foo]").replace("name: named", "name: bar")
    routes = many(VirtualService, text.replace("['*']", "[x.y]"))
    lost = line(code=404, flags="NR", details="route_not_found", host=host)
    found = gr.unrouted([lost], routes)
    assert (found.short.name if found and found.short else "") == short


@pytest.mark.parametrize(
    ("host", "sni", "asked", "passing"),
    [
        ("other.bar", "other.bar", "", "tcp"),
        ("other.bar", "-", "", ""),  # it came in plaintext, where no TLS could pass
        ("other.bar", "-", "other.bar", ""),
        ("foo.bar", "foo.bar", "foo.bar", ""),
        ("x.y", "x.y", "x.y", ""),
    ],
)
def test_rules_for_tls_that_passes_at_a_server_that_ends_it(
    host: str, sni: str, asked: str, passing: str
) -> None:
    routes = many(VirtualService, ROUTES.replace("['*']", "[any.bar]"))
    lost = line(code=404, flags="NR", details="route_not_found", host=host, sni=sni)
    found = gr.unrouted([lost], routes, asked)
    assert (found.passing.name if found and found.passing else "") == passing


def test_a_host_that_no_virtual_service_has() -> None:
    lost = line(code=404, flags="NR", details="route_not_found", host="x.y")
    found = gr.unrouted([lost], [], "x.y")
    assert found is not None and found.narrow is None and found.count == 1
    assert gr.unrouted([line()], [], "a.x.com") is None


def test_redirecting() -> None:
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r}
spec: {hosts: [a.x], http: [{match: [{uri: {prefix: /api}}]}, {redirect: {scheme: https}}]}
"""
    routes = [one(VirtualService, route)]
    assert gr.redirecting(routes, "a.x", "/", "GET") is routes[0]
    assert gr.redirecting(routes, "a.x", "/api", "GET") is None
    assert gr.redirecting(routes, "b.x", "/", "GET") is None


OTHERS = """
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: one, namespace: shop}
spec:
  hosts: [foo.bar]
  gateways: [pub, mesh]
  http:
  - match: [{MATCH, uri: {prefix: /}}]
    route: [{destination: {host: pay}}]
"""


@pytest.mark.parametrize(
    ("match", "for_others"),
    [
        ("sourceLabels: {app: cart}", True),
        ("sourceNamespace: shop", True),
        ("gateways: [mesh]", True),
        ("sourceLabels: {app: gate}", None),  # labels are compared with the gateway's own
        ("sourceNamespace: ingress", None),
        ("gateways: [pub], sourceLabels: {app: cart}", None),  # then labels do not count
        ("uri: {prefix: /b}", False),
    ],
)
def test_rules_that_a_gateway_does_not_get(match: str, for_others: bool | None) -> None:
    text = OTHERS.replace("MATCH, uri: {prefix: /}", match)
    mine = partial(for_gateway, namespace="ingress", labels={"app": "gate"})
    lost = line(first="GET /a HTTP/1.1", code=404, flags="NR", host="foo.bar", details="-")
    found = gr.unrouted([lost], many(VirtualService, text), "foo.bar", "/a", mine)
    assert (found.for_others if found is not None else None) is for_others


@pytest.mark.parametrize(
    ("match", "asks"),
    [
        ("headers: {x-go: {exact: a}}", "header x-go exact a"),
        ("uri: {prefix: /a}, queryParams: {v: {exact: '2'}}", "query v exact 2"),
        ("uri: {prefix: /a}", None),  # it would take the request by now
        ("uri: {regex: /a.*}, headers: {x-go: {exact: a}}", None),  # nobody knows
    ],
)
def test_what_a_rule_asks_for_beside_the_path(match: str, asks: str | None) -> None:
    text = OTHERS.replace("MATCH, uri: {prefix: /}", match)
    lost = line(first="OPTIONS /a HTTP/1.1", code=404, flags="NR", host="foo.bar", details="-")
    found = gr.unrouted([lost], many(VirtualService, text), "foo.bar", "/a")
    assert (found.asks if found is not None else None) == asks


@pytest.mark.parametrize(
    ("release", "host", "vs_host", "ported"),
    [
        ((1, 1, 9), "foo.bar:31380", "foo.bar", 31380),
        ((1, 1, 9), "foo.bar:80", "foo.bar", None),
        ((1, 1, 9), "foo.bar", "foo.bar", None),
        ((1, 6, 0), "foo.bar:31380", "foo.bar", None),
        ((1, 8, 0), "foo.bar:31380", "'*.bar'", 31380),
        ((1, 10, 0), "foo.bar:31380", "'*.bar'", None),
        ((1, 1, 9), "foo.bar:31380", "'*'", None),
    ],
)
def test_a_port_in_the_host_header(
    release: tuple[int, ...], host: str, vs_host: str, ported: int | None
) -> None:
    text = OTHERS.replace("MATCH, uri: {prefix: /}", "uri: {prefix: /}")
    routes = many(VirtualService, text.replace("hosts: [foo.bar]", f"hosts: [{vs_host}]"))
    lost = line(first="GET /a HTTP/1.1", code=404, flags="NR", host=host, details="-")
    exact = gr.Exact(release=release, ports=frozenset({80}))
    found = gr.unrouted([lost], routes, "foo.bar", "/a", exact=exact)
    assert (found.ported if found is not None else None) == ported
    other = gr.unrouted([lost], routes, "x.y", "/a", exact=exact)
    assert other is None, "one request of another host than the one asked about"


def test_preflights_that_find_no_rule_need_not_be_asked_about() -> None:
    routes = many(
        VirtualService, OTHERS.replace("MATCH, uri: {prefix: /}", "headers: {x: {exact: a}}")
    )

    def found(method: str, count: int) -> bool:
        first = f"{method} /a HTTP/1.1"
        lost = line(first=first, code=404, flags="NR", host="foo.bar", details="-")
        return gr.unrouted([lost] * count, routes) is not None

    assert found("OPTIONS", 3)
    assert not found("OPTIONS", 2) and not found("GET", 3)
