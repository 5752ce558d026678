"""What must hold of every verdict on the cases that the differential run draws."""

import random
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from meshdoctor.mesh import client_tls, peer_authentication
from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_verdict import Decision
from meshdoctor.model.decode import convert
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    DestinationRule,
    PeerAuthentication,
    RequestAuthentication,
)
from tests.lab.differential import mtls_cases, policies
from tests.lab.differential.case import ROOT, Ask, Case, Object, identity
from tests.lab.differential.rounds import filled

SEEDS = st.integers(min_value=0, max_value=10**6)
NOW = datetime(2026, 11, 18, tzinfo=UTC)
RANK = {Decision.DENY: 0, Decision.UNKNOWN: 1, Decision.ALLOW: 2}
MANY = settings(max_examples=120, deadline=None)


def read(items: Any, kind: type[Any]) -> list[Any]:
    addresses = {"dif-bare/nobody": "10.0.0.3", "dif-east/alice": "10.0.0.4"}
    found = [convert(filled(item, addresses), "drawn") for item in items]
    return [item for item in found if isinstance(item, kind)]


def call_of(ask: Ask) -> Call:
    principal = identity(ask.client)
    call = Call(principal=principal, direct_ip="10.0.0.4", remote_ip="10.0.0.4", http=ask.http)
    call = replace(call, destination_ip="10.0.0.9", port=ask.target, sni="")
    if not ask.http:
        return call
    call = replace(call, method=ask.method, path=ask.path, host=ask.authority)
    return replace(call, headers=ask.headers, headers_known=True)


def inputs(case: Case, items: list[Object], ask: Ask) -> Inputs:
    return Inputs(
        policies=read(items, AuthorizationPolicy),
        authentications=read(items, RequestAuthentication),
        judge=Judge(namespace=case.space, labels={"app": "server", "dif": case.space}),
        call=call_of(ask),
        settings=Settings(release=(1, 31)),
        now=NOW,
    )


def everywhere(case: Case, item: Object, action: str) -> Object:
    """A drawn policy for the whole namespace, with this action."""
    spec = {k: v for k, v in item["spec"].items() if k not in ("selector", "targetRefs")}
    spec = {**spec, "action": action}
    return {**item, "metadata": {"name": "extra", "namespace": case.space}, "spec": spec}


@given(SEEDS)
@MANY
def test_the_order_of_policies_does_not_matter(seed: int) -> None:
    case = policies.draw(seed, 0)
    shuffled = list(case.objects)
    random.Random(seed).shuffle(shuffled)
    for ask in case.asks:
        one = decide(inputs(case, list(case.objects), ask))
        assert one == decide(inputs(case, shuffled, ask))


@given(SEEDS)
@MANY
def test_no_policy_allows(seed: int) -> None:
    case = policies.draw(seed, 0)
    found = inputs(case, [], case.asks[0])
    assert decide(found).decision is Decision.ALLOW
    blind = replace(found, call=Call())
    assert decide(blind).decision is Decision.ALLOW


@given(SEEDS)
@MANY
def test_one_more_deny_never_allows_more_and_one_more_allow_never_denies_more(seed: int) -> None:
    case, other = policies.draw(seed, 0), policies.draw(seed + 1, 0)
    mine = [item for item in case.objects if item["spec"].get("action") != "CUSTOM"]
    extra = other.objects[0]
    # an ALLOW must be in force already: the first one changes what silence means
    base = [*mine, everywhere(case, {**extra, "spec": {}}, "ALLOW")]
    base[-1]["metadata"]["name"] = "first"
    for ask in case.asks:
        before = RANK[decide(inputs(case, base, ask)).decision]
        denied = decide(inputs(case, [*base, everywhere(case, extra, "DENY")], ask))
        assert RANK[denied.decision] <= before
        allowed = decide(inputs(case, [*base, everywhere(case, extra, "ALLOW")], ask))
        assert RANK[allowed.decision] >= before


@given(SEEDS)
@MANY
def test_no_peer_authentication_is_permissive_and_their_order_does_not_matter(seed: int) -> None:
    case = mtls_cases.draw(seed, 0)
    labels = {"app": "server", "dif": case.space}
    found = read(case.objects, PeerAuthentication)
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)
    for ask in case.asks:
        none = peer_authentication.effective([], case.space, labels, ROOT, ask.target)
        assert none.mode == "PERMISSIVE"
        one = peer_authentication.effective(found, case.space, labels, ROOT, ask.target)
        two = peer_authentication.effective(shuffled, case.space, labels, ROOT, ask.target)
        assert one == two


@given(SEEDS)
@MANY
def test_the_order_of_rules_does_not_matter(seed: int) -> None:
    case = mtls_cases.draw(seed, 0)
    found = read(case.objects, DestinationRule)
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)
    client = client_tls.Client(namespace="dif-east", labels={"app": "alice"})
    for ask in case.asks:
        host = f"server.{ask.space}.svc.cluster.local"
        one = client_tls.choose(found, client, host, ask.space, ROOT)
        assert one == client_tls.choose(shuffled, client, host, ask.space, ROOT)
