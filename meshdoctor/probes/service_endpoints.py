"""Which endpoints does a service have, and do they agree with its pods?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import endpoints as ep
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ServiceSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class ServiceEndpoints(Struct, frozen=True, kw_only=True):
    """EndpointSlices against pods; a service without selector has no pods of its own."""

    ref: Annotated[Fact[Ref], "the service"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    has_selector: Annotated[Fact[bool], "it selects pods (an ExternalName does not)"]
    headless: Annotated[Fact[bool], "clusterIP None"]
    ready: Annotated[Fact[int], "ready addresses in its EndpointSlices", OBSERVED]
    not_ready: Annotated[Fact[int], "other addresses in them", OBSERVED]
    pods: Annotated[Fact[int], "live pods that its selector selects"]
    ready_pods: Annotated[Fact[int], "of them Ready", OBSERVED]
    unready_pod: Annotated[Fact[str], "one that is not Ready; empty: none"]
    unready_workload: Annotated[Fact[Ref], "the workload of that pod"]
    app_unready: Annotated[
        Fact[bool], "in that pod an application container runs or crashes, beside a ready proxy"
    ]
    starting: Annotated[
        Fact[bool], "all its pods that are not Ready began less than a minute ago, none ended yet"
    ]
    idle: Annotated[Fact[bool], "the selector means a workload that has no pods (scaled to zero)"]
    meant: Annotated[Fact[Ref], "the workload with ready pods that was probably meant; empty: none"]
    meant_name: Annotated[Fact[str], "its name"]
    wrong_label: Annotated[Fact[str], "the selector's label that keeps it out, key=value"]
    has_label: Annotated[Fact[str], "what that workload's pods have, key=value"]
    orphan: Annotated[Fact[str], "a ready address whose targetRef names a pod that does not exist"]
    lagging_pod: Annotated[
        Fact[str], "a pod whose readiness changed over a minute ago, unseen by the slices", OBSERVED
    ]
    port: Annotated[Fact[int], "a service port whose named target port some pods lack; 0: none"]
    target: Annotated[Fact[str], "that name"]
    lacking_pod: Annotated[Fact[str], "a pod that lacks it"]
    lacking: Annotated[Fact[int], "pods that lack it"]


@probe(
    "service-endpoints",
    subject=SubjectKind.SERVICE,
    reads=(
        "DaemonSet",
        "Deployment",
        "EndpointSlice",
        "Job",
        "Pod",
        "Service",
        "StatefulSet",
    ),
)
def service_endpoints(view: View, subject: ServiceSubject) -> ServiceEndpoints:
    """Which endpoints does a service have, and do they agree with its pods?"""
    service = reading.service(view, subject)
    if service is None:
        raise MissingError(f"service {subject}", "it does not exist any more")
    slices = reading.slices_of_service(view, service)
    selected = reading.pods_of_service(view, service)
    pods = [p for p in selected if p.metadata.deletion_timestamp is None]
    unready = [p for p in pods if not is_ready(p)]
    down = unready[0] if unready else None
    found = ep.addresses(service, slices)
    meant = _meant(view, service) if not pods else None
    orphans: tuple[str, ...] = ()
    if not found.pods <= {p.metadata.name for p in selected}:
        orphans = ep.orphans(service, slices, view.objects("Pod", Pod, subject.namespace))
    lagging = None
    if slices and (unready or not found.has(pods)):
        lagging = ep.settled_disagreement(service, found, pods, view.now, slices)
    miss = ep.port_miss(service, selected)
    return ServiceEndpoints(
        ref=Ref(service.ref),
        name=service.name,
        namespace=service.namespace,
        has_selector=bool(service.spec.selector) and service.spec.type != "ExternalName",
        headless=service.headless,
        ready=len(found.ready),
        not_ready=len(found.not_ready),
        pods=len(pods),
        ready_pods=len(pods) - len(unready),
        unready_pod=down.name if down is not None else "",
        unready_workload=Ref(owner_of(down).ref if down is not None else ""),
        app_unready=down is not None and ep.application_unready(down),
        starting=bool(unready) and ep.starting(unready, view.now),
        idle=not pods and ep.template_selected(service, reading.workloads(view).values()),
        meant=Ref(meant.workload.subject.ref if meant is not None else ""),
        meant_name=meant.workload.subject.name if meant is not None else "",
        wrong_label=_pair(meant.label, service.spec.selector[meant.label]) if meant else "",
        has_label=_pair(meant.label, meant.has) if meant is not None else "",
        orphan=clean(orphans[0], 200) if orphans else "",
        lagging_pod=lagging.name if lagging is not None else "",
        port=miss.port if miss is not None else 0,
        target=clean(miss.target, 63) if miss is not None else "",
        lacking_pod=miss.pod.name if miss is not None else "",
        lacking=miss.missing if miss is not None else 0,
    )


def _meant(view: View, service: Service) -> ep.NearMiss | None:
    if not service.spec.selector:
        return None
    return ep.probably_meant(service, reading.workloads(view).values())


def _pair(key: str, value: str) -> str:
    return clean(f"{key}={value}" if value else f"no {key}", 130)
