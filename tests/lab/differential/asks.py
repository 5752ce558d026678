"""Which requests are drawn?"""

from __future__ import annotations

from dataclasses import replace

from tests.lab.differential import tokens
from tests.lab.differential.case import (
    ALICE,
    BOB,
    CLIENTS,
    GATE,
    HTTP,
    NOBODY,
    ODD,
    SECOND,
    SERVICE,
    SPACES,
    TARGETS,
    TCP,
    Ask,
    Object,
)
from tests.lab.differential.dice import Dice

PATHS = (
    *("/", "/orders", "/orders/7", "/orders/7/items", "/orders/", "/admin", "/Admin", "/admin/x"),
    *("/a//b", "//admin", "/a///b/", "/a/./b", "/a/../admin", "/orders/..", "/orders/7/.", "/a/b"),
    *("/%61dmin", "/a%2Fb", "/a%2fb", "/a%5Cb", "/a\\b", "/a/%2e%2e/admin", "/a/.%2E/admin"),
    *("/caf%C3%A9", "/a%20b", "/orders;x=1", "/orders/7;x=1/items", "/a%252Fb", "/%2561dmin"),
    *("/a%2F%2Fb", "/a//../admin", "/a/b.txt", "/v1.2/x_y~z-", "/a+b", "/a,b", "/*", "/a%2Ab"),
    *("/a:b/c@d", "/a=b&c", "/a%3Fb", "/...", "/a/...", "/.hidden", "/A%2fB"),
)
QUERIES = ("x=1", "x=/admin", "next=%2Fadmin", "a=b;c", "q")
METHODS = {"GET": 60, "POST": 14, "PUT": 6, "DELETE": 6, "HEAD": 4, "OPTIONS": 6, "PATCH": 4}
HEADERS = (
    *(("x-tenant", "blue"), ("x-tenant", "Blue"), ("x-tenant", ""), ("x-tenant", "blue,red")),
    *(("x-role", "admin"), ("x-role", "user-admin"), ("x-mixed-Case", "Yes"), ("cookie", "k=v")),
    *(("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "203.0.113.7, 198.51.100.9")),
    *(("x-forwarded-for", "203.0.113.7,198.51.100.9,10.1.2.3"), ("x-forwarded-for", "nonsense")),
    *(("x-claim", "forged"), ("x-payload", "forged"), ("x-envoy-external-address", "203.0.113.7")),
    *(("x-forwarded-proto", "https"), ("accept", "text/html"), ("origin", "https://o.example")),
    *(("x-forwarded-for", "[2001:db8::1]"), ("x-forwarded-for", "2001:db8::1")),
    *(("x-deny", "1"), ("x-deny", "yes")),
    *(("x-real-ip", "203.0.113.7"), ("x-forwarded-for", "203.0.113.7:443")),
)


def draw(dice: Dice, space: str) -> tuple[Ask, Object]:
    """One request to a namespace's server, and the claims of its token ({} without)."""
    if space == GATE:
        return _from_outside(dice)
    near = [f"{other}/{SERVICE}" for other in SPACES if other != space]
    client = dice.weighted({ALICE: 45, BOB: 20, NOBODY: 25, dice.one(near): 10})
    # Between two proxies the lab cannot tell HTTP on such a port: that takes Istio's ALPN filter.
    port = dice.weighted({HTTP: 62, SECOND: 14, TCP: 14, ODD if client == NOBODY else SECOND: 10})
    direct = client == NOBODY and dice.chance(20)
    ask = Ask(
        client=client,
        space=space,
        port=TARGETS[port] if direct else port,
        direct=direct,
        http=port != TCP,
    )
    if not ask.http:
        return ask, {}
    ask = replace(
        ask,
        method=dice.weighted(METHODS),
        path=dice.one(PATHS[:8] if dice.chance(45) else PATHS),
        host=_host(dice, ask),
        headers=_headers(dice),
    )
    if dice.chance(25):
        ask = replace(ask, path=f"{ask.path}?{dice.one(QUERIES)}")
    return with_token(dice, ask) if dice.chance(45) else (ask, {})


def _from_outside(dice: Dice) -> tuple[Ask, Object]:
    """A request to the gateway."""
    hosts = ("www.gate.example", "www.gate.example:80", "WWW.gate.example", "a.b.gate.example")
    ask = Ask(
        client=NOBODY,
        space=GATE,
        port=HTTP,
        method=dice.weighted(METHODS),
        path=dice.one(PATHS[:8] if dice.chance(45) else PATHS),
        host=dice.one(hosts),
        headers=_headers(dice),
    )
    if ask.header("x-forwarded-for") is None and dice.chance(45):
        values = [value for name, value in HEADERS if name == "x-forwarded-for"]
        ask = replace(ask, headers=(*ask.headers, ("x-forwarded-for", dice.one(values))))
    return with_token(dice, ask) if dice.chance(35) else (ask, {})


def _host(dice: Dice, ask: Ask) -> str:
    name = f"{SERVICE}.{ask.space}"
    usual = {"": 50, name: 10, f"{name}.svc": 4, f"{name}.svc.cluster.local": 8}
    odd = {
        f"{name}.svc.cluster.local:{ask.port}": 8,
        name.upper(): 4,
        f"{name}.SVC.cluster.local:{ask.port}": 3,
        f"{name}:1234": 3,
        # in a server's own namespace this names that server
        SERVICE if ask.client in CLIENTS else name: 3,
        "www.example.com": 4,
        f"www.example.com:{ask.port}": 3,
    }
    return dice.weighted({**usual, **odd})


def _headers(dice: Dice) -> tuple[tuple[str, str], ...]:
    drawn: dict[str, str] = {}
    while dice.chance(45):
        name, value = dice.one(HEADERS)
        drawn.setdefault(name, value)
    if dice.chance(3):
        drawn |= {"origin": "https://o.example", "access-control-request-method": "GET"}
    return tuple(drawn.items())


def with_token(dice: Dice, ask: Ask) -> tuple[Ask, Object]:
    """The request with a token in one of the usual places."""
    said = tokens.claims(dice)
    headers, query = tokens.placed(dice, tokens.token(dice, said))
    names = {name for name, _ in headers}
    kept = tuple(pair for pair in ask.headers if pair[0] not in names)
    glue = "&" if "?" in ask.path else "?"
    path = f"{ask.path}{glue}{query}" if query else ask.path
    return replace(ask, headers=(*kept, *headers), path=path), said


def varied(dice: Dice, ask: Ask) -> Ask:
    """A request that differs from another in one thing."""
    thing = dice.weighted({"client": 25, "path": 30, "method": 12, "host": 12, "headers": 21})
    other, _ = draw(dice, ask.space)
    if ask.space == GATE and thing in ("client", "host"):
        return other
    if thing == "client" or not ask.http:
        client = dice.one([one for one in (ALICE, BOB, NOBODY) if one != ask.client])
        if ask.direct or ask.port == ODD:
            client = NOBODY
        return replace(ask, client=client)
    if thing == "path":
        return replace(ask, path=dice.one(PATHS))
    if thing == "method":
        return replace(ask, method=dice.weighted(METHODS))
    if thing == "host":
        return replace(ask, host=_host(dice, ask))
    return replace(ask, headers=other.headers)
