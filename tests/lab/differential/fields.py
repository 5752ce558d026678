"""Which fields of a rule are drawn around a request?

Values are taken from what the request has and bent a little, so that rules match about as often
as they miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.lab.differential import tokens
from tests.lab.differential.case import (
    ALICE,
    BOB,
    SERVICE,
    Ask,
    Object,
    identity,
)
from tests.lab.differential.dice import Dice
from tests.lab.differential.tokens import ISSUERS

OTHER_PATHS = (
    *("/orders/*", "/admin", "/admin*", "*", "*/items", "/orders/{*}", "/{**}", "/orders/{**}"),
    *("/{*}/7", "/a/{*}", "/{*}/{*}/items", "/a/b", "/a//b", "/%61dmin", "/a%2Fb", "/a%2fb"),
    *("/orders;x=1", "/orders?x=1", "/", "//admin", "/a\\b", "/orders/{*}/{**}"),
)
OTHER_HOSTS = ("server", "*.example.com", "server.*", "*:80", "*.local", "SERVER.dif-a*", "*")
OTHER_NETS = ("10.88.0.0/16", "10.0.0.0/8", "203.0.113.0/24", "198.51.100.9", "0.0.0.0/0", "::/0")
OTHER_SNI = ("*", "outbound_.80_._.*", "*.svc.cluster.local", "example.com")
OTHER_HEADERS = ("x-tenant", "x-role", "X-Mixed-case", "cookie", "x-claim", "x-payload", "accept")
ADDED_HEADERS = (
    *("x-request-id", "x-forwarded-proto", "x-forwarded-client-cert", "user-agent", "host"),
    *("x-envoy-attempt-count", ":authority", ":method", ":path", "authorization", "x-token"),
    *("x-envoy-expected-rq-timeout-ms", "x-forwarded-host", "content-length", "connection"),
    *("x-envoy-decorator-operation", "x-envoy-peer-metadata", "x-b3-traceid", ":scheme"),
)


class Drawer:
    """Draws the parts of rules around one request."""

    def __init__(self, dice: Dice, ask: Ask, claims: Object) -> None:
        self.dice = dice
        self.ask = ask
        self.claims = claims

    def address(self) -> str:
        """A placeholder for the client's address, or a block."""
        dice = self.dice
        if dice.chance(50):
            return f"%ip:{self.ask.client}%" + dice.one(("", "/32", "/24"))
        return dice.one(OTHER_NETS)

    def principals(self) -> list[str]:
        """SPIFFE names of callers."""
        pool = [
            identity(ALICE),
            identity(BOB),
            "*/sa/bob",
            f"old.example/ns/{ALICE}",
            "a/ns/b/sa/c",
        ]
        pool += ["*", f"*/ns/{self.ask.client.split('/')[0]}/sa/*", "cluster.local/*"]
        pool += [f"old.example/ns/{self.ask.client.replace('/', '/sa/')}"]
        return self.dice.patterns(identity(self.ask.client), pool)

    def namespaces(self) -> list[str]:
        """Namespaces of callers; every star in them is a wildcard."""
        own = self.ask.client.split("/")[0]
        return self.dice.patterns(own, ("dif-*", "*-east", "d*f-e*t", "dif-w", "shop", "*"))

    def accounts(self) -> list[str]:
        """Service accounts, which take no wildcards."""
        own = self.ask.client
        return self.dice.some((own, own, own.split("/")[1], ALICE, BOB, SERVICE), 2)

    def trust_domains(self) -> list[str]:
        """Trust domains of callers."""
        return self.dice.some(("cluster.local", "*", "cluster.*", "*.local", "old.example", "x"), 2)

    def request_principals(self) -> list[str]:
        """Issuer and subject of tokens."""
        said = self.claims
        own = f"{said.get('iss', tokens.A)}/{said.get('sub', 'user-1')}"
        pool = [f"{issuer}/*" for issuer in ISSUERS] + ["*/user-1", "*", "*1", "https://*", own]
        return self.dice.patterns(own, [*pool, "issuer-b@example.com/user-2", "*/a/b"])

    def source(self) -> Object:
        """One source of a rule."""
        dice = self.dice
        makers = {
            "principals": self.principals,
            "namespaces": self.namespaces,
            "serviceAccounts": self.accounts,
            "trustDomains": self.trust_domains,
            "ipBlocks": lambda: [self.address() for _ in range(dice.number(1, 2))],
            "remoteIpBlocks": lambda: [self.remote() for _ in range(dice.number(1, 2))],
        }
        if self.ask.http or dice.chance(40):
            makers["requestPrincipals"] = self.request_principals
        chosen = dice.some(sorted(makers), 1 if dice.chance(65) else 2)
        if "serviceAccounts" in chosen and {"principals", "namespaces"} & set(chosen):
            chosen = ["serviceAccounts"]
        return self._fields({name: makers[name] for name in chosen})

    def remote(self) -> str:
        """An address of X-Forwarded-For, or any."""
        given = self.ask.header("x-forwarded-for")
        if given and self.dice.chance(60):
            bare = self.dice.one([part.strip() for part in given.split(",")])
            if all(letter in "0123456789." for letter in bare):
                return bare
        return self.address()

    def operation(self) -> Object:
        """One operation of a rule."""
        dice, ask = self.dice, self.ask
        makers: dict[str, Any] = {"ports": self.ports}
        if ask.http or dice.chance(50):
            makers["methods"] = lambda: dice.patterns(ask.method, ("GET", "POST", "P*", "*ET", "*"))
            makers["paths"] = self.paths
            makers["hosts"] = lambda: dice.patterns(ask.authority, OTHER_HOSTS)
        chosen = dice.some(sorted(makers), 1 if dice.chance(60) else 2)
        if "paths" in makers and dice.chance(35):
            chosen = [*{*chosen, "paths"}]
        return self._fields({name: makers[name] for name in sorted(chosen)})

    def paths(self) -> list[str]:
        """Paths near the request's, or templates."""
        bare = self.ask.path.partition("?")[0]
        return self.dice.patterns(bare, OTHER_PATHS)

    def ports(self) -> list[str]:
        """Ports near the request's."""
        pool = (self.ask.target, self.ask.target, self.ask.port, 8080, 9000, 8081, 1)
        return [str(self.dice.one(pool)) for _ in range(self.dice.number(1, 2))]

    def _fields(self, makers: dict[str, Any]) -> Object:
        found: Object = {}
        for name, make in makers.items():
            twin = f"not{name[0].upper()}{name[1:]}"
            if self.dice.chance(72):
                found[name] = make()
                if self.dice.chance(12):
                    found[twin] = make()
            else:
                found[twin] = make()
        return found

    def condition(self) -> Object:
        """One entry of `when`."""
        dice = self.dice
        key, values = self.key()
        found: Object = {"key": key}
        if dice.chance(75):
            found["values"] = values
        else:
            found["notValues"] = values
        return found

    def key(self) -> tuple[str, list[str]]:
        """A key of `when` and values near what the request has."""
        dice, ask = self.dice, self.ask
        peer: dict[str, Any] = {
            "source.ip": lambda: [self.address()],
            "remote.ip": lambda: [self.remote()],
            "source.namespace": self.namespaces,
            "source.principal": self.principals,
            "source.serviceAccount": self.accounts,
            "source.trustDomain": self.trust_domains,
            "destination.port": self.ports,
            "destination.ip": lambda: [dice.one((f"%ip:{ask.place}%", *OTHER_NETS))],
            "connection.sni": lambda: dice.patterns(
                f"outbound_.{ask.port}_._.{SERVICE}.{ask.space}.svc.cluster.local", OTHER_SNI
            ),
        }
        if dice.chance(70 if ask.http else 20):
            kind = dice.weighted({"header": 40, "claim": 35, "auth": 25})
            maker = {"header": self.header, "claim": self.claim, "auth": self.auth}[kind]
            return maker()
        name = dice.one(sorted(peer))
        return name, peer[name]()

    def header(self) -> tuple[str, list[str]]:
        """A request header: one that was sent, one that was not, or one that proxies add."""
        dice = self.dice
        sent = [name for name, _ in self.ask.headers]
        pool: Sequence[str] = sent if sent and dice.chance(65) else OTHER_HEADERS
        if dice.chance(18):
            pool = ADDED_HEADERS
        name = dice.one(pool)
        value = self.ask.header(name.lower()) or ""
        if len(value) > 200:
            return f"request.headers[{name}]", [dice.one(("*", "Bearer *", "x*"))]
        own = {":authority": self.ask.authority, "host": self.ask.authority}.get(name, value)
        return f"request.headers[{name}]", dice.patterns(own, ("*", "blue", "Yes", "GET", "https"))

    def claim(self) -> tuple[str, list[str]]:
        """A claim of the token: text, list, nested, a number; or one that is not there."""
        dice = self.dice
        keys = [*self.claims, "groups", "sub", "absent"]
        name = dice.one(keys)
        value = self.claims.get(name)
        path = f"[{name}]"
        if isinstance(value, dict) or name == "realm" or dice.chance(12):
            inner = dice.one(("roles", "name", "deep", "none"))
            path = f"[realm][{inner}]" + ("[x]" if inner == "deep" and dice.chance(70) else "")
            value = (self.claims.get("realm") or {}).get(inner)
        if isinstance(value, list):
            value = dice.one(value) if value else ""
        if isinstance(value, str) and " " in value and dice.chance(60):
            value = dice.one(value.split())
        text = value if isinstance(value, str) else str(value).lower()
        pool = ("admin", "dev", "r1", "*", "user-*", "true", "5", "y", "read", "read write")
        return f"request.auth.claims{path}", dice.patterns(text, pool)

    def auth(self) -> tuple[str, list[str]]:
        """The token's principal, audience or presenter."""
        dice, said = self.dice, self.claims
        name = dice.one(("principal", "audiences", "presenter"))
        if name == "principal":
            return "request.auth.principal", self.request_principals()
        if name == "presenter":
            return "request.auth.presenter", dice.patterns(said.get("azp", "app-1"), ("*", "app-*"))
        aud = said.get("aud", "shop")
        value = dice.one(aud) if isinstance(aud, list) else aud
        return "request.auth.audiences", dice.patterns(value, ("*", "shop", "web.*", "*.com"))
