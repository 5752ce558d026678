"""Does an ExternalName Service take calls of a workload that were meant for other addresses?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import captured as mesh
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class CapturedCalls(Struct, frozen=True, kw_only=True):
    """Connections of a workload's proxies that went to another host than they were for."""

    risk: Annotated[
        Fact[bool],
        "a Service of type ExternalName listens at 0.0.0.0, in the run's scope or in the log",
    ]
    calls: Annotated[Fact[int], "connections that it took", OBSERVED]
    service: Annotated[Fact[Ref], "that Service; empty: none"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    port: Annotated[Fact[int], "the port"]
    dialled: Annotated[Fact[str], "an address that one of them was for"]
    sent: Annotated[Fact[str], "the address to which it was sent"]
    pod: Annotated[Fact[str], "a pod of the workload"]
    namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "captured-calls",
    subject=SubjectKind.WORKLOAD,
    reads=proxy_logs.READS,
    costly=True,
)
def captured_calls(view: View, subject: WorkloadSubject) -> CapturedCalls:
    """Does an ExternalName Service take calls that were meant for other addresses?"""
    risk = view.memo("external-name-risks", _risk)
    if not risk and view.namespaces is None:
        return _facts(subject, risk=False, calls=0)
    try:
        logs = proxy_logs.read(view, reading.workload(view, subject), CLIENT)
    except EvidenceError:
        if risk:
            raise
        return _facts(subject, risk=False, calls=0)
    for one in mesh.captured(logs.lines(lambda log: log.lines)):
        service = _service(view, one)
        if service is not None and mesh.meant_others(one, service):
            pod = logs.pods[0].pod.name
            return _facts(subject, risk=True, calls=one.calls, found=(one, service), pod=pod)
    return _facts(subject, risk=risk, calls=logs.seen(0) if risk else 0)


def _risk(view: View) -> bool:
    services = view.objects("Service", Service)
    return any(mesh.listens_everywhere(s, port.port) for s in services for port in s.spec.ports)


def _service(view: View, found: mesh.Captured) -> Service | None:
    """The ExternalName Service that a cluster is of, wherever it lies."""
    name, namespace, kind, *_ = [*found.host.split("."), "", "", ""]
    if kind != "svc":
        return None
    service = view.object("Service", Service, namespace, name)
    return service if service and mesh.listens_everywhere(service, found.port) else None


def _facts(
    subject: WorkloadSubject,
    *,
    risk: bool,
    calls: Fact[int],
    found: tuple[mesh.Captured, Service] | None = None,
    pod: str = "",
) -> CapturedCalls:
    one, service = found if found is not None else (None, None)
    return CapturedCalls(
        risk=risk,
        calls=calls,
        service=Ref(service.ref if service is not None else ""),
        service_name=service.name if service is not None else "",
        service_namespace=service.namespace if service is not None else "",
        port=one.port if one is not None else 0,
        dialled=one.dialled if one is not None else "",
        sent=one.sent if one is not None else "",
        pod=pod,
        namespace=subject.namespace,
    )
