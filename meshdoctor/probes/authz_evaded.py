"""Would a DENY rule stop this request, if the caller showed who it is?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.authorization import decide
from meshdoctor.mesh.authz_verdict import Decision, Verdict
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import principal
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.reading import mesh_config
from meshdoctor.probes.view import View, probe


class AuthzEvaded(Struct, frozen=True, kw_only=True):
    """A DENY rule that the caller's own identity would match, where the caller presents none.
    Empty when there is no such rule."""

    policy: Annotated[Fact[Ref], "the DENY policy; empty: none"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[int], "the rule; -1: none"]
    identity: Annotated[Fact[str], "the identity that the caller's service account gives it"]
    client: Annotated[Fact[Ref], "the caller"]


@probe("authz-evaded", subject=SubjectKind.EDGE, reads=READS)
def authz_evaded(view: View, edge: EdgeSubject) -> AuthzEvaded:
    """Would a DENY rule stop this request, if the caller showed who it is?"""
    found = situation(view, edge)
    identity = _identity(found, mesh_config(view).trust_domain)
    verdict = _identified(found, identity)
    ref = verdict.policy if verdict is not None else ""
    parts = (*ref.split("/"), "", "")
    return AuthzEvaded(
        policy=Ref(ref),
        policy_name=parts[2],
        policy_namespace=parts[1],
        rule=verdict.rule if verdict is not None else -1,
        identity=clean(identity),
        client=Ref(found.client.subject.ref if found.client is not None else ""),
    )


def _identity(found: Situation, domain: str) -> str:
    """Who the caller is, when it calls the judge itself; behind another proxy it is that one."""
    judge, client = found.judge, found.client
    if judge is None or client is None or client.pod is None:
        return ""
    if judge.workload.subject == client.subject or len(found.hops) > 1:
        return ""
    return principal(domain, client.subject.namespace, client.service_account)


def _identified(found: Situation, identity: str) -> Verdict | None:
    """The verdict of a DENY rule on the same request with that identity; None when there is none,
    or the request shows one, or is denied as it is."""
    judge = found.judge
    if judge is None or not identity or judge.inputs.call.principal != "":
        return None
    if judge.verdict.decision is Decision.DENY:
        return None
    verdict = decide(replace(judge.inputs, call=replace(judge.inputs.call, principal=identity)))
    denied = verdict.decision is Decision.DENY and verdict.layer == "DENY"
    return verdict if denied else None
