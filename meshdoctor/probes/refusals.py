"""What do proxies refuse, and which object made them?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct, structs

from meshdoctor.mesh.filter_blame import Attached, of_proxy
from meshdoctor.mesh.filter_match import may_match
from meshdoctor.mesh.istiod_log import proxy_of
from meshdoctor.mesh.log_lines import Said, of, scan
from meshdoctor.mesh.rejections import Objects, Offender, offender, too_new, unbindable_port
from meshdoctor.mesh.services import target_port
from meshdoctor.mesh.sync_judgement import proxy_never_gets_ready
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import image_release, owner_of, proxy_container, proxy_type
from meshdoctor.mesh.xds import short_type, wrong_types
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import (
    DestinationRule,
    EnvoyFilter,
    Gateway,
    MeshConfig,
    RequestAuthentication,
    ServiceEntry,
    Telemetry,
    VirtualService,
    WasmPlugin,
)
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.snapshot import selects
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.injection_reads import release_of
from meshdoctor.probes.view import View, attempt, known, probe


class Refusals(Struct, frozen=True, kw_only=True):
    """Refused pushes (NACK), from syncz, istiod's log and the logs of proxies out of step."""

    count: Annotated[Fact[int], "refusals seen", OBSERVED]
    recent: Annotated[Fact[int], "of these, not known to be older than two hours", OBSERVED]
    proxies: Annotated[Fact[int], "proxies that refuse", OBSERVED]
    first_proxy: Annotated[Fact[str], "one of them, pod.namespace", OBSERVED]
    type: Annotated[Fact[str], "the type refused: LDS, CDS ...", OBSERVED]
    message: Annotated[Fact[str], "Envoy's own words", OBSERVED]
    points_at: Annotated[
        Fact[str], "what the message points at, with the object where one is found"
    ]
    object: Annotated[Fact[Ref], "the object behind it, most likely first; empty: not found"]
    second: Annotated[Fact[Ref], "the next candidate; empty: none"]
    kind: Annotated[Fact[str], "the first one's kind, as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]


class _Seen(Struct, frozen=True, kw_only=True):
    proxy: str
    type: str
    message: str
    at: datetime | None = None


@probe(
    "refusals",
    subject=SubjectKind.MESH,
    reads=(
        "ConfigMap",
        "DestinationRule",
        "EnvoyFilter",
        "Gateway",
        "Pod",
        "RequestAuthentication",
        "Service",
        "ServiceEntry",
        "Telemetry",
        "VirtualService",
        "WasmPlugin",
        "log",
        "proxy-status",
    ),
)
def refusals(view: View, _: MeshSubject) -> Refusals:
    """What do proxies refuse, and which object made them?"""
    seen = _seen(view)
    if not seen:
        return _facts(view, seen, Offender(why=""))
    last = seen[-1]
    found = offender(last.message, _objects(view, last.proxy), last.type)
    facts = _facts(view, seen, found)
    port = unbindable_port(last.message)
    if port:
        return _of_unprivileged(view, facts, port)
    written = any(o.kind != "ConfigMap" for o in found.objects)
    return facts if written or not too_new(last.message) else _of_older(view, facts)


def _of_older(view: View, facts: Refusals) -> Refusals:
    """The same, of a proxy whose release is older than that of every istiod: its workload is what
    lags behind, before the mesh config, of whose words istiod's release makes what it sends."""
    pod = _pod(view, known(facts.first_proxy))
    if pod is None:
        return facts
    container = proxy_container(pod)
    mine = release_of(container.image) if container is not None else None
    theirs = [release_of(c.image) for p in reading.istiod_pods(view) for c in p.spec.containers]
    istiods = [release for release in theirs if release is not None]
    if mine is None or not istiods or mine >= min(istiods):
        return facts
    words = f"its proxy is of {_dotted(mine)}, istiod of {_dotted(min(istiods))}"
    words += ", and its Envoy does not know what it is sent"
    return structs.replace(_at_owner(facts, pod, words), second=facts.object)


def _of_unprivileged(view: View, facts: Refusals, port: int) -> Refusals:
    """The same, of a proxy that may not listen on a port below 1024: its workload, and the Service
    that leads a port of its own there."""
    pod = _pod(view, known(facts.first_proxy))
    if pod is None:
        return facts
    behind = (
        s
        for s in _services(view)
        if s.namespace == pod.namespace
        and selects(s.spec.selector, pod.labels)
        and any(target_port(p, pod) == port for p in s.spec.ports)
    )
    service = next(behind, None)
    words = (
        "its proxy is not root, and nothing lets it listen below 1024: no sysctl "
        "net.ipv4.ip_unprivileged_port_start on Fargate or old kernels; let targetPort be a "
        f"higher port than {port}"
    )
    second = Ref(service.ref if service is not None else "")
    return structs.replace(_at_owner(facts, pod, words), second=second)


def _at_owner(facts: Refusals, pod: Pod, words: str) -> Refusals:
    """The same, which point at the pod's workload, and why."""
    owner = owner_of(pod)
    return structs.replace(
        facts,
        points_at=f"{owner.ref} ({words})",
        object=Ref(owner.ref),
        kind=owner.owner.lower(),
        name=owner.name,
        namespace=owner.namespace,
    )


def _dotted(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


def _seen(view: View) -> tuple[_Seen, ...]:
    """Raises EvidenceError when neither the table nor istiod's log can be read, or proxies are out
    of step and no log tells why."""
    found: list[_Seen] = []
    missing: EvidenceError | None = None
    answered = False
    try:
        log = shared.istiod_log(view).log
        answered = True
        found += [
            _Seen(
                proxy=proxy_of(s.get("connection")),
                type=s.get("type"),
                message=s.get("reason"),
                at=s.at,
            )
            for s in log.nacks
        ]
    except EvidenceError as error:
        missing = error
    try:
        sync = shared.sync(view)
        told = sync.table.shows_state and len(shared.suspect_logs(view)) >= len(sync.wrong)
        answered = answered or told
        for proxy in sync.wrong.values():
            for one in wrong_types(proxy, view.now):
                if one.error:
                    found.append(_Seen(proxy=proxy.id, type=one.type, message=one.error))
    except EvidenceError as error:
        missing = error
    if not found:
        found += _from_proxies(view)
    if not found and not answered and missing is not None:
        raise missing
    return tuple(found)


def _from_proxies(view: View) -> list[_Seen]:
    """What proxies say that they refuse, so far as they do so still."""
    logs = [(f"{pod.name}.{pod.namespace}", text) for pod, text in shared.suspect_logs(view)]
    return _rejected(view, logs) or _rejected(view, shared.logs_elsewhere(view))


def _rejected(view: View, logs: Iterable[tuple[str, str]]) -> list[_Seen]:
    return [
        _Seen(proxy=proxy, type=_type(s), message=s.get("reason"), at=s.at)
        for proxy, text in logs
        for s in _refused(scan(text))
        if shared.is_recent(s, view.now)
    ]


def _refused(said: tuple[Said, ...]) -> tuple[Said, ...]:
    """What Envoy refuses, and Wasm modules that the proxy still lacks: one that got ready since has
    fetched them."""
    last = max((i for i, s in enumerate(said) if s.kind == "proxy_ready"), default=-1)
    lacking = of(said[last + 1 :], "wasm_not_fetched")
    return (*of(said, "config_rejected"), *lacking)


def _type(said: Said) -> str:
    """The agent takes a Wasm module out of ECDS and fetches it; what it cannot, it refuses."""
    return "ECDS" if said.kind == "wasm_not_fetched" else short_type(said.get("type"))


def _known(view: View) -> tuple[Pod, ...]:
    """Pods with a proxy that run, and those that wait for theirs."""
    waiting = filter(proxy_never_gets_ready, shared.unready_proxies(view))
    return (*shared.proxy_pods(view), *(p for p in waiting if p.status.phase == "Pending"))


def _pod(view: View, proxy: str) -> Pod | None:
    """The pod of `pod.namespace`; None: it is not known."""
    name, _, namespace = proxy.rpartition(".")
    pods = (p for p in _known(view) if (p.namespace, p.name) == (namespace, name))
    return next(pods, None)


def _got(view: View, proxy: str, some: tuple[Attached, ...]) -> tuple[Attached, ...]:
    """Those that the proxy gets; all, where its pod or the root namespace is not known."""
    namespace = proxy.rpartition(".")[2]
    root = attempt(lambda: reading.root_namespace(view))
    if "." not in proxy or isinstance(root, Unavailable):
        return some
    pod = _pod(view, proxy)
    return of_proxy(some, root, namespace, pod.labels if pod is not None else None)


def _filters(view: View, proxy: str) -> tuple[EnvoyFilter, ...]:
    """Those that the proxy gets and that hold a patch for a proxy like it."""
    got = _got(view, proxy, view.objects("EnvoyFilter", EnvoyFilter))
    pod = _pod(view, proxy)
    if pod is None:
        return got
    return tuple(f for f in got if may_match(f, proxy_type(pod), image_release(pod)))


def _telemetries(view: View, proxy: str) -> tuple[Telemetry, ...]:
    """Those that the proxy gets; releases before 1.11 do not serve the kind."""
    found = attempt(lambda: view.objects("Telemetry", Telemetry))
    return () if isinstance(found, Unavailable) else _got(view, proxy, found)


def _services(view: View) -> tuple[Service, ...]:
    """Every Service has a part in what proxies get, whichever namespaces were asked about."""
    found = attempt(lambda: view.everywhere("Service", Service))
    return view.objects("Service", Service) if isinstance(found, Unavailable) else found


def _objects(view: View, proxy: str) -> Objects:
    config = attempt(lambda: reading.mesh_config(view))
    return Objects(
        services=_services(view),
        filters=_filters(view, proxy),
        routes=view.objects("VirtualService", VirtualService),
        rules=view.objects("DestinationRule", DestinationRule),
        entries=view.objects("ServiceEntry", ServiceEntry),
        gateways=view.objects("Gateway", Gateway),
        authentications=_got(
            view, proxy, view.objects("RequestAuthentication", RequestAuthentication)
        ),
        plugins=view.objects("WasmPlugin", WasmPlugin),
        telemetries=_telemetries(view, proxy),
        config=MeshConfig() if isinstance(config, Unavailable) else config,
        config_map=reading.mesh_config_map(view),
    )


def _facts(view: View, seen: tuple[_Seen, ...], found: Offender) -> Refusals:
    last = seen[-1] if seen else None
    first = found.objects[0] if found.objects else None
    return Refusals(
        count=len(seen),
        recent=sum(shared.is_recent(s, view.now) for s in seen),
        proxies=len({s.proxy for s in seen}),
        first_proxy=clean(last.proxy, 130) if last else "",
        type=clean(last.type, 60) if last else "",
        message=clean(last.message) if last else "",
        points_at=clean(f"{first.ref} ({found.why})" if first else found.why, 250),
        object=Ref(first.ref if first else ""),
        second=Ref(found.objects[1].ref if len(found.objects) > 1 else ""),
        kind=first.kind.lower() if first else "",
        name=first.name if first else "",
        namespace=first.namespace if first else "",
    )
