"""Which edges do the ztunnels log as failing, when nobody named one, or only one of their ends?

Each ztunnel logs both ends' connections on its node; peers are found by pod IP and service host.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from meshdoctor.engine.triage import by_address, to_address, to_port
from meshdoctor.mesh.access_log import address
from meshdoctor.mesh.ztunnel_log import Connection
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import workloads
from meshdoctor.probes.view import View
from meshdoctor.probes.ztunnel_reading import connections, ztunnels

MOST = 8
"""Logs read at most."""


class Failed(NamedTuple):
    """One failed connection; `over`: the same target took one later."""

    edge: EdgeSubject
    connection: Connection
    over: bool


def failing_tunnels(view: View, of: Collection[WorkloadSubject] | None = None) -> list[Failed]:
    """Connections that ztunnels show failing, of some workloads or of all; empty when none does.
    Logs that cannot be read are skipped here: the report names what could not be seen."""
    found: list[Failed] = []
    try:
        for pod in _near(view, of):
            found += (one for one in _failed(view, pod) if of is None or _ends(one.edge) & set(of))
    except EvidenceError:
        return found
    return found


def _ends(edge: EdgeSubject) -> set[WorkloadSubject | None]:
    return {edge.client, edge.server}


def _near(view: View, of: Collection[WorkloadSubject] | None) -> list[Pod]:
    """The ztunnels on the nodes of these workloads, or the first of all."""
    if of is None:
        return list(ztunnels(view)[:MOST])
    found = workloads(view)
    mine = [found[key] for one in of if (key := (one.namespace, one.name)) in found]
    nodes = {pod.spec.node_name for one in mine for pod in one.pods}
    return [one for one in ztunnels(view) if one.spec.node_name in nodes][:MOST]


def _failed(view: View, pod: Pod) -> Iterator[Failed]:
    try:
        logged = [one for one in connections(view, pod) if one.complete]
    except EvidenceError:
        return
    last = {one.target: number for number, one in enumerate(logged) if not one.error}
    for number, one in enumerate(logged):
        if one.kind not in ("", "other"):
            for edge in _edge(view, one):
                yield Failed(edge, one, last.get(one.target, -1) > number)


def _edge(view: View, one: Connection) -> Iterator[EdgeSubject]:
    by_ip = by_address(view)
    client = by_ip.get(one.source_ip)
    called, port = address(one.target)
    server = by_ip.get(called)
    if server is not None:
        yield to_port(view, server, port, client, one.source_ip)
    elif client is not None:
        yield from to_address(view, client, one.service or called, called, port)
