"""Does the client's sidecar know the host outside the cluster that it calls?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.entries import bare_protocol
from meshdoctor.mesh.external_host import Known, Why, host_of, judge, visible
from meshdoctor.mesh.routes import in_mesh
from meshdoctor.mesh.services import host_matches, named_by_client
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import REGISTRY_ONLY, Scope
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, MeshConfig, ServiceEntry, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe


class EdgeExternal(Struct, frozen=True, kw_only=True):
    """Of a client with a sidecar and a host that is no Service; else all empty."""

    judged: Annotated[Fact[bool], "the client has a sidecar, and the host is no Service's"]
    host: Annotated[Fact[str], "the host called"]
    port: Annotated[Fact[int], "the port called; 0: not known"]
    unknown_by: Annotated[
        Fact[str], "why the sidecar does not know it: unregistered, exportTo, sidecar or port"
    ]
    unknown_said: Annotated[Fact[str], "the same in words, where a ServiceEntry is hidden"]
    entry: Annotated[Fact[Ref], "the ServiceEntry that names the host, or may be meant by its port"]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    ports: Annotated[Fact[str], "its ports"]
    by_name: Annotated[
        Fact[str], "TLS or HTTPS, where the server name alone tells calls of that entry; empty"
    ]
    sharing: Annotated[
        Fact[str],
        "other entries of the same host and port, where the entry is known by its address; empty",
    ]
    sealed: Annotated[Fact[str], "the entry's protocol of the port, if TLS or HTTPS; else empty"]
    opaque: Annotated[
        Fact[str], "the protocol of the port, where it is TCP of any kind without addresses; empty"
    ]
    asked: Annotated[Fact[str], "the Host header that was told, where it is another name; empty"]
    asked_known: Annotated[Fact[bool], "an entry, a route or a Service has that name"]
    route: Annotated[Fact[Ref], "the VirtualService that sidecars have for the host; empty: none"]
    route_name: Annotated[Fact[str], "its name"]
    route_namespace: Annotated[Fact[str], "its namespace"]
    misnamed: Annotated[
        Fact[str], "a port name of an endpoint that none of the entry's ports has; empty: none"
    ]
    shaped_by: Annotated[
        Fact[Ref], "a VirtualService or DestinationRule that is for the host; empty: none"
    ]
    sidecar: Annotated[Fact[Ref], "the Sidecar in force for the client; empty: none"]
    known_host: Annotated[Fact[str], "the entry's host that means the host called"]
    mend_kind: Annotated[Fact[str], "the kind of the object that hides it, in lower case"]
    mend_name: Annotated[Fact[str], "that object's name"]
    mend_namespace: Annotated[Fact[str], "its namespace"]
    mend: Annotated[Fact[str], "what to add to that object; empty: nothing hides it"]
    refused: Annotated[Fact[bool], "hosts that the sidecar does not know are refused"]
    refused_by: Annotated[Fact[Ref], "the Sidecar or ConfigMap that says REGISTRY_ONLY"]
    client: Annotated[Fact[Ref], "the workload that calls"]
    client_namespace: Annotated[Fact[str], "the client's namespace"]
    client_pod: Annotated[Fact[str], "one of its pods"]


_NONE = EdgeExternal(
    judged=False,
    host="",
    port=0,
    unknown_by="",
    unknown_said="",
    entry=Ref(""),
    entry_name="",
    entry_namespace="",
    ports="",
    by_name="",
    sharing="",
    sealed="",
    opaque="",
    asked="",
    asked_known=False,
    route=Ref(""),
    route_name="",
    route_namespace="",
    misnamed="",
    shaped_by=Ref(""),
    sidecar=Ref(""),
    known_host="",
    mend_kind="",
    mend_name="",
    mend_namespace="",
    mend="",
    refused=False,
    refused_by=Ref(""),
    client=Ref(""),
    client_namespace="",
    client_pod="",
)


@probe(
    "edge-external",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "Job",
        "Pod",
        "Service",
        "ServiceEntry",
        "Sidecar",
        "StatefulSet",
        "VirtualService",
    ),
)
def edge_external(view: View, edge: EdgeSubject) -> EdgeExternal:
    """Does the client's sidecar know the host outside the cluster that it calls?"""
    if edge.client is None or edge.service is not None or edge.server is not None or not edge.host:
        return _NONE
    pod = reading.workload(view, edge.client).pod
    if pod is None or proxy_type(pod) != "sidecar" or _of_cluster(edge):
        return _NONE
    mesh = reading.mesh_config(view)
    in_force = reading.sidecar_scope(view, pod)
    found = judge(view.objects("ServiceEntry", ServiceEntry), edge.host, edge.port, in_force, mesh)
    if found.why is Why.UNREGISTERED:
        found = Known(why=found.why, entry=_meant(view, edge, in_force, mesh))
    return _facts(view, edge, pod, in_force, mesh, found)


def _meant(view: View, edge: EdgeSubject, in_force: Scope, mesh: MeshConfig) -> ServiceEntry | None:
    """Of an address that no entry has: the only entry with that port, told apart by server name.
    On 443 too many are."""
    if not is_address(edge.host) or edge.port in (0, 443):
        return None
    seen = visible(view.objects("ServiceEntry", ServiceEntry), in_force, mesh)
    named = [e for e in seen if _by_name(e, edge.port)]
    return named[0] if len(named) == 1 else None


def _of_cluster(edge: EdgeSubject) -> bool:
    """A name that means a Service which does not exist is not a host outside the cluster."""
    assert edge.client is not None
    named = named_by_client(edge.host, edge.client.namespace)
    return named is not None and (".svc" in edge.host or "." not in edge.host)


def _facts(
    view: View, edge: EdgeSubject, pod: Pod, in_force: Scope, mesh: MeshConfig, found: Known
) -> EdgeExternal:
    assert edge.client is not None
    entry = found.entry
    refused = in_force.outbound_policy(mesh) == REGISTRY_ONLY
    own = in_force.sidecar is not None and in_force.sidecar.spec.outbound_traffic_policy is not None
    by = in_force.source if own else reading.mesh_config_ref(view)
    known = host_of(entry, edge.host) if entry is not None else edge.host
    hides, mend = _mend(found, known, pod.namespace, in_force.source)
    kind, space, name = (hides or "//").split("/")
    route = _route(view, edge.host) if entry is not None else None
    asked = bare_host(edge.request.host)
    asked = "" if asked == edge.host.lower() or is_address(asked) else asked
    return EdgeExternal(
        judged=True,
        host=clean(edge.host),
        port=edge.port,
        unknown_by=found.why.value,
        unknown_said=_said(found.why, pod.namespace, in_force.source),
        entry=Ref(entry.ref if entry is not None else ""),
        entry_name=entry.name if entry is not None else "",
        entry_namespace=entry.namespace if entry is not None else "",
        ports=clean(", ".join(str(p.number) for p in entry.spec.ports), 80) if entry else "",
        by_name=_by_name(entry, edge.port) if entry is not None else "",
        sharing=_sharing(view, entry, edge) if entry is not None else "",
        sealed=_sealed(entry, edge.port),
        opaque=bare_protocol(entry, edge.port) if entry is not None else "",
        asked=clean(asked, 253),
        asked_known=bool(asked) and attempt(lambda: _asked_known(view, edge, asked)),
        route=Ref(route.ref if route is not None else ""),
        route_name=route.name if route is not None else "",
        route_namespace=route.namespace if route is not None else "",
        misnamed=_misnamed(entry) if entry is not None else "",
        shaped_by=_shaped_by(view, edge.host, route) if entry is not None else Ref(""),
        sidecar=Ref(in_force.source if found.why is Why.SIDECAR else ""),
        known_host=clean(known),
        mend_kind=kind.lower(),
        mend_name=name,
        mend_namespace=space,
        mend=mend,
        refused=refused,
        refused_by=Ref(by if refused else ""),
        client=Ref(edge.client.ref),
        client_namespace=pod.namespace,
        client_pod=pod.name,
    )


def _by_name(entry: ServiceEntry, port: int) -> str:
    """An entry with an address of its own has a listener there, which asks for no server name."""
    if any("/" not in address for address in entry.spec.addresses):
        return ""
    return _sealed(entry, port).upper()


def _sharing(view: View, entry: ServiceEntry, edge: EdgeSubject) -> str:
    """Of several entries with one host and port, some releases make a listener for the addresses
    of the first ones only (istio/istio#54990)."""
    if not is_address(edge.host):
        return ""
    others = (
        e.ref
        for e in view.objects("ServiceEntry", ServiceEntry)
        if e.ref != entry.ref
        and set(e.spec.hosts) & set(entry.spec.hosts)
        and any(p.number == edge.port for p in e.spec.ports)
    )
    return clean(", ".join(sorted(others)), 200)


def _asked_known(view: View, edge: EdgeSubject, asked: str) -> bool:
    """Whether a sidecar has a route for the name: of an entry, of a rule, or of a Service."""
    assert edge.client is not None
    entries = view.objects("ServiceEntry", ServiceEntry)
    routes = view.objects("VirtualService", VirtualService)
    hosts = [h for one in entries for h in one.spec.hosts]
    hosts += [h for one in routes for h in one.spec.hosts]
    if any(host_matches(h, asked) for h in hosts):
        return True
    own = named_by_client(asked, edge.client.namespace)
    return own is not None and view.object("Service", Service, *own) is not None


def _route(view: View, host: str) -> VirtualService | None:
    return next(
        (
            one
            for one in view.objects("VirtualService", VirtualService)
            if in_mesh(one) and any(host_matches(h, host) for h in one.spec.hosts)
        ),
        None,
    )


def _shaped_by(view: View, host: str, route: VirtualService | None) -> Ref:
    """What the mesh has for calls to the host, beside its entry."""
    rules = (
        one
        for one in view.objects("DestinationRule", DestinationRule)
        if host_matches(one.spec.host, host)
    )
    found = route or next(rules, None)
    return Ref(found.ref if found is not None else "")


def _misnamed(entry: ServiceEntry) -> str:
    """A port of an endpoint counts by the name of the entry's port alone (serviceentry
    conversion.go convertEndpoint); under another name the entry's own number is dialled."""
    names = {p.name for p in entry.spec.ports}
    found = (name for one in entry.spec.endpoints for name in one.ports if name not in names)
    return clean(next(found, ""), 100)


def _mend(found: Known, known: str, namespace: str, sidecar: str) -> tuple[str, str]:
    """The object that hides the entry from the client, and what has to be added to it."""
    entry = found.entry
    if entry is not None and found.why is Why.EXPORT_TO:
        return entry.ref, f"Add {namespace} to exportTo of {entry.ref}."
    if entry is not None and found.why is Why.SIDECAR:
        return sidecar, f"Add {entry.namespace}/{clean(known)} to the egress hosts of {sidecar}."
    return "", ""


def _said(why: Why, namespace: str, sidecar: str) -> str:
    if why is Why.EXPORT_TO:
        return f"its exportTo leaves {namespace} out"
    return f"no egress host of {sidecar} covers it" if why is Why.SIDECAR else ""


def _sealed(entry: ServiceEntry | None, port: int) -> str:
    ports = entry.spec.ports if entry is not None else ()
    found = next((p.protocol for p in ports if p.number == port), "")
    return clean(found) if found.upper() in ("TLS", "HTTPS") else ""
