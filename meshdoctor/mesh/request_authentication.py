"""What do the RequestAuthentications of a proxy say to one request?

Mirrors authn/policy_applier.go convertToEnvoyJwtConfig with Envoy's jwt_authn verifiers: rules are
tried in order of issuer, the first whose tokens all verify wins and its claims are what policies
see; without any token the request passes; else it is refused. Checked on 1.22 to 1.31.
Signatures cannot be verified offline: a token that could be genuine is taken as genuine, and
`assumptions` says so.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from meshdoctor.mesh import jwt_tokens as tokens
from meshdoctor.mesh.authz_call import Call, Truth
from meshdoctor.mesh.authz_fields import Claims
from meshdoctor.mesh.text import clean
from meshdoctor.model.istio import JwtRule, RequestAuthentication

SPACE_DELIMITED = ("permission", "scope")
MISSED = "Jwt is missing"
SIGNED = "the token's signature is taken as valid: it cannot be verified offline"


class JwtOutcome(Struct, frozen=True, kw_only=True):
    """`passes` None: not known. `text` is Envoy's reason for a refusal, `status` its code.

    `policy` and `issuer` name the rule that accepted or refused; `tokens` counts those present.
    """

    passes: Truth
    claims: Claims = Claims(values={})
    text: str = ""
    status: int = 0
    policy: str = ""
    issuer: str = ""
    said_issuer: str = ""
    kid: str = ""
    tokens: int = 0
    lines: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


class _Attempt(Struct, frozen=True, kw_only=True):
    """One rule against its own tokens: `text` "" is verified, MISSED is no token there."""

    rule: JwtRule
    policy: str
    text: str
    found: tuple[tokens.Token, ...] = ()
    parsed: tokens.Parsed | None = None


def authenticate(
    policies: Iterable[RequestAuthentication],
    call: Call,
    now: datetime,
    *,
    splits_all: bool = False,
) -> JwtOutcome:
    """The outcome for the policies in force on the proxy (see authz_policies.in_force).
    `splits_all`: a release before 1.21, whose own filter split every claim at blanks."""
    rules = sorted(
        ((rule, policy.ref) for policy in policies for rule in policy.spec.jwt_rules),
        key=lambda pair: pair[0].issuer,
    )
    if not rules:
        return JwtOutcome(passes=True, lines=("JWT: no RequestAuthentication selects the proxy",))
    if call.http is False:
        line = "JWT: not checked on a TCP filter chain"
        return JwtOutcome(passes=True, lines=(line,))
    if preflight(call):
        return JwtOutcome(passes=True, lines=("JWT: a CORS preflight request is not checked",))
    attempts: list[_Attempt] = []
    for rule, policy in rules:
        found = tokens.tokens_of(call, rule)
        if found is None:
            line = f"JWT: {policy} reads a token, and the request's headers or path are not known"
            return JwtOutcome(passes=None, claims=Claims(), policy=policy, lines=(line,))
        attempt = _attempt(rule, policy, found, now)
        if not attempt.text:
            return _accepted(attempt, splits_all)
        attempts.append(attempt)
    return _refused(attempts)


def preflight(call: Call) -> bool:
    """Whether the request is a CORS preflight, which jwt_authn lets through unseen."""
    return (
        call.method == "OPTIONS"
        and bool(call.header("origin"))
        and bool(call.header("access-control-request-method"))
    )


def _attempt(
    rule: JwtRule, policy: str, found: tuple[tokens.Token, ...], now: datetime
) -> _Attempt:
    if not found:
        return _Attempt(rule=rule, policy=policy, text=MISSED)
    last = None
    # Envoy takes them from the back, and all must verify: the first one's claims stay.
    for token in reversed(found):
        last = tokens.parse(token.text)
        text = last.error or _claims_error(last, rule, now)
        if text:
            return _Attempt(rule=rule, policy=policy, text=text, found=found, parsed=last)
    return _Attempt(rule=rule, policy=policy, text="", found=found, parsed=last)


def _claims_error(parsed: tokens.Parsed, rule: JwtRule, now: datetime) -> str:
    if rule.issuer and parsed.claims.get("iss") != rule.issuer:
        return tokens.UNKNOWN_ISSUER
    late = tokens.time_error(parsed.claims, now)
    if late:
        return late
    if not tokens.audience_allowed(parsed.claims, rule.audiences):
        return tokens.BAD_AUDIENCE
    ids = tokens.key_ids(rule.jwks) if rule.jwks else None
    if ids and parsed.kid and "" not in ids and parsed.kid not in ids:
        return tokens.NO_KEY
    return ""


def _accepted(attempt: _Attempt, splits_all: bool) -> JwtOutcome:
    rule, parsed = attempt.rule, attempt.parsed
    claims: Mapping[str, Any] = parsed.claims if parsed is not None else {}
    split = tuple(claims) if splits_all else rule.space_delimited_claims
    removed = () if rule.forward_original_token else tuple(t.header for t in attempt.found)
    places = " and ".join(t.place for t in attempt.found)
    line = f"JWT: {attempt.policy} accepts the token in {places}, issuer {clean(rule.issuer, 120)}"
    return JwtOutcome(
        passes=True,
        claims=Claims(
            values=_normalised(claims, split),
            removed=frozenset(h for h in removed if h),
        ),
        policy=attempt.policy,
        issuer=rule.issuer,
        said_issuer=clean(str(claims.get("iss", "")), 200),
        kid=clean(parsed.kid if parsed else "", 100),
        tokens=len(attempt.found),
        lines=(line,),
        assumptions=(SIGNED,),
    )


def _refused(attempts: list[_Attempt]) -> JwtOutcome:
    worst = attempts[0]
    for one in attempts:
        if one.text not in (MISSED, tokens.UNKNOWN_ISSUER) or worst.text == MISSED:
            worst = one
    if worst.text == MISSED:
        return JwtOutcome(
            passes=True,
            policy=worst.policy,
            lines=(f"JWT: no token where {worst.policy} looks, which alone refuses nothing",),
        )
    parsed = worst.parsed
    said = parsed.claims.get("iss", "") if parsed is not None else ""
    status = 403 if worst.text == tokens.BAD_AUDIENCE else 401
    return JwtOutcome(
        passes=False,
        text=worst.text,
        status=status,
        policy=worst.policy,
        issuer=worst.rule.issuer,
        said_issuer=clean(str(said), 200),
        kid=clean(parsed.kid if parsed else "", 100),
        tokens=sum(len(one.found) for one in attempts),
        lines=(f"JWT: {worst.policy} refuses the token: {worst.text} ({status})",),
    )


_WHOLE = frozenset({"iss", "sub", "azp"})
"""Claims of which principals are made."""


def _normalised(claims: Mapping[str, Any], extra: tuple[str, ...]) -> dict[str, Any]:
    """Claims with the space-delimited ones split into lists (normalize_payload_in_metadata)."""
    out = dict(claims)
    for name in (*SPACE_DELIMITED, *extra):
        value = out.get(name)
        if isinstance(value, str) and name not in _WHOLE:
            out[name] = value.split()
    return out
