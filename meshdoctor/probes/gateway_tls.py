"""Can this Gateway serve TLS: certificates, permission to read them, CA, routes, its place?"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.gateway_merge import Skipped, merge
from meshdoctor.mesh.gateway_tls import TlsServer
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import Gateway, K8sGateway, ReferenceGrant, VirtualService
from meshdoctor.model.kubernetes import Pod, Secret
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import EvidenceError, NotRecordedError
from meshdoctor.probes.view import View, probe


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTls:
    """TLS servers of one Istio Gateway, or TLS listeners of one Gateway API Gateway. Every fact is
    false or empty for other kinds, and where no gateway pod is in sight."""

    gateway: Annotated[Fact[Ref], "the Gateway"]
    resource: Annotated[Fact[str], "its resource, as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    pod: Annotated[Fact[str], "a gateway pod that serves it; empty: none"]
    pod_namespace: Annotated[Fact[str], "the namespace of that pod"]
    served: Annotated[Fact[bool], "a gateway pod serves it, or istiod runs one for it"]
    server: Annotated[Fact[str], "the server (listener) that has the fault"]
    missing: Annotated[Fact[bool], "a Secret of a server does not exist or lacks its keys"]
    secret: Annotated[Fact[Ref], "the Secret concerned"]
    secret_name: Annotated[Fact[str], "its name"]
    secret_namespace: Annotated[Fact[str], "the namespace it is looked up in"]
    missing_why: Annotated[Fact[str], "what is wrong with it"]
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
    unrouted: Annotated[Fact[bool], "PASSTHROUGH, and no VirtualService has a tls route for it"]
    route: Annotated[Fact[Ref], "the VirtualService that has http or tcp routes instead"]
    route_name: Annotated[Fact[str], "its name"]
    route_namespace: Annotated[Fact[str], "its namespace"]
    skipped: Annotated[Fact[bool], "istiod leaves a server out: another Gateway came first"]
    skipped_why: Annotated[Fact[str], "why"]
    winner: Annotated[Fact[Ref], "the Gateway that has its place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was found wrong with certificates; the first of each kind."""

    server: str = ""
    secret: tuple[str, str] = ("", "")
    missing: bool | Unavailable = False
    missing_why: str = ""
    elsewhere: str = ""
    refused: bool | Unavailable = False
    grant: str = ""
    cert_state: str = ""
    cert_end: datetime | None = None
    uncovered: str = ""
    cert_names: str = ""
    ca_missing: bool | Unavailable = False


@probe(
    "gateway-tls",
    subject=SubjectKind.CONFIG,
    reads=("Gateway", "K8sGateway", "Pod", "ReferenceGrant", "Secret", "VirtualService"),
)
def gateway_tls(view: View, subject: ConfigSubject) -> GatewayTls:
    """Can this Gateway serve TLS?"""
    if subject.config_kind == "Gateway":
        return _istio(view, subject)
    if subject.config_kind == "K8sGateway":
        return _k8s(view, subject)
    return _facts(None, "", None, _Found())


def _istio(view: View, subject: ConfigSubject) -> GatewayTls:
    gateway = view.object("Gateway", Gateway, subject.namespace, subject.name)
    pods = gateway_pods(gateway, view.objects("Pod", Pod)) if gateway is not None else ()
    if gateway is None or not pods:
        return _facts(gateway, "gateways.networking.istio.io", None, _Found())
    pod = pods[0]
    servers = gt.of_gateway(gateway, pod.namespace)
    found = _certificates(view, servers, gateway, pod.namespace, k8s=False)
    routes = view.objects("VirtualService", VirtualService) if servers else ()
    unrouted = next(
        (r for s in servers if (r := gt.unrouted_passthrough(s, gateway, routes))), None
    )
    return _facts(
        gateway,
        "gateways.networking.istio.io",
        pod,
        found,
        route=unrouted,
        skipped=_skipped(view, gateway, pod),
    )


def _skipped(view: View, gateway: Gateway, pod: Pod) -> Skipped | None:
    """A server of this Gateway that is left out on its gateway pod."""
    rivals = [g for g in view.objects("Gateway", Gateway) if gateway_pods(g, (pod,))]
    return next((s for s in merge(rivals) if s.gateway.ref == gateway.ref), None)


def _k8s(view: View, subject: ConfigSubject) -> GatewayTls:
    gateway = view.object("K8sGateway", K8sGateway, subject.namespace, subject.name)
    if gateway is None:
        return _facts(None, "", None, _Found())
    servers = gt.of_k8s_gateway(gateway)
    found = _certificates(view, servers, gateway, gateway.namespace, k8s=True)
    label = "gateway.networking.k8s.io/gateway-name"
    pods = view.objects("Pod", Pod, gateway.namespace)
    pod = next((p for p in pods if p.labels.get(label) == gateway.name), None)
    return _facts(gateway, "gateways.gateway.networking.k8s.io", pod, found, k8s=gateway)


def _certificates(
    view: View,
    servers: Iterable[TlsServer],
    gateway: Gateway | K8sGateway,
    home: str,
    *,
    k8s: bool,
) -> _Found:
    """The first fault of any server's certificate: refused, missing, wrong, without CA."""
    unread: Unavailable | None = None
    for server in servers:
        for where in server.credentials:
            try:
                found = _one(view, server, where, gateway, home, k8s=k8s)
            except EvidenceError as error:
                unread = error.unavailable
                continue
            if found is not None:
                return found
    if unread is not None:
        return _Found(missing=unread, refused=unread, ca_missing=unread)
    return _Found()


def _one(
    view: View,
    server: TlsServer,
    where: tuple[str, str],
    gateway: Gateway | K8sGateway,
    home: str,
    *,
    k8s: bool,
) -> _Found | None:
    if where[0] != home:
        grants = view.objects("ReferenceGrant", ReferenceGrant, where[0]) if k8s else ()
        if not k8s or not gt.granted(home, where, grants):
            grant = grants[0].ref if grants else ""
            return _Found(server=server.name, secret=where, refused=True, grant=grant)
    secret = view.object("Secret", Secret, *where)
    if secret is None:
        _recorded(view, where[0])
        own = view.object("Secret", Secret, gateway.namespace, where[1])
        return _Found(
            server=server.name,
            secret=where,
            missing=True,
            missing_why="it does not exist",
            elsewhere=own.ref if own is not None and own.namespace != where[0] else "",
        )
    lacking = gt.lacking_keys(secret)
    if lacking:
        return _Found(server=server.name, secret=where, missing=True, missing_why=lacking)
    return _wrong(view, server, where, secret)


def _recorded(view: View, namespace: str) -> None:
    """Raises NotRecordedError when the source holds no Secret at all: then the absence of one says
    nothing. A namespace whose Secrets may not be listed was asked for this one by name."""
    for space in (namespace, view.istio_namespace):
        try:
            if view.objects("Secret", Secret, space):
                return
        except EvidenceError:
            return
    raise NotRecordedError(f"Secrets of {namespace}", "none is recorded")


def _wrong(view: View, server: TlsServer, where: tuple[str, str], secret: Secret) -> _Found | None:
    """What is wrong with a certificate that is there."""
    if server.mode in gt.MUTUAL:
        ca_secret = view.object("Secret", Secret, where[0], where[1] + gt.CA_SUFFIX)
        if not gt.has_ca(secret, ca_secret):
            return _Found(server=server.name, secret=where, ca_missing=True)
    chain = gt.serving_chain(secret)
    leaf = chain.leaf
    if leaf is None:
        return None
    state, host = leaf.state(view.now), gt.uncovered(server, chain)
    if state == "valid" and not host:
        return None
    return _Found(
        server=server.name,
        secret=where,
        cert_state="" if state == "valid" else state,
        cert_end=leaf.not_after,
        uncovered=host,
        cert_names=", ".join(leaf.dns or (leaf.common_name,)),
    )


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
    found: _Found,
    *,
    route: VirtualService | None = None,
    skipped: Skipped | None = None,
    k8s: K8sGateway | None = None,
) -> GatewayTls:
    denied, invalid = _status(k8s, "RefNotPermitted"), _status(k8s, "InvalidCertificateRef")
    space, name = found.secret
    return GatewayTls(
        gateway=Ref(gateway.ref if gateway else ""),
        resource=resource,
        name=gateway.name if gateway else "",
        namespace=gateway.namespace if gateway else "",
        pod=pod.name if pod else "",
        pod_namespace=pod.namespace if pod else "",
        served=pod is not None or k8s is not None,
        server=clean(found.server or (skipped.server if skipped else "")),
        missing=found.missing,
        secret=Ref(f"Secret/{space}/{name}" if name else ""),
        secret_name=name,
        secret_namespace=space,
        missing_why=clean(found.missing_why),
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
        unrouted=route is not None,
        route=Ref(route.ref if route else ""),
        route_name=route.name if route else "",
        route_namespace=route.namespace if route else "",
        skipped=skipped is not None,
        skipped_why=clean(skipped.why if skipped else ""),
        winner=Ref(skipped.winner.ref if skipped else ""),
    )
