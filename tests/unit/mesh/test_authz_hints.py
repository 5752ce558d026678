"""Which mistake is behind a miss? One row per spelling that people get wrong."""

# ruff: noqa: E501

import re
from typing import Any

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.access_log import parse
from meshdoctor.mesh.authz_evidence import Denial, of_debug_log, of_line, relevant, summarise, told
from meshdoctor.mesh.authz_fields import Claims, Scene
from meshdoctor.mesh.authz_hints import (
    Hint,
    Setting,
    certain,
    hint,
    internal,
    mended_claim,
    mended_principal,
    path_detail,
)
from meshdoctor.mesh.authz_rules import Clause
from meshdoctor.mesh.jwks import keys_in, names_placeholder
from tests.unit.mesh.authz_case import CALL, CART, SETTINGS


def clause(kind: str, field: str, wanted: tuple[str, ...], seen: str) -> Clause:
    return Clause(where="x", field=field, kind=kind, wanted=wanted, seen=seen, holds=False)


def setting(claims: dict[str, Any] | None = None, **rest: Any) -> Setting:
    scene = Scene(call=CALL, claims=Claims(values=claims), settings=SETTINGS)
    return Setting(scene=scene, **rest)


@pytest.mark.parametrize(
    ("value", "mends"),
    [
        (f"spiffe://{CART}", True),
        ("ns/shop/sa/cart", True),
        ("/ns/shop/sa/cart", True),
        ("cart", True),
        ("shop/cart", True),
        ("system:serviceaccount:shop:cart", True),
        ("cluster.local/ns/*/sa/cart", True),
        (f"{CART}/", True),
        (CART, False),
        ("cluster.local/ns/shop/sa/other", False),
        ("spiffe://cluster.local/ns/shop/sa/other", False),
        ("other", False),
        ("prod/cart", False),
    ],
)
def test_mended_principals(value: str, mends: bool) -> None:
    assert mended_principal(value, CART) is mends


LIST = "a claim that is a list: a text is one value, but for scope and permission"


@pytest.mark.parametrize(
    ("key", "wanted", "claims", "mended"),
    [
        ("[a.b]", "x", {"a": {"b": "x"}}, "request.auth.claims[a][b]"),
        ("[a/b]", "x", {"a": {"b": ["x"]}}, "request.auth.claims[a][b]"),
        ("[a][b]", "x", {"a.b": "x"}, "request.auth.claims[a.b]"),
        ("[Role]", "x", {"role": "x"}, "request.auth.claims[role]"),
        (
            "[groups]",
            "b",
            {"groups": "a b"},
            f"{LIST}, or since 1.28 spaceDelimitedClaims: [groups] in the jwtRules",
        ),
        ("[groups]", "b", {"groups": "a,b"}, LIST),
        ("[flag]", "true", {"flag": True}, "a claim that is text, not a number or boolean"),
        ("[level]", "7", {"level": 7}, "a claim that is text, not a number or boolean"),
        ("[level]", "8", {"level": 7}, ""),
        ("[realm]", "x", {"realm": {"roles": ["x"]}}, "request.auth.claims[realm][roles]"),
        ("[realm]", "x", {"realm": {"roles": ["y"]}}, ""),
        ("[role]", "x", {"role": "y"}, ""),
        ("[role]", "x", {}, ""),
    ],
)
def test_mended_claims(key: str, wanted: str, claims: dict[str, Any], mended: str) -> None:
    one = clause("claim", f"request.auth.claims{key}", (wanted,), "")
    assert mended_claim(one, claims) == mended
    expected = Hint.CLAIM if mended else (Hint.OTHER if claims else Hint.NO_TOKEN)
    assert hint(one, setting(claims)) is expected


SPLIT = "request.auth.claims[iss] and [sub] (a principal is split at its last slash)"


@pytest.mark.parametrize(
    ("wanted", "claims", "mended"),
    [
        ("https://idp", {"iss": "https://idp", "sub": "a"}, "https://idp/*"),
        ("https://idp/*", {"iss": "https://idp/", "sub": "a"}, "https://idp//*"),
        ("a", {"iss": "https://idp", "sub": "a"}, "https://idp/a"),
        ("https://idp/*", {"iss": "https://idp"}, "a token with a sub claim"),
        ("https://other/*", {"iss": "https://idp", "sub": "a"}, ""),
        ("https://idp/a/b", {"iss": "https://idp", "sub": "a/b"}, SPLIT),
        ("https://idp/a/*", {"iss": "https://idp", "sub": "a/b"}, SPLIT),
        ("https://idp/c/b", {"iss": "https://idp", "sub": "a/b"}, ""),
        ("https://idp/*", {"sub": "a"}, ""),
    ],
)
def test_mended_request_principals(wanted: str, claims: dict[str, Any], mended: str) -> None:
    one = clause("request-principal", "requestPrincipals", (wanted,), "")
    assert mended_claim(one, claims) == mended


@pytest.mark.parametrize(
    ("wanted", "path", "detail"),
    [
        ("/orders/", "/orders", "a trailing slash"),
        ("/Orders", "/orders", "upper and lower case"),
        ("/Orders/*", "/orders/7", "upper and lower case"),
        ("/orders?x=1", "/orders?x=1", "a query, which paths exclude"),
        ("/a/b", "/a//b", "double or encoded slashes, which pathNormalization keeps"),
        ("/a/b", "/a%2Fb", "double or encoded slashes, which pathNormalization keeps"),
        ("/orders", "/orders/7", "a longer path: the pattern has no `*`"),
        ("/a/*/c", "/a/b/c", "a `*` in the middle, which is no wildcard"),
        ("/other", "/orders", ""),
    ],
)
def test_path_details(wanted: str, path: str, detail: str) -> None:
    call = replace(CALL, path=path)
    scene = Scene(call=call, claims=Claims(), settings=SETTINGS)
    one = clause("path", "paths", (wanted,), scene.path or "")
    assert path_detail(one, scene) == detail
    assert certain(one, Setting(scene=scene)) is bool(detail)


@pytest.mark.parametrize(
    ("kind", "wanted", "seen", "rest", "expected"),
    [
        ("principal", "cluster.local/ns/shop/sa/x", "", {}, Hint.PLAINTEXT),
        ("principal", "cluster.local/ns/shop/sa/x", CART, {}, Hint.SERVICE_ACCOUNT),
        ("principal", "td/ns/shop/sa/cart", CART, {}, Hint.TRUST_DOMAIN),
        ("principal", "cluster.local/ns/a/sa/x", CART, {"peer_is_gateway": True}, Hint.HOP),
        ("namespace", "prod", CART, {}, Hint.NAMESPACE),
        ("namespace", "prod", CART, {"peer_is_gateway": True}, Hint.HOP),
        ("trust-domain", "td", CART, {}, Hint.TRUST_DOMAIN),
        ("service-account", "x", CART, {}, Hint.SERVICE_ACCOUNT),
        ("method", "PUT", "GET", {}, Hint.METHOD),
        ("host", "a", "b", {}, Hint.HOST),
        ("header", "a", "b", {}, Hint.HEADER),
        ("port", "80", "8080", {"service_ports": frozenset({80})}, Hint.PORT),
        ("port", "81", "8080", {"service_ports": frozenset({80})}, Hint.OTHER),
        ("source-ip", "203.0.113.0/24", "10.0.0.1", {}, Hint.SOURCE_IP),
        ("source-ip", "10.9.0.0/16", "10.0.0.1", {}, Hint.OTHER),
        ("source-ip", "203.0.113.0/24", "198.51.100.7", {}, Hint.OTHER),
        ("source-ip", "10.0.0.0/24", "10.1.0.1", {}, Hint.SOURCE_IP),
        ("remote-ip", "203.0.113.0/24", "10.0.0.1", {}, Hint.REMOTE_IP),
        ("sni", "a", "b", {}, Hint.OTHER),
    ],
)
def test_hints(kind: str, wanted: str, seen: str, rest: dict[str, Any], expected: Hint) -> None:
    one = clause(kind, kind, (wanted,), seen)
    assert hint(one, setting({}, **rest)) is expected
    negative = replace(one, negative=True)
    assert kind not in ("principal",) or hint(negative, setting({}, **rest)) in (
        Hint.PLAINTEXT,
        Hint.OTHER,
    )


def test_internal_addresses() -> None:
    assert internal("192.168.1.1") and internal("100.64.0.1") and internal("fd00::1")
    assert not internal("203.0.113.7") and not internal("nonsense")


HEAD = '[2026-11-18T09:24:00.875Z] "{request}" {code} {flags} {details} {end} "-" 0 19 0 - "-" "curl/8"'
TAIL = ' "r" "pay.shop" "-" inbound|8080|| - 10.0.0.9:8080 10.0.0.7:5 {sni} default'


def log(details: str, code: int = 403, flags: str = "-", end: str = "-", request: str = "") -> str:
    text = (HEAD + TAIL).format(
        request=request or "GET /orders?x=1 HTTP/1.1",
        code=code,
        flags=flags,
        details=details,
        end=end,
        sni="-",
    )
    return text + "\n"


RULE = "rbac_access_denied_matched_policy[{}ns[a]-policy[b]-rule[2]{}]"


@pytest.mark.parametrize(
    ("text", "kind", "ref", "rule"),
    [
        (log("rbac_access_denied_matched_policy[none]"), "default", "", -1),
        (log("rbac_access_denied_matched_policy[all]"), "other", "", -1),
        (log(RULE.format("", "")), "matched", "AuthorizationPolicy/a/b", 2),
        (
            log(RULE.format("istio-ext-authz-oauth-", "-deny-due-to-bad-CUSTOM-action")),
            "bad-custom",
            "AuthorizationPolicy/a/b",
            2,
        ),
        (
            log("rbac_access_denied_matched_policy[default-deny-all-due-to-bad-CUSTOM-action]"),
            "bad-custom",
            "",
            -1,
        ),
        (log(RULE.format("istio-ext-authz-", "")), "custom-rbac", "AuthorizationPolicy/a/b", 2),
        (
            log("-", 0, end=RULE.format("", ""), request="- - -"),
            "matched",
            "AuthorizationPolicy/a/b",
            2,
        ),
        (log("jwt_authn_access_denied{Jwt_is_expired}", 401), "jwt", "", -1),
        (log("ext_authz_denied", flags="UAEX"), "ext-denied", "", -1),
        (log("ext_authz_error", flags="UAEX"), "ext-error", "", -1),
        (log("-", flags="UAEX"), "ext-denied", "", -1),
        (log("request_payload_too_large", 413), "size", "", -1),
        (log("response_payload_too_large", 500), "other", "", -1),
        (log("request_rate_limited", 429, "RL"), "other", "", -1),
        (log("direct_response", 403), "other", "", -1),
        (log("fault_filter_abort", 503, "FI"), "other", "", -1),
    ],
)
def test_denials(text: str, kind: str, ref: str, rule: int) -> None:
    found = of_line(parse(text).lines[0])
    assert isinstance(found, Denial)
    assert (found.kind, found.ref, found.rule) == (kind, ref, rule)


@pytest.mark.parametrize(
    "text",
    [
        log("via_upstream"),
        log("via_upstream", 200),
        log("route_not_found", 404, "NR"),
        log("upstream_reset_before_response_started{x}", 503, "UF"),
        log("via_upstream", 413),
    ],
)
def test_lines_that_refuse_nothing(text: str) -> None:
    assert of_line(parse(text).lines[0]) is None


def old(code: int, flags: str = "-", upstream: str = "-", cluster: str = "inbound|80||") -> str:
    """A line of a release before 1.9: no details."""
    return (
        f'[2026-11-18T09:20:05Z] "GET / HTTP/1.1" {code} {flags} "-" "-" 0 19 1 - "-" "curl" "-" '
        f'"pay" "{upstream}" {cluster} - 10.0.0.2:8080 10.0.0.1:5 - default\n'
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (old(403), "untold"),
        (old(401), "jwt"),
        (old(403, "UAEX"), "ext-denied"),
        (old(403, upstream="127.0.0.1:80"), ""),
        (old(403, cluster="-"), ""),
        (old(404), ""),
    ],
)
def test_lines_without_details(text: str, kind: str) -> None:
    found = of_line(parse(text).lines[0])
    assert (found.kind if found else "") == kind


@pytest.mark.parametrize(
    ("layer", "kind"), [("ALLOW", "default"), ("DENY", "matched"), ("", "untold")]
)
def test_which_policies_refused_is_told_by_judging_them(layer: str, kind: str) -> None:
    found = told(summarise(parse(old(403) * 2).lines), layer)
    assert found.count(kind) == found.refused == 2
    assert found.denial is not None and found.denial.kind == kind
    other = summarise(parse(log("rbac_access_denied_matched_policy[none]")).lines)
    assert told(other, "DENY") == other


def test_summaries_and_relevance() -> None:
    lines = parse(
        log("rbac_access_denied_matched_policy[none]") * 2
        + log("via_upstream", 200)
        + log("jwt_authn_access_denied{x}", 401)
    ).lines
    found = summarise(lines)
    assert (found.refused, found.passed, found.plaintext, found.count("default")) == (3, 1, 3, 2)
    assert found.denial is not None and found.denial.kind == "default"
    assert summarise(()).refused == 0
    assert len(relevant(lines, method="get", path="/orders", host="pay.shop:80")) == 4
    assert len(relevant(lines, method="PUT", path="", host="")) == 4


@pytest.mark.parametrize(
    ("errors", "answered", "counted"),
    [
        (["09:20:01", "09:20:02"], ["09:20:05"], 0),
        (["09:20:01", "09:20:09"], ["09:20:05"], 1),
        (["09:20:01", "09:20:02"], [], 2),
    ],
)
def test_an_authorizer_that_has_answered_since_is_there(
    errors: list[str], answered: list[str], counted: int
) -> None:
    text = "".join(
        re.sub(r"\d\d:\d\d:\d\d", at, log(kind, 403), count=1)
        for kind, times in (("ext_authz_error", errors), ("ext_authz_denied", answered))
        for at in times
    )
    found = summarise(parse(text).lines)
    assert (found.count("ext-error"), found.count("ext-denied")) == (counted, len(answered))


def judged(*words: str) -> str:
    stamp = "2026-11-18T09:20:05.1Z\tdebug\tenvoy jwt\t"
    return "".join(f"{stamp}Jwt authentication completed with: {one}\n" for one in words)


def test_tokens_refused_in_a_debug_log() -> None:
    fails = "Jwt verification fails"
    found = of_debug_log(parse(judged(fails, fails, "Jwt is expired")))
    assert (found.count("jwt"), found.refused) == (3, 3)
    assert found.denial is not None and found.denial.text == fails
    assert of_debug_log(parse(judged(fails, "OK"))).refused == 0
    assert of_debug_log(parse(judged())).refused == 0
    assert of_debug_log(parse(judged(fails) + log("via_upstream", 200))).refused == 0


def test_key_sets() -> None:
    assert keys_in("not json") is None
    assert keys_in("{}") == ()
    deep = "[" * 500 + "]" * 500
    assert keys_in(deep) == ()
    text = (
        '{"a": [{"issuer": "i", "local_jwks": {"inline_string": "{\\"keys\\":[{\\"kid\\":\\"k\\"}]}"}},'
        '{"issuer": "r", "remoteJwks": {}}, {"issuer": "f", "localJwks": {"inlineString": "'
        'Error-IstiodFailedToFetchJwksUri-"}}, {"issuer": "g", "localJwks": {"inlineString": "{"}}]}'
    )
    found = {k.issuer: k for k in keys_in(text) or ()}
    assert found["i"].kids == ("k",) and not found["i"].placeholder
    assert found["r"].remote
    assert found["f"].placeholder
    assert not found["g"].placeholder
    assert names_placeholder('"n": "RXJyb3ItSXN0aW9kRmFpbGVkVG9GZXRjaEp3a3NVcmktaHR0cDov"')
    assert not names_placeholder('"n": "AQAB"')
