"""What a logged refusal tells of the token of a request that nobody described."""

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_evidence import DEFAULT, JWT, MATCHED, Denial
from meshdoctor.mesh.authz_inference import NO_TOKEN, lacked_token
from tests.unit.mesh.authz_case import CALL, JUDGE, NOW, SETTINGS, policy, request_auth

ISSUER = "https://idp.example.com"
RULES = request_auth({"jwtRules": [{"issuer": ISSUER, "jwks": '{"keys": []}'}]})
UNTOLD = replace(CALL, headers=(), headers_known=False)
NONE = Denial(kind=DEFAULT, text="rbac_access_denied_matched_policy[none]")
RULE_0 = Denial(kind=MATCHED, text="...", namespace="shop", policy="p", rule=0)


def inputs(spec: str, *more: str, **rest: object) -> Inputs:
    policies = [policy(spec), *(policy(one, f"p{n}") for n, one in enumerate(more))]
    made = Inputs(
        policies=policies,
        authentications=[RULES],
        judge=JUDGE,
        call=UNTOLD,
        settings=SETTINGS,
        now=NOW,
    )
    return replace(made, **rest)


def lacked(some: Inputs, denial: Denial | None = NONE) -> bool:
    return lacked_token(some, decide(some), denial)


def sources(*some: str, action: str = "ALLOW", more: str = "") -> str:
    listed = ", ".join(f"{{source: {{{one}}}}}" for one in some)
    return f"{{action: {action}, rules: [{{from: [{listed}]{more}}}]}}"


ANY = sources("requestPrincipals: ['*']")
NOBODY = sources("notRequestPrincipals: ['*']", action="DENY")


@pytest.mark.parametrize(
    ("spec", "denial"),
    [
        (ANY, NONE),
        (sources(f"requestPrincipals: ['{ISSUER}/*']"), NONE),
        (sources("requestPrincipals: ['*'], namespaces: [shop]"), NONE),
        (NOBODY, RULE_0),
    ],
)
def test_any_token_would_have_been_let_in(spec: str, denial: Denial) -> None:
    assert lacked(inputs(spec), denial)
    known = decide(inputs(spec, claims=NO_TOKEN))
    assert known.decision == "deny"


@pytest.mark.parametrize(
    ("spec", "denial", "why"),
    [
        (sources(f"requestPrincipals: ['{ISSUER}/bob']"), NONE, "somebody else's token"),
        (sources("requestPrincipals: ['https://other/*']"), NONE, "this issuer's token"),
        (
            "{rules: [{when: [{key: 'request.auth.claims[group]', values: [dev]}]}]}",
            NONE,
            "a token without the claim",
        ),
        (
            sources(
                "requestPrincipals: ['*']",
                more=", when: [{key: 'request.headers[x-a]', values: [b]}]",
            ),
            NONE,
            "the header was not told of either",
        ),
        (sources("requestPrincipals: ['*']", "principals: [a/ns/b/sa/c]"), None, "no refusal"),
        (ANY, Denial(kind=JWT, text="Jwt is expired"), "the token itself was refused"),
        (ANY, RULE_0, "a DENY decided, as the log says"),
        (NOBODY, NONE, "an ALLOW policy that is no more decided, as the log says"),
        (sources(f"notRequestPrincipals: ['{ISSUER}/bob']", action="DENY"), RULE_0, "alice's"),
        (sources("namespaces: [shop]"), NONE, "by the policies now in force it is let in"),
    ],
)
def test_another_reason_is_possible(spec: str, denial: Denial | None, why: str) -> None:
    assert not lacked(inputs(spec), denial), why


def test_nothing_to_infer() -> None:
    assert not lacked(inputs(ANY, call=CALL)), "the headers are known"
    assert not lacked(inputs(ANY, authentications=[])), "nothing verifies tokens"
    assert not lacked(inputs(ANY, claims=NO_TOKEN)), "it is known already"
    assert not lacked(inputs(ANY, NOBODY)), "two policies: which refused is told apart"


def test_of_several_issuers_each_must_have_been_let_in() -> None:
    two = request_auth({"jwtRules": [{"issuer": ISSUER}, {"issuer": "https://b.example.com"}]})
    one_only = sources(f"requestPrincipals: ['{ISSUER}/*']")
    assert not lacked(inputs(one_only, authentications=[two]))
    assert lacked(inputs(ANY, authentications=[two]))
