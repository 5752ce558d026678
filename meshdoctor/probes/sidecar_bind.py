"""Does a Sidecar have the proxy bind a port that the application wants for itself?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import sidecar_bind as sb
from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Container, Pod, Service
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.view import View, attempt, probe


class SidecarBind(Struct, frozen=True, kw_only=True):
    """Of a workload with sidecars for which a Sidecar with captureMode NONE is in force."""

    sidecar: Annotated[Fact[Ref], "that Sidecar; empty: none, or it takes no port of theirs"]
    sidecar_name: Annotated[Fact[str], "its name"]
    port: Annotated[Fact[int], "a port that the proxy binds and a container declares; 0: none"]
    said: Annotated[
        Fact[str], "the line in which the application says that the port is in use", OBSERVED
    ]


_NOTHING = SidecarBind(sidecar=Ref(""), sidecar_name="", port=0, said="")


@probe(
    "sidecar-bind",
    subject=SubjectKind.WORKLOAD,
    reads=(*reading.WORKLOAD_READS, "ConfigMap", "Service", "Sidecar", "log"),
)
def sidecar_bind(view: View, subject: WorkloadSubject) -> SidecarBind:
    """Does a Sidecar have the proxy bind a port that the application wants for itself?"""
    pods = reading.workload(view, subject).sidecars
    pod = pods[-1] if pods else None
    in_force = reading.sidecar_scope(view, pod) if pod is not None else None
    listeners = sb.binding(in_force.sidecar) if in_force is not None else ()
    if pod is None or in_force is None or in_force.sidecar is None or not listeners:
        return _NOTHING
    services = _services(view, sb.namespaces(listeners, pod.namespace))
    bound = sb.bound(listeners, services, in_force)
    found = next(((c, n) for c in app_containers(pod) for n in _ports(c) if n in bound), None)
    if found is None:
        return _NOTHING
    container, port = found
    return SidecarBind(
        sidecar=Ref(in_force.sidecar.ref),
        sidecar_name=in_force.sidecar.name,
        port=port,
        said=attempt(lambda: _said(view, pod, container, port)),
    )


def _said(view: View, pod: Pod, container: Container, port: int) -> str:
    return container_logs.of_last_end(
        view, pod, container.name, lambda text: sb.taken(text, port), bool
    )


def _ports(container: Container) -> list[int]:
    return [port.container_port for port in container.ports]


def _services(view: View, spaces: Iterable[str]) -> list[Service]:
    if "*" in spaces:
        return list(view.objects("Service", Service))
    return [one for space in sorted(spaces) for one in view.objects("Service", Service, space)]
