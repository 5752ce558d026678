"""Does the client's application say that it cannot resolve the name?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.dead_calls import name_errors
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.view import View, probe


class ClientAppLog(Struct, frozen=True, kw_only=True):
    """Lines of the client's application containers that name this service."""

    name_errors: Annotated[Fact[int], "lines that say its name could not be resolved", OBSERVED]
    text: Annotated[Fact[str], "the last of them", OBSERVED]


@probe(
    "client-app-log",
    subject=SubjectKind.EDGE,
    reads=("DaemonSet", "Deployment", "Job", "Pod", "StatefulSet", "log"),
    costly=True,
)
def client_app_log(view: View, edge: EdgeSubject) -> ClientAppLog:
    """Does the client's application say that it cannot resolve the name?"""
    if edge.client is None:
        raise NotAskedError("log of the client's application", "no client is named")
    pod = reading.workload(view, edge.client).pod
    names = [edge.host.split(".")[0] if edge.service is not None else edge.host]
    found: list[str] = []
    for text in container_logs.read(view, pod, app_containers(pod)) if pod is not None else ():
        found += name_errors(text, names)
    return ClientAppLog(name_errors=len(found), text=clean(found[-1], 200) if found else "")
