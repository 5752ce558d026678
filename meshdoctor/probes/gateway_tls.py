"""Can this Gateway serve TLS: certificates, permission to read them, CA, routes, its place?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.gateway_merge import Skipped, merge
from meshdoctor.mesh.log_lines import Said
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import Gateway, K8sGateway, ListenerSet, VirtualService
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import istiod_said
from meshdoctor.probes.gateway_certificates import Found, certificates_of
from meshdoctor.probes.view import View, attempt, probe


class GatewayTls(Struct, frozen=True, kw_only=True):
    """TLS servers of one Istio Gateway, or TLS listeners of one Gateway API Gateway. Every fact is
    false or empty for other kinds, and where no gateway pod is in sight."""

    gateway: Annotated[Fact[Ref], "the Gateway"]
    resource: Annotated[Fact[str], "its resource, as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    pod: Annotated[Fact[str], "a gateway pod that serves it; empty: none"]
    pod_namespace: Annotated[Fact[str], "the namespace of that pod"]
    account: Annotated[Fact[Ref], "the ServiceAccount of that pod"]
    account_name: Annotated[Fact[str], "its name"]
    served: Annotated[Fact[bool], "a gateway pod serves it, or istiod runs one for it"]
    server: Annotated[Fact[str], "the server (listener) that has the fault"]
    missing: Annotated[Fact[bool], "a Secret of a server does not exist or lacks its keys"]
    secret: Annotated[Fact[Ref], "the Secret concerned"]
    secret_name: Annotated[Fact[str], "its name"]
    secret_namespace: Annotated[Fact[str], "the namespace it is looked up in"]
    missing_why: Annotated[Fact[str], "what is wrong with it"]
    unread: Annotated[Fact[bool], "a Secret could not be read"]
    logged_missing: Annotated[
        Fact[bool], "a line of istiod that was read misses a Secret of this Gateway", OBSERVED
    ]
    logged_denied: Annotated[
        Fact[bool], "a line of istiod that was read denies the gateway pod a Secret of it", OBSERVED
    ]
    logged: Annotated[Fact[str], "that line", OBSERVED]
    elsewhere: Annotated[Fact[Ref], "a Secret of that name in the Gateway's own namespace"]
    refused: Annotated[Fact[bool], "a Secret of another namespace, and nothing permits it"]
    grant: Annotated[Fact[Ref], "a ReferenceGrant there that does not cover it; empty: none"]
    status_refused: Annotated[Fact[bool], "status: RefNotPermitted", OBSERVED]
    status_invalid: Annotated[Fact[bool], "status: InvalidCertificateRef", OBSERVED]
    status_text: Annotated[Fact[str], "what the status says of it", OBSERVED]
    cert_state: Annotated[
        Fact[str],
        "expired or early: a serving certificate; empty: all valid, or none seen",
        OBSERVED,
    ]
    cert_not_after: Annotated[Fact[datetime], "when that certificate ends", OBSERVED]
    uncovered: Annotated[Fact[str], "a host that the certificate does not cover", OBSERVED]
    cert_names: Annotated[Fact[str], "the names that the certificate covers", OBSERVED]
    ca_missing: Annotated[Fact[bool], "clients must show a certificate, and there is no CA for it"]
    logged_no_ca: Annotated[
        Fact[bool], "a line of istiod that was read misses a Secret of it for that CA", OBSERVED
    ]
    ca_why: Annotated[Fact[str], "which Secret was looked at for it, and what it has instead"]
    ca_name: Annotated[Fact[str], "the name of the Secret that is for that CA alone"]
    unrouted: Annotated[Fact[bool], "PASSTHROUGH, and no VirtualService has a tls route for it"]
    unrouted_why: Annotated[Fact[str], "what there is instead of such a route, in words"]
    route: Annotated[
        Fact[Ref], "the VirtualService that has http or tcp routes instead, or one that misses it"
    ]
    route_name: Annotated[Fact[str], "its name"]
    route_namespace: Annotated[Fact[str], "its namespace"]
    skipped: Annotated[Fact[bool], "istiod leaves a server out: another Gateway came first"]
    logged_skipped: Annotated[
        Fact[bool], "a line of istiod of the last hour leaves a server of it out", OBSERVED
    ]
    skipped_why: Annotated[Fact[str], "why, and who has its place"]
    winner: Annotated[Fact[Ref], "the Gateway, or ListenerSet, that has its place"]


@probe(
    "gateway-tls",
    subject=SubjectKind.CONFIG,
    reads=(
        "Gateway",
        "K8sGateway",
        "ListenerSet",
        "Pod",
        "ReferenceGrant",
        "Secret",
        "VirtualService",
        "log",
    ),
    kinds=("Gateway", "K8sGateway"),
)
def gateway_tls(view: View, subject: ConfigSubject) -> GatewayTls:
    """Can this Gateway serve TLS?"""
    if subject.config_kind == "Gateway":
        return _istio(view, subject)
    if subject.config_kind == "K8sGateway":
        return _k8s(view, subject)
    return _facts(None, "", None, Found())


def _istio(view: View, subject: ConfigSubject) -> GatewayTls:
    gateway = view.object("Gateway", Gateway, subject.namespace, subject.name)
    pods = gateway_pods(gateway, _routers(view)) if gateway is not None else ()
    if gateway is None or not pods:
        return _facts(gateway, "gateways.networking.istio.io", None, Found())
    pod = pods[0]
    servers = gt.of_gateway(gateway, pod.namespace)
    names = frozenset(name for s in servers for _, name in s.credentials)
    found = certificates_of(view, servers, gateway, pod.namespace, k8s=False)
    routes = view.objects("VirtualService", VirtualService) if servers else ()
    unrouted = next(
        (r for s in servers if (r := gt.unrouted_passthrough(s, gateway, routes))), None
    )
    asked = bare_host(view.request.host)
    near = gt.passes_to_nobody(asked, servers, gateway, routes) if asked else None
    if unrouted is not None:
        near = f"{unrouted.ref} has only http or tcp routes"
    elif near is not None:
        unrouted = next((r for r in routes if near.startswith(f"{r.ref} ")), None)
        near = f"no VirtualService bound to it has a tls rule for {asked}" + (near and f" ({near})")
    return _facts(
        gateway,
        "gateways.networking.istio.io",
        pod,
        found,
        route=unrouted,
        unrouted=near or "",
        skipped=_skipped(view, gateway, pod),
        left_out=istiod_said.skipped_server(view, gateway, view.objects("Gateway", Gateway)),
        said=istiod_said.of_gateway(view, pod, names),
    )


def _routers(view: View) -> tuple[Pod, ...]:
    """Gateway pods of the run's scope, sorted out once for all Gateways."""
    return view.memo(
        "router-pods",
        lambda v: tuple(p for p in v.objects("Pod", Pod) if proxy_type(p) == "router"),
    )


def _skipped(view: View, gateway: Gateway, pod: Pod) -> Skipped | None:
    """A server of this Gateway that is left out on its gateway pod."""

    def build(v: View) -> dict[str, Skipped]:
        rivals = [g for g in v.objects("Gateway", Gateway) if gateway_pods(g, (pod,))]
        found: dict[str, Skipped] = {}
        for one in merge(rivals):
            found.setdefault(one.gateway.ref, one)
        return found

    return view.memo(("skipped-servers", pod.namespace, pod.name), build).get(gateway.ref)


def _k8s(view: View, subject: ConfigSubject) -> GatewayTls:
    gateway = view.object("K8sGateway", K8sGateway, subject.namespace, subject.name)
    if gateway is None:
        return _facts(None, "", None, Found())
    servers = gt.of_k8s_gateway(gateway)
    found = certificates_of(view, servers, gateway, gateway.namespace, k8s=True)
    label = "gateway.networking.k8s.io/gateway-name"
    pods = view.objects("Pod", Pod, gateway.namespace)
    pod = next((p for p in pods if p.labels.get(label) == gateway.name), None)
    names = frozenset(name for s in servers for _, name in s.credentials)
    said = istiod_said.of_gateway(view, pod, names) if pod is not None else ()
    left_out = istiod_said.skipped_server(view, gateway, view.objects("K8sGateway", K8sGateway))
    return _facts(
        gateway,
        "gateways.gateway.networking.k8s.io",
        pod,
        found,
        k8s=gateway,
        said=said,
        left_out=left_out,
        adds=_adds(view, gateway, left_out),
    )


def _adds(view: View, gateway: K8sGateway, left_out: Said | None) -> str:
    """A ListenerSet of the Gateway with a listener on the port of the one that is left out."""
    if left_out is None:
        return ""
    port = left_out.get("port").split(".")
    sets = attempt(lambda: view.objects("ListenerSet", ListenerSet))
    for one in () if isinstance(sets, Unavailable) else sets:
        parent = one.spec.parent_ref
        above = (parent.namespace or one.namespace, parent.name)
        if above == (gateway.namespace, gateway.name) and any(
            str(listener.port) in port for listener in one.spec.listeners
        ):
            return one.ref
    return ""


def _status(gateway: K8sGateway | None, reason: str) -> str:
    """The message of a listener condition with a reason; "" when no listener has it."""
    if gateway is None:
        return ""
    for listener in gateway.status.listeners:
        for condition in listener.conditions:
            if condition.reason == reason and condition.status == "False":
                return condition.message or reason
    return ""


def _facts(
    gateway: Gateway | K8sGateway | None,
    resource: str,
    pod: Pod | None,
    found: Found,
    *,
    route: VirtualService | None = None,
    unrouted: str = "",
    skipped: Skipped | None = None,
    k8s: K8sGateway | None = None,
    said: tuple[Said, ...] = (),
    left_out: Said | None = None,
    adds: str = "",
) -> GatewayTls:
    denied, invalid = _status(k8s, "RefNotPermitted"), _status(k8s, "InvalidCertificateRef")
    space, name = found.secret
    account = (pod.spec.service_account_name or "default") if pod else ""
    return GatewayTls(
        gateway=Ref(gateway.ref if gateway else ""),
        resource=resource,
        name=gateway.name if gateway else "",
        namespace=gateway.namespace if gateway else "",
        pod=pod.name if pod else "",
        pod_namespace=pod.namespace if pod else "",
        account=Ref(f"ServiceAccount/{pod.namespace}/{account}" if pod else ""),
        account_name=account,
        served=pod is not None or k8s is not None,
        server=clean(found.server or (skipped.server if skipped else _port(left_out))),
        missing=found.missing,
        secret=Ref(f"Secret/{space}/{name}" if name else ""),
        secret_name=name,
        secret_namespace=space,
        missing_why=clean(found.missing_why),
        unread=isinstance(found.missing, Unavailable),
        logged_missing=any(one.kind == "secret_missing" for one in said),
        logged_denied=any(one.kind == "secret_unauthorized" for one in said),
        logged=clean(said[-1].text) if said else "",
        elsewhere=Ref(found.elsewhere),
        refused=found.refused,
        grant=Ref(found.grant),
        status_refused=bool(denied),
        status_invalid=bool(invalid),
        status_text=clean(denied or invalid),
        cert_state=found.cert_state,
        cert_not_after=found.cert_end
        or Unavailable(reason=Reason.NOT_FOUND, what="a faulty serving certificate"),
        uncovered=clean(found.uncovered),
        cert_names=clean(found.cert_names),
        ca_missing=found.ca_missing,
        logged_no_ca=any(
            one.kind == "secret_missing" and one.get("credential").endswith(gt.CA_SUFFIX)
            for one in said
        ),
        ca_why=clean(found.ca_why),
        ca_name=found.ca_name,
        unrouted=bool(unrouted),
        unrouted_why=clean(unrouted, 300),
        route=Ref(route.ref if route else ""),
        route_name=route.name if route else "",
        route_namespace=route.namespace if route else "",
        skipped=skipped is not None,
        logged_skipped=left_out is not None,
        skipped_why=_why(skipped, left_out),
        winner=Ref(skipped.winner.ref if skipped else adds),
    )


def _port(left_out: Said | None) -> str:
    """The server as istiod names it: a listener of the Gateway API, or port name and number."""
    if left_out is None:
        return ""
    listener = left_out.get("gateway").partition("istio-autogenerated-k8s-gateway")[2][1:]
    return listener or left_out.get("port")


def _why(skipped: Skipped | None, left_out: Said | None) -> str:
    if skipped is not None:
        return f"{clean(skipped.why)}, which the older {skipped.winner.ref} has"
    return f"istiod says, {clean(left_out.get('reason'))}" if left_out is not None else ""
