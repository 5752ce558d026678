"""Why did the API server refuse to create a pod? Read from what it said.

The texts are those of the API server, its admission plugins, and istiod's injector (1.18 to
1.32-dev, Kubernetes 1.16 to 1.36); they arrive in FailedCreate events and ReplicaFailure
conditions. What fits no row is `OTHER`, never a guess.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import INJECTOR_SUFFIX
from meshdoctor.model.kubernetes import Event, Workload
from meshdoctor.model.patterns import pattern

RECENT = timedelta(hours=1)
AWS_TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
AWS_TOKEN_WEBHOOK = "iam-for-pods.amazonaws.com"
"""Where amazon-eks-pod-identity-webhook mounts the AWS token, and what EKS calls that webhook."""


class Refusal(StrEnum):
    """Who refused and why. The first group: the injection webhook could not be asked; OTHER_CALL:
    a webhook of somebody else could not; TIMED_OUT: the request as a whole took too long, as it
    does while a webhook that is not named is waited for."""

    CALL_NO_ENDPOINTS = "call-no-endpoints"
    CALL_UNREACHABLE = "call-unreachable"
    CALL_UNTRUSTED = "call-untrusted"
    CALL_BAD_CERTIFICATE = "call-bad-certificate"
    CALL_NO_SERVICE = "call-no-service"
    CALL_ALIAS = "call-alias"
    CALL_OTHER = "call-other"
    TEMPLATE = "template"
    ANNOTATION = "annotation"
    TEMPLATE_UNKNOWN = "template-unknown"
    SECURITY = "security"
    QUOTA = "quota"
    LIMIT_RANGE = "limit-range"
    DUPLICATE = "duplicate"
    RESOURCES = "resources"
    NATIVE = "native"
    PROBE_PORT = "probe-port"
    OTHER_CALL = "other-call"
    TIMED_OUT = "timed-out"
    OTHER = "other"


class Refused(Struct, frozen=True, kw_only=True):
    """One refusal: its kind, the webhook or policy named, the names in the text, the text.
    `early`: the API server's time and the later one at which a certificate begins; "": no such."""

    kind: Refusal
    by: str = ""
    names_mesh: bool = False
    text: str = ""
    at: datetime | None = None
    early: tuple[str, str] = ("", "")

    @property
    def call_failed(self) -> bool:
        """Whether the injection webhook was called in vain."""
        return self.kind.value.startswith("call-")


_CALL = pattern(r'failed calling webhook "([^"]{1,253})":? ?(.*)', re.S)
_DENIED = pattern(r'admission webhook "([^"]{1,253})" denied the request:? ?(.*)', re.S)
_QUOTA = pattern(r"(?:exceeded|failed) quota: ([\w.-]{1,253})")
_MESH = pattern(r"istio-(?:init|proxy|validation|token|envoy|data|podinfo)|enable-core-dump")
_DUPLICATE = pattern(r"must be unique|Duplicate value")
_NUMBERED = pattern(r"spec\.(initContainers|containers)\[(\d{1,3})\]\.")
_DOUBLED = pattern(
    r"[cC]ontainers\[\d+\]\.name: Duplicate value: \"(istio-(?:proxy|init|validation))\""
)
_LIMITS = pattern(r"(?:maximum|minimum) [\w./-]+ usage per |limit to request ratio per ")
_RESOURCES = pattern(
    r"must be less than or equal to [\w./-]+ limit|resources\.\w+(?:\[[\w./-]+\])?: "
    r"(?:Invalid|Required) value|quantities must match"
)
_NATIVE = pattern(
    r"initContainers\[\d+\]\.(?:lifecycle|(?:readiness|startup|liveness)Probe): Forbidden: may not "
    r"be set for init containers"
)
_PROBE_PORT = pattern(
    r"(?:Probe|lifecycle\.(?:postStart|preStop))\.httpGet\.port: Invalid value: 0\b"
)
_SECURITY = pattern(
    r'violates PodSecurity "|security context constraint|PodSecurityPolicy|pod security policy|'
    r"Pod not supported on Fargate: invalid SecurityContext|ValidatingAdmissionPolicy"
)
_PROFILE = "must set securityContext.seccompProfile.type"
_CAPABILITY = pattern(r"NET_ADMIN|NET_RAW|\b1337\b")
_UNREACHABLE = pattern(
    r"context deadline exceeded|i/o timeout|Client\.Timeout|Address is not allowed|"
    r"connection refused|no route to host|connection reset|TLS handshake timeout|"
    r"proxyconnect|network is unreachable|Service Unavailable|Bad Gateway|"
    r"Gateway Time-?out|unexpected EOF|: EOF|request canceled|no such host"
)
_EARLY = pattern(r"x509: .{0,60}current time (\S{10,40}) is before (\S{10,40})")
_LATE = pattern(r"Timeout: request did not complete within (?:requested timeout|allowed duration)")
_UNTRUSTED = pattern(
    r"signed by unknown authority|unable to load root certificates|verification error|"
    r"certificate is not trusted|unable to parse bytes as PEM"
)


def read(text: str, at: datetime | None = None) -> Refused:
    """What one message says. `text` is untrusted; it comes back bounded."""
    text = text[:4000]
    shown = clean(text)
    called = _CALL.search(text)
    if called is not None:
        name, rest = called.group(1), called.group(2)
        kind = _call(rest) if name.endswith(INJECTOR_SUFFIX) else Refusal.OTHER_CALL
        early = not_yet_valid(rest)
        return Refused(kind=kind, by=clean(name, 100), text=shown, at=at, early=early)
    denied = _DENIED.search(text)
    by = clean(denied.group(1), 100) if denied else ""
    if denied is not None and denied.group(1).endswith(INJECTOR_SUFFIX):
        kind = _injector(denied.group(2))
        own = kind is Refusal.RESOURCES
        return Refused(kind=kind, by=by, names_mesh=own, text=shown, at=at)
    mesh = bool(_MESH.search(text) or _CAPABILITY.search(text))
    quota = _QUOTA.search(text)
    if quota is not None:
        return Refused(kind=Refusal.QUOTA, by=quota.group(1), names_mesh=mesh, text=shown, at=at)
    kind = _plugin(text, denied is not None)
    if kind is Refusal.DUPLICATE and AWS_TOKEN in text:
        by = AWS_TOKEN_WEBHOOK
    return Refused(kind=kind, by=by, names_mesh=mesh, text=shown, at=at)


def names_added(text: str, inits: int, containers: int) -> bool:
    """Whether the text speaks of a container by a number that the pod's own template does not
    reach: one of those that injection adds. `inits` and `containers` are its own."""
    own = {"initContainers": inits, "containers": containers}
    return any(int(number) >= own[part] for part, number in _NUMBERED.findall(text))


def doubled(text: str) -> str:
    """The container of Istio's whose name the API server finds twice in a pod; "": it says no such
    thing."""
    found = _DOUBLED.search(text)
    return found[1] if found is not None else ""


def wants_profile(text: str) -> bool:
    """Whether Pod Security refuses for want of a seccomp profile, and for nothing that istio-init
    is or may do."""
    return _PROFILE in text and "istio-init" not in text


def not_yet_valid(text: str) -> tuple[str, str]:
    """The API server's time and the later one at which a certificate begins, where it says that
    one is not valid yet (Go's crypto/x509); ("", ""): it says no such thing."""
    found = _EARLY.search(text)
    return (clean(found[1]), clean(found[2])) if found is not None else ("", "")


def _call(rest: str) -> Refusal:
    if "no endpoints available" in rest:
        return Refusal.CALL_NO_ENDPOINTS
    if re.search(r'service "[^"]*" not found', rest):
        return Refusal.CALL_NO_SERVICE
    if "unsupported service type" in rest:
        return Refusal.CALL_ALIAS
    if _UNTRUSTED.search(rest):
        return Refusal.CALL_UNTRUSTED
    if "x509:" in rest or "tls: failed to verify" in rest:
        return Refusal.CALL_BAD_CERTIFICATE
    if _UNREACHABLE.search(rest):
        return Refusal.CALL_UNREACHABLE
    return Refusal.CALL_OTHER


def _injector(rest: str) -> Refusal:
    if "for annotation" in rest and "invalid value" in rest:
        return Refusal.ANNOTATION
    if "requested template" in rest and "not found" in rest:
        return Refusal.TEMPLATE_UNKNOWN
    if "quantities must match" in rest:
        return Refusal.RESOURCES
    return Refusal.TEMPLATE


def _plugin(text: str, denied: bool) -> Refusal:
    if _SECURITY.search(text):
        return Refusal.SECURITY
    if _LATE.search(text):
        return Refusal.TIMED_OUT
    if _LIMITS.search(text):
        return Refusal.LIMIT_RANGE
    if _DUPLICATE.search(text):
        return Refusal.DUPLICATE
    if _NATIVE.search(text):
        return Refusal.NATIVE
    if _PROBE_PORT.search(text):
        return Refusal.PROBE_PORT
    if _RESOURCES.search(text):
        return Refusal.RESOURCES
    return Refusal.SECURITY if denied else Refusal.OTHER


def standing(
    controllers: Iterable[Workload], events: Iterable[Event], now: datetime
) -> Refused | None:
    """The refusal that still keeps pods of these controllers from being created; None: none.

    A ReplicaFailure condition stands while it is True. An event stands while it is recent and
    some controller still lacks pods: events outlive what they tell of.
    """
    mine = list(controllers)
    said: list[tuple[datetime, str]] = []
    for one in mine:
        for condition in one.status.conditions:
            if condition.type == "ReplicaFailure" and condition.status == "True":
                said.append((condition.last_transition_time or now, condition.message))
    lacking = {(c.kind, c.namespace, c.name) for c in mine if lacks_pods(c)}
    for event in events:
        about = event.involved_object
        if event.reason != "FailedCreate" or event.last_seen is None:
            continue
        key = (about.kind, about.namespace or event.namespace, about.name)
        if key in lacking and now - event.last_seen <= RECENT:
            said.append((event.last_seen, event.message))
    if not said:
        return None
    at, text = max(said, key=lambda pair: pair[0])
    return read(text, at)


def unlisted(
    controllers: Iterable[Workload], about: Iterable[tuple[str, str]]
) -> tuple[Workload, ...]:
    """ReplicaSets of these Deployments that only events speak of, as (kind, name): each stands in
    with its Deployment's numbers. None when ReplicaSets were listed."""
    mine = list(controllers)
    if any(one.kind == "ReplicaSet" for one in mine):
        return ()
    return tuple(
        msgspec.structs.replace(
            one, kind="ReplicaSet", metadata=msgspec.structs.replace(one.metadata, name=name)
        )
        for one in mine
        if one.kind == "Deployment"
        for kind, name in sorted(about)
        if kind == "ReplicaSet" and re.fullmatch(re.escape(one.name) + r"-[a-z0-9]{5,10}", name)
    )


def lacks_pods(one: Workload) -> bool:
    """Whether the controller has fewer pods than it wants."""
    status = one.status
    match one.kind:
        case "DaemonSet":
            return status.number_ready < status.desired_number_scheduled
        case "Job":
            wanted = one.spec.completions if one.spec.completions is not None else 1
            return status.active == 0 and status.succeeded < wanted
        case _:
            wanted = one.spec.replicas if one.spec.replicas is not None else 1
            return status.replicas < wanted or status.ready_replicas < wanted
