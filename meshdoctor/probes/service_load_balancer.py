"""Does the Service get the load balancer that it asks AWS for, and do its checks reach the pods?"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.alb_health_check import checks_root, takes_any_host
from meshdoctor.mesh.aws_controller_log import Complaint, about, complaints, last_error
from meshdoctor.mesh.aws_load_balancer import (
    RECENT,
    STATUS_PORT,
    Balancer,
    balancer,
    cut_off,
    failure,
    failure_since,
    hung_up,
    idle_seconds,
    patience,
)
from meshdoctor.mesh.exposure import ISTIO, class_of
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.gateway_front import as_gateway, is_aws
from meshdoctor.mesh.health_check import silent
from meshdoctor.mesh.services import selected_pods, services_of
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready, owner_of, proxy_type
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, Gateway, K8sGateway, VirtualService
from meshdoctor.model.kubernetes import Event, Ingress, Namespace, Pod, Service, Workload
from meshdoctor.model.subjects import ServiceSubject, SubjectKind
from meshdoctor.ports import EvidenceError, MissingError
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.eks_reads import AGENT, alb_ingress
from meshdoctor.probes.gateway_objects import GATEWAY_NAME
from meshdoctor.probes.proxy_logs import pod_log
from meshdoctor.probes.view import View, attempt, known, probe

CHECKER = "ELB-HealthChecker"
CONTROLLER = "aws-load-balancer-controller"
_GATE, _GATED = "mpod.elbv2.k8s.aws", "elbv2.k8s.aws/pod-readiness-gate-inject"


class ServiceLoadBalancer(Struct, frozen=True, kw_only=True):
    """Of a Service of type LoadBalancer, or one behind an ALB; else all empty."""

    ref: Annotated[Fact[Ref], "the service"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    balanced: Annotated[Fact[bool], "it asks for a load balancer"]
    fronted: Annotated[
        Fact[bool],
        "it, or an Ingress, asks for one, or it is the one Service of gateway pods, which one may "
        "lead to that something else made",
    ]
    asks: Annotated[Fact[Ref], "who asks for one and has no address: the service, or the Ingress"]
    asks_resource: Annotated[Fact[str], "what kubectl calls that"]
    asks_name: Annotated[Fact[str], "its name"]
    pending: Annotated[Fact[bool], "it, or the Ingress of its ALB, has no address"]
    event: Annotated[Fact[str], "why none is made, as its controller says", OBSERVED]
    controller: Annotated[
        Fact[Ref], "the AWS load balancer controller, where it is asked and does not run"
    ]
    gate: Annotated[
        Fact[Ref], "the controller's namespace, whose label makes it wait for its own webhook"
    ]
    stuck: Annotated[
        Fact[str], "why the one that is there is no longer kept up; empty: it is", OBSERVED
    ]
    defaulted: Annotated[
        Fact[bool],
        "the AWS load balancer controller makes it internal, for the annotations are those of the "
        "cloud provider, and no scheme is written",
    ]
    plain_check: Annotated[
        Fact[bool], "PROXY headers go with HTTP health checks of the gateway's status port"
    ]
    silent: Annotated[
        Fact[str], "the port that its health check asks and nothing answers, in words; empty: none"
    ]
    checks_failed: Annotated[Fact[int], "health checks answered with an error", OBSERVED]
    unknown_path: Annotated[
        Fact[bool],
        "an ALB asks its gateway for / by address, which no route takes, and no check went well",
    ]
    check: Annotated[
        Fact[str], "the last of the failed ones, else that which no route takes: method, path, code"
    ]
    idle_seconds: Annotated[
        Fact[int], "after which silence a network load balancer forgets; 0: none"
    ]
    cut_off: Annotated[
        Fact[int],
        "requests silent for longer, whose client was then gone without an answer",
        OBSERVED,
    ]
    cut: Annotated[Fact[str], "the last of them: method, path, seconds", OBSERVED]
    patience: Annotated[
        Fact[int], "after which silence a classic or an application load balancer closes; 0: none"
    ]
    hung_up: Annotated[
        Fact[int], "requests without answer whose client was gone at just that time", OBSERVED
    ]
    hung: Annotated[Fact[str], "the last of them: method, path, milliseconds", OBSERVED]
    ingress: Annotated[Fact[Ref], "the Ingress of the ALB that leads here; empty: none"]
    gateway: Annotated[Fact[Ref], "the Gateway API Gateway whose pods fail the checks; empty: none"]


@probe(
    "service-load-balancer",
    subject=SubjectKind.SERVICE,
    reads=(
        "Deployment",
        "EnvoyFilter",
        "Event",
        "Gateway",
        "Ingress",
        "K8sGateway",
        "Namespace",
        "Pod",
        "Service",
        "VirtualService",
        "log",
    ),
)
def service_load_balancer(view: View, subject: ServiceSubject) -> ServiceLoadBalancer:
    """Does the Service get the load balancer that it asks AWS for?"""
    service = reading.service(view, subject)
    if service is None:
        raise MissingError(f"service {subject}")
    found = balancer(service)
    ingress = attempt(lambda: alb_ingress(view, service))
    behind = found is not None or isinstance(ingress, Ingress) or _alone(view, service)
    failed = attempt(lambda: _failed_checks(view, service) if behind else ())
    last = failed[-1] if isinstance(failed, tuple) and failed else None
    idle = idle_seconds(service) if found is not None and found.network else 0
    cut = attempt(lambda: _cut_off(view, service, idle) if idle else ())
    gone = cut[-1] if isinstance(cut, tuple) and cut else None
    unknown = attempt(
        lambda: isinstance(ingress, Ingress) and _unknown_path(view, service, ingress)
    )
    wait = patience(service, found, ingress if isinstance(ingress, Ingress) else None)
    wait = wait if is_aws(service) or isinstance(ingress, Ingress) else 0
    hung = attempt(lambda: _hung_up(view, service, wait) if wait else ())
    left = hung[-1] if isinstance(hung, tuple) and hung else None
    asks = _asking(service if found is not None else None, ingress)
    asked = asks is not None and (asks.kind == "Ingress" or found is not None and found.by_lbc)
    down = attempt(lambda: view.memo("aws-controller-down", _controller_down)) if asked else None
    return ServiceLoadBalancer(
        ref=Ref(service.ref),
        name=service.name,
        namespace=service.namespace,
        balanced=found is not None,
        fronted=behind,
        asks=Ref(asks.ref if asks is not None else ""),
        asks_resource=asks.kind.lower() if asks is not None else "",
        asks_name=asks.name if asks is not None else "",
        pending=asks is not None,
        event=attempt(lambda: _event(view, asks, down) if asks is not None else ""),
        controller=down if isinstance(down, Unavailable) else Ref(down.ref if down else ""),
        gate=down if isinstance(down, Unavailable) else Ref(down.gate if down else ""),
        stuck=attempt(lambda: _stuck(view, service) if found is not None and asks is None else ""),
        defaulted=found is not None and found.by_lbc and found.legacy and not found.scheme,
        plain_check=found is not None and _plain_check(view, service, found),
        silent=attempt(lambda: _silent(view, service, found) if found is not None else ""),
        checks_failed=len(failed) if isinstance(failed, tuple) else failed,
        unknown_path=unknown,
        check=_check(last, unknown),
        idle_seconds=idle,
        cut_off=len(cut) if isinstance(cut, tuple) else cut,
        cut=clean(f"{gone.method} {gone.path} {gone.duration_ms // 1000} s", 120) if gone else "",
        patience=wait,
        hung_up=len(hung) if isinstance(hung, tuple) else hung,
        hung=clean(f"{left.method} {left.path} {left.duration_ms} ms", 120) if left else "",
        ingress=Ref(ingress.ref) if isinstance(ingress, Ingress) else Ref(""),
        gateway=Ref(_gateway(service) if last is not None else ""),
    )


def _gateway(service: Service) -> str:
    """istiod's own Service of a Gateway selects its pods by its name."""
    name = service.spec.selector.get(GATEWAY_NAME, "")
    return f"Gateway/{service.namespace}/{name}" if name else ""


def _gateways(view: View) -> tuple[Pod, ...]:
    """One pod of each gateway."""
    found = reading.workloads(view).values()
    return tuple(one.pod for one in found if one.pod is not None and one.proxy_type == "router")


def _alone(view: View, service: Service) -> bool:
    """Whether it is the one Service of gateway pods: what checks their health is a load balancer
    that something else made (a TargetGroupBinding, a Gateway of another class, Terraform)."""
    gateways = attempt(lambda: view.memo("gateway-workloads", _gateways))
    some = gateways if isinstance(gateways, tuple) else ()
    first = next((p for p in some if selected_pods(service, (p,))), None)
    if first is None:
        return False
    others = services_of(first.labels, view.objects("Service", Service, service.namespace))
    return not any(s.name != service.name for s in others)


def _asking(
    service: Service | None, ingress: Ingress | Unavailable | None
) -> Service | Ingress | None:
    """The one of both that has no address yet; None: all that was asked for is there."""
    front = ingress if isinstance(ingress, Ingress) else None
    return next(
        (x for x in (service, front) if x is not None and not x.status.load_balancer.ingress), None
    )


def _event(view: View, asks: Service | Ingress, down: "_Down | Unavailable | None") -> str:
    told = _told(failure(asks, view.objects("Event", Event, asks.namespace)))
    told = told or _logged(view, asks)
    if told:
        return told
    found = known(down)
    return found.words if found is not None else ""


def _stuck(view: View, service: Service) -> str:
    events = view.objects("Event", Event, service.namespace)
    return _told(failure_since(service, events, view.now)) or _logged(view, service)


def _logged(view: View, asks: Service | Ingress) -> str:
    """What the controller's log says of it lately; a log that was not read tells of nothing."""
    found = about(asks, view.memo("aws-controller-log", _controller_log))
    lately = [c for c in found if c.at is None or view.now - c.at <= RECENT]
    return lately[-1].reason.rstrip(".") if lately else ""


class _Down(Struct, frozen=True):
    """The controller's workload, and that it does not run, in words."""

    ref: str
    words: str
    gate: str = ""


def _controller_down(view: View) -> _Down | None:
    """The controller, where none of its pods is ready, or none could be made; None: one is ready,
    or it is not known."""
    pods = [p for p in view.objects("Pod", Pod, AGENT[0]) if _is_controller(p)]
    if not pods:
        return _never_made(view)
    if any(map(is_ready, pods)):
        return None
    ref, said = owner_of(pods[0]).ref, clean(_last_error(view, pods[0]), 300).rstrip(".")
    return _Down(ref, f"{ref} does not run" + (f"; it says: {said}" if said else ""))


def _never_made(view: View) -> _Down | None:
    """The controller's Deployment, where the API server refuses it every pod. A namespace with the
    label of the readiness gates asks the controller itself before a pod is made, its own too."""
    for one in view.objects("Deployment", Workload, AGENT[0]):
        if not any(CONTROLLER in c.image for c in one.spec.template.spec.containers):
            continue
        refused = (c for c in one.status.conditions if c.type == "ReplicaFailure")
        said = next((c.message for c in refused if c.status == "True"), "")
        if not said:
            continue
        home = view.object("Namespace", Namespace, "", AGENT[0]) if _GATE in said else None
        gated = home is not None and home.labels.get(_GATED) == "enabled"
        words = f"{one.ref} gets no pod; the API server says: {clean(said, 300).rstrip('.')}"
        return _Down(one.ref, words, home.ref if home is not None and gated else "")
    return None


def _is_controller(pod: Pod) -> bool:
    return any(CONTROLLER in c.image for c in pod.spec.containers)


def _last_error(view: View, pod: Pod) -> str:
    for container in pod.spec.containers:
        try:
            text = view.log(pod.namespace, pod.name, container.name).text
        except EvidenceError:
            continue
        if error := last_error(text):
            return error
    return ""


def _controller_log(view: View) -> tuple[Complaint, ...]:
    pods = attempt(lambda: view.objects("Pod", Pod, AGENT[0]))
    out: list[Complaint] = []
    for pod in pods if isinstance(pods, tuple) else ():
        if pod.status.phase == "Running":
            controllers = [c for c in pod.spec.containers if CONTROLLER in c.image]
            for text in container_logs.readable(view, pod, controllers):
                out += complaints(text)
    return tuple(out)


def _told(found: Event | None) -> str:
    return clean(f"{found.reason}: {found.message}", 300).rstrip(".") if found is not None else ""


def _plain_check(view: View, service: Service, found: Balancer) -> bool:
    """The status port of a gateway reads no PROXY header (istio/istio#39868)."""
    if not found.proxy_protocol or found.http_check_port != STATUS_PORT:
        return False
    try:
        return any(proxy_type(p) == "router" for p in reading.pods_of_service(view, service))
    except EvidenceError:
        return True


def _silent(view: View, service: Service, found: Balancer) -> str:
    if any(class_of(i) == ISTIO for i in view.objects("Ingress", Ingress)):
        return ""
    pods = reading.pods_of_service(view, service)
    own = {p.labels.get(GATEWAY_NAME) for p in pods}
    made = view.objects("K8sGateway", K8sGateway, service.namespace)
    gateways = [g for g in view.objects("Gateway", Gateway) if gateway_pods(g, pods)]
    gateways += [as_gateway(g) for g in made if g.name in own]
    asked = silent(service, found, pods, gateways)
    if asked is None:
        return ""
    if asked.of_node:
        return f"port {asked.port} of the nodes, which is none of its node ports"
    return f"its first port, {asked.port}, for which no Gateway has a server ({asked.serves} has)"


def _failed_checks(view: View, service: Service) -> tuple[Line, ...]:
    """Health checks of AWS load balancers in the logs of the service's proxies that fail still: of
    a pod that was starting the newest went well. A log that was not read tells of none."""
    out: list[Line] = []
    for pod in reading.pods_of_service(view, service):
        out += _failing(_checks(view, pod)) if proxy_type(pod) in ("router", "sidecar") else ()
    return tuple(out)


def _check(last: Line | None, unknown: Fact[bool]) -> str:
    if last is not None:
        return clean(f"{last.method} {last.path} {last.code}", 120)
    return "GET / by the target's address 404" if unknown is True else ""


def _unknown_path(view: View, service: Service, ingress: Ingress) -> bool:
    """Only for gateways whose routes are VirtualServices alone."""
    if not checks_root(ingress, service):
        return False
    pods = [p for p in reading.pods_of_service(view, service) if proxy_type(p) == "router"]
    bound = [g for g in view.objects("Gateway", Gateway) if gateway_pods(g, pods)]
    if not bound or any(s.tls and s.tls.https_redirect for g in bound for s in g.spec.servers):
        return False
    if takes_any_host(view.objects("VirtualService", VirtualService)):
        return False
    if any(class_of(i) == ISTIO for i in view.objects("Ingress", Ingress)):
        return False
    if view.objects("EnvoyFilter", EnvoyFilter):
        return False
    return not any(one.code < 400 for pod in pods for one in _checks(view, pod))


def _cut_off(view: View, service: Service, seconds: int) -> tuple[Line, ...]:
    """Of the gateways behind the service. A log that was not read tells of none."""
    out: list[Line] = []
    for pod in reading.pods_of_service(view, service):
        if proxy_type(pod) == "router":
            out += cut_off(_lines(view, pod), seconds)
    return tuple(out)


def _hung_up(view: View, service: Service, seconds: int) -> tuple[Line, ...]:
    """Of the gateways behind the service. A log that was not read tells of none."""
    out: list[Line] = []
    for pod in reading.pods_of_service(view, service):
        if proxy_type(pod) == "router":
            out += hung_up(_lines(view, pod), seconds)
    return tuple(out)


def _checks(view: View, pod: Pod) -> Sequence[Line]:
    return [one for one in _lines(view, pod) if CHECKER in one.user_agent]


def _lines(view: View, pod: Pod) -> Sequence[Line]:
    try:
        return pod_log(view, pod.namespace, pod.name).lines
    except EvidenceError:
        return ()


def _failing(checks: Sequence[Line]) -> Sequence[Line]:
    """The failed ones of each check whose newest answer is an error; oldest first."""
    newest = {(one.authority, one.path): one.code for one in checks}
    return [one for one in checks if one.code >= 400 <= newest[one.authority, one.path]]
