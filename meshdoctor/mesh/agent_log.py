"""What does the log of istio-proxy say about a proxy that is not ready?

Fragments of pilot-agent (pilot/cmd/pilot-agent/status/ready/probe.go, status/server.go,
pkg/envoy/agent.go, security/pkg/nodeagent/sds) and of Envoy, the same in 1.18 to 1.32-dev. Up to
1.8 the agent says "not received from Pilot" and tells a refusal by its counts alone.
The last word on readiness counts: what an agent complained of before it became ready is over.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern


class Complaint(StrEnum):
    """Why the proxy says that it is not ready; NONE: it says nothing, or it is ready."""

    NONE = "none"
    NO_CONFIG = "no-config"
    REJECTED = "rejected"
    NO_CERTIFICATE = "no-certificate"
    NO_RESOLVER = "no-resolver"
    PORT_TAKEN = "port-taken"
    NOT_LIVE = "not-live"


class AgentLog(Struct, frozen=True, kw_only=True):
    """`ready` whether the proxy ever said so, `ready_at` when first (None: no time in the line);
    the texts are the last of their kind, or "". `unreached`: istiod's address does not answer."""

    complaint: Complaint
    text: str
    ready: bool
    ready_at: datetime | None
    out_of_memory: bool
    probe_failed: str
    unreached: str


_READY = "Envoy proxy is ready"
_COUNTS = pattern(r"(\d+) rejected")
_CERTIFICATE = pattern(
    r"failed to warm (?:root )?certificate|failed to sign|"
    r"failed to generate (?:secret|workload certificate)|create certificate: rpc error|"
    r"failed to fetch token from file|Failed to load token"
)
_PORT = pattern(r"[Aa]ddress already in use|EADDRINUSE")
_RESOLVER = pattern(r"no such host|server misbehaving|Temporary failure in name resolution")
_CONNECT = pattern(
    r"code = Unavailable|connection error|i/o timeout|connection refused|no route to host|"
    r"DeadlineExceeded|connection reset"
)
_DIALS = pattern(
    r"dial tcp \[?[\da-f.:]{3,45}\]?:150(?:10|12): .{0,40}(?:i/o timeout|connection refused|"
    r"no route to host|connection reset)"
)
"""The agent has istiod's address, and does not get there."""
_STAMP = pattern(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_LAST_LINES = 2000


def read(text: str) -> AgentLog:
    """The state of a proxy as its own log tells it. An empty log tells nothing."""
    not_ready = certificate = port = resolver = probe = rejected = unreached = ""
    ready = memory = False
    ready_at: datetime | None = None
    for line in text.splitlines()[-_LAST_LINES:]:
        if _READY in line:
            ready, ready_at = True, ready_at or _time(line)
            not_ready = certificate = port = resolver = rejected = unreached = ""
        elif "was rejected" in line and "received from XDS server" in line:
            rejected = not_ready = line
        elif "Envoy proxy is NOT ready" in line or "config not received from " in line:
            not_ready = line
        elif _CERTIFICATE.search(line):
            certificate = line
        elif _PORT.search(line):
            port = line
        elif "Request to probe app failed" in line:
            probe = line
        elif "Envoy may have been out of memory killed" in line:
            memory = True
        if _DIALS.search(line):
            unreached = line
        if _RESOLVER.search(line) and ("15012" in line or "istiod" in line):
            resolver = line
    kind, said = _judge(not_ready, rejected, certificate, port, resolver)
    return AgentLog(
        complaint=kind,
        text=clean(said),
        ready=ready,
        ready_at=ready_at,
        out_of_memory=memory,
        probe_failed=clean(probe),
        unreached=clean(unreached),
    )


def _time(line: str) -> datetime | None:
    found = _STAMP.search(line[:80])
    return datetime.fromisoformat(f"{found.group(1)}+00:00") if found is not None else None


def _judge(
    not_ready: str, rejected: str, certificate: str, port: str, resolver: str
) -> tuple[Complaint, str]:
    """Most specific first: a missing certificate or address also ends in "config not received".

    A certificate that is missing because istiod cannot be reached is no certificate problem.
    """
    if port:
        return Complaint.PORT_TAKEN, port
    refuses = rejected or (not_ready if "config not received" in not_ready else "")
    if any(int(n) for n in _COUNTS.findall(refuses)):
        return Complaint.REJECTED, refuses
    if resolver:
        return Complaint.NO_RESOLVER, resolver
    if certificate and _CONNECT.search(certificate):
        return Complaint.NO_CONFIG, certificate
    if certificate:
        return Complaint.NO_CERTIFICATE, certificate
    if "config not received" in not_ready:
        return Complaint.NO_CONFIG, not_ready
    return (Complaint.NOT_LIVE, not_ready) if not_ready else (Complaint.NONE, "")
