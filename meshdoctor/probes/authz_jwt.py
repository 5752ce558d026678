"""What do the RequestAuthentications say of this edge's token, and where are they?"""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Struct

from meshdoctor.mesh import jwt_tokens
from meshdoctor.mesh.authz_call import Call
from meshdoctor.mesh.authz_evidence import JWT
from meshdoctor.mesh.authz_inference import NO_TOKEN
from meshdoctor.mesh.authz_policies import in_force
from meshdoctor.mesh.request_authentication import authenticate
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import AuthorizationPolicy, JwtRule, RequestAuthentication
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import TOKEN_NOT_TOLD, situation
from meshdoctor.probes.authz_settings import REMOTE_JWKS, istiod_env
from meshdoctor.probes.authz_verdict import name_of, namespace_of
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.view import View, attempt, probe

TOKEN_KEYS = ("request.auth.",)


class AuthzJwt(Struct, frozen=True, kw_only=True):
    """Token rules at the judging proxy; a token's signature is never verified here."""

    rules: Annotated[Fact[int], "jwtRules in force at the judge"]
    policy: Annotated[Fact[Ref], "the RequestAuthentication that refuses, else the first in force"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    text: Annotated[Fact[str], "why the request's token must be refused; empty: it need not"]
    refusal: Annotated[Fact[str], "why a token is refused: as logged, else as its contents tell"]
    unread: Annotated[Fact[str], "the same, or that there is none where the rule looks"]
    issuer: Annotated[Fact[str], "issuer of that rule"]
    said_issuer: Annotated[Fact[str], "issuer that the token names"]
    audience: Annotated[Fact[str], "audiences of that rule"]
    jwks_uri: Annotated[Fact[str], "where the rule's keys come from; empty: not told there"]
    jwks_short: Annotated[
        Fact[str],
        "why istiod cannot know the short name in that address; empty: it can, or is none such",
    ]
    inline: Annotated[Fact[bool], "the rule holds its keys itself"]
    has_token: Annotated[Fact[bool], "the request carries a token where the rules look"]
    no_token: Annotated[Fact[bool], "it is known to carry none"]
    looks: Annotated[Fact[str], "where the rules in force look for tokens"]
    token_elsewhere: Annotated[Fact[str], "another place of the request that holds a token"]
    token_elsewhere_said: Annotated[Fact[str], "the same, or `none known`"]
    token_there: Annotated[Fact[str], "words that say so; empty: none is known"]
    one_good: Annotated[Fact[bool], "several tokens, and one of them alone would be accepted"]
    proxy_fetches: Annotated[Fact[bool], "PILOT_JWT_ENABLE_REMOTE_JWKS: the proxy fetches keys"]
    wants_token: Annotated[
        Fact[Ref], "a policy at the judge with request.auth or requestPrincipals"
    ]
    wants_token_name: Annotated[Fact[str], "its name"]
    wants_token_namespace: Annotated[Fact[str], "its namespace"]
    deny_without: Annotated[Fact[bool], "the DENY that decides is for requests without a token"]
    elsewhere: Annotated[Fact[Ref], "a RequestAuthentication that does not reach the judge"]
    elsewhere_name: Annotated[Fact[str], "its name"]
    kept_by: Annotated[
        Fact[Ref], "a RequestAuthentication on the way whose rule forwards no token; empty: none"
    ]
    kept_by_name: Annotated[Fact[str], "its name"]
    kept_by_namespace: Annotated[Fact[str], "its namespace"]
    kept: Annotated[Fact[bool], "and the request carries a token that it takes away"]
    stripped_by: Annotated[Fact[Ref], "RequestAuthentication at the gateway that takes the token"]
    stripped_by_name: Annotated[Fact[str], "its name"]
    stripped_by_namespace: Annotated[Fact[str], "its namespace"]


@probe("authz-jwt", subject=SubjectKind.EDGE, reads=READS)
def authz_jwt(view: View, edge: EdgeSubject) -> AuthzJwt:
    """What do the RequestAuthentications say of this edge's token?"""
    found = situation(view, edge)
    return _facts(view, found, found.judge)


def _facts(view: View, found: Situation, judge: Hop | None) -> AuthzJwt:
    mine = _in_force(judge, found)
    outcome = judge.verdict.jwt if judge is not None else None
    rules = [(r, p) for p in mine for r in p.spec.jwt_rules]
    wanted = outcome.policy if outcome is not None and outcome.text else ""
    rule, policy = _rule(rules, wanted, outcome.issuer if outcome is not None else "")
    call = judge.inputs.call if judge is not None else Call()
    places = [jwt_tokens.tokens_of(call, r) for r, _ in rules]
    has = any(places)
    elsewhere = _other_place(call) if not has else ""
    ref = policy.ref if policy is not None else ""
    wants = _wants_token(judge)
    away = _elsewhere(view, found, mine)
    strips = _stripped_by(found, judge)
    keeps = _kept_by(found)
    return AuthzJwt(
        rules=len(rules),
        policy=Ref(ref),
        policy_name=name_of(ref),
        policy_namespace=namespace_of(ref),
        text=outcome.text if outcome is not None else "",
        refusal=_refusal(judge),
        unread=_refusal(judge) or "there is none where it looks",
        issuer=clean(rule.issuer, 200) if rule is not None else "",
        said_issuer=outcome.said_issuer if outcome is not None else "",
        audience=clean(", ".join(rule.audiences), 200) if rule is not None else "",
        jwks_uri=clean(rule.jwks_uri, 200) if rule is not None else "",
        jwks_short=attempt(lambda: _short(view, rule)),
        inline=rule is not None and bool(rule.jwks) and not rule.jwks_uri,
        has_token=has,
        no_token=_no_token(judge, places, call),
        looks=clean(
            ", ".join(dict.fromkeys(p for r, _ in rules for p in jwt_tokens.places(r))), 300
        ),
        token_elsewhere=elsewhere,
        token_elsewhere_said=elsewhere or "none known",
        token_there=f", while {elsewhere} holds one" if elsewhere else "",
        one_good=_one_good(judge, mine),
        proxy_fetches=istiod_env(view).get(REMOTE_JWKS, "false").lower() not in ("false", "istiod"),
        wants_token=Ref(wants),
        wants_token_name=name_of(wants),
        wants_token_namespace=namespace_of(wants),
        deny_without=_deny_without(judge),
        elsewhere=Ref(away),
        elsewhere_name=name_of(away),
        kept_by=Ref(keeps),
        kept_by_name=name_of(keeps),
        kept_by_namespace=namespace_of(keeps),
        kept=any(hop.verdict.jwt.passes and hop.verdict.jwt.claims.removed for hop in found.hops),
        stripped_by=Ref(strips),
        stripped_by_name=name_of(strips),
        stripped_by_namespace=namespace_of(strips),
    )


def _short(view: View, rule: JwtRule | None) -> str:
    """istiod completes a name with its own namespace, wherever the RequestAuthentication is."""
    host = urlsplit(rule.jwks_uri).hostname if rule is not None else None
    if not host or host == "localhost" or "." in host or ":" in host:
        return ""
    spaces = {pod.namespace for pod in istiod_pods(view)}
    if not spaces or any(view.object("Service", Service, s, host) is not None for s in spaces):
        return ""
    where = " or ".join(sorted(spaces))
    return (
        f" (a short name, of {where} to istiod, and no Service is called {clean(host, 63)} there)"
    )


def _refusal(judge: Hop | None) -> str:
    if judge is None:
        return ""
    denial = judge.summary.denial
    logged = denial.text if denial is not None and denial.kind == JWT else ""
    return logged or judge.verdict.jwt.text


def _no_token(
    judge: Hop | None, places: Sequence[tuple[jwt_tokens.Token, ...] | None], call: Call
) -> Fact[bool]:
    """Headers that nobody told of are not headers without a token."""
    if any(places):
        return False
    if judge is not None and judge.inputs.claims == NO_TOKEN:
        return True
    if None in places:
        return TOKEN_NOT_TOLD
    return call.headers_known


def _in_force(judge: Hop | None, found: Situation) -> tuple[RequestAuthentication, ...]:
    if judge is None:
        return ()
    return in_force(judge.inputs.authentications, judge.inputs.judge, found.settings)


def _rule(
    rules: list[tuple[JwtRule, RequestAuthentication]], policy: str, issuer: str
) -> tuple[JwtRule | None, RequestAuthentication | None]:
    for rule, owner in rules:
        if owner.ref == policy and rule.issuer == issuer:
            return rule, owner
    return rules[0] if rules else (None, None)


def uses_token(policy: AuthorizationPolicy) -> bool:
    """Whether a policy asks about a token anywhere."""
    return any(
        any(f.source.request_principals or f.source.not_request_principals for f in rule.from_)
        or any(w.key.startswith(TOKEN_KEYS) for w in rule.when)
        for rule in policy.spec.rules
    )


def _wants_token(judge: Hop | None) -> str:
    if judge is None:
        return ""
    reached = {p.ref for p in judge.verdict.policies if p.enforced}
    return next((p.ref for p in judge.inputs.policies if p.ref in reached and uses_token(p)), "")


def _deny_without(judge: Hop | None) -> bool:
    rule = judge.verdict.rule_result if judge is not None else None
    if rule is None or judge is None or judge.verdict.layer != "DENY":
        return False
    return any(c.negative and c.kind == "request-principal" and not c.seen for c in rule.clauses)


def _elsewhere(view: View, found: Situation, mine: tuple[RequestAuthentication, ...]) -> str:
    """Another RequestAuthentication of the run's namespaces: the gateway's, or a wrong selector's.

    One with an issuer that is in force at the judge as well is not what is missing.
    """
    if mine:
        return ""
    every = view.objects("RequestAuthentication", RequestAuthentication)
    server = found.server.subject.namespace if found.server is not None else ""
    every = tuple(sorted(every, key=lambda one: (one.namespace != server, one.ref)))
    return every[0].ref if every else ""


def _stripped_by(found: Situation, judge: Hop | None) -> str:
    """The earlier hop's RequestAuthentication that accepts the token and does not forward it."""
    if judge is None:
        return ""
    for hop in found.hops:
        if hop is judge:
            return ""
        outcome = hop.verdict.jwt
        if outcome.passes and outcome.tokens and outcome.claims.removed:
            return outcome.policy
        for policy in in_force(hop.inputs.authentications, hop.inputs.judge, found.settings):
            if any(not rule.forward_original_token for rule in policy.spec.jwt_rules):
                return policy.ref
    return ""


def _kept_by(found: Situation) -> str:
    """The first RequestAuthentication on the whole way that takes tokens away, or would."""
    for hop in found.hops:
        if hop.verdict.jwt.passes and hop.verdict.jwt.claims.removed:
            return hop.verdict.jwt.policy
    for hop in found.hops:
        for policy in in_force(hop.inputs.authentications, hop.inputs.judge, found.settings):
            if any(not rule.forward_original_token for rule in policy.spec.jwt_rules):
                return policy.ref
    return ""


def _one_good(judge: Hop | None, mine: tuple[RequestAuthentication, ...]) -> bool:
    if judge is None:
        return False
    rules = [rule for policy in mine for rule in policy.spec.jwt_rules]
    found = [t for rule in rules for t in jwt_tokens.tokens_of(judge.inputs.call, rule) or ()]
    if len({t.text for t in found}) < 2:
        return False
    for token in found:
        if token.place.startswith("header"):
            headers: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token.text}"),)
        else:
            headers = ((token.header or "x-token", token.text),)
        alone = Call(http=True, path="/", method="GET", headers=headers, headers_known=True)
        outcome = authenticate(mine, alone, judge.inputs.now)
        if outcome.passes and outcome.tokens:
            return True
    return False


def _other_place(call: Call) -> str:
    """A header or parameter that holds something shaped like a token; "" when none does."""
    for name, value in call.headers:
        words = value.replace("=", " ").split()
        if any(word.count(".") == 2 and word.startswith("eyJ") for word in words):
            return f"header {clean(name, 60)}"
    query = (call.path or "").partition("?")[2]
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if value.startswith("eyJ") and value.count(".") == 2:
            return f"parameter {clean(name, 60)}"
    return ""
