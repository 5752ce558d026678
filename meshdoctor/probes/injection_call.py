"""If the API server calls this workload's injection webhook, does it get an answer?"""

from collections.abc import Hashable
from datetime import datetime
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.admission import Refusal, Refused
from meshdoctor.mesh.pod_ends import out_of_memory
from meshdoctor.mesh.pod_startup import Stage, judge
from meshdoctor.mesh.services import selected_pods
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhook_call import (
    INJECT_PORT,
    CaBundle,
    ca_bundle,
    closing_policy,
    target_port,
)
from meshdoctor.mesh.webhooks import Injector
from meshdoctor.mesh.workloads import is_ready, is_sidecar, owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import (
    ConfigMap,
    NetworkPolicy,
    Pod,
    Secret,
    Service,
    WebhookService,
)
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.injection_reads import all_injectors, decision
from meshdoctor.probes.reading import ready_behind
from meshdoctor.probes.startup_reads import events_of, pods_in, refusal
from meshdoctor.probes.view import View, attempt, known, probe

REVISION = "istio.io/rev"
OPEN_PORTS = ("", str(INJECT_PORT), "https-webhook")
ISTIOD = "discovery"


class InjectionCall(Struct, frozen=True, kw_only=True):
    """One webhook of those that would be called: the one that fails, else the last."""

    called: Annotated[Fact[bool], "a webhook would be called for a new pod"]
    config: Annotated[Fact[Ref], "its configuration; empty: none is called"]
    config_name: Annotated[Fact[str], "the configuration's name"]
    webhook: Annotated[Fact[str], "the entry's name"]
    service: Annotated[Fact[Ref], "the Service it calls; empty: none, or a URL"]
    url: Annotated[Fact[str], "the URL it calls in place of a Service; empty: none"]
    service_name: Annotated[Fact[str], "that Service's name"]
    service_namespace: Annotated[Fact[str], "that Service's namespace"]
    service_exists: Annotated[Fact[bool], "the Service exists (true when none is needed)"]
    alias_of: Annotated[
        Fact[str], "host that the Service stands for (ExternalName), where none is called; or empty"
    ]
    ready_endpoints: Annotated[Fact[int], "ready istiod endpoints behind it"]
    istiod: Annotated[Fact[Ref], "the workload behind it"]
    istiod_name: Annotated[Fact[str], "that workload's name"]
    istiod_state: Annotated[Fact[str], "why istiod is not ready, as its pods say"]
    istiod_oom: Annotated[Fact[bool], "istiod was killed for want of memory", OBSERVED]
    port_open: Annotated[
        Fact[bool],
        "the Service has the port and leads it to 15017, or to an injector that is no istiod",
    ]
    target_port: Annotated[Fact[str], "the port of istiod's pods that the call ends at"]
    policy: Annotated[Fact[Ref], "NetworkPolicy that keeps the API server out; empty: none"]
    policy_name: Annotated[Fact[str], "that NetworkPolicy's name"]
    obstacle: Annotated[Fact[str], "what of the cluster's own objects stands in the way, in words"]
    ca: Annotated[Fact[str], "caBundle against istiod's root (mesh/webhook_call.py CaBundle)"]
    revision: Annotated[Fact[str], "istiod's revision, as its pods say; empty: none is seen"]
    unlabelled: Annotated[
        Fact[str],
        "that the configuration lacks its label, as the end of a clause; empty: it has it",
    ]
    refused: Annotated[
        Fact[str], "how the last call failed (Refusal); empty: not known to", OBSERVED
    ]
    text: Annotated[Fact[str], "what the API server said", OBSERVED]
    said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    seen_at: Annotated[Fact[str], "when it last said so"]
    server_time: Annotated[
        Fact[str], "its own time, where istiod's certificate begins later; empty: it does not"
    ]
    begins: Annotated[Fact[str], "when that certificate begins"]
    node: Annotated[Fact[Ref], "the node of istiod's first pod"]


@probe(
    "injection-call",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "Deployment",
        "EndpointSlice",
        "Event",
        "Job",
        "MutatingWebhookConfiguration",
        "Namespace",
        "NetworkPolicy",
        "Pod",
        "ReplicaSet",
        "Secret",
        "Service",
    ),
)
def injection_call(view: View, subject: WorkloadSubject) -> InjectionCall:
    """If the API server calls this workload's injection webhook, does it get an answer?"""
    called = decision(view, subject).called
    said = attempt(lambda: refusal(view, subject))
    if isinstance(said, Refused) and said.call_failed:
        called = _told(view, called, said.by)
    facts = _unrefused(view, called, subject.namespace)
    if isinstance(said, Unavailable):
        return replace(facts, refused=said, text=said, said=said)
    late = said is not None and said.kind is Refusal.TIMED_OUT and bool(called)
    if said is None or not (said.call_failed or late):
        return facts
    return replace(
        facts,
        refused=said.kind.value,
        text=said.text,
        obstacle=OUT_OF_RANGE if _NOT_CALLED.search(said.text) else facts.obstacle,
        said=f". The API server says: {said.text}",
        seen_at=f"{said.at:%H:%M:%S}" if said.at else "",
        server_time=said.early[0],
        begins=said.early[1],
    )


def _told(view: View, called: tuple[Injector, ...], by: str) -> tuple[Injector, ...]:
    """What the API server says that it called, it called, whatever the labels are by now."""
    named = [one for one in called if one.webhook.name == by]
    named = named or [one for one in all_injectors(view) if one.webhook.name == by]
    return tuple(named) or called


def _unrefused(view: View, called: tuple[Injector, ...], namespace: str) -> InjectionCall:
    """What holds of every workload of a namespace for whose pods the same webhooks are called,
    where no call is known to have failed."""
    key = ("injection-call", namespace, *map(_told_apart, called))
    return view.memo(key, lambda v: _facts(v, _road(v, called), namespace))


def _facts(view: View, road: "_Road", namespace: str) -> InjectionCall:
    one, to = road.one, road.to
    policy = attempt(lambda: Ref(_closing(view, road, namespace)))
    return InjectionCall(
        called=one is not None,
        config=road.config,
        config_name=one.config.name if one else "",
        webhook=one.webhook.name if one else "",
        service=road.service,
        url=clean(one.webhook.client_config.url, 200) if one else "",
        service_name=to.name if to else "",
        service_namespace=to.namespace if to else "",
        service_exists=road.exists,
        alias_of=road.alias,
        ready_endpoints=road.ready,
        istiod=road.istiod,
        istiod_name=road.istiod_name,
        istiod_state=road.state,
        istiod_oom=road.oom,
        port_open=attempt(lambda: _is_open(road)),
        target_port=road.port,
        policy=policy,
        policy_name=policy if isinstance(policy, Unavailable) else policy.rpartition("/")[2],
        obstacle=attempt(lambda: _obstacle(road, known(policy))),
        ca=road.ca,
        revision=road.revision,
        unlabelled=_unlabelled(one, road.revision),
        refused="",
        text="",
        said="",
        seen_at="",
        server_time="",
        begins="",
        node=road.node,
    )


class _Road(Struct, frozen=True, kw_only=True):
    """The way of a call to the webhook that cannot answer, else to the last one called, whoever
    calls. `closing`: a NetworkPolicy that would keep the API server out, were it enforced.
    `own_port`: what answers is no istiod (before 1.5 an injector of its own), whose port is its
    own choice."""

    one: Injector | None
    to: WebhookService | None
    config: Ref
    service: Ref
    exists: Fact[bool]
    alias: Fact[str]
    closing: Fact[NetworkPolicy | None]
    ready: Fact[int]
    istiod: Ref
    istiod_name: str
    node: Ref
    state: Fact[str]
    oom: Fact[bool]
    port: Fact[str]
    own_port: bool
    ca: Fact[str]
    revision: str


def _road(view: View, called: tuple[Injector, ...]) -> _Road:
    """Once for all workloads for whose pods the same webhooks are called."""
    return view.memo(("injection-road", *map(_told_apart, called)), lambda v: _walk(v, called))


def _told_apart(one: Injector) -> tuple[Hashable, ...]:
    """All of a webhook that the road of its call depends on."""
    client = one.webhook.client_config
    return (
        one.config.name,
        one.webhook.name,
        client.service,
        client.url,
        client.ca_bundle,
        _served(one),
    )


def _walk(view: View, called: tuple[Injector, ...]) -> _Road:
    """Never raises EvidenceError: what cannot be read is missing from that part of the road."""
    one = _worst(view, called)
    to = one.service if one is not None else None
    exists = attempt(lambda: to is None or _service(view, to) is not None)
    behind = attempt(lambda: _istiod(view, to) if to is not None else ())
    first = behind[0] if isinstance(behind, tuple) and behind else None
    owner = owner_of(first) if first is not None else None
    port = attempt(lambda: _port(view, to))
    own = first is not None and first.container(ISTIOD) is None
    closing = attempt(lambda: _policy(view, to, known(behind), _called_port(port, own)))
    return _Road(
        one=one,
        to=to,
        config=Ref(f"MutatingWebhookConfiguration//{one.config.name}" if one else ""),
        service=Ref(one.service_ref if one else ""),
        exists=exists,
        alias=attempt(lambda: _alias(view, to)),
        closing=closing,
        ready=attempt(lambda: _ready(view, to)),
        istiod=Ref(owner.ref if owner is not None else ""),
        istiod_name=owner.name if owner is not None else "",
        node=Ref(f"Node//{first.spec.node_name}" if first and first.spec.node_name else ""),
        state=attempt(lambda: _state(view, known(behind))),
        oom=attempt(lambda: any(out_of_memory(p, ISTIOD, view.now) for p in known(behind))),
        port=port,
        own_port=own,
        ca=attempt(lambda: _ca(view, one).value),
        revision=_revision(first) if first is not None else "",
    )


def _revision(istiod: Pod) -> str:
    """The revision that istiod runs as: the variable that its chart gives it, else its label."""
    container = istiod.container("discovery")
    given = [e.value for e in container.env if e.name == "REVISION"] if container else []
    return next(filter(None, given), "") or istiod.labels.get(REVISION, "default")


def _unlabelled(one: Injector | None, revision: str) -> str:
    """istiod writes caBundle only where this label says its revision (webhooks/webhookpatch.go)."""
    if one is None or not revision or one.config.metadata.labels.get(REVISION) == revision:
        return ""
    return f", and it lacks the label {REVISION}={clean(revision, 63)} by which istiod knows it"


def _worst(view: View, called: tuple[Injector, ...]) -> Injector | None:
    """The webhook that cannot answer, else the last one called."""
    for one in called:
        try:
            if one.service is not None and _service(view, one.service) is None:
                return one
        except EvidenceError:
            continue
    return called[-1] if called else None


def _service(view: View, to: WebhookService) -> Service | None:
    return view.object("Service", Service, to.namespace, to.name)


def _alias(view: View, to: WebhookService | None) -> str:
    """The API server calls no Service of type ExternalName (its resolver: "unsupported service
    type"); "" for the others."""
    service = _service(view, to) if to is not None else None
    if service is None or service.spec.type != "ExternalName":
        return ""
    return clean(service.spec.external_name, 253) or "another host"


def _istiod(view: View, to: WebhookService) -> tuple[Pod, ...]:
    service = _service(view, to)
    if service is None:
        return ()
    return selected_pods(service, view.objects("Pod", Pod, to.namespace))


def _ready(view: View, to: WebhookService | None) -> int:
    if to is None:
        return 1
    service = _service(view, to)
    return ready_behind(view, service) if service is not None else 0


def _state(view: View, pods: tuple[Pod, ...]) -> str:
    """Why the pods behind the webhook are not ready; "" when one is."""
    if not pods:
        return "it has no pods"
    if any(is_ready(p) for p in pods):
        return ""
    for pod in pods:
        for status in pod.all_statuses:
            ended = status.last_state.terminated or status.state.terminated
            if ended is not None and ended.reason:
                return clean(f"{pod.name} {ended.reason} (exit {ended.exit_code})")
            if status.state.waiting is not None and status.state.waiting.reason:
                return clean(f"{pod.name} {status.state.waiting.reason}{_held_by(view, pod)}")
    phase = pods[0].status.phase or "not ready"
    return clean(f"{pods[0].name} is {phase}{_held_by(view, pods[0])}")


def _held_by(view: View, pod: Pod) -> str:
    """What keeps a pod from its containers, as the end of a sentence; "": nothing is told."""
    events = attempt(lambda: events_of(view, pod.namespace))
    own = () if isinstance(events, Unavailable) else events.get(("Pod", pod.name), ())
    found = judge(pod, own, view.now)
    return f": {found.event}" if found.stage <= Stage.IMAGE and found.event else ""


def _port(view: View, to: WebhookService | None) -> str:
    """The target port; "" when none is needed or the Service does not exist."""
    service = _service(view, to) if to is not None else None
    return str(target_port(service, to)) if service is not None and to is not None else ""


def _called_port(port: Fact[str], own: bool) -> int:
    """The port of the pods that has to be open to the API server."""
    return int(port) if own and isinstance(port, str) and port.isdigit() else INJECT_PORT


def _policy(
    view: View, to: WebhookService | None, pods: tuple[Pod, ...], port: int
) -> NetworkPolicy | None:
    if to is None or not pods:
        return None
    return closing_policy(view.objects("NetworkPolicy", NetworkPolicy, to.namespace), pods, port)


def _closing(view: View, road: _Road, namespace: str) -> str:
    """The policy that keeps the API server out; "" when pods of the namespace were injected since
    it was made."""
    found = known(road.closing)
    if found is None or _injected_since(view, namespace, found.metadata.creation_timestamp):
        return ""
    return found.ref


def _is_open(road: _Road) -> bool:
    """Whether the Service has the port that is called, and leads it to the injector's."""
    port = known(road.port)
    return port in OPEN_PORTS or road.own_port and port != "0"


_NOT_CALLED = pattern(r"Address is not allowed")
OUT_OF_RANGE = (
    "the managed control plane calls no address outside the ranges of the VPC that it knows, and "
    "istiod's pod has one: of another CNI's overlay, or of a range that was added lately"
)


def _obstacle(road: _Road, policy: Ref) -> str:
    if policy:
        return f"{policy} does not admit the API server"
    if not _is_open(road):
        return f"the Service leads to port {known(road.port)} instead of {INJECT_PORT}"
    return "no NetworkPolicy stands in the way: look at security groups and firewalls"


def _injected_since(view: View, namespace: str, since: datetime | None) -> bool:
    """A sidecar younger than the policy shows that nothing enforces it."""
    return since is not None and any(
        is_sidecar(p) and (made := p.metadata.creation_timestamp) is not None and made > since
        for p in pods_in(view, namespace)
    )


def _served(one: Injector) -> bool:
    """Whether an API server holds it: istiod fills caBundle only then."""
    meta = one.config.metadata
    return bool(meta.uid or meta.resource_version or meta.creation_timestamp)


def _ca(view: View, one: Injector | None) -> CaBundle:
    if one is None or not _served(one):
        return CaBundle.NOT_COMPARED
    space = one.service.namespace if one.service is not None else view.istio_namespace
    roots: list[str] = []
    config = view.object("ConfigMap", ConfigMap, space, "istio-ca-root-cert")
    if config is not None:
        roots.append(config.data.get("root-cert.pem", ""))
    for name, key in (("cacerts", "root-cert.pem"), ("istio-ca-secret", "ca-cert.pem")):
        secret = attempt(lambda name=name: view.object("Secret", Secret, space, name))  # type: ignore[misc]
        if isinstance(secret, Secret):
            roots.append(secret.data.get(key, ""))
    return ca_bundle(one.webhook.client_config.ca_bundle, roots)
