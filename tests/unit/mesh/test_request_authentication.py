"""One row per documented rule of RequestAuthentication, traps T27 to T29 among them."""

from typing import Any

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_verdict import Decision
from tests.unit.mesh.authz_case import (
    CALL,
    NOW,
    TCP,
    policy,
    request_auth,
    token,
    verdict,
    with_token,
)

IDP = "https://idp.example.com"
SECONDS = int(NOW.timestamp())
GOOD: dict[str, Any] = {"iss": IDP, "sub": "alice", "aud": "pay", "exp": SECONDS + 600}
RA = request_auth(f"jwtRules: [{{issuer: '{IDP}'}}]")
ALLOW, DENY, UNKNOWN = Decision.ALLOW, Decision.DENY, Decision.UNKNOWN
NEEDS_TOKEN = policy("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]", "needs-token")


def changed(**change: Any) -> dict[str, Any]:
    return {**GOOD, **change}


@pytest.mark.parametrize(
    ("rule", "claims", "text", "status"),
    [
        ("", GOOD, "", 0),
        ("", changed(iss="https://other"), "Jwt issuer is not configured", 401),
        ("", changed(iss=IDP + "/"), "Jwt issuer is not configured", 401),
        ("", changed(exp=SECONDS - 61), "Jwt is expired", 401),
        ("", changed(exp=SECONDS - 59), "", 0),
        ("", changed(exp=0), "", 0),
        ("", changed(nbf=SECONDS + 61), "Jwt not yet valid", 401),
        ("", changed(nbf=SECONDS + 59), "", 0),
        # T29: the audience error alone is a 403
        ("audiences: [other]", GOOD, "Audiences in Jwt are not allowed", 403),
        ("audiences: [other, pay]", GOOD, "", 0),
        ("audiences: [pay]", changed(aud=["x", "pay"]), "", 0),
        ("audiences: [pay.example]", changed(aud="https://pay.example/"), "", 0),
        ('jwks: \'{"keys":[{"kid":"k2"}]}\'', GOOD, "Jwks doesn't have key to match", 401),
        ('jwks: \'{"keys":[{"kid":"k1"}]}\'', GOOD, "", 0),
        ("jwks: '{\"keys\":[{}]}'", GOOD, "", 0),
        ("jwks: 'not json'", GOOD, "", 0),
    ],
)
def test_one_rule(rule: str, claims: dict[str, Any], text: str, status: int) -> None:
    auth = request_auth(f"jwtRules:\n- issuer: {IDP}\n  {rule}\n")
    got = verdict(auth=(auth,), call=with_token(token(claims)))
    assert got.jwt.text.startswith(text)
    assert (got.decision is DENY) is bool(text)
    assert got.status == status
    if text:
        assert got.details.startswith(f"jwt_authn_access_denied{{{text.replace(' ', '_')}")
        assert got.policy == RA.ref


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # an empty signature is no third section (seen in the lab)
        (token(GOOD, alg="none"), "Jwt is not in the form"),
        (token(GOOD, alg="none") + "c2ln", "Jwt header [alg] is not supported"),
        (token(GOOD, alg="XX1"), "Jwt header [alg] is not supported"),
        ("opaque", "Jwt is not in the form of"),
        ("a.b", "Jwt is not in the form of"),
        ("a.b.c.d", "Jwt is not in the form of"),
        ("!!.b.c", "Jwt is not in the form of"),
        ("a.b.c", "Jwt header is an invalid"),
        ("eyJhbGciOiJSUzI1NiJ9.a.c", "Jwt payload is an invalid"),
        ("x" * 70000 + ".b.c", "Jwt is not in the form of"),
    ],
)
def test_tokens_that_cannot_be_read(text: str, answer: str) -> None:
    got = verdict(auth=(RA,), call=with_token(text))
    assert got.decision is DENY
    assert got.jwt.text.startswith(answer)


def test_signatures_are_assumed_and_said_to_be() -> None:
    got = verdict(auth=(RA,), call=with_token(token(GOOD)))
    assert got.decision is ALLOW
    assert any("signature" in text for text in got.assumptions)


def test_a_missing_token_alone_is_allowed() -> None:
    """T27: RequestAuthentication never rejects it, requestPrincipals do, with a 403."""
    assert verdict(auth=(RA,)).decision is ALLOW
    got = verdict(NEEDS_TOKEN, auth=(RA,))
    assert (got.decision, got.status) == (DENY, 403)
    assert verdict(NEEDS_TOKEN, auth=(RA,), call=with_token(token(GOOD))).decision is ALLOW


def test_unknown_headers_make_the_token_unknown() -> None:
    call = replace(CALL, headers=(), headers_known=False)
    assert verdict(auth=(RA,), call=call).decision is UNKNOWN
    assert verdict(policy("{}"), auth=(RA,), call=call).decision is DENY


@pytest.mark.parametrize(
    ("rule", "header", "path", "found"),
    [
        ("", ("authorization", "Bearer {}"), "/", 1),
        ("", ("authorization", "bearer {}"), "/", 0),
        ("", ("authorization", "Basic {}"), "/", 0),
        ("", ("x", "y"), "/?access_token={}", 1),
        ("fromHeaders: [{name: X-Jwt}]", ("x-jwt", "{}"), "/", 1),
        ("fromHeaders: [{name: X-Jwt}]", ("authorization", "Bearer {}"), "/", 0),
        ("fromHeaders: [{name: X-Jwt, prefix: 'JWT '}]", ("x-jwt", "JWT {}"), "/", 1),
        ("fromHeaders: [{name: X-Jwt, prefix: 'JWT '}]", ("x-jwt", "{}"), "/", 0),
        ("fromParams: [tok]", ("x", "y"), "/?a=b&tok={}", 1),
        ("fromParams: [tok]", ("x", "y"), "/?access_token={}", 0),
        ("fromCookies: [sess]", ("cookie", "a=b; sess={}"), "/", 1),
        ("fromCookies: [sess]", ("cookie", "a=b"), "/", 0),
    ],
)
def test_token_locations(rule: str, header: tuple[str, str], path: str, found: int) -> None:
    auth = request_auth(f"jwtRules:\n- issuer: {IDP}\n  {rule}\n")
    text = token(GOOD)
    call = replace(CALL, headers=((header[0], header[1].format(text)),), path=path.format(text))
    assert verdict(auth=(auth,), call=call).jwt.tokens == found
    needs = verdict(NEEDS_TOKEN, auth=(auth,), call=call)
    assert needs.decision is (ALLOW if found else DENY)


TWO = (
    request_auth("jwtRules: [{issuer: a}]", "one"),
    request_auth("jwtRules: [{issuer: b}]", "two"),
)


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"iss": "a"}, ""),
        ({"iss": "b"}, ""),
        ({"iss": "c"}, "Jwt issuer is not configured"),
        ({"iss": "b", "exp": 5}, "Jwt is expired"),
    ],
)
def test_two_rules_in_one_place(claims: dict[str, Any], text: str) -> None:
    got = verdict(auth=TWO, call=with_token(token(claims)))
    assert got.jwt.text == text


def test_the_first_valid_issuer_gives_the_claims() -> None:
    auth = (
        request_auth("jwtRules: [{issuer: b, fromHeaders: [{name: x-b}]}]", "two"),
        request_auth("jwtRules: [{issuer: a, fromHeaders: [{name: x-a}]}]", "one"),
    )
    headers = (("x-a", token({"iss": "a", "sub": "s"})), ("x-b", "rubbish"))
    got = verdict(auth=auth, call=replace(CALL, headers=headers))
    assert got.decision is ALLOW
    assert got.jwt.issuer == "a"
    alone = verdict(auth=auth, call=replace(CALL, headers=headers[1:]))
    assert alone.decision is DENY


def test_preflight_requests_are_not_checked() -> None:
    headers = (
        ("authorization", "Bearer rubbish"),
        ("origin", "https://x"),
        ("access-control-request-method", "PUT"),
    )
    assert (
        verdict(auth=(RA,), call=replace(CALL, method="OPTIONS", headers=headers)).decision is ALLOW
    )
    assert verdict(auth=(RA,), call=replace(CALL, headers=headers)).decision is DENY


def test_jwt_is_not_checked_on_tcp() -> None:
    assert verdict(auth=(RA,), call=TCP).decision is ALLOW


def test_a_consumed_token_is_gone_for_later_rules() -> None:
    has_header = policy(
        "rules: [{when: [{key: 'request.headers[authorization]', values: ['*']}]}]", "h"
    )
    call = with_token(token(GOOD))
    assert verdict(has_header, auth=(RA,), call=call).decision is DENY
    kept = request_auth(f"jwtRules: [{{issuer: '{IDP}', forwardOriginalToken: true}}]")
    assert verdict(has_header, auth=(kept,), call=call).decision is ALLOW


@pytest.mark.parametrize(
    ("key", "value", "claims", "decision"),
    [
        ("request.auth.claims[iss]", IDP, GOOD, ALLOW),
        ("request.auth.claims[role]", "admin", changed(role="admin"), ALLOW),
        ("request.auth.claims[role]", "admin", changed(role=["dev", "admin"]), ALLOW),
        ("request.auth.claims[a][b]", "x", changed(a={"b": "x"}), ALLOW),
        ("request.auth.claims[a][b]", "x", changed(a={"b": ["x"]}), ALLOW),
        # a dotted key is one claim of that name, not a path
        ("request.auth.claims[a.b]", "x", changed(a={"b": "x"}), DENY),
        ("request.auth.claims[a.b]", "x", {**GOOD, "a.b": "x"}, ALLOW),
        ("request.auth.claims[https://x/role]", "x", {**GOOD, "https://x/role": "x"}, ALLOW),
        ("request.auth.claims[flag]", "true", changed(flag=True), DENY),
        ("request.auth.claims[level]", "7", changed(level=7), DENY),
        # scope and permission are split at spaces, others only when asked
        ("request.auth.claims[scope]", "write", changed(scope="read write"), ALLOW),
        ("request.auth.claims[scope]", "read write", changed(scope="read write"), DENY),
        ("request.auth.claims[groups]", "b", changed(groups="a b"), DENY),
        ("request.auth.audiences", "pay", GOOD, ALLOW),
        ("request.auth.presenter", "web", changed(azp="web"), ALLOW),
        ("request.auth.principal", f"{IDP}/alice", GOOD, ALLOW),
        ("request.auth.claims", "x", GOOD, DENY),
        ("request.auth.claimsx", "x", GOOD, DENY),
    ],
)
def test_claim_conditions(key: str, value: str, claims: dict[str, Any], decision: Decision) -> None:
    one = policy({"rules": [{"when": [{"key": key, "values": [value]}]}]})
    assert verdict(one, auth=(RA,), call=with_token(token(claims))).decision is decision


def test_space_delimited_claims_can_be_added() -> None:
    auth = request_auth(f"jwtRules: [{{issuer: '{IDP}', spaceDelimitedClaims: [groups]}}]")
    one = policy("rules: [{when: [{key: 'request.auth.claims[groups]', values: [b]}]}]")
    call = with_token(token(changed(groups="a b")))
    assert verdict(one, auth=(auth,), call=call).decision is ALLOW


def test_up_to_1_20_every_claim_is_split_at_blanks() -> None:
    auth = request_auth(f"jwtRules: [{{issuer: '{IDP}'}}]")
    one = policy("rules: [{when: [{key: 'request.auth.claims[groups]', values: [b]}]}]")
    call = with_token(token(changed(groups="a b")))
    for release, decision in (((1, 20), ALLOW), ((1, 21), DENY), (None, DENY)):
        got = verdict(one, auth=(auth,), call=call, settings=Settings(release=release))
        assert got.decision is decision


def test_custom_runs_before_jwt() -> None:
    """T20: an external authorizer's rules see no claims."""
    rules = "[{from: [{source: {requestPrincipals: ['*']}}]}]"
    spec = f"{{action: CUSTOM, provider: {{name: x}}, rules: {rules}}}"
    assert verdict(policy(spec), auth=(RA,), call=with_token(token(GOOD))).decision is ALLOW


def test_only_authentications_of_the_same_workload_count() -> None:
    other = request_auth(
        f"{{selector: {{matchLabels: {{app: x}}}}, jwtRules: [{{issuer: '{IDP}'}}]}}"
    )
    call = with_token(token(changed(exp=5)))
    assert verdict(auth=(other,), call=call).decision is ALLOW
    away = request_auth(f"jwtRules: [{{issuer: '{IDP}'}}]", namespace="elsewhere")
    assert verdict(auth=(away,), call=call).decision is ALLOW
    root = request_auth(f"jwtRules: [{{issuer: '{IDP}'}}]", namespace="istio-system")
    assert verdict(auth=(root,), call=call).decision is DENY
    assert verdict(auth=(RA,), call=call, judge=Judge(namespace="x")).decision is ALLOW


def test_nothing_of_a_token_is_shown() -> None:
    from meshdoctor.mesh.authz_explain import explain

    secret = token({**GOOD, "iss": "https://other"})
    lines = "\n".join(explain(verdict(auth=(RA,), call=with_token(secret))))
    assert secret not in lines
    assert secret.split(".")[1] not in lines


def test_a_call_without_path_cannot_show_a_parameter() -> None:
    call = Call(principal="", http=True, headers_known=True)
    assert verdict(auth=(RA,), call=call).decision is UNKNOWN


def test_of_several_tokens_the_last_place_is_verified_first() -> None:
    # all must verify; seen in the lab by the text of the refusal
    call = with_token("no-token")
    call = replace(call, path=f"/?access_token={token(changed(iss='https://other'))}")
    assert verdict(auth=(RA,), call=call).jwt.text == "Jwt issuer is not configured"
    call = replace(with_token(token(GOOD)), path=f"/?access_token={token(changed(sub='bob'))}")
    outcome = verdict(auth=(RA,), call=call).jwt
    assert outcome.passes and outcome.claims.values is not None
    assert outcome.claims.values["sub"] == "alice"
