"""What do a Service's annotations ask of AWS's load balancer controllers?

Two controllers make load balancers on EKS: the AWS load balancer controller (LBC: class
service.k8s.aws/nlb, or type external or nlb-ip) and the cloud provider in the control plane. Names
and defaults as in LBC docs/guide/service/{nlb,annotations}.md (2.5 to 3.5) and cloud-provider-aws.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.aws_controller_log import is_target_group
from meshdoctor.mesh.gateway_front import sends_proxy_protocol
from meshdoctor.model.kubernetes import Event, Ingress, Pod, Service
from meshdoctor.model.patterns import pattern

_ALB = "alb.ingress.kubernetes.io/"
PREFIX = "service.beta.kubernetes.io/aws-load-balancer-"
IDLE_SECONDS = 350
LBC_CLASS = "service.k8s.aws/nlb"
STATUS_PORT = 15021
_FAILED = frozenset(
    {
        "FailedBuildModel",
        "FailedDeployModel",
        "SyncLoadBalancerFailed",
        "CreatingLoadBalancerFailed",
        "UpdateLoadBalancerFailed",
        "FailedReconcile",
        "FailedNetworkReconcile",
        "BackendNotFound",
    }
)
_DONE = frozenset({"EnsuredLoadBalancer", "UpdatedLoadBalancer", "SuccessfullyReconciled"})
RECENT = timedelta(hours=1)
_IDLE = pattern(r"tcp\.idle_timeout\.seconds=(\d{1,5})")
_TIMED_OUT = pattern(
    r"[Cc]onnection timed out|[Cc]onnect(?:ion)? time-?out|i/o timeout|ETIMEDOUT|curl: \(28\)"
    r"|[Cc]onnectTimeout"
)


class Balancer(Struct, frozen=True, kw_only=True):
    """`network`: a network load balancer. `by_lbc`: the AWS load balancer controller makes it.
    `to_pods`: targets are pod addresses, else nodes. `keeps_source`: targets see the client's
    address. `legacy`: asks for an NLB as the cloud provider understands it."""

    network: bool
    by_lbc: bool
    to_pods: bool
    keeps_source: bool
    legacy: bool
    scheme: str
    proxy_protocol: bool
    http_check_port: int


def balancer(service: Service) -> Balancer | None:
    """None when the Service asks for no load balancer."""
    if service.spec.type != "LoadBalancer":
        return None
    kind = _note(service, "type")
    by_lbc = service.spec.load_balancer_class == LBC_CLASS or kind in ("external", "nlb-ip")
    to_pods = kind == "nlb-ip" or _note(service, "nlb-target-type") == "ip"
    kept = _attributes(service).get("preserve_client_ip.enabled", "")
    return Balancer(
        network=by_lbc or kind == "nlb",
        by_lbc=by_lbc,
        to_pods=to_pods,
        keeps_source=kept == "true" if to_pods else kept != "false",
        legacy=kind == "nlb",
        scheme=_scheme(service),
        proxy_protocol=sends_proxy_protocol(service),
        http_check_port=_http_check_port(service),
    )


def _note(service: Service, name: str) -> str:
    return service.annotations.get(PREFIX + name, "").strip().lower()


def _attributes(service: Service) -> Mapping[str, str]:
    pairs = _note(service, "target-group-attributes").split(",")
    return {k.strip(): v.strip() for k, _, v in (p.partition("=") for p in pairs)}


def _scheme(service: Service) -> str:
    """internet-facing or internal as written; "" when nothing says."""
    if _note(service, "scheme"):
        return _note(service, "scheme")
    return "internal" if _note(service, "internal") in ("true", "0.0.0.0/0") else ""


def _http_check_port(service: Service) -> int:
    """The pod port that health checks call by HTTP; 0: they do not, or it cannot be told."""
    if _note(service, "healthcheck-protocol") not in ("http", "https"):
        return 0
    text = _note(service, "healthcheck-port")
    for port in service.spec.ports:
        if text in (str(port.node_port), str(port.port), str(port.target_port), port.name):
            return port.target_port if isinstance(port.target_port, int) else port.port
    return int(text) if text.isdigit() else 0


def idle_seconds(service: Service) -> int:
    """After which silence a network load balancer forgets a TCP connection: the longest that the
    annotations give a listener, 350 s where they give none (AWS: NLB listener attributes)."""
    given = [
        int(found[1])
        for key, text in service.annotations.items()
        if key.startswith(f"{PREFIX}listener-attributes.")
        and (found := _IDLE.search(text)) is not None
    ]
    return max(given, default=IDLE_SECONDS)


HTTP_IDLE_SECONDS = 60
_SLACK_MS = 1500
_ALB_IDLE = pattern(r"idle_timeout\.timeout_seconds=(\d{1,5})")


def patience(service: Service, found: Balancer | None, ingress: Ingress | None) -> int:
    """After how many seconds of silence the load balancer closes a connection: a classic one, or
    the application load balancer of an Ingress. 60 unless its annotation says; 0: neither."""
    if ingress is not None:
        said = _ALB_IDLE.search(ingress.annotations.get(f"{_ALB}load-balancer-attributes", ""))
        return int(said[1]) if said is not None else HTTP_IDLE_SECONDS
    if found is None or found.network:
        return 0
    text = _note(service, "connection-idle-timeout")
    return int(text) if text.isdigit() else HTTP_IDLE_SECONDS


def hung_up(lines: Iterable[Line], seconds: int) -> tuple[Line, ...]:
    """Requests that a gateway had not answered when the load balancer's patience was at its end,
    and whose client was then gone: each after the same time, and none that is done sooner by the
    client itself counts."""
    low = seconds * 1000
    return tuple(
        one
        for one in lines
        if not one.is_tcp and not one.code and "DC" in one.flags and not one.bytes_sent
        if low <= one.duration_ms <= low + _SLACK_MS
    )


def cut_off(lines: Iterable[Line], seconds: int) -> tuple[Line, ...]:
    """Requests that a gateway had not answered for so long, when their client was gone.

    Nothing went over their connection meanwhile; whoever speaks first is reset.
    """
    return tuple(
        one
        for one in lines
        if not one.is_tcp and not one.code and "DC" in one.flags and not one.bytes_sent
        if one.duration_ms >= seconds * 1000
    )


def failure(asks: Service | Ingress, events: Iterable[Event]) -> Event | None:
    """The newest event that tells why the load balancer of a Service or Ingress is not made."""
    return _newest(asks, events, _FAILED)


def failure_since(asks: Service | Ingress, events: Iterable[Event], now: datetime) -> Event | None:
    """The recent event that tells why a load balancer that is there is not kept up; None when its
    controller succeeded later."""
    told = tuple(events)
    found, done = _newest(asks, told, _FAILED), _newest(asks, told, _DONE)
    if found is None or found.last_seen is None or now - found.last_seen > RECENT:
        return None
    over = done is not None and done.last_seen is not None and done.last_seen > found.last_seen
    return None if over else found


def _newest(
    about: Service | Ingress, events: Iterable[Event], reasons: Collection[str]
) -> Event | None:
    mine = [
        e
        for e in events
        if _concerns(e.involved_object.kind, e.involved_object.name, about)
        and (e.involved_object.namespace or e.namespace) == about.namespace
        and e.reason in reasons
    ]
    return max(mine, key=lambda e: str(e.last_seen), default=None)


def _concerns(kind: str, name: str, about: Service | Ingress) -> bool:
    """Whether an object is this one, or a target group of this Service."""
    if kind == about.kind:
        return name == about.name
    is_group = kind == "TargetGroupBinding" and about.kind == "Service"
    return is_group and is_target_group(name, about.namespace, about.name)


def loops(found: Balancer, local: bool, client: Pod, servers: Iterable[Pod]) -> bool:
    """Whether a client can be given itself, or its own node, as the target of its call.

    Where the source is kept, such packets come back with the target's own address as source and
    are dropped (AWS: NLB troubleshooting, NAT loopback). With externalTrafficPolicy Cluster every
    node is a target, so one call of several is lost from anywhere.
    """
    if not found.network or not found.keeps_source:
        return False
    if found.to_pods:
        return client.status.pod_ip in {p.status.pod_ip for p in servers}
    return not local or client.spec.node_name in {p.spec.node_name for p in servers}


def timeouts(text: str, names: Collection[str]) -> int:
    """Lines of an application's log that tell of a connection to one of these hosts that timed
    out; of any host when no name is known."""
    return sum(
        bool(_TIMED_OUT.search(line)) and (not names or any(name in line for name in names))
        for line in (raw[:2000] for raw in text.splitlines()[-5000:])
    )
