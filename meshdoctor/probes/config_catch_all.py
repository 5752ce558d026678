"""Does a DestinationRule for every host break services?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import catch_all
from meshdoctor.mesh.catch_all import Victim
from meshdoctor.mesh.edge_path import Given
from meshdoctor.mesh.services import fqdn, selected_pods
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, is_sidecar
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, PeerAuthentication
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


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
    symptom: Annotated[Fact[str], "what is seen there"]


@probe(
    "catch-all-rule",
    subject=SubjectKind.CONFIG,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "Job",
        "PeerAuthentication",
        "Pod",
        "Service",
        "StatefulSet",
    ),
)
def catch_all_rule(view: View, subject: ConfigSubject) -> CatchAllRule:
    """Does this DestinationRule for every host break services?"""
    if subject.config_kind != "DestinationRule":
        return _facts(None, ())
    rule = view.object("DestinationRule", DestinationRule, subject.namespace, subject.name)
    if rule is None:
        raise MissingError(str(subject), "it is gone")
    if not catch_all.is_catch_all(rule):
        return _facts(None, ())
    return _facts(rule, _victims(view, rule))


def _victims(view: View, rule: DestinationRule) -> tuple[Victim, ...]:
    workloads = reading.workloads(view)
    clients = [w for w in workloads.values() if w.pod is not None and is_sidecar(w.pod)]
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
    return catch_all.victims(
        rule, base, clients, [_behind(s, tuple(workloads.values())) for s in services]
    )


def _behind(
    service: Service, workloads: tuple[WorkloadPods, ...]
) -> tuple[Service, WorkloadPods | None, tuple[Pod, ...]]:
    pods: tuple[Pod, ...] = ()
    first: WorkloadPods | None = None
    for workload in workloads:
        if workload.subject.namespace != service.namespace:
            continue
        found = selected_pods(service, workload.pods)
        first = first or (workload if found else None)
        pods += found
    return service, first, pods


def _facts(rule: DestinationRule | None, found: tuple[Victim, ...]) -> CatchAllRule:
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
        symptom=first.symptom if first else "",
    )
