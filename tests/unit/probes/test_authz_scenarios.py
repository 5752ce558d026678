"""Small meshes, one mistake each: is it named first, and nothing beside it?"""

# ruff: noqa: E501

import json
from datetime import UTC, datetime
from functools import partial
from textwrap import dedent

import pytest

from meshdoctor.engine.diagnose import Options, diagnose
from meshdoctor.engine.scope import Scope, parse_target
from meshdoctor.model.cause import Exit
from meshdoctor.model.subjects import Request
from meshdoctor.ports import ForbiddenError
from tests.unit.mesh.authz_case import token
from tests.unit.probes.authz_world import (
    CART,
    GATE,
    NODE,
    PAY,
    SHOP,
    books,
    line,
    mesh,
    outcome,
    pod,
    policy,
    report,
    request_auth,
    service,
)
from tests.unit.world import FakeSource

GET = Request(method="GET", path="/orders", host="pay.shop")
DENIED = {"shop/pay-1": line()}
GATEWAY = pod("gate", "istio-system", GATE, proxy="router", labels="istio: ingressgateway")
SECONDS = int(datetime(2026, 11, 18, 9, 30, tzinfo=UTC).timestamp())
IDP = "https://idp.example.com/"
CLAIMS = {"iss": IDP, "sub": "alice", "exp": SECONDS + 600}


def bearer(claims: dict[str, object], **rest: object) -> Request:
    text = token(claims)
    return Request(
        method="GET",
        path="/orders",
        host="pay.shop",
        headers=(("authorization", f"Bearer {text}"),),
    )


def rule(body: str) -> str:
    return f"{{rules: [{body}]}}"


def source(body: str) -> str:
    return rule(f"{{from: [{{source: {{{body}}}}}]}}")


def operation(body: str) -> str:
    return rule(f"{{to: [{{operation: {{{body}}}}}]}}")


def test_a_healthy_shop_is_healthy() -> None:
    assert outcome(*SHOP, request=GET) == []
    open_policy = policy(source("principals: [cluster.local/ns/shop/sa/cart]"))
    assert outcome(*SHOP, open_policy, request=GET) == []
    assert outcome(*SHOP, policy("{}", namespace="other"), request=GET) == []


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{}", "MD2001"),
        (source("principals: [spiffe://cluster.local/ns/shop/sa/cart]"), "MD2004"),
        (source("principals: ['cluster.local/ns/*/sa/cart']"), "MD2004"),
        (source("principals: [ns/shop/sa/cart]"), "MD2004"),
        (source("principals: [cluster.local/ns/shop/sa/default]"), "MD2005"),
        (source("serviceAccounts: [default]"), "MD2005"),
        (source("principals: [old.domain/ns/shop/sa/cart]"), "MD2006"),
        (source("namespaces: [prod]"), "MD2008"),
        (operation("paths: [/orders/]"), "MD2009"),
        (operation("paths: [/orders/*]"), "MD2009"),
        (operation("paths: [/Orders]"), "MD2009"),
        (operation("methods: [POST]"), "MD2010"),
        (operation("hosts: [pay.example.com]"), "MD2011"),
        (operation("ports: ['80']"), "MD2012"),
        (source("ipBlocks: [203.0.113.0/24]"), "MD2013"),
        (source("remoteIpBlocks: [203.0.113.0/24]"), "MD2014"),
        (rule("{when: [{key: 'request.headers[x-tenant]', values: [blue]}]}"), "MD2015"),
        (rule("{when: [{key: request.path, values: [/orders]}]}"), "MD2016"),
        (source("requestPrincipals: ['*']"), "MD2110"),
    ],
)
def test_default_denials(spec: str, code: str) -> None:
    """Observed with a log, derived without one: the same cause either way."""
    found = outcome(*SHOP, policy(spec), logs=DENIED, request=GET)
    assert found[0] == code
    assert set(found[1:]) <= {"(MD2002)"}
    quiet = outcome(*SHOP, policy(spec), request=GET)
    assert quiet[0] == code


def named(index: int = 0) -> dict[str, str]:
    text = f"rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[{index}]]"
    return {"shop/pay-1": line(details=text)}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("from: [{source: {notIpBlocks: [203.0.113.0/24]}}]", "MD2013"),
        ("from: [{source: {notRemoteIpBlocks: [203.0.113.0/24]}}]", "MD2014"),
        ("from: [{source: {notPrincipals: ['spiffe://cluster.local/ns/shop/sa/cart']}}]", "MD2004"),
        ("to: [{operation: {notHosts: [pay.shop]}}]", "MD2011"),
        ("to: [{operation: {notPaths: [/orders/]}}]", "MD2009"),
        ("to: [{operation: {notPorts: ['80']}}]", "MD2012"),
    ],
)
def test_denials_by_a_not_field(body: str, code: str) -> None:
    spec = f"{{action: DENY, rules: [{{{body}}}]}}"
    asked = Request(method="GET", path="/orders", host="pay.shop:80")
    assert outcome(*SHOP, policy(spec), logs=named(), request=asked) == [code, "(MD2018)"]
    assert outcome(*SHOP, policy(spec), request=asked) == [code, "(MD2018)"]


@pytest.mark.parametrize(
    "body",
    [
        "from: [{source: {notNamespaces: [prod]}}]",
        "from: [{source: {notIpBlocks: [10.9.0.0/16]}}]",
        "to: [{operation: {notMethods: [POST]}}]",
        "to: [{operation: {notPaths: [/other]}}]",
        "to: [{operation: {notHosts: [x.example.com]}}]",
    ],
)
def test_a_not_field_that_does_what_it_says(body: str) -> None:
    spec = f"{{action: DENY, rules: [{{{body}}}]}}"
    assert outcome(*SHOP, policy(spec), logs=named(), request=GET) == ["MD2018"]


def test_an_address_that_is_not_meant() -> None:
    spec = source("ipBlocks: [10.9.0.0/16]")
    assert outcome(*SHOP, policy(spec), logs=DENIED, request=GET) == ["MD2002"]


def test_denies_that_never_match() -> None:
    ports = "{action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}"
    assert outcome(*SHOP, policy(ports), request=GET) == ["MD2012"]
    left_out = ports.replace("ports: ['80']", "notPorts: ['8080', '80']")
    assert outcome(*SHOP, policy(left_out), request=GET) == []
    key = "{action: DENY, rules: [{when: [{key: request.path, values: [/orders]}]}]}"
    assert outcome(*SHOP, policy(key), request=GET) == ["MD2016"]


def test_the_log_speaks_where_the_verdict_is_unknown() -> None:
    """No token was given, so nothing is known of its claims; the log still says who refused."""
    needs = policy(rule("{when: [{key: 'request.auth.claims[role]', values: [admin]}]}"))
    auth = request_auth(f"{{jwtRules: [{{issuer: '{IDP}'}}]}}")
    assert outcome(*SHOP, needs, auth, logs=DENIED) == ["MD2002"]


def test_a_rule_for_somebody_else() -> None:
    two = policy(rule("{from: [{source: {namespaces: [a]}}], to: [{operation: {methods: [PUT]}}]}"))
    assert outcome(*SHOP, two, logs=DENIED, request=GET) == ["MD2002"]


def test_of_two_mistakes_in_one_rule_the_one_for_sure_is_told() -> None:
    """What is said of a miss is all of the same field."""
    rules = (
        "{from: [{source: {principals: ['spiffe://cluster.local/ns/shop/sa/cart']}}], "
        "to: [{operation: {methods: [PUT]}}]}"
    )
    found = report(*SHOP, policy(rule(rules)), logs=DENIED, request=GET).main
    assert [one.code for one in found] == ["MD2004"]
    assert "from[0].principals [spiffe://cluster.local/ns/shop/sa/cart]" in found[0].because


def test_of_two_rules_as_near_one_miss_is_told() -> None:
    rules = "{rules: [{to: [{operation: {methods: [PUT]}}]}, {to: [{operation: {paths: [/x]}}]}]}"
    found = report(*SHOP, policy(rules), logs=DENIED, request=GET).main
    assert [one.code for one in found] == ["MD2010"]
    assert "methods [PUT], and the request is GET" in found[0].because


def test_a_plaintext_caller() -> None:
    objects = (
        mesh(),
        pod("cart", "shop", CART, proxy=""),
        pod("pay", "shop", PAY),
        service("pay", "shop"),
    )
    spec = source("principals: [cluster.local/ns/shop/sa/cart]")
    log = {"shop/pay-1": line(sni="-")}
    assert outcome(*objects, policy(spec), logs=log, request=GET) == ["MD2003", "(MD2002)"]
    assert outcome(*objects, policy(spec), request=GET)[0] == "MD2003"


own_tls = partial(
    line,
    request="- - -",
    code=0,
    details="-",
    termination="rbac_access_denied_matched_policy[none]",
    host="-",
    sni="pay.example.com",
)


@pytest.mark.parametrize(
    ("where", "selector", "at", "mends"),
    [
        ("istio-system", "", "gateway", "selector of the workloads"),
        ("istio-system", "selector: {matchLabels: {app: gate}},", "gateway", "no sidecar helps"),
        ("shop", "", "passed on", "end that TLS at the gateway"),
        ("shop", "", "own TLS", "put the mesh's TLS around it"),
        ("shop", "", "bare", "give the caller a sidecar"),
    ],
)
def test_why_there_is_no_identity_and_what_mends_that(
    where: str, selector: str, at: str, mends: str
) -> None:
    rules = "rules: [{from: [{source: {namespaces: [shop]}}]}]"
    cart = pod("cart", "shop", CART, proxy="" if at == "bare" else "sidecar")
    wants = policy(f"{{{selector} {rules}}}", namespace=where)
    objects = (SHOP[0], cart, *SHOP[2:], GATEWAY, wants)
    user, gate = "203.0.113.5:9", "istio-system/gate"
    logs = {
        "gateway": {
            "istio-system/gate-1": line(
                cluster="-", peer=user, local=f"{GATE}:8443", sni="pay.example.com"
            )
        },
        "passed on": {"shop/pay-1": own_tls(peer=f"{GATE}:9")},
        "own TLS": {"shop/pay-1": own_tls()},
        "bare": {"shop/pay-1": line(sni="-")},
    }[at]
    asked = GET if at in ("gateway", "bare") else None
    caller = gate if at in ("gateway", "passed on") else "shop/cart"
    found = report(*objects, logs=logs, request=asked, from_=caller).main[0]
    assert found.code == "MD2003"
    assert mends in found.by_hand
    assert ("own, passed through unread" in found.because) is ("TLS" in mends)


OFF = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pay, namespace: shop}
spec: {host: pay, trafficPolicy: {tls: {mode: DISABLE}}}
"""
OWN_ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
PAST = line(code=403, details="via_upstream", cluster="PassthroughCluster").replace(
    '"pay.shop" "-"', f'"pay.shop" "{PAY}:8080"'
)
OTHER = PAST.replace(PAY, "10.9.9.9")


@pytest.mark.parametrize(
    ("more", "mine", "by", "why", "mend"),
    [
        ((OFF,), "", "DestinationRule/shop/pay", "has its proxy send plaintext", "take tls out of"),
        ((OWN_ENTRY,), "", "ServiceEntry/shop/pay", "has the host for itself", "delete Service"),
        ((), PAST, "Deployment/shop/cart", "left past the Service", "call the Service by its name"),
        ((), OTHER, "", "its connection is not mutual TLS", "fix what keeps mutual TLS off"),
    ],
)
def test_why_a_caller_with_a_sidecar_shows_no_identity(
    more: tuple[str, ...], mine: str, by: str, why: str, mend: str
) -> None:
    rules = policy(source("principals: [cluster.local/ns/shop/sa/cart]"))
    logs = {"shop/pay-1": line(sni="-"), "shop/cart-1": mine}
    found = report(*SHOP, rules, *more, logs=logs, request=GET).main[0]
    assert (found.code, found.objects) == (
        "MD2003",
        ["AuthorizationPolicy/shop/p", *([by] if by else [])],
    )
    assert why in found.because and mend in found.by_hand


def test_the_log_stands_in_for_a_request_that_was_not_given() -> None:
    spec = operation("paths: [/orders/]")
    assert outcome(*SHOP, policy(spec), logs=DENIED) == ["MD2009", "(MD2002)"]
    assert outcome(*SHOP, policy(spec)) == []


def test_because_names_wanted_and_seen() -> None:
    found = report(*SHOP, policy(operation("paths: [/orders/]")), logs=DENIED, request=GET).main[0]
    assert found.objects == ["AuthorizationPolicy/shop/p"]
    assert "[/orders/]" in found.because and "/orders (a trailing slash)" in found.because


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{action: DENY, rules: [{to: [{operation: {paths: [/orders]}}]}]}", "MD2018"),
        ("{action: DENY, rules: [{from: [{source: {notNamespaces: [prod]}}]}]}", "MD2018"),
    ],
)
def test_deny(spec: str, code: str) -> None:
    text = "rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[0]]"
    log = {"shop/pay-1": line(details=text)}
    assert outcome(*SHOP, policy(spec), logs=log, request=GET) == [code]
    assert outcome(*SHOP, policy(spec), request=GET) == [code]


def test_a_denial_of_one_among_many_outside() -> None:
    """The request that is asked about passes, as most do."""
    deny = policy(
        "{action: DENY, rules: [{when: [{key: 'request.headers[x-tenant]', values: [evil]}]}]}"
    )
    asked = Request(method="GET", path="/orders", host="pay.shop", headers=(("x-tenant", "a"),))
    refused = line(
        details="rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[0]]", peer=f"{GATE}:9"
    )
    well = line(code=200, details="via_upstream", peer=f"{GATE}:9")

    def found(log: str) -> list[str]:
        logs = {"shop/pay-1": log}
        return outcome(*SHOP, GATEWAY, deny, logs=logs, request=asked, from_="istio-system/gate")

    assert found(well * 3 + refused) == []
    assert found(well + refused * 2) == ["MD2018"]


def test_a_not_field_hits_plaintext() -> None:
    objects = (
        mesh(),
        pod("cart", "shop", CART, proxy=""),
        pod("pay", "shop", PAY),
        service("pay", "shop"),
    )
    spec = (
        "{action: DENY, rules: [{from: [{source: {notPrincipals: ['cluster.local/ns/shop/*']}}]}]}"
    )
    text = "rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[0]]"
    log = {"shop/pay-1": line(details=text, sni="-")}
    assert outcome(*objects, policy(spec), logs=log) == ["MD2019", "(MD2018)"]


TCP_PORT = "{name: tcp-db, port: 80, targetPort: 8080}"


def test_tcp_ports() -> None:
    tcp = (*SHOP[:-1], service("pay", "shop", TCP_PORT))
    log = {
        "shop/pay-1": line(
            request="- - -",
            code=0,
            details="-",
            termination="rbac_access_denied_matched_policy[none]",
            host="-",
            agent="-",
        )
    }
    web = policy(operation("methods: [GET]"))
    assert outcome(*tcp, web, logs=log) == ["MD2021", "(MD2002)"]
    assert outcome(*tcp, web, logs=log, request=GET)[0] == "MD2022"
    deny = policy("{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}")
    assert outcome(*tcp, deny)[0] == "MD2020"
    needs = policy(source("requestPrincipals: ['*']"))
    auth = request_auth(f"{{jwtRules: [{{issuer: '{IDP}'}}]}}")
    assert "MD2114" in outcome(*tcp, needs, auth)


NAMELESS = "{port: 80, targetPort: 8080}"


@pytest.mark.parametrize(
    ("release", "port", "codes"),
    [
        ("1.4.2", NAMELESS, ["MD2022", "(MD2002)", "(MD2021)"]),
        ("1.5.0", NAMELESS, []),
        ("1.4.2", "{name: http, port: 80, targetPort: 8080}", []),
    ],
)
def test_a_port_without_a_name_before_1_5(release: str, port: str, codes: list[str]) -> None:
    shop = (mesh(release=release), *SHOP[1:4], service("pay", "shop", port))
    rules = policy(operation("methods: [GET]"))
    assert outcome(*shop, rules, request=GET) == codes


def test_a_connection_that_an_old_proxy_closed_without_a_word() -> None:
    shop = (mesh(release="1.4.2"), *SHOP[1:4], service("pay", "shop", NAMELESS))
    closed = line(request="- - -", code=0, details="-", host="-").replace('"-" 0 19 0', '"-" 0 0 0')
    logs = {"shop/pay-1": closed}
    found = report(*shop, policy(operation("methods: [GET]")), logs=logs).main[0]
    assert (found.code, found.strength) == ("MD2021", "observed")
    sent = closed.replace('"-" 0 0 0', '"-" 0 19 0')
    logs = {"shop/pay-1": sent}
    near = report(*shop, policy(operation("methods: [GET]")), logs=logs).main[0]
    assert (near.code, near.strength) == ("MD2021", "derived")


def test_a_root_policy_hits_everybody() -> None:
    assert (
        outcome(*SHOP, policy("{}", namespace="istio-system"), logs=DENIED, request=GET)[0]
        == "MD2025"
    )
    own = policy(source("namespaces: [prod]"), "own")
    both = outcome(*SHOP, own, policy("{}", namespace="istio-system"), logs=DENIED, request=GET)
    assert "MD2025" not in both


def test_dry_run() -> None:
    dry = 'istio.io/dry-run: "true"'
    deny = policy("{action: DENY, rules: [{}]}", annotations=dry)
    assert outcome(*SHOP, deny, request=GET) == ["MD2028"]
    told = report(
        *SHOP, deny, request=GET, logs={"shop/pay-1": line(code=200, details="via_upstream")}
    )
    assert (told.exit, [one.group for one in told.findings]) == (Exit.HEALTHY, ["also_noticed"])
    allow = policy(source("namespaces: [prod]"), annotations=dry)
    assert outcome(*SHOP, allow, request=GET) == ["(MD2028)", "MD2029"]


NO_RULE = line(request_id="r-1")
LATER = line(code=200, details="via_upstream").replace("09:24:00", "09:25:00")
RBAC_FILTER = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: deny, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.rbac}}
"""


@pytest.mark.parametrize(
    ("more", "log", "codes"),
    [
        ((), NO_RULE * 2, ["MD2043"]),
        ((), NO_RULE, []),
        ((), NO_RULE * 2 + LATER, []),
        ((), line(details="ext_authz_denied", flags="UAEX") * 2, []),
        ((RBAC_FILTER,), NO_RULE * 2, []),
        ((policy("{rules: [{}]}", namespace="other"),), NO_RULE * 2, ["MD2043"]),
        ((policy(source("namespaces: [prod]")),), NO_RULE * 2, ["MD2008", "(MD2002)"]),
    ],
)
def test_refused_by_a_policy_that_is_gone(
    more: tuple[str, ...], log: str, codes: list[str]
) -> None:
    assert outcome(*SHOP, *more, logs={"shop/pay-1": log}, request=GET) == codes


def test_nothing_enforces() -> None:
    bare = (
        mesh(),
        pod("cart", "shop", CART),
        pod("pay", "shop", PAY, proxy=""),
        service("pay", "shop"),
    )
    assert outcome(*bare, policy(source("namespaces: [prod]")), request=GET) == ["MD2027"]
    port = "traffic.sidecar.istio.io/excludeInboundPorts: '8080'"
    excluded = (*SHOP[:2], pod("pay", "shop", PAY, annotations=port), *SHOP[3:])
    only = policy(source("namespaces: [prod]"))
    assert outcome(*excluded, only, request=GET) == ["MD2027"], "no policy can refuse it"


# --- tokens

RA = request_auth(
    f"{{jwtRules: [{{issuer: '{IDP}', audiences: [pay], jwksUri: 'https://idp.example.com/keys'}}]}}"
)
NEEDS = policy(source("requestPrincipals: ['*']"), "needs-token")


def test_token_absent() -> None:
    assert outcome(*SHOP, RA, NEEDS, logs=DENIED, request=GET) == ["MD2101", "(MD2002)"]
    asked = {where: text.replace('"GET ', '"OPTIONS ') for where, text in DENIED.items()}
    for logs, says in ((DENIED, False), (asked, True)):
        (told,) = report(*SHOP, RA, NEEDS, logs=logs, request=Request(path="/orders")).main
        assert told.code == "MD2101" and ("preflight" in told.because) is says
    deny = policy("{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}")
    assert outcome(*SHOP, RA, deny, request=GET) == ["MD2101", "(MD2018)"]


@pytest.mark.parametrize("spec", [source("requestPrincipals: ['*']"), ""])
def test_a_token_in_another_place_than_the_rule_reads(spec: str) -> None:
    wants = policy(spec or NO_PRINCIPAL)
    reads = request_auth(
        f"{{jwtRules: [{{issuer: '{IDP}', fromHeaders: [{{name: X-Jwt, prefix: 'Bearer '}}]}}]}}"
    )
    asked = bearer(CLAIMS)
    found = report(*SHOP, reads, wants, request=asked)
    assert [one.code for one in found.main] == ["MD2108"]
    assert "in header x-jwt after 'Bearer'" in found.main[0].because
    assert "header authorization" in found.main[0].because
    (absent,) = report(*SHOP, reads, wants, request=GET).main
    assert absent.code == "MD2101" and "(header x-jwt after 'Bearer');" in absent.because
    other = Request(method="GET", path="/orders?t=1", host="pay.shop", headers=(("x-a", "1"),))
    assert report(*SHOP, reads, wants, request=other).main[0].code == "MD2101"


NO_PRINCIPAL = "{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}"


@pytest.mark.parametrize(
    ("spec", "details"),
    [
        (source("requestPrincipals: ['*']"), "none"),
        (source(f"requestPrincipals: ['{IDP}/*']"), "none"),
        (
            rule(
                "{when: [{key: request.auth.principal, values: ['*']}], to: [{operation: {methods: [GET]}}]}"
            ),
            "none",
        ),
        (NO_PRINCIPAL, "ns[shop]-policy[needs-token]-rule[0]"),
    ],
)
def test_a_refusal_tells_that_there_was_no_token(spec: str, details: str) -> None:
    """Nobody described the request; every token that is accepted would have been let in."""
    log = {"shop/pay-1": line(details=f"rbac_access_denied_matched_policy[{details}]")}
    found = report(*SHOP, RA, policy(spec, "needs-token"), logs=log).findings
    assert (found[0].code, found[0].strength) == ("MD2101", "observed")
    assert {f.group for f in found[1:]} <= {"folded"}


@pytest.mark.parametrize(
    "spec",
    [
        source(f"requestPrincipals: ['{IDP}/bob']"),
        rule("{when: [{key: 'request.auth.claims[group]', values: [dev]}]}"),
        rule(
            "{from: [{source: {requestPrincipals: ['*']}}], when: [{key: 'request.headers[x-a]', values: [b]}]}"
        ),
    ],
)
def test_a_refusal_that_another_token_may_meet_as_well(spec: str) -> None:
    """Headers that were not told of are neither a token nor none."""
    found = report(*SHOP, RA, policy(spec, "needs-token"), logs=DENIED).findings
    by_code = {f.code: f.verdict for f in found}
    assert by_code["MD2002"] == "confirmed"
    assert by_code["MD2101"] == "undecided"
    missing = next(f for f in found if f.code == "MD2101").missing
    assert any("--request" in one.remedy for one in missing)


def test_an_undescribed_request_that_nobody_refused_leaves_nothing_open() -> None:
    log = {"shop/pay-1": line(code=200, details="via_upstream")}
    found = report(*SHOP, RA, NEEDS, logs=log).findings
    assert [f.code for f in found] == []


@pytest.mark.parametrize(
    ("claims", "text", "status", "code"),
    [
        ({**CLAIMS, "iss": IDP.rstrip("/")}, "Jwt_issuer_is_not_configured", 401, "MD2102"),
        ({**CLAIMS, "exp": 5}, "Jwt_is_expired", 401, "MD2103"),
        ({**CLAIMS, "aud": "other"}, "Audiences_in_Jwt_are_not_allowed", 403, "MD2104"),
    ],
)
def test_refused_tokens(claims: dict[str, object], text: str, status: int, code: str) -> None:
    log = {"shop/pay-1": line(code=status, details=f"jwt_authn_access_denied{{{text}}}")}
    assert outcome(*SHOP, RA, logs=log, request=bearer(claims)) == [code]
    assert outcome(*SHOP, RA, request=bearer(claims)) == [code]
    assert outcome(*SHOP, RA, logs=log) == [code]


@pytest.mark.parametrize(
    ("from_", "passed", "request_", "codes"),
    [
        ("istio-system/gate", 3, None, ["MD2116"]),
        ("istio-system/gate", 1, None, ["MD2103"]),
        ("shop/cart", 3, None, ["MD2103"]),
        ("istio-system/gate", 3, bearer({**CLAIMS, "exp": 5}), ["MD2103"]),
    ],
)
def test_some_of_many_users_come_with_expired_tokens(
    from_: str, passed: int, request_: Request | None, codes: list[str]
) -> None:
    peer = "203.0.113.5:0" if from_.startswith("istio-system") else f"{CART}:50000"
    text = line(code=401, details="jwt_authn_access_denied{Jwt_is_expired}", peer=peer)
    text += line(code=200, details="via_upstream", peer=peer) * passed
    log = {"shop/pay-1": text}
    assert outcome(*SHOP, GATEWAY, RA, logs=log, request=request_, from_=from_) == codes


@pytest.mark.parametrize(
    "spec",
    [
        rule("{when: [{key: 'request.headers[x-tenant]', values: [blue]}]}"),
        source("requestPrincipals: ['*']"),
        "{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}",
    ],
)
def test_what_the_question_leaves_out_is_no_fault_where_such_requests_pass(spec: str) -> None:
    """Headers and tokens are seldom given with a question."""
    passes = {"shop/pay-1": line(code=200, details="via_upstream") * 2}
    assert outcome(*SHOP, policy(spec), logs=passes, request=GET) == []
    assert outcome(*SHOP, policy(spec), request=GET) != []


def test_a_question_without_token_says_nothing_where_such_requests_pass() -> None:
    log = {"shop/pay-1": line(code=200, details="via_upstream") * 2}
    assert outcome(*SHOP, RA, NEEDS, logs=log, request=GET) == []
    assert outcome(*SHOP, RA, NEEDS, request=GET)[0] == "MD2101"
    both = {"shop/pay-1": log["shop/pay-1"] + line()}
    assert outcome(*SHOP, RA, NEEDS, logs=both, request=GET)[0] == "MD2101"


def test_keys_written_into_the_rule() -> None:
    held = json.dumps({"keys": [{"kid": "old"}]})
    inline = request_auth(f"{{jwtRules: [{{issuer: '{IDP}', jwks: '{held}'}}]}}")
    text = "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}"
    log = {"shop/pay-1": line(code=401, details=text)}
    keys = {"issuer": IDP, "localJwks": {"inlineString": held}}
    dump = {"proxy-config listener pay-1.shop": json.dumps([{"x": [{"providers": {"a": keys}}]}])}
    assert outcome(*SHOP, inline, logs=log, istioctl=dump) == ["MD2118"]
    assert outcome(*SHOP, inline, logs=log, request=bearer(CLAIMS), istioctl=dump) == ["MD2118"]


def test_a_refusal_is_told_once() -> None:
    log = {"shop/pay-1": line(code=401, details="jwt_authn_access_denied{Jwt_is_expired}")}
    old = bearer({**CLAIMS, "aud": "pay", "exp": SECONDS - 600})
    (found,) = report(*SHOP, RA, logs=log, request=old).main
    assert found.code == "MD2103" and "refused: Jwt is expired. Its" in found.because


def test_signing_keys() -> None:
    text = "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}"
    log = {"shop/pay-1": line(code=401, details=text)}
    asked = bearer({**CLAIMS, "aud": "pay"})
    failed = '2026-11-18T09:20:05Z\terror\tmodel\tFailed to fetch public key from jwks URI "https://idp.example.com/keys": x509: unknown\n'
    logs = {**log, "istio-system/istiod-1/discovery": failed}
    assert outcome(*SHOP, RA, logs=logs, request=asked) == ["MD2105"]
    keys = {"issuer": IDP, "localJwks": {"inlineString": json.dumps({"keys": [{"kid": "old"}]})}}
    dump = {"proxy-config listener pay-1.shop": json.dumps([{"x": [{"providers": {"a": keys}}]}])}
    assert outcome(*SHOP, RA, logs=log, request=asked, istioctl=dump) == ["MD2106"]
    (unasked,) = report(*SHOP, RA, logs=log, istioctl=dump).main
    assert unasked.code == "MD2106" and "signed with a key that no log names" in unasked.because
    fake = {**keys, "localJwks": {"inlineString": '{"keys":[]}'}}
    dump = {"proxy-config listener pay-1.shop": json.dumps([fake])}
    assert outcome(*SHOP, RA, logs=log, request=asked, istioctl=dump) == ["MD2105"]
    (told,) = report(*SHOP, RA, logs=log, request=asked, istioctl=dump).main
    assert "itself and fails (its log" in told.because
    undecided = report(*SHOP, RA, logs=log, request=asked).of("undecided")
    assert {f.code for f in undecided} >= {"MD2105", "MD2106"}
    said = (
        "2026-11-18T09:20:05Z\tdebug\tenvoy jwt\tLoaded JwtAuthConfig: providers {\n"
        '  inline_string: "{ \\"n\\":\\"RXJyb3ItSXN0aW9kRmFpbGVkVG9GZXRjaEp3a3NVcmktaHR0cDov\\"}"\n'
        "2026-11-18T09:21:05Z\tdebug\tenvoy jwt\tJwt authentication completed with: Jwt verification fails\n"
    )
    assert outcome(*SHOP, RA, logs={"shop/pay-1": said}) == ["MD2105", "(MD2119)"]
    remote = {
        "shop/pay-1": line(code=401, details="jwt_authn_access_denied{Jwks_remote_fetch_is_failed}")
    }
    assert outcome(*SHOP, RA, logs=remote, request=asked) == ["MD2107"]


@pytest.mark.parametrize(
    ("uri", "more", "code"),
    [
        ("http://keys:8080/jwk", "", "MD2105"),
        ("http://keys.shop:8080/jwk", "", ""),
        ("http://localhost:8080/jwk", "", ""),
        ("http://[::1]:8080/jwk", "", ""),
        ("http://keys:8080/jwk", service("keys", "istio-system"), ""),
        ("http://keys:8080/jwk", service("keys", "shop"), "MD2105"),
    ],
)
def test_keys_at_a_short_name(uri: str, more: str, code: str) -> None:
    """istiod completes it with its own namespace."""
    text = "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}"
    keys = request_auth(f"{{jwtRules: [{{issuer: '{IDP}', jwksUri: '{uri}'}}]}}")
    log = {"shop/pay-1": line(code=401, details=text)}
    objects = (*SHOP, keys, *((more,) if more else ()))
    found = outcome(*objects, logs=log, request=bearer({**CLAIMS, "aud": "pay"}))
    assert found == ([code] if code else [])


def test_tokens_elsewhere_and_malformed() -> None:
    opaque = Request(
        method="GET", path="/orders", host="pay.shop", headers=(("authorization", "Bearer opaque"),)
    )
    assert outcome(*SHOP, RA, request=opaque) == ["MD2108"]
    cookie = Request(
        method="GET", path="/orders", host="pay.shop", headers=(("cookie", f"t={token(CLAIMS)}"),)
    )
    assert outcome(*SHOP, RA, NEEDS, request=cookie)[0] == "MD2108"


def test_one_bad_token_of_two() -> None:
    good, bad = token({**CLAIMS, "aud": "pay"}), token({**CLAIMS, "aud": "pay", "exp": 5})
    asked = Request(
        method="GET",
        path=f"/orders?access_token={bad}",
        host="pay.shop",
        headers=(("authorization", f"Bearer {good}"),),
    )
    assert outcome(*SHOP, RA, request=asked)[0] == "MD2109"


def test_claims() -> None:
    spec = rule("{when: [{key: 'request.auth.claims[realm.roles]', values: [admin]}]}")
    asked = bearer({**CLAIMS, "aud": "pay", "realm": {"roles": ["admin"]}})
    assert outcome(*SHOP, RA, policy(spec), logs=DENIED, request=asked) == ["MD2111", "(MD2002)"]
    other = bearer({**CLAIMS, "aud": "pay", "realm": {"roles": ["dev"]}})
    assert outcome(*SHOP, RA, policy(spec), logs=DENIED, request=other) == ["MD2002"]


# --- gateways


def test_behind_a_gateway_the_peer_is_the_gateway() -> None:
    objects = (*SHOP, GATEWAY)
    listed = policy(source("principals: [cluster.local/ns/shop/sa/cart]"))
    log = {"shop/pay-1": line(peer="203.0.113.5:0", xff="203.0.113.5")}
    found = outcome(*objects, listed, logs=log, request=GET, from_="istio-system/gate")
    assert found == ["MD2007", "(MD2002)"]


def test_a_gateway_takes_the_token_away() -> None:
    edge = request_auth(
        f"{{selector: {{matchLabels: {{app: gate}}}}, jwtRules: [{{issuer: '{IDP}'}}]}}",
        "edge",
        "istio-system",
    )
    objects = (*SHOP, GATEWAY, edge, RA, NEEDS)
    asked = bearer({**CLAIMS, "aud": "pay"})
    log = {"shop/pay-1": line(peer=f"{GATE}:5")}
    found = outcome(*objects, logs=log, request=asked, from_="istio-system/gate")
    assert found[0] == "MD2113"
    kept = edge.replace(f"issuer: '{IDP}'", f"issuer: '{IDP}', forwardOriginalToken: true")
    assert outcome(*SHOP, GATEWAY, kept, RA, NEEDS, request=asked, from_="istio-system/gate") == []


def test_remote_addresses_at_a_gateway() -> None:
    only = policy(source("ipBlocks: [203.0.113.0/24]"), namespace="istio-system")
    log = {
        "istio-system/gate-1": line(
            cluster="-", peer=f"{NODE}:4000", local=f"{GATE}:8443", sni="pay.example.com", xff=NODE
        )
    }
    found = outcome(*SHOP, GATEWAY, only, logs=log, request=GET, from_="istio-system/gate")
    assert found[0] == "MD2013"
    behind = policy(source("remoteIpBlocks: [203.0.113.0/24]"), namespace="istio-system")
    found = outcome(*SHOP, GATEWAY, behind, logs=log, request=GET, from_="istio-system/gate")
    assert found[0] == "MD2014"


def test_an_egress_gateway_denies() -> None:
    egress = pod(
        "egress", "istio-system", "10.0.0.4", proxy="router", labels="istio: egressgateway"
    )
    only = policy(source("principals: [cluster.local/ns/shop/sa/other]"), "out", "istio-system")
    log = {
        "istio-system/egress-1": line(cluster="-", host="api.example.com", local="10.0.0.4:8443"),
    }
    found = outcome(*SHOP, egress, only, logs=log, to="api.example.com:443")
    assert found[0] == "MD2032"


WAY_OUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: infra}
spec:
  hosts: [api.example.com]
  gateways: [mesh, way]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: way.infra.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way, namespace: infra}
spec:
  selector: {app: way}
  servers: [{port: {number: 80, protocol: HTTPS}, hosts: [api.example.com], tls: {mode: ISTIO_MUTUAL}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: infra}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}]}
"""


def leaving(gateway_line: str, *objects: str) -> list[str]:
    """What is said of a call that leaves by a gateway of another namespace, with any name."""
    way = pod("way", "infra", "10.0.0.4", proxy="router")
    logs = {
        "shop/cart-1": line(
            details="via_upstream",
            host="api.example.com",
            cluster="outbound|80||way.infra.svc.cluster.local",
            peer=f"{CART}:40000",
            local="203.0.113.9:443",
            sni="-",
        ),
        "infra/way-1": gateway_line,
    }
    world = (*SHOP, way, service("way", "infra"), WAY_OUT, *objects)
    return outcome(*world, logs=logs, to="api.example.com:443")


def at_way(cluster: str, details: str = "rbac_access_denied_matched_policy[none]") -> str:
    return line(
        details=details,
        cluster=cluster,
        host="api.example.com",
        local="10.0.0.4:80",
        sni="api.example.com",
    )


def test_an_egress_gateway_of_another_namespace_denies() -> None:
    """Its own refusal comes back to the caller as an answer from beyond the caller's proxy."""
    only = policy(source("principals: [cluster.local/ns/shop/sa/other]"), "out", "infra")
    found = leaving(at_way("-"), only)
    assert found == ["MD2032", "(MD2002)", "(MD2005)"]


def test_a_host_beyond_an_egress_gateway_denies() -> None:
    passed = at_way("outbound|443||api.example.com", "via_upstream")
    assert leaving(passed) == ["MD2905"]
    assert leaving("") == []


# --- external authorizers

PROVIDER = """
    extensionProviders:
    - name: oauth
      envoyExtAuthzHttp: {service: oauth.auth.svc.cluster.local, port: 80}
    - name: opa
      envoyExtAuthzGrpc: {service: oauth.auth.svc.cluster.local, port: 9191}
"""
OAUTH = service("oauth", "auth")
SLICE = """
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: oauth-1, namespace: auth, labels: {kubernetes.io/service-name: oauth}}
    endpoints: [{addresses: [10.0.0.50]}]
    """
WITH = (mesh(PROVIDER), *SHOP[1:], OAUTH, SLICE)


def custom(provider: str, name: str = "c") -> str:
    return policy(f"{{action: CUSTOM, provider: {{name: {provider}}}, rules: [{{}}]}}", name)


def uaex(details: str) -> dict[str, str]:
    return {"shop/pay-1": line(details=details, flags="UAEX")}


def test_external_authorizers() -> None:
    assert outcome(*WITH, custom("oauth"), request=GET) == []
    assert outcome(*WITH, custom("nobody"), request=GET) == ["MD2201"]
    assert outcome(*WITH, custom("oauth"), custom("opa", "d"), request=GET) == ["MD2208"]
    assert outcome(*WITH, custom("opa"), logs=uaex("ext_authz_denied"), request=GET) == ["MD2204"]
    found = outcome(*WITH, custom("oauth"), logs=uaex("ext_authz_denied"), request=GET)
    assert found == ["MD2205", "(MD2204)"]
    assert outcome(*WITH, custom("oauth"), logs=uaex("ext_authz_error"), request=GET) == ["MD2203"]
    down = (*WITH[:-1], custom("oauth"))
    assert outcome(*down, request=GET) == ["MD2203"]


def test_an_authorizer_that_is_asked_about_connections() -> None:
    closed = line(request="- - -", code=0, flags="UAEX", details="ext_authz_denied", host="-")
    found = report(*WITH, custom("opa"), logs={"shop/pay-1": closed})
    assert [one.code for one in found.main] == ["MD2214"]
    assert found.main[0].objects == ["AuthorizationPolicy/shop/c", "Service/shop/pay"]


def test_a_grpc_authorizer_that_is_asked_by_http1() -> None:
    def found(
        port: str, *more: str, provider: str = "opa", log: str = "ext_authz_error"
    ) -> list[str]:
        svc = service("oauth", "auth", port)
        world = (mesh(PROVIDER), *SHOP[1:], svc, SLICE, *more, custom(provider))
        return outcome(*world, logs=uaex(log), request=GET)

    http = "{name: http-web, port: 9191}"
    assert found(http) == ["MD2213", "(MD2203)"]
    assert found("{name: tcp-web, port: 9191}") == ["MD2213", "(MD2203)"]
    assert found("{name: grpc-web, port: 9191}") == ["MD2213", "(MD2203)"]
    for fits in ("name: grpc", "name: http2", "name: http, appProtocol: grpc", "name: web"):
        assert found(f"{{{fits}, port: 9191}}") == ["MD2203"]
    assert found("{name: http, port: 80}", provider="oauth") == ["MD2203"]
    assert found(http, log="ext_authz_denied") == ["MD2204"]
    upgrade = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: oauth, namespace: auth}
    spec:
      host: oauth.auth.svc.cluster.local
      trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}
    """
    assert found(http, upgrade) == ["MD2203"]
    assert found(http, upgrade.replace("UPGRADE}", "DO_NOT_UPGRADE}")) == ["MD2213", "(MD2203)"]


@pytest.mark.parametrize(
    ("policy_at", "config_at", "found"),
    [
        ("01T00:00:00", "01T00:00:00", ["MD2204"]),
        ("18T09:23:50", "01T00:00:00", ["MD2204"]),
        ("18T09:28:00", "01T00:00:00", ["MD2205", "(MD2204)"]),
        ("01T00:00:00", "18T09:28:00", ["MD2205", "(MD2204)"]),
    ],
)
def test_what_passed_before_the_authorizer_was_asked(
    policy_at: str, config_at: str, found: list[str]
) -> None:
    """The request that passed is of 09:24."""
    asks = custom("oauth").replace("01T00:00:00", policy_at)
    dated = f'name: istio, namespace: istio-system, creationTimestamp: "2026-11-{config_at}Z"'
    config = WITH[0].replace("name: istio, namespace: istio-system", dated, 1)
    logs = {
        "shop/pay-1": line(code=200, details="via_upstream")
        + uaex("ext_authz_denied")["shop/pay-1"]
    }
    assert outcome(config, *WITH[1:], asks, logs=logs, request=GET) == found


def test_since_when_the_authorizer_is_asked_may_be_unknown() -> None:
    asks = custom("oauth").replace('creationTimestamp: "2026-11-01T00:00:00Z"', "uid: u")
    passed = line(code=200, details="via_upstream")
    logs = {"shop/pay-1": passed + uaex("ext_authz_denied")["shop/pay-1"]}
    findings = report(*WITH, asks, logs=logs, request=GET).findings
    assert {(f.code, str(f.verdict)) for f in findings if f.code in ("MD2204", "MD2205")} == {
        ("MD2204", "confirmed"),
        ("MD2205", "undecided"),
    }


def test_what_passed_before_a_policy_came_does_not_speak_against_it() -> None:
    passes = {"shop/pay-1": line(code=200, details="via_upstream") * 2}
    young = policy("{}").replace("01T00:00:00", "18T09:28:00")
    assert outcome(*SHOP, young, logs=passes, request=GET) == ["MD2001"]
    assert outcome(*SHOP, policy("{}"), logs=passes, request=GET) == []


def test_a_sidecar_hides_the_authorizer() -> None:
    sidecar = """
    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata: {name: default, namespace: shop}
    spec: {egress: [{hosts: ["./*", "istio-system/*"]}]}
    """
    assert outcome(*WITH, sidecar, custom("oauth"), logs=uaex("ext_authz_error"), request=GET) == [
        "MD2202"
    ]
    wide = sidecar.replace("istio-system/*", "auth/*")
    assert outcome(*WITH, wide, custom("oauth"), request=GET) == []


def test_open_authorizers_and_bodies() -> None:
    config = PROVIDER.replace(
        "port: 80}", "port: 80, failOpen: true, includeRequestBodyInCheck: {maxRequestBytes: 1024}}"
    )
    objects = (mesh(config), *SHOP[1:], OAUTH)
    assert outcome(*objects, custom("oauth"), request=GET) == ["MD2209"]
    large = {"shop/pay-1": line(code=413, details="request_payload_too_large")}
    assert "MD2206" in outcome(*objects, SLICE, custom("oauth"), logs=large, request=GET)
    tcp = (mesh(PROVIDER), *SHOP[1:-1], service("pay", "shop", TCP_PORT), OAUTH, SLICE)
    assert outcome(*tcp, custom("oauth")) == ["MD2207"]


def test_an_authorizer_that_waits_for_what_is_verified_later() -> None:
    """Tokens are verified after the authorizer was asked."""
    fills = f"{{jwtRules: [{{issuer: '{IDP}', outputClaimToHeaders: [{{header: x-user, claim: sub}}]}}]}}"
    given = PROVIDER.replace("port: 80}", "port: 80, includeRequestHeadersInCheck: [x-u*, cookie]}")
    world = (mesh(given), *SHOP[1:], OAUTH, SLICE, custom("oauth"))
    refused = uaex("ext_authz_denied")
    found = outcome(*world, request_auth(fills), logs=refused, request=GET)
    assert found == ["MD2112", "(MD2204)"]
    payload = request_auth(f"{{jwtRules: [{{issuer: '{IDP}', outputPayloadToHeader: x-payload}}]}}")
    assert outcome(*world, payload, logs=refused, request=GET) == ["MD2204"]
    assert outcome(*world, logs=refused, request=GET) == ["MD2204"]


# --- not the mesh, and other filters


def test_the_application_answers() -> None:
    log = {"shop/pay-1": line(details="via_upstream")}
    assert outcome(*SHOP, policy(source("namespaces: [shop]")), logs=log, request=GET) == ["MD2901"]
    onward = line(details="via_upstream", cluster="outbound|80||stock.shop.svc.cluster.local")
    assert outcome(*SHOP, logs={"shop/pay-1": log["shop/pay-1"] + onward}, request=GET) == [
        "MD2902"
    ]
    said = 'pods is forbidden: User "system:serviceaccount:shop:pay" cannot list resource\n'
    (found,) = report(*SHOP, logs={**log, "shop/pay-1/app": said}, request=GET).main
    assert found.code == "MD2904" and found.folded
    assert found.fix.endswith("--as=system:serviceaccount:shop:pay")
    assert found.verify is not None and "logs deployment/pay " in found.verify.run


def test_the_application_misses_the_token_that_the_sidecar_took() -> None:
    log = {"shop/pay-1": line(code=401, details="via_upstream")}
    taken = ["MD2115", "(MD2901)"]
    good = bearer({**CLAIMS, "aud": "pay"})
    assert outcome(*SHOP, RA, logs=log, request=good) == taken
    said = {**log, "shop/pay-1/app": "no Authorization header in GET /orders\n"}
    assert outcome(*SHOP, RA, logs=said) == taken
    assert outcome(*SHOP, logs=said) == ["MD2901"]
    forwards = RA.replace("audiences", "forwardOriginalToken: true, audiences")
    for ra, asked in ((forwards, good), (RA, GET)):
        assert outcome(*SHOP, ra, logs=log, request=asked) == ["MD2901"]


@pytest.mark.parametrize(
    ("listed", "codes"),
    [
        ("", ["MD2117", "(MD2901)"]),
        ("headersToUpstreamOnAllow: [x-user]", ["MD2117", "(MD2901)"]),
        ("headersToUpstreamOnAllow: [Authorization]", ["MD2901"]),
        ("headersToUpstreamOnAllow: ['auth*']", ["MD2901"]),
    ],
)
def test_the_application_misses_the_token_that_the_authorizer_gave(
    listed: str, codes: list[str]
) -> None:
    provider = PROVIDER.replace("port: 80}", f"port: 80, {listed}}}" if listed else "port: 80}")
    logs = {
        "shop/pay-1": line(code=401, details="via_upstream"),
        "shop/pay-1/app": "no Authorization header in GET /orders\n",
    }
    shop = (mesh(provider), *SHOP[1:], OAUTH, SLICE, custom("oauth"))
    assert outcome(*shop, logs=logs, request=GET) == codes
    assert outcome(*shop[:-1], custom("opa"), logs=logs, request=GET) == ["MD2901"]


def test_a_host_outside_answers() -> None:
    log = {
        "shop/cart-1": line(
            details="via_upstream",
            cluster="outbound|443||s3.amazonaws.com",
            host="s3.amazonaws.com",
        )
    }
    assert outcome(*SHOP, logs=log, to="s3.amazonaws.com:443") == ["MD2905"]


def test_another_filter() -> None:
    log = {"shop/pay-1": line(code=429, details="request_rate_limited", flags="RL")}
    assert outcome(*SHOP, logs=log, request=GET) == ["MD2040"]


PASSED = line(code=200, details="via_upstream")
BUFFER = """
    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
    metadata: {name: limit, namespace: shop}
    spec:
      configPatches:
      - applyTo: HTTP_FILTER
        match: {context: SIDECAR_INBOUND}
        patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.buffer}}
    """
OTHERS = """
    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
    metadata: {name: aaa, namespace: shop}
    spec:
      configPatches:
      - applyTo: HTTP_FILTER
        match: {context: SIDECAR_INBOUND}
        patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.local_ratelimit}}
    ---
    apiVersion: extensions.istio.io/v1alpha1
    kind: WasmPlugin
    metadata: {name: open, namespace: shop}
    spec: {url: "oci://x", failStrategy: FAIL_OPEN}
    ---
    apiVersion: extensions.istio.io/v1alpha1
    kind: WasmPlugin
    metadata: {name: shut, namespace: shop}
    spec: {url: "oci://y"}
    """


@pytest.mark.parametrize(
    ("details", "code", "well", "named"),
    [
        ("request_payload_too_large", 413, 9, "EnvoyFilter/shop/limit"),
        ("request_payload_too_large", 413, 10, ""),
        ("wasm_fail_stream", 503, 10, "WasmPlugin/shop/shut"),
        ("request_rate_limited", 429, 0, "EnvoyFilter/shop/aaa"),
    ],
)
def test_which_filter_refused(details: str, code: int, well: int, named: str) -> None:
    """A few bodies among many that are too large are what a limit is for."""
    flags = "RL" if code == 429 else "-"
    log = {"shop/pay-1": line(code=code, details=details, flags=flags) + PASSED * well}
    found = report(*SHOP, OTHERS, BUFFER, logs=log).findings
    assert [(f.code, f.objects[0]) for f in found] == ([("MD2040", named)] if named else [])


def test_a_body_too_large_where_no_filter_holds_bodies() -> None:
    log = {"shop/pay-1": line(code=413, details="request_payload_too_large")}
    assert outcome(*SHOP, logs=log) == []


FAULT = """
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata: {name: pay, namespace: shop}
    spec:
      hosts: [pay]
      http:
      - fault: {abort: {httpStatus: 403, percentage: {value: 100}}}
        route: [{destination: {host: pay}}]
    """


@pytest.mark.parametrize(
    ("details", "flags", "code", "named"),
    [
        ("fault_filter_abort", "FI", 403, "VirtualService/shop/pay"),
        ("request_rate_limited", "RL", 429, "Deployment/shop/cart"),
        ("lua_response", "-", 403, "Deployment/shop/cart"),
    ],
)
@pytest.mark.parametrize("request_", [GET, None])
def test_another_filter_at_the_caller(
    details: str, flags: str, code: int, named: str, request_: Request | None
) -> None:
    """A fault answers at the caller's own proxy: no judge ever logs it."""
    cluster = "outbound|80||pay.shop.svc.cluster.local"
    log = {"shop/cart-1": line(code=code, details=details, flags=flags, cluster=cluster, sni="-")}
    found = report(*SHOP, FAULT, logs=log, request=request_).findings
    assert [(f.code, f.strength) for f in found] == [("MD2040", "observed")]
    assert found[0].objects[0] == named
    verify = found[0].verify
    assert verify is not None and verify.lacks == [details]


def test_a_caller_that_hung_up_was_refused_by_no_filter() -> None:
    """A 403 of the application, of whose body the caller waited for nothing."""
    rest = {"code": 403, "details": "downstream_remote_disconnect", "flags": "DC"}
    cluster = "outbound|80||pay.shop.svc.cluster.local"
    log = {
        "shop/pay-1": line(**rest) + line(code=403, details="via_upstream"),  # type: ignore[arg-type]
        "shop/cart-1": line(cluster=cluster, sni="-", **rest),  # type: ignore[arg-type]
    }
    assert outcome(*SHOP, logs=log) == ["MD2901"]


def test_an_answer_that_came_from_beyond_is_no_filter_of_the_caller() -> None:
    cluster = "outbound|80||pay.shop.svc.cluster.local"
    log = {"shop/cart-1": line(code=403, details="via_upstream", cluster=cluster, sni="-")}
    assert "MD2040" not in outcome(*SHOP, FAULT, logs=log)


# --- ambient

AMBIENT = (
    mesh(),
    "\n    apiVersion: v1\n    kind: Namespace\n    metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n    ",
    pod("cart", "shop", CART, proxy=""),
    pod("pay", "shop", PAY, proxy=""),
    service("pay", "shop"),
    pod("ztunnel", "istio-system", "10.0.0.20", proxy="ztunnel"),
)


def tunnel(error: str, identity: str = "cluster.local/ns/shop/sa/cart") -> dict[str, str]:
    who = f'src.identity="spiffe://{identity}" ' if identity else ""
    text = (
        f"2026-11-18T09:24:00.985Z error access connection complete src.addr={CART}:41512 {who}"
        f'dst.addr={PAY}:15008 dst.hbone_addr={PAY}:8080 direction="inbound" error="{error}"\n'
    )
    return {"istio-system/ztunnel-1/app": text, "istio-system/ztunnel-1": text}


NONE_ALLOWED = "connection closed due to policy rejection: allow policies exist, but none allowed"


def test_ambient() -> None:
    http = policy(operation("methods: [GET]"))
    assert outcome(*AMBIENT, http, logs=tunnel(NONE_ALLOWED), request=GET) == ["MD2036", "(MD2002)"]
    assert outcome(*AMBIENT, http, logs=tunnel(""), request=GET)[0] == "MD2036"
    cart = policy(source("principals: [cluster.local/ns/shop/sa/cart]"))
    assert outcome(*AMBIENT, cart, logs=tunnel(""), request=GET) == []
    found = outcome(*AMBIENT, cart, logs=tunnel(NONE_ALLOWED, ""), request=GET)
    assert found[0] == "MD2039"


WAYPOINT = (
    """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: waypoint, namespace: shop}
    spec: {gatewayClassName: istio-waypoint, listeners: []}
    """,
    pod(
        "waypoint",
        "shop",
        "10.0.0.30",
        proxy="waypoint",
        labels="gateway.networking.k8s.io/gateway-name: waypoint",
    ),
)


OTHER_ACCOUNT = "{from: [{source: {principals: [cluster.local/ns/shop/sa/other]}}]}"


def test_waypoints() -> None:
    meant = policy(
        "{targetRefs: [{kind: Service, name: pay}], rules: [{to: [{operation: {methods: [PUT]}}]}]}",
        "wp",
    )
    assert outcome(*AMBIENT, *WAYPOINT, meant, logs=tunnel(""), request=GET) == ["MD2038"]
    labelled = tuple(
        o.replace(
            "metadata: {name: pay, namespace: shop}",
            "metadata: {name: pay, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}",
        )
        for o in AMBIENT
    )
    logs = {
        **tunnel(""),
        "shop/waypoint-1": line(cluster="inbound-vip|80|http|pay.shop.svc.cluster.local"),
    }
    assert outcome(*labelled, *WAYPOINT, meant, logs=logs, request=GET) == ["MD2010", "(MD2002)"]
    other = meant.replace("{to: [{operation: {methods: [PUT]}}]}", OTHER_ACCOUNT)
    refused = {**tunnel(""), "shop/waypoint-1": line(cluster="inbound-vip|80|http|pay.shop")}
    found = outcome(*labelled, *WAYPOINT, other, logs=refused, request=GET)
    assert found[0] == "MD2005", "the tunnel has the caller's identity, whatever a line tells"
    clients = policy(source("principals: [cluster.local/ns/shop/sa/cart]"), "l4")
    seen = {**tunnel(NONE_ALLOWED, "cluster.local/ns/shop/sa/waypoint"), "shop/waypoint-1": ""}
    found = outcome(*labelled, *WAYPOINT, clients, logs=seen, request=GET)
    assert found[0] == "MD2037"


# --- objects and probes


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{selector: {matchLabels: {app: payment}}, rules: [{}]}", "MD2023"),
        ("{selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]}", "MD2024"),
        ("{targetRefs: [{kind: Service, name: pay}], rules: [{}]}", "MD2026"),
        (
            "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: nope}], rules: [{}]}",
            "MD2026",
        ),
        ("{targetRefs: [{kind: Service, name: pay, namespace: x}], rules: [{}]}", "MD2026"),
        (
            "{rules: [{from: [{source: {namespaces: [shop]}}]}, {to: [{operation: {methods: [GET]}}]}]}",
            "MD2017",
        ),
    ],
)
def test_objects(spec: str, code: str) -> None:
    assert code in outcome(*SHOP, GATEWAY, policy(spec), request=GET)


def test_a_pruned_field() -> None:
    applied = json.dumps(
        {"spec": {"rules": [{"from": [{"source": {"serviceAccounts": ["cart"]}}]}]}}
    )
    note = f"kubectl.kubernetes.io/last-applied-configuration: '{applied}'"
    assert outcome(
        *SHOP, policy("{rules: [{from: [{source: {}}]}]}", annotations=note), request=GET
    ) == ["MD2033"]
    refs = note.replace('{"rules"', '{"targetRefs": [{"kind": "Gateway", "name": "w"}], "rules"')
    wide = policy(source("principals: ['*']"), annotations=refs.replace("serviceAccounts", "x"))
    assert "MD2033" in outcome(*SHOP, wide, request=GET)
    kept = policy(source("serviceAccounts: [cart]"), annotations=note)
    assert outcome(*SHOP, kept, request=GET) == []
    broken = "kubectl.kubernetes.io/last-applied-configuration: '{'"
    assert outcome(*SHOP, policy("{rules: [{}]}", annotations=broken), request=GET) == []


def test_probes_are_refused() -> None:
    sick = (
        pod(
            "pay",
            "shop",
            PAY,
            extra="  restartPolicy: Always",
        )
        .replace(
            "ports: [{containerPort: 8080}]",
            "ports: [{containerPort: 8080}]\n          livenessProbe: {httpGet: {path: /healthz, port: 8080}}",
        )
        .replace('status: "True"', 'status: "False"')
    )
    log = {
        "shop/pay-1": line(
            request="GET /healthz HTTP/1.1", agent="kube-probe/1.31", peer=f"{NODE}:4", sni="-"
        )
    }
    objects = (*SHOP[:2], sick, *SHOP[3:])
    found = outcome(*objects, policy(source("namespaces: [shop]")), logs=log, request=GET)
    assert found == ["MD2031"]


def test_an_old_answer_from_a_stale_proxy() -> None:
    status = json.dumps(
        [
            {
                "proxy": "pay-1.shop",
                "istio_version": "1.31.0",
                "listener_sent": "2",
                "listener_acked": "1",
            }
        ]
    )
    found = outcome(
        *SHOP,
        policy(source("namespaces: [shop]")),
        logs=DENIED,
        request=GET,
        istioctl={"proxy-status": status},
    )
    assert "MD2034" in found


@pytest.mark.parametrize(
    ("started", "verdict"),
    [("2026-11-18T08:00:00Z", "confirmed"), ("2026-11-18T09:29:50Z", "undecided")],
)
def test_an_old_answer_from_a_proxy_that_no_istiod_lists(started: str, verdict: str) -> None:
    """One that has just started may still be connecting: nobody knows then."""
    running = pod("pay", "shop", PAY).replace(
        "      conditions:",
        "      containerStatuses: [{name: istio-proxy, ready: true, "
        f'state: {{running: {{startedAt: "{started}"}}}}}}]\n      conditions:',
    )
    others = {"istiod-1": [{"proxy": "cart-1.shop", "istio_version": "1.31.0"}]}
    found = report(
        *SHOP[:2],
        running,
        *SHOP[3:],
        policy(source("namespaces: [shop]")),
        logs=DENIED,
        request=GET,
        istioctl={"proxy-status": json.dumps(others)},
    ).findings
    assert {one.code: one.verdict for one in found}.get("MD2034") == verdict


@pytest.mark.parametrize(
    "kind", ["AuthorizationPolicy", "RequestAuthentication", "log", "ConfigMap"]
)
def test_unreadable_evidence_is_undecided_and_never_raises(kind: str) -> None:
    source = FakeSource(
        "\n---\n".join(dedent(one) for one in (*SHOP, NEEDS)),
        failing={kind: ForbiddenError(kind, "no")},
    )
    scope = Scope(from_=parse_target("shop/cart", "--from"), to=parse_target("shop/pay:80", "--to"))
    found = diagnose(source, books(), scope, Options(strict=True))
    assert found.exit is not Exit.HEALTHY


def test_a_deny_by_identity_and_a_plaintext_caller() -> None:
    def objects(proxy: str) -> tuple[str, ...]:
        return (
            mesh(),
            pod("cart", "shop", CART, proxy=proxy),
            pod("pay", "shop", PAY),
            service("pay", "shop"),
        )

    spec = "{action: DENY, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [GET]}}]}]}"
    passed = {"shop/pay-1": line(code=200, details="via_upstream", sni="-")}
    assert outcome(*objects(""), policy(spec), logs=passed, request=GET)[0] == "MD2041"
    assert outcome(*objects(""), policy(spec), request=GET)[0] == "MD2041"
    elsewhere = spec.replace("shop", "web")
    assert "MD2041" not in outcome(*objects(""), policy(elsewhere), logs=passed, request=GET)
    assert "MD2041" not in outcome(*objects("sidecar"), policy(spec), request=GET)
