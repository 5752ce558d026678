"""Does a DestinationRule for every host break services?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import catch_all
from meshdoctor.mesh.catch_all import Victim
from meshdoctor.mesh.client_tls import TOP, tls_path
from meshdoctor.mesh.edge_path import Given
from meshdoctor.mesh.services import fqdn, selected_pods
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import DestinationRule, PeerAuthentication
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "DestinationRule",
    "Job",
    "PeerAuthentication",
    "Pod",
    "Service",
    "StatefulSet",
)


class CatchAllRule(Struct, frozen=True, kw_only=True):
    """A rule with tls for `*`, `*.local` or the like. Other objects: `catch_all` false."""

    catch_all: Annotated[Fact[bool], "a DestinationRule that sets tls for (nearly) every host"]
    rule: Annotated[Fact[Ref], "the rule; empty for other objects"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    host: Annotated[Fact[str], "the host it names"]
    mode: Annotated[Fact[str], "its tls mode"]
    victims: Annotated[Fact[int], "services that it breaks for clients with a sidecar"]
    victim: Annotated[Fact[str], "the first of them, with its port"]
    victim_service: Annotated[Fact[Ref], "its Service; empty: none"]
    victim_host: Annotated[Fact[str], "its host"]
    victim_port: Annotated[Fact[int], "its port"]
    client: Annotated[Fact[str], "a client with a sidecar, kind/name.namespace"]
    path: Annotated[Fact[str], "JSON pointer to remove so that the rule's tls is gone"]
    symptom: Annotated[Fact[str], "what is seen there"]


@probe(
    "catch-all-rule",
    subject=SubjectKind.CONFIG,
    reads=READS,
    kinds=("DestinationRule",),
)
def catch_all_rule(view: View, subject: ConfigSubject) -> CatchAllRule:
    """Does this DestinationRule for every host break services?"""
    rule = _rule(view, subject)
    if rule is None:
        return _facts(None, (), None)
    client = catch_all.client_of(rule, _clients(view), reading.root_namespace(view))
    return _facts(rule, _victims(view, rule), client)


def _rule(view: View, subject: ConfigSubject) -> DestinationRule | None:
    """The object when it is a rule for every host."""
    if subject.config_kind != "DestinationRule":
        return None
    rule = view.object("DestinationRule", DestinationRule, subject.namespace, subject.name)
    if rule is None:
        raise MissingError(str(subject), "it is gone")
    return rule if catch_all.is_catch_all(rule) else None


def _clients(view: View) -> tuple[WorkloadPods, ...]:
    known = reading.workloads(view).values()
    return tuple(w for w in known if w.proxy_type == "sidecar")


def _victims(view: View, rule: DestinationRule) -> tuple[Victim, ...]:
    return view.memo(("catch-all-victims", rule.ref), lambda v: _find_victims(v, rule))


def _find_victims(view: View, rule: DestinationRule) -> tuple[Victim, ...]:
    clients = _clients(view)
    base = Given(
        client=None,
        server=None,
        service=None,
        service_pods=(),
        host="",
        port=0,
        asked_host="",
        mesh=reading.mesh_config(view),
        policies=view.objects("PeerAuthentication", PeerAuthentication),
        rules=view.objects("DestinationRule", DestinationRule),
    )
    services = view.objects("Service", Service)
    return catch_all.victims(rule, base, clients, [_behind(view, s) for s in services])


def _behind(view: View, service: Service) -> tuple[Service, WorkloadPods | None, tuple[Pod, ...]]:
    pods: tuple[Pod, ...] = ()
    first: WorkloadPods | None = None
    for workload in reading.workloads_in(view, service.namespace):
        found = selected_pods(service, workload.pods)
        first = first or (workload if found else None)
        pods += found
    return service, first, pods


def _facts(
    rule: DestinationRule | None, found: tuple[Victim, ...], client: WorkloadPods | None
) -> CatchAllRule:
    tls = rule.spec.traffic_policy.tls if rule and rule.spec.traffic_policy else None
    first = found[0] if found else None
    return CatchAllRule(
        catch_all=rule is not None,
        rule=Ref(rule.ref if rule else ""),
        name=rule.name if rule else "",
        namespace=rule.namespace if rule else "",
        host=clean(rule.spec.host) if rule else "",
        mode=tls.mode if tls else "",
        victims=len(found),
        victim=f"{fqdn(first.service)}:{first.port}" if first else "",
        victim_service=Ref(first.service.ref if first else ""),
        victim_host=fqdn(first.service) if first else "",
        victim_port=first.port if first else 0,
        client=f"{client.target}.{client.subject.namespace}" if client else "",
        path=tls_path(rule, TOP, 0) if rule else "",
        symptom=first.symptom if first else "",
    )


class CatchAllSeen(Struct, frozen=True, kw_only=True):
    """What callers' proxies logged of the services that the rule breaks."""

    failures: Annotated[Fact[int], "calls to them whose connection failed", OBSERVED]


@probe(
    "catch-all-seen",
    subject=SubjectKind.CONFIG,
    reads=(*READS, "Telemetry", "log"),
    costly=True,
    kinds=("DestinationRule",),
)
def catch_all_seen(view: View, subject: ConfigSubject) -> CatchAllSeen:
    """Do callers' logs show the services failing that the rule breaks?"""
    rule = _rule(view, subject)
    if rule is None:
        return CatchAllSeen(failures=0)
    broken = {(fqdn(v.service), v.port) for v in _victims(view, rule)}
    logs = proxy_logs.of_callers(view)
    lines = logs.lines(lambda log: log.lines)
    failures = sum(
        1
        for line in lines
        if line.is_outbound
        and (line.cluster_host.lower(), line.cluster_port) in broken
        and line.flags & {"UC", "UF", "URX"}
    )
    return CatchAllSeen(failures=logs.seen(failures))
