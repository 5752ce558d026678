"""Is there a proxy that enforces the policies meant for this server, and does it have them?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import xds
from meshdoctor.mesh.authz_call import Judge
from meshdoctor.mesh.authz_policies import in_force
from meshdoctor.mesh.capture import inbound_bypass
from meshdoctor.mesh.sync_judgement import is_absent
from meshdoctor.mesh.waypoint_path import PASSES, Past
from meshdoctor.mesh.workloads import has_proxy, proxy_type
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes.authz_ambient import enrolled
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.authz_settings import policies
from meshdoctor.probes.authz_verdict import name_of, namespace_of
from meshdoctor.probes.propagation_reading import sync_table
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.view import View, probe
from meshdoctor.probes.waypoint_reading import past_waypoint, policy_for


class AuthzAttach(Struct, frozen=True, kw_only=True):
    """Policies that name or select the server, and who would enforce them."""

    policy: Annotated[Fact[Ref], "an AuthorizationPolicy that selects the server's workload"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    absent: Annotated[Fact[str], "why no proxy enforces it on this port; empty: one does"]
    server: Annotated[Fact[Ref], "the server's workload"]
    server_namespace: Annotated[Fact[str], "its namespace"]
    server_name: Annotated[Fact[str], "its name"]
    waypoint_policy: Annotated[Fact[Ref], "a policy for this service's waypoint; empty: none"]
    waypoint_policy_name: Annotated[Fact[str], "its name"]
    waypoint_policy_namespace: Annotated[Fact[str], "its namespace"]
    bypass: Annotated[Fact[str], "why requests do not pass a waypoint; empty: they do"]
    mend: Annotated[
        Fact[str], "what would have to change: label, caller, ingress, waypoint, traffic, or empty"
    ]
    service: Annotated[Fact[Ref], "the service called, or its namespace"]
    service_name: Annotated[Fact[str], "name of the service"]


@probe(
    "authz-attach",
    subject=SubjectKind.EDGE,
    reads=READS,
)
def authz_attach(view: View, edge: EdgeSubject) -> AuthzAttach:
    """Is there a proxy that enforces the policies meant for this server?"""
    found = situation(view, edge)
    selecting = _selecting(view, found)
    meant = policy_for(view, found.server, found.service)
    subject = found.server.subject if found.server is not None else None
    past = _past(view, found) if meant else PASSES
    service = found.service
    where = f"Service/{service.namespace}/{service.name}" if service is not None else ""
    return AuthzAttach(
        policy=Ref(selecting),
        policy_name=name_of(selecting),
        policy_namespace=namespace_of(selecting),
        absent=_absent(view, found) if selecting else "",
        server=Ref(subject.ref if subject is not None else ""),
        server_namespace=subject.namespace if subject is not None else "",
        server_name=subject.name if subject is not None else "",
        waypoint_policy=Ref(meant),
        waypoint_policy_name=name_of(meant),
        waypoint_policy_namespace=namespace_of(meant),
        bypass=past.why,
        mend=past.mend.value,
        service=Ref(where),
        service_name=service.name if service is not None else "",
    )


def _selecting(view: View, found: Situation) -> str:
    """A policy of the server's own namespace that would apply to it as a sidecar."""
    server = found.server
    if server is None or server.pod is None or proxy_type(server.pod) in ("router", "waypoint"):
        return ""
    judge = Judge(namespace=server.subject.namespace, labels=server.labels)
    reached = in_force(policies(view, judge), judge, found.settings)
    own = [p for p in reached if p.namespace == server.subject.namespace]
    return own[0].ref if own else ""


def _absent(view: View, found: Situation) -> str:
    server = found.server
    pod = server.pod if server is not None else None
    if server is None or pod is None:
        return ""
    if not has_proxy(pod):
        if enrolled(view, server):
            return ""
        return "hostNetwork" if pod.spec.host_network else "the pod has no proxy"
    bypass = inbound_bypass(pod, found.workload_port)
    return f"port {found.workload_port} bypasses the proxy ({bypass.by})" if bypass else ""


def _past(view: View, found: Situation) -> Past:
    server = found.server
    pod = server.pod if server is not None else None
    if server is None or pod is None or has_proxy(pod):
        return PASSES
    return past_waypoint(view, found.client, server, found.service)


NOT_LISTED = Unavailable(
    reason=Reason.NOT_FOUND,
    what="sync state of the judging proxy",
    detail="no istiod lists it; it may still be connecting, or not every istiod answered",
    remedy="istioctl proxy-status, again in a minute",
)


class AuthzSync(Struct, frozen=True, kw_only=True):
    """Whether the judging proxy has istiod's newest listeners."""

    stale: Annotated[
        Fact[bool], "its listeners are STALE, NOT SENT or refused, or it is not connected"
    ]
    state: Annotated[Fact[str], "their state"]
    pod: Annotated[Fact[str], "the pod"]


@probe("authz-sync", subject=SubjectKind.EDGE, reads=(*READS, "proxy-status"), costly=True)
def authz_sync(view: View, edge: EdgeSubject) -> AuthzSync:
    """Does the judging proxy have istiod's newest listeners?"""
    judge = situation(view, edge).judge
    if judge is None or judge.pod is None:
        raise NotAskedError("sync state of the judging proxy", "no proxy judges this edge")
    table = sync_table(view)
    for pod in judge.workload.pods:
        row = table.proxy(pod.namespace, pod.name)
        if row is None and has_proxy(pod):
            lost = is_absent(pod, table, istiod_pods(view), view.now)
            state = "not connected to any istiod" if lost else ""
            return AuthzSync(stale=lost or NOT_LISTED, state=state, pod=pod.name)
        wrong = [t for t in xds.wrong_types(row, view.now) if t.type == "LDS"] if row else []
        if wrong:
            return AuthzSync(stale=True, state=wrong[0].state.value, pod=pod.name)
    return AuthzSync(stale=False, state="", pod=judge.pod.name)
