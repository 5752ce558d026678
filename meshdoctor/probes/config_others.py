"""Why does a ServiceEntry, Sidecar or EnvoyFilter never apply?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import entries, sidecar_choice
from meshdoctor.mesh.filter_match import (
    asks_for_inbound_port,
    asks_for_vhost,
    dead_match,
    gateway_vhosts,
    inbound_ports,
    selects_workloads,
)
from meshdoctor.mesh.filter_order import too_early
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import image_release, proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, ServiceEntry, Sidecar
from meshdoctor.model.kubernetes import Ingress, Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.gateway_objects import GATEWAY_NAME, gateways_of, routes_of
from meshdoctor.probes.view import View, attempt, probe


class ServiceEntryFacts(Struct, frozen=True, kw_only=True):
    """Of a ServiceEntry; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the ServiceEntry; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    host: Annotated[Fact[str], "a host that another object has too; empty: none"]
    rival: Annotated[Fact[Ref], "that object"]
    takes_over: Annotated[Fact[bool], "clients in its own namespace get this entry"]
    shared_port: Annotated[Fact[int], "a TCP port without address that an older entry binds; 0"]
    listener_rival: Annotated[Fact[Ref], "that older entry"]
    dns: Annotated[Fact[bool], "its resolution is by DNS"]
    first_host: Annotated[Fact[str], "its first host"]
    client: Annotated[Fact[str], "a sidecar of the scope as pod.namespace; empty: none"]


_NO_ENTRY = ServiceEntryFacts(
    ref=Ref(""),
    name="",
    namespace="",
    host="",
    rival=Ref(""),
    takes_over=False,
    shared_port=0,
    listener_rival=Ref(""),
    dns=False,
    first_host="",
    client="",
)


@probe(
    "config-service-entry",
    subject=SubjectKind.CONFIG,
    reads=("Pod", "Service", "ServiceEntry"),
    kinds=("ServiceEntry",),
)
def config_service_entry(view: View, config: ConfigSubject) -> ServiceEntryFacts:
    """Does a ServiceEntry share its host or its listener with another object?"""
    if config.config_kind != "ServiceEntry":
        return _NO_ENTRY
    entry = view.object("ServiceEntry", ServiceEntry, config.namespace, config.name)
    if entry is None:
        raise MissingError(str(config), "it does not exist any more")
    found = entries.collision(entry, shared.known_hosts(view), shared.client_namespaces(view))
    same = entries.shared_listener(entry, view.objects("ServiceEntry", ServiceEntry))
    return replace(
        _NO_ENTRY,
        ref=Ref(entry.ref),
        name=entry.name,
        namespace=entry.namespace,
        host=clean(found.host, 253) if found is not None else "",
        rival=Ref(found.rival if found is not None else ""),
        takes_over=found is not None and found.takes_over,
        shared_port=same.port if same is not None else 0,
        listener_rival=Ref(same.rival.ref if same is not None else ""),
        dns=entry.spec.resolution.startswith("DNS"),
        first_host=clean(entry.spec.hosts[0], 253) if entry.spec.hosts else "",
        client=_client(view, entry.namespace),
    )


def _client(view: View, namespace: str) -> str:
    """A pod with a sidecar, of that namespace where it has one."""
    sidecars = (p for p in shared.proxy_pods(view) if proxy_type(p) == "sidecar")
    found = min(sidecars, key=lambda p: (p.namespace != namespace, p.ref), default=None)
    return f"{found.name}.{found.namespace}" if found is not None else ""


class SidecarFacts(Struct, frozen=True, kw_only=True):
    """Of a Sidecar; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the Sidecar; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    winner: Annotated[Fact[Ref], "the older Sidecar that is in force instead; empty: none"]
    winner_name: Annotated[Fact[str], "its name"]


@probe("config-sidecar", subject=SubjectKind.CONFIG, reads=("Pod", "Sidecar"), kinds=("Sidecar",))
def config_sidecar(view: View, config: ConfigSubject) -> SidecarFacts:
    """Is another Sidecar in force instead of this one?"""
    if config.config_kind != "Sidecar":
        return SidecarFacts(ref=Ref(""), name="", namespace="", winner=Ref(""), winner_name="")
    sidecar = view.object("Sidecar", Sidecar, config.namespace, config.name)
    if sidecar is None:
        raise MissingError(str(config), "it does not exist any more")
    local = view.objects("Sidecar", Sidecar, config.namespace)
    pods = view.objects("Pod", Pod, config.namespace)
    winner = sidecar_choice.loses_to(sidecar, local, [p.labels for p in pods])
    return SidecarFacts(
        ref=Ref(sidecar.ref),
        name=sidecar.name,
        namespace=sidecar.namespace,
        winner=Ref(winner.ref if winner is not None else ""),
        winner_name=winner.name if winner is not None else "",
    )


class EnvoyFilterFacts(Struct, frozen=True, kw_only=True):
    """Of an EnvoyFilter; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the EnvoyFilter; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    selects: Annotated[Fact[bool], "it selects a workload of the scope that has a proxy"]
    proxies: Annotated[Fact[int], "proxies in its reach: its namespace, or all for the root's"]
    dead: Annotated[Fact[str], "the first patch that can match nothing, and why; empty: none"]
    wanted: Annotated[
        Fact[str], "a filter beside which it wants a place and that is added only later; empty"
    ]
    adds: Annotated[Fact[Ref], "the EnvoyFilter that adds that one; empty: none"]
    pod: Annotated[Fact[str], "a pod that it selects, or that is in its reach; empty: none"]
    pod_namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "config-envoy-filter",
    subject=SubjectKind.CONFIG,
    reads=(
        "ConfigMap",
        "EnvoyFilter",
        "Gateway",
        "Ingress",
        "Pod",
        "Service",
        "ServiceEntry",
        "Sidecar",
        "VirtualService",
    ),
    kinds=("EnvoyFilter",),
)
def config_envoy_filter(view: View, config: ConfigSubject) -> EnvoyFilterFacts:
    """Can an EnvoyFilter's patches match anything?"""
    if config.config_kind != "EnvoyFilter":
        return EnvoyFilterFacts(
            ref=Ref(""),
            name="",
            namespace="",
            selects=False,
            proxies=0,
            dead="",
            wanted="",
            adds=Ref(""),
            pod="",
            pod_namespace="",
        )
    found = view.object("EnvoyFilter", EnvoyFilter, config.namespace, config.name)
    if found is None:
        raise MissingError(str(config), "it does not exist any more")
    root = reading.root_namespace(view)
    reach = [p for p in shared.proxy_pods(view) if config.namespace in (root, p.namespace)]
    mine = [p for p in reach if selects_workloads(found, root, [(p.namespace, p.labels)])]
    types = frozenset(proxy_type(p) for p in mine)
    releases = sorted({image_release(p) for p in mine} - {""})
    others = view.objects("EnvoyFilter", EnvoyFilter, config.namespace) if mine else ()
    early = too_early(found, others, types, releases)
    shown = next(iter((*mine, *reach)), None)
    return EnvoyFilterFacts(
        ref=Ref(found.ref),
        name=found.name,
        namespace=found.namespace,
        selects=bool(mine),
        proxies=len(reach),
        dead=attempt(
            lambda: clean(
                dead_match(
                    found, types, releases, _inbound(view, found, mine), _vhosts(view, found, mine)
                ),
                300,
            )
        ),
        wanted=clean(early.wanted, 100) if early is not None else "",
        adds=Ref(early.adds.ref if early is not None else ""),
        pod=shown.name if shown is not None else "",
        pod_namespace=shown.namespace if shown is not None else "",
    )


def _vhosts(view: View, filter_: EnvoyFilter, pods: list[Pod]) -> frozenset[str]:
    """The virtual hosts of the selected gateways, where a patch asks for one; nothing is known of
    gateways that other kinds of objects configure too."""
    if not asks_for_vhost(filter_) or any(GATEWAY_NAME in pod.labels for pod in pods):
        return frozenset()
    if view.objects("Ingress", Ingress):
        return frozenset()
    gateways = {g.ref: g for pod in pods for g in gateways_of(view, pod)}.values()
    return gateway_vhosts(gateways, routes_of(view, gateways))


def _inbound(view: View, filter_: EnvoyFilter, pods: list[Pod]) -> frozenset[int]:
    """The inbound ports of the selected pods, where a patch asks for one and all pods are of its
    own namespace; else nothing is known."""
    space = filter_.namespace
    if not asks_for_inbound_port(filter_) or {p.namespace for p in pods} != {space}:
        return frozenset()
    return inbound_ports(
        pods,
        view.objects("Service", Service, space),
        view.objects("ServiceEntry", ServiceEntry, space),
        view.objects("Sidecar", Sidecar, space),
    )
