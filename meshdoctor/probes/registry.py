"""Which probes are there? One sorted tuple, registered by hand."""

from meshdoctor.probes.client_log import client_log
from meshdoctor.probes.edge_caller import caller
from meshdoctor.probes.edge_seen import edge_seen, refused_peers
from meshdoctor.probes.edge_tls import edge_tls
from meshdoctor.probes.edge_ztunnel import ztunnel_log
from meshdoctor.probes.server_log import server_log
from meshdoctor.probes.view import Probe

PROBES: tuple[Probe, ...] = (
    caller,
    client_log,
    edge_seen,
    edge_tls,
    refused_peers,
    server_log,
    ztunnel_log,
)

BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
