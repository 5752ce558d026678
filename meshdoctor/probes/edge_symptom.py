"""Does the client's log of an edge point to certificates? Shared reading; not a probe."""

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import tls_errors
from meshdoctor.mesh.access_log import address
from meshdoctor.mesh.access_logging import CLIENT, SERVER
from meshdoctor.mesh.edge_target import ips, peers, target
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View

CERTIFICATE_WORDS = (
    "verify_failed",
    "alert_unknown_ca",
    "alert_expired",
    "alert_bad_certificate",
    "no_secret",
    "handshake_failure",
    "other",
)


def _wanted(view: View, edge: EdgeSubject, server: WorkloadPods | None) -> ev.Target:
    return target(edge, reading.edge_service(view, edge), server.pods if server is not None else ())


def logged(
    view: View, edge: EdgeSubject, client: WorkloadPods, server: WorkloadPods | None
) -> tuple[str, str, int, bool]:
    """The client's TLS error, why a certificate was refused, how many lines say so, and whether
    its log cannot tell (unreadable, or access logging off)."""
    wanted = _wanted(view, edge, server)
    try:
        logs = proxy_logs.read(view, client, CLIENT)
    except EvidenceError:
        return ("", "", 0, True)
    lines = logs.lines(lambda log: ev.of_client(log, wanted))
    bad = [line for line in lines if ev.tls_word(line) in CERTIFICATE_WORDS]
    word = ev.most_common(ev.tls_word(line) for line in bad)
    verify = ev.most_common(tls_errors.verify_reason(ev.text_of(line)) for line in bad)
    return (word, verify, len(bad), not lines and logs.missing is not None)


def closed(
    view: View, edge: EdgeSubject, client: WorkloadPods, server: WorkloadPods | None
) -> bool:
    """Whether the client's log tells of connections that were closed without a TLS error."""
    wanted = _wanted(view, edge, server)
    try:
        logs = proxy_logs.read(view, client, CLIENT)
    except EvidenceError:
        return False
    lines = logs.lines(lambda log: ev.of_client(log, wanted))
    return any("UC" in line.flags and not ev.tls_word(line) for line in lines)


def beyond(
    view: View, edge: EdgeSubject, client: WorkloadPods, server: WorkloadPods | None
) -> tuple[str, ...]:
    """Addresses outside this cluster's pods whose certificate the client's proxy would not take,
    or that would not take its own: an east-west gateway (15443), or pods of another cluster."""
    wanted = _wanted(view, edge, server)
    try:
        logs = proxy_logs.read(view, client, CLIENT)
    except EvidenceError:
        return ()
    found = {
        line.upstream_host
        for line in logs.lines(lambda log: ev.of_client(log, wanted))
        if line.is_outbound and ev.tls_word(line) in CERTIFICATE_WORDS and line.upstream_host
    }
    own = {ip for pod in view.objects("Pod", Pod) for ip in ips(pod)} if found else set()
    return tuple(sorted(one for one in found if address(one)[0] not in own))


def arrived(
    view: View, edge: EdgeSubject, client: WorkloadPods | None, server: WorkloadPods | None
) -> bool:
    """Whether the server logged a call of this client over Istio mutual TLS: then it works."""
    if client is None or server is None:
        return False
    wanted = _wanted(view, edge, server)
    try:
        logs = proxy_logs.read(view, server, SERVER)
    except EvidenceError:
        return False
    lines = ev.from_peers(logs.lines(lambda log: ev.of_server(log, wanted)), peers(client.pods))
    return any(line.is_inbound and line.server_name_kind == "istio" for line in lines)
