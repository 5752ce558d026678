"""Does no call of this edge come as far as the client's proxy?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.dead_calls import ends_unresolved
from meshdoctor.mesh.edge_target import target
from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes import container_logs, proxy_logs, reading
from meshdoctor.probes.view import View, attempt, known, probe


class ClientSilence(Struct, frozen=True, kw_only=True):
    """Where the proxy's access log cannot be read, an application whose log ends with a name that
    it could not resolve has called nobody since; any other log leaves it unknown."""

    silent: Annotated[Fact[bool], "no call of this edge comes as far as the proxy", OBSERVED]


@probe(
    "client-silence",
    subject=SubjectKind.EDGE,
    reads=proxy_logs.READS,
    costly=True,
)
def client_silence(view: View, edge: EdgeSubject) -> ClientSilence:
    """Does no call of this edge come as far as the client's proxy?"""
    if edge.client is None:
        raise NotAskedError("log of the client's proxy", "no client is named")
    calls = attempt(lambda: _calls(view, edge))
    if not isinstance(calls, Unavailable):
        return ClientSilence(silent=calls == 0)
    return ClientSilence(silent=_ends_unresolved(view, edge) or calls)


def _calls(view: View, edge: EdgeSubject) -> int:
    """Calls in the proxy's access log; raises EvidenceError where it shows none and may lack
    some."""
    assert edge.client is not None
    logs = proxy_logs.read(view, reading.workload(view, edge.client), CLIENT)
    wanted = target(edge, reading.edge_service(view, edge), ())
    return known(logs.seen(len(logs.lines(lambda log: ev.of_client(log, wanted)))))


def _ends_unresolved(view: View, edge: EdgeSubject) -> bool:
    pod = reading.workload(view, edge.client).pod if edge.client is not None else None
    if pod is None:
        return False
    names = [edge.host.split(".")[0] if edge.service is not None else edge.host]
    texts = container_logs.readable(view, pod, app_containers(pod))
    return any(ends_unresolved(text, names) for text in texts)
