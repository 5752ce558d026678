"""Which configuration adds the filter that refused, when no policy did?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.authz_evidence import OTHER
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.services import fqdn, host_matches, resolve_short_name
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, VirtualService, WasmPlugin
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hops import Hop, Situation, situation
from meshdoctor.probes.view import View, probe

_FAULTS = ("FI", "DI", "fault_filter")


class AuthzOther(Struct, frozen=True, kw_only=True):
    """The likeliest source of a filter that is neither RBAC, JWT nor ext_authz."""

    source: Annotated[Fact[Ref], "VirtualService, EnvoyFilter or WasmPlugin; else the judge"]


@probe(
    "authz-other",
    subject=SubjectKind.EDGE,
    reads=(*READS, "EnvoyFilter", "WasmPlugin"),
)
def authz_other(view: View, edge: EdgeSubject) -> AuthzOther:
    """Which configuration adds the filter that refused?"""
    found = situation(view, edge)
    judge = found.judge
    denial = judge.summary.denial if judge is not None else None
    if judge is None or denial is None or denial.kind != OTHER:
        return AuthzOther(source=Ref(""))
    if any(word in denial.text for word in _FAULTS):
        return AuthzOther(source=Ref(_fault(view, found) or judge.workload.subject.ref))
    return AuthzOther(source=Ref(_filter(view, judge) or judge.workload.subject.ref))


def _fault(view: View, found: Situation) -> str:
    """A VirtualService with a fault for this service."""
    name = fqdn(found.service) if found.service is not None else found.edge.host
    for rule in view.objects("VirtualService", VirtualService):
        hosts = (resolve_short_name(h, rule.namespace) for h in rule.spec.hosts)
        routed = any(
            resolve_short_name(t.destination.host, rule.namespace) == name
            for route in rule.spec.http
            for t in route.route
        )
        if not routed and not any(host_matches(h, name) for h in hosts):
            continue
        if any(route.fault is not None for route in rule.spec.http):
            return rule.ref
    return ""


def _filter(view: View, judge: Hop) -> str:
    """An EnvoyFilter or WasmPlugin that selects the judge, its own namespace's first."""
    space = judge.workload.subject.namespace
    root = judge.inputs.settings.root_namespace
    for namespace in dict.fromkeys((space, root)):
        for one in view.objects("EnvoyFilter", EnvoyFilter, namespace):
            if workload_selected(one.spec.workload_selector, judge.workload.labels):
                return one.ref
        for plugin in view.objects("WasmPlugin", WasmPlugin, namespace):
            if workload_selected(plugin.spec.selector, judge.workload.labels):
                return plugin.ref
    return ""
