"""Is there a proxy that enforces the policies meant for this server, and does it have them?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import xds
from meshdoctor.mesh.authz_call import Judge
from meshdoctor.mesh.authz_policies import GATEWAY_GROUP, in_force, target_refs
from meshdoctor.mesh.capture import inbound_bypass
from meshdoctor.mesh.sync_judgement import is_absent
from meshdoctor.mesh.workloads import has_proxy, proxy_type
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import AuthorizationPolicy, K8sGateway
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes.authz_ambient import enrolled, waypoint_name, waypoint_of
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.authz_settings import policies
from meshdoctor.probes.authz_verdict import name_of, namespace_of
from meshdoctor.probes.propagation_reading import sync_table
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.view import View, probe


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
    service: Annotated[Fact[Ref], "the service called, or its namespace"]
    service_name: Annotated[Fact[str], "name of the service"]


@probe(
    "authz-attach",
    subject=SubjectKind.EDGE,
    reads=(*READS, "K8sGateway"),
)
def authz_attach(view: View, edge: EdgeSubject) -> AuthzAttach:
    """Is there a proxy that enforces the policies meant for this server?"""
    found = situation(view, edge)
    selecting = _selecting(view, found)
    meant = _for_waypoint(view, found)
    subject = found.server.subject if found.server is not None else None
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
        bypass=_bypass(view, found) if meant else "",
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


def _for_waypoint(view: View, found: Situation) -> str:
    """A policy with targetRefs to this service, or to a waypoint of its namespace."""
    if found.service is None:
        return ""
    space = found.service.namespace
    for policy in view.objects("AuthorizationPolicy", AuthorizationPolicy, space):
        for ref in target_refs(policy):
            if ref.kind == "Service" and ref.name == found.service.name:
                return policy.ref
            if ref.kind == "Gateway" and ref.group == GATEWAY_GROUP:
                gate = view.object("K8sGateway", K8sGateway, space, ref.name)
                named = found.server and waypoint_name(view, found.server, found.service)[1]
                waypoint = gate is not None and gate.spec.gateway_class_name == "istio-waypoint"
                if waypoint and named in ("", ref.name):
                    return policy.ref
    return ""


def _bypass(view: View, found: Situation) -> str:
    server = found.server
    pod = server.pod if server is not None else None
    if server is None or pod is None or has_proxy(pod):
        return ""
    space, name = waypoint_name(view, server, found.service)
    if not name:
        return "no istio.io/use-waypoint label on the service, the workload or the namespace"
    gate = view.object("K8sGateway", K8sGateway, space, name)
    if gate is None:
        return f"the waypoint {space}/{name} does not exist"
    programmed = [c for c in gate.status.conditions if c.type == "Programmed"]
    if programmed and programmed[0].status != "True":
        return f"the waypoint {space}/{name} is not Programmed"
    if waypoint_of(view, server, found.service) is None:
        return f"the waypoint {space}/{name} has no pods"
    kind = gate.labels.get("istio.io/waypoint-for", "service")
    if found.edge.service is None and kind == "service":
        return "the pod's own address is called, and the waypoint serves services only"
    client = found.client.pod if found.client is not None else None
    if client is not None and proxy_type(client) == "router":
        label = found.service.labels if found.service is not None else {}
        if label.get("istio.io/ingress-use-waypoint") != "true":
            return "a gateway goes past waypoints without istio.io/ingress-use-waypoint"
    return ""


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
