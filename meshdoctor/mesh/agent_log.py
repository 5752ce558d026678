"""What does the log of istio-proxy say about a proxy that is not ready?

Fragments of pilot-agent (pilot/cmd/pilot-agent/status/ready/probe.go, status/server.go,
pkg/envoy/agent.go, security/pkg/nodeagent/sds) and of Envoy, the same in 1.18 to 1.32-dev. Up to
1.8 the agent says "not received from Pilot" and tells a refusal by its counts alone.
The last word on readiness counts: what an agent complained of before it became ready is over.
Envoy opens port 15021 only once it has its first configuration, so an agent that nobody answers may
never be asked, and never says "NOT ready"; Envoy tells of the failing stream after 30 s only. Until
then all there is to see is that the agent starts to connect and never says that it has.
"""

from datetime import datetime, timedelta
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
    SETTINGS = "settings"
    NO_SOCKET = "no-socket"
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
    probe_failed_at: datetime | None
    unreached: str


_READY = "Envoy proxy is ready"
NO_PROBER = "Prober does not exist"
"""The agent is asked for a probe that it was not told of, and answers 404 (1.22: "exists url")."""
_COUNTS = pattern(r"(\d+) rejected")
_CERTIFICATE = pattern(
    r"failed to warm (?:root )?certificate|failed to sign|"
    r"failed to generate (?:secret|workload certificate)|create certificate: rpc error|"
    r"failed to fetch token from file|Failed to load token"
)
_PORT = pattern(r"[Aa]ddress already in use|EADDRINUSE")
_SETTINGS = pattern(
    r"^Error: (?:unknown (?:scope|flag|shorthand|command)|invalid |could not parse|"
    r"failed to (?:parse|unmarshal|get proxy config)|"
    r".{0,200}(?:error converting YAML|cannot unmarshal|unknown field))"
)
"""Last words of an agent (cobra prints them) that ends over an argument, an environment variable
or a proxy config."""
_SOCKET = pattern(
    r"Failed to create directory for \S*/var/run/secrets|Failed to set up UDS path|"
    r"failed to listen on unix socket"
)
"""The agent cannot make a socket that Envoy asks for its certificates or its configuration."""
_RESOLVER = pattern(
    r"no such host|server misbehaving|Temporary failure in name resolution|"
    r"\blookup [\w.-]{1,253}(?: on \S{1,60})?: "
)
_CONNECT = pattern(
    r"code = Unavailable|connection error|i/o timeout|connection refused|no route to host|"
    r"DeadlineExceeded|connection reset"
)
_DIALS = pattern(
    r"dial tcp \[?[\da-f.:]{3,45}\]?:150(?:10|12): .{0,40}(?:i/o timeout|connection refused|"
    r"no route to host|connection reset)"
)
"""The agent has istiod's address, and does not get there."""
_STREAM = pattern(
    r"(?:Aggregated\w* gRPC config stream|xds-grpc)\b.{0,80}? closed(?: since \d+s ago)?: |"
    r"failed to connect to upstream "
)
_BEGINS = "Initializing with upstream address"
_CONNECTED = pattern(r"connected to (?:delta )?upstream XDS server")
_PATIENCE = timedelta(seconds=10)
"""An agent is connected within a second or two of its start."""
_STAMP = pattern(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_LAST_LINES = 2000


def refused_settings(text: str) -> str:
    """The last words of an agent that ends over a setting; empty: it ended for another reason.

    >>> refused_settings("error\tinvalid output level 'loud'\nError: invalid output level 'loud'\n")
    "Error: invalid output level 'loud'"
    """
    lines = (line for line in reversed(text.splitlines()) if _SETTINGS.search(line))
    return next(lines, "")


def read(text: str, now: datetime | None = None) -> AgentLog:
    """The state of a proxy as its own log tells it. An empty log tells nothing; `now` tells how
    long an agent has tried to connect."""
    not_ready = certificate = port = resolver = probe = rejected = unreached = ""
    stream = begun = settings = socket = ""
    ready = memory = connected = False
    ready_at: datetime | None = None
    for line in text.splitlines()[-_LAST_LINES:]:
        if _READY in line:
            ready, ready_at = True, ready_at or _time(line)
            not_ready = certificate = port = resolver = rejected = unreached = stream = begun = ""
            settings = socket = ""
        elif "was rejected" in line and "received from XDS server" in line:
            rejected = not_ready = line
        elif "Envoy proxy is NOT ready" in line or "config not received from " in line:
            not_ready = line
        elif _SOCKET.search(line):
            socket = line
        elif _CERTIFICATE.search(line):
            certificate = line
        elif _PORT.search(line):
            port = line
        elif _SETTINGS.search(line):
            settings = line
        elif "Request to probe app failed" in line or NO_PROBER in line:
            probe = line
        elif "Envoy may have been out of memory killed" in line:
            memory = True
        elif _BEGINS in line:
            begun, connected = line, False
        elif _CONNECTED.search(line):
            connected, resolver, unreached, stream = True, "", "", ""
        elif _STREAM.search(line) and _lost(line):
            connected, stream = False, line
        if _DIALS.search(line):
            unreached = line
        if _RESOLVER.search(line) and ("15012" in line or "istiod" in line):
            resolver = line
    said = Words(
        not_ready=not_ready,
        rejected=rejected,
        certificate=certificate,
        port=port,
        settings=settings,
        socket=socket,
        resolver=resolver,
        stream=stream,
        waits="" if connected or not _lasts(begun, now) else begun,
        connected=connected,
    )
    kind, told = _judge(said)
    return AgentLog(
        complaint=kind,
        text=clean(told),
        ready=ready,
        ready_at=ready_at,
        out_of_memory=memory,
        probe_failed=clean(probe),
        probe_failed_at=_time(probe) if probe else None,
        unreached=clean(unreached),
    )


class Words(Struct, frozen=True, kw_only=True):
    """The last line of each kind that still stands, or "": `stream` the connection to istiod that
    failed, `waits` the beginning of one of which nothing was heard since."""

    not_ready: str
    rejected: str
    certificate: str
    port: str
    settings: str
    socket: str
    resolver: str
    stream: str
    waits: str
    connected: bool


def _lost(line: str) -> bool:
    return _CONNECT.search(line) is not None or _RESOLVER.search(line) is not None


def _lasts(begun: str, now: datetime | None) -> bool:
    """Whether what began then has lasted too long."""
    at = _time(begun)
    return at is not None and now is not None and now - at >= _PATIENCE


def _time(line: str) -> datetime | None:
    found = _STAMP.search(line[:80])
    return datetime.fromisoformat(f"{found.group(1)}+00:00") if found is not None else None


def _judge(said: Words) -> tuple[Complaint, str]:
    """Most specific first: a missing certificate or address also ends in "config not received".

    A certificate that is missing because istiod cannot be reached is no certificate problem; one
    that is missing though istiod is connected is (the proxy asks another CA).
    """
    if said.port:
        return Complaint.PORT_TAKEN, said.port
    if said.settings:
        return Complaint.SETTINGS, said.settings
    refuses = said.rejected or (said.not_ready if "config not received" in said.not_ready else "")
    if any(int(n) for n in _COUNTS.findall(refuses)):
        return Complaint.REJECTED, refuses
    if said.socket:
        return Complaint.NO_SOCKET, said.socket
    if said.resolver:
        return Complaint.NO_RESOLVER, said.resolver
    if said.certificate and _CONNECT.search(said.certificate) and not said.connected:
        return Complaint.NO_CONFIG, said.certificate
    if said.certificate:
        return Complaint.NO_CERTIFICATE, said.certificate
    if "config not received" in said.not_ready:
        return Complaint.NO_CONFIG, said.not_ready
    if said.stream:
        return Complaint.NO_CONFIG, said.stream
    if said.waits:
        return Complaint.NO_CONFIG, f"{said.waits}, and is not connected since"
    return (Complaint.NOT_LIVE, said.not_ready) if said.not_ready else (Complaint.NONE, "")


_OWN = pattern(r"Proxy role\b.{0,400}?(?:ips=\[|IPAddresses:\[\]string\{)([^\]}]{0,400})[\]}]")
_IPV4 = pattern(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


def own_ipv4(text: str) -> str:
    """An IPv4 address that the agent found in its pod: with one the proxy takes itself for IPv4 and
    listens on 0.0.0.0 (pilot/pkg/model, IsIPv6; pilot/cmd/pilot-agent/app/cmd.go); "": none.

    >>> own_ipv4("info\\tProxy role\\tips=[169.254.172.3 2406:da1a:1::15] type=router id=a.b")
    '169.254.172.3'
    >>> own_ipv4("info\\tProxy role\\tips=[2406:da1a:1::15] type=router id=a.b")
    ''
    """
    for line in text.split("\n"):
        found = _OWN.search(line[:4000]) if "Proxy role" in line else None
        if found is not None:
            four = _IPV4.search(found[1])
            return four[0] if four is not None else ""
    return ""
