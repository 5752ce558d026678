"""Does the API server call this service, and would the pods' proxy let it in?"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import capture
from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import SERVER
from meshdoctor.mesh.ambient import redirection
from meshdoctor.mesh.peer_authentication import Ruling
from meshdoctor.mesh.services import port_of, target_port
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_sidecar, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import APIService, Pod, Service, WebhookConfiguration
from meshdoctor.model.subjects import ServiceSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, attempt, known, probe

KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


class ServiceCallback(Struct, frozen=True, kw_only=True):
    """A service that webhooks or an APIService send the API server to. `caller` empty: none."""

    caller: Annotated[Fact[Ref], "the webhook configuration or APIService that points here"]
    service: Annotated[Fact[Ref], "the service"]
    namespace: Annotated[Fact[str], "its namespace"]
    port: Annotated[Fact[int], "the service port called"]
    workload_port: Annotated[Fact[int], "the port of the pods"]
    sidecar: Annotated[Fact[bool], "the pods behind it have a sidecar, or are in ambient"]
    captured: Annotated[Fact[bool], "the port is redirected to the sidecar or ztunnel"]
    taker: Annotated[Fact[str], "what takes the calls: sidecar or ztunnel; empty: the application"]
    mode: Annotated[Fact[str], "the mTLS mode in force on the port"]
    policy: Annotated[Fact[Ref], "the PeerAuthentication behind it"]
    workload: Annotated[Fact[Ref], "the workload behind the service"]
    unavailable: Annotated[
        Fact[bool], "the APIService says that its backend does not answer", OBSERVED
    ]
    message: Annotated[Fact[str], "what it says", OBSERVED]


class CallbackLog(Struct, frozen=True, kw_only=True):
    """What the pods' sidecars logged of the API server's calls."""

    refused: Annotated[
        Fact[int], "TLS for the service's own name that the sidecar ended or refused", OBSERVED
    ]
    server_name: Annotated[Fact[str], "the name that the API server asks for (SNI)"]
    target: Annotated[Fact[str], "the workload as kubectl takes it, kind/name"]


@probe(
    "service-callback",
    subject=SubjectKind.SERVICE,
    reads=("APIService", "ConfigMap", "PeerAuthentication", "Pod", "Service", *KINDS),
)
def service_callback(view: View, subject: ServiceSubject) -> ServiceCallback:
    """Does the API server call this service, and would the pods' proxy let it in?"""
    service = reading.service(view, subject)
    if service is None:
        raise MissingError(f"service {subject}", "it does not exist")
    caller, number, api = _callers(view).get((subject.namespace, subject.name), _NOBODY)
    if not caller:
        return _facts(service, "", 0, 0, None, None, None)
    port = port_of(service, number)
    pod = next((p for p in reading.pods_of_service(view, service) if _taker(p)), None)
    inner = target_port(port, pod) if port is not None else number
    return _facts(service, caller, number, inner, pod, _ruling(view, pod, inner), api)


@probe(
    "service-callback-log",
    subject=SubjectKind.SERVICE,
    reads=(
        *("APIService", "ConfigMap", "DaemonSet", "Deployment", "Job", "Pod", "Service"),
        *("StatefulSet", "Telemetry", "log", *KINDS),
    ),
    costly=True,
)
def service_callback_log(view: View, subject: ServiceSubject) -> CallbackLog:
    """Does the pods' own sidecar refuse the API server?

    The API server checks the certificate of NAME.NAMESPACE.svc and sends that name. On a STRICT
    port the sidecar ends every TLS itself: the API server is shown a mesh certificate, which names
    no host, and hangs up before a byte of data passes.
    """
    service = reading.service(view, subject)
    name = f"{subject.name}.{subject.namespace}.svc"
    called = (subject.namespace, subject.name) in _callers(view)
    pods = reading.pods_of_service(view, service) if service is not None and called else ()
    pod = next((p for p in pods if is_sidecar(p)), None)
    if pod is None:
        return CallbackLog(refused=0, server_name=name, target="")
    workload = reading.workload(view, owner_of(pod))
    logs = proxy_logs.read(view, workload, SERVER)
    lines = logs.lines(lambda log: log.lines)
    refused = ev.count(lines, lambda ln: ln.server_name.lower() == name.lower() and _ended(ln))
    return CallbackLog(refused=logs.seen(refused), server_name=name, target=workload.target)


def _ended(line: Line) -> bool:
    if ev.refused(line):
        return True
    return line.is_inbound and line.is_tcp and not line.bytes_received and not line.bytes_sent


Caller = tuple[str, int, APIService | None]
_NOBODY: Caller = ("", 0, None)


def _callers(view: View) -> Mapping[tuple[str, str], Caller]:
    """Who has the API server call a service, by its (namespace, name); webhooks first."""
    return known(view.memo("api-server-calls", lambda v: attempt(lambda: _find_callers(v))))


def _find_callers(view: View) -> Mapping[tuple[str, str], Caller]:
    found: dict[tuple[str, str], Caller] = {}
    for kind in KINDS:
        for config in view.objects(kind, WebhookConfiguration):
            for hook in config.webhooks:
                target = hook.client_config.service
                if target is not None:
                    caller = (config.ref, target.port or 443, None)
                    found.setdefault((target.namespace, target.name), caller)
    for api in view.objects("APIService", APIService):
        target = api.spec.service
        if target is not None:
            found.setdefault((target.namespace, target.name), (api.ref, target.port or 443, api))
    return found


def _taker(pod: Pod) -> str:
    """ztunnel takes every port of a pod that istio-cni redirected to it."""
    if is_sidecar(pod):
        return "sidecar"
    return "ztunnel" if redirection(pod) == "enabled" else ""


def _captured(pod: Pod, port: int) -> bool:
    return _taker(pod) == "ztunnel" or not capture.inbound_bypass(pod, port)


def _ruling(view: View, pod: Pod | None, port: int) -> Ruling | None:
    if pod is None:
        return None
    return reading.peer_authentications(view, pod.namespace).effective(pod.labels, port)


def _facts(
    service: Service,
    caller: str,
    port: int,
    inner: int,
    pod: Pod | None,
    ruling: Ruling | None,
    api: APIService | None,
) -> ServiceCallback:
    down = next(
        (c for c in api.status.conditions if c.type == "Available" and c.status == "False")
        if api is not None
        else iter(()),
        None,
    )
    return ServiceCallback(
        caller=Ref(caller),
        service=Ref(service.ref),
        namespace=service.namespace,
        port=port,
        workload_port=inner,
        sidecar=pod is not None,
        captured=pod is not None and _captured(pod, inner),
        taker=_taker(pod) if pod is not None else "",
        mode=ruling.mode if ruling is not None else "",
        policy=Ref(ruling.source if ruling is not None else ""),
        workload=Ref(owner_of(pod).ref if pod is not None else ""),
        unavailable=down is not None,
        message=clean(down.message) if down is not None else "",
    )
