"""Does a proxy refuse by policies that are not there?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authz_policies import in_force
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.view import View, probe

_LEAST = 2
"""After a change each pooled connection gets one more answer under the old policy."""


class AuthzStanding(Struct, frozen=True, kw_only=True):
    """Refusals of the judging proxy by policies, where no policy of the API reaches it."""

    refused: Annotated[
        Fact[int], "such refusals, the last requests of the edge among them", OBSERVED
    ]
    istiod: Annotated[Fact[Ref], "the workload that runs istiod; empty: none is seen"]


@probe("authz-standing", subject=SubjectKind.EDGE, reads=(*READS, "EnvoyFilter"), costly=True)
def authz_standing(view: View, edge: EdgeSubject) -> AuthzStanding:
    """Does the judging proxy refuse by policies that are not there?"""
    found = situation(view, edge)
    judge = found.judge
    orphans = _orphans(view, found, judge) if judge is not None else 0
    pods = istiod_pods(view)
    return AuthzStanding(
        refused=orphans if orphans >= _LEAST else 0,
        istiod=Ref(owner_of(pods[0]).ref if pods else ""),
    )


def _orphans(view: View, found: Situation, judge: Hop) -> int:
    inputs = judge.inputs
    if in_force(inputs.policies, inputs.judge, found.settings) or _filtered(view, judge):
        return 0
    return _refused(judge.lines)


def _refused(lines: tuple[Line, ...]) -> int:
    """How many were refused by a policy; 0 when a later request passed."""
    dated = sorted((str(line.start), _by_policy(line)) for line in lines if line.start is not None)
    by_policy = [refused for _, refused in dated]
    return sum(by_policy) if by_policy and by_policy[-1] else 0


def _by_policy(line: Line) -> bool:
    denial = ev.of_line(line)
    return denial is not None and denial.kind in (ev.DEFAULT, ev.MATCHED)


def _filtered(view: View, judge: Hop) -> bool:
    """Whether an EnvoyFilter may have given the proxy such a filter."""
    spaces = {judge.workload.subject.namespace, view.istio_namespace}
    return any(
        "rbac" in str(one.spec.config_patches).lower()
        for space in sorted(spaces)
        for one in view.objects("EnvoyFilter", EnvoyFilter, space)
    )
