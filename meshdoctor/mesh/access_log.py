"""Which requests and connections does an Envoy access log tell of?

Reads Istio's default text layout and its JSON layout (pilot/pkg/model/telemetry_logging.go, the
same from 1.9 to 1.32-dev; 1.4 to 1.8 have no fields 5 and 6, and Mixer's status in quotes may stand
in their place). Header values are written by the client and not escaped, so fields 1
to 11 are taken from the left, 16 to 22 from the right; those between are for display only.
A line of any other format is not access evidence: it goes to `other`.

>>> log = parse('[2026-11-18T09:24:00.313Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - '
...             '"-" "-" "-" "-" "-" - - 10.0.0.2:8082 10.0.0.1:50178 - -')
>>> log.lines[0].is_listener, sorted(log.lines[0].flags), log.lines[0].peer_ip
(True, ['NR'], '10.0.0.1')
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.log_text import MAX_LINE, json_object, lines, when
from meshdoctor.model.patterns import pattern

_LEFT = pattern(
    r'^\[(\d{4}-\d\d-\d\dT[^\]]{1,40})\] "(\S+) (\S*) (\S+)" (\d{1,3}) (\S+)'
    r'(?: ([^\s"]\S*) ([^\s"]\S*)|(?: "[^"]*")?)'
    r' "([^"]*)" (\d+|-) (\d+|-) (\d+|-) (\S+) (.*)$'
)
_LOOKS = pattern(r'^\[\d{4}-\d\d-\d\dT[^\]]{1,40}\] "')
_JSON_KEYS = ("response_code", "response_flags", "start_time", "authority")


class Line(Struct, frozen=True, kw_only=True):
    """One access-log line. What is absent (`-`) is "", and 0 for numbers.

    `details` is response_code_details, `termination` connection_termination_details,
    `transport_failure` upstream_transport_failure_reason, `server_name` the SNI. `path`,
    `forwarded_for`, `user_agent`, `request_id` and `authority` are the client's words.
    """

    start: datetime | None
    method: str
    path: str
    protocol: str
    code: int
    flags: frozenset[str]
    details: str
    termination: str
    transport_failure: str
    bytes_received: int
    bytes_sent: int
    duration_ms: int
    forwarded_for: str
    user_agent: str
    request_id: str
    authority: str
    upstream_host: str
    upstream_cluster: str
    upstream_local: str
    downstream_local: str
    downstream_remote: str
    server_name: str
    route_name: str
    raw: str

    @property
    def is_tcp(self) -> bool:
        """A TCP connection or a listener line: there is no method."""
        return not self.method

    @property
    def is_listener(self) -> bool:
        """The connection ended before a filter chain took it: no method, no code, no cluster."""
        return not self.method and not self.code and not self.upstream_cluster

    @property
    def is_inbound(self) -> bool:
        """Written by the server's sidecar about a call to its own workload (not a listener line).

        Refused or denied requests carry the inbound cluster too.
        """
        return self.upstream_cluster.startswith("inbound|") or self.upstream_cluster.startswith(
            "InboundPassthrough"
        )

    @property
    def is_outbound(self) -> bool:
        """Written by the caller's proxy or a gateway about a call to a service."""
        return self.upstream_cluster.startswith("outbound|")

    @property
    def cluster_host(self) -> str:
        """HOST of `outbound|PORT|SUBSET|HOST`; "" for other clusters."""
        parts = self.upstream_cluster.split("|", 3)
        return parts[3] if len(parts) == 4 else ""

    @property
    def host(self) -> str:
        """The Host header without its port, in lower case; "" when there was none."""
        return bare_host(self.authority)

    @property
    def cluster_subset(self) -> str:
        parts = self.upstream_cluster.split("|", 3)
        return parts[2] if len(parts) == 4 else ""

    @property
    def cluster_port(self) -> int:
        """PORT of `outbound|PORT|…` (service port) or `inbound|PORT||` (workload port, but see
        `workload_port`); 0: none."""
        parts = self.upstream_cluster.split("|", 3)
        return number(parts[1]) if len(parts) == 4 else 0

    @property
    def peer_ip(self) -> str:
        """Address of the connection's other end, without port (field 20)."""
        return address(self.downstream_remote)[0]

    @property
    def forwarded(self) -> bool:
        """The peer is told from X-Forwarded-For, so without a port: a gateway stands between."""
        return self.downstream_remote.endswith(":0")

    @property
    def local_port(self) -> int:
        """Port that the peer called (field 19); 0 when absent."""
        return address(self.downstream_local)[1]

    @property
    def workload_port(self) -> int:
        """Port of the workload that an inbound or listener line is about; 0 when not told.
        `inbound|PORT|NAME|HOST`, as proxies before 1.9 have it, names the service's port instead:
        there the port that the peer called tells.

        >>> head = '[2026-11-18T09:24:00.313Z] "GET / HTTP/1.1" 503 UAEX "-" "-" 0 0 1 - "-" "-" '
        >>> tail = '- 10.0.0.2:8080 10.0.0.1:501 - default'
        >>> old = parse_line(head + '"-" "pay" "-" inbound|80|http|pay.shop.svc.local ' + tail)
        >>> new = parse_line(head + '"-" "pay" "-" inbound|8080|| ' + tail)
        >>> old.workload_port, new.workload_port
        (8080, 8080)
        """
        named = 0 if self.cluster_host else self.cluster_port
        return named or self.local_port or self.cluster_port

    @property
    def server_name_kind(self) -> str:
        """How the peer spoke, from the SNI: `istio` (`outbound_.…`, Istio mutual TLS),
        `plaintext` (absent), `foreign` (any other name: TLS that the application itself did)."""
        if not self.server_name:
            return "plaintext"
        return "istio" if self.server_name.startswith("outbound_.") else "foreign"

    @property
    def server_name_target(self) -> tuple[int, str]:
        """PORT and HOST of Istio's SNI `outbound_.PORT_.SUBSET_.HOST`; (0, "") for any other."""
        parts = self.server_name.split("_.", 3)
        if len(parts) != 4 or parts[0] != "outbound":
            return 0, ""
        return number(parts[1]), parts[3]


class AccessLog(Struct, frozen=True, kw_only=True):
    """What a proxy's log holds.

    `other` are the lines of pilot-agent and Envoy; `unreadable` counts lines that look like an
    access log of another format: with no `lines` at all, logging has a custom format.
    """

    lines: tuple[Line, ...]
    other: tuple[str, ...]
    unreadable: int = 0


def parse(text: str) -> AccessLog:
    """Access lines in order, everything else in `other`; never raises.

    No lines means that the log holds none, which is not evidence of no failures: access logging
    may be off (see `mesh.access_logging`) or its format custom (`unreadable`).
    """
    found: list[Line] = []
    other: list[str] = []
    unreadable = 0
    for raw in lines(text):
        one = parse_line(raw)
        if one is not None:
            found.append(one)
            continue
        other.append(raw)
        if _LOOKS.match(raw) or _is_foreign_json(raw):
            unreadable += 1
    return AccessLog(lines=tuple(found), other=tuple(other), unreadable=unreadable)


def parse_line(raw: str) -> Line | None:
    """One access line of either layout, text or JSON; None when it is none."""
    if raw.startswith("["):
        return _from_text(raw)
    data = json_object(raw)
    return _from_json(data, raw) if data is not None else None


def _from_text(raw: str) -> Line | None:
    if len(raw) > MAX_LINE:
        return None
    left = _LEFT.match(raw)
    if left is None:
        return None
    right = left[14].rsplit(" ", 6)
    if len(right) != 7 or any('"' in token for token in right[1:]):
        return None
    middle = _middle(right[0])
    if middle is None:
        return None
    fields: dict[str, object] = {
        "start_time": left[1],
        "method": left[2],
        "path": left[3],
        "protocol": left[4],
        "response_code": left[5],
        "response_flags": left[6],
        "response_code_details": left[7] or "",
        "connection_termination_details": left[8] or "",
        "upstream_transport_failure_reason": left[9],
        "bytes_received": left[10],
        "bytes_sent": left[11],
        "duration": left[12],
        "x_forwarded_for": middle[0],
        "user_agent": middle[1],
        "request_id": middle[2],
        "authority": middle[3],
        "upstream_host": middle[4],
        "upstream_cluster": right[1],
        "upstream_local_address": right[2],
        "downstream_local_address": right[3],
        "downstream_remote_address": right[4],
        "requested_server_name": right[5],
        "route_name": right[6],
    }
    return _line(fields, raw)


def _middle(text: str) -> tuple[str, str, str, str, str] | None:
    """Fields 12 to 16; quotes inside the client's own values shift only the client's own values."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    head, *tail = text[1:-1].rsplit('" "', 3)
    forwarded, found, agent = head.partition('" "')
    if not found or len(tail) != 3:
        return None
    return (forwarded, agent, tail[0], tail[1], tail[2])


def _from_json(data: Mapping[str, object], raw: str) -> Line | None:
    if "response_code" not in data or not any(
        key in data for key in ("response_flags", "upstream_cluster", "downstream_remote_address")
    ):
        return None
    return _line(data, raw)


def _is_foreign_json(raw: str) -> bool:
    """A JSON object that some access-log format wrote, though not ours."""
    data = json_object(raw)
    return data is not None and any(key in data for key in _JSON_KEYS)


def _line(fields: Mapping[str, object], raw: str) -> Line:
    def text(key: str) -> str:
        value = fields.get(key)
        if value is None or isinstance(value, dict | list | bool):
            return ""
        return "" if value == "-" else str(value)

    return Line(
        start=when(text("start_time")),
        method=text("method"),
        path=text("path"),
        protocol=text("protocol"),
        code=number(text("response_code")),
        flags=frozenset(f for f in text("response_flags").split(",") if f),
        details=text("response_code_details"),
        termination=text("connection_termination_details"),
        transport_failure=text("upstream_transport_failure_reason"),
        bytes_received=number(text("bytes_received")),
        bytes_sent=number(text("bytes_sent")),
        duration_ms=number(text("duration")),
        forwarded_for=text("x_forwarded_for"),
        user_agent=text("user_agent"),
        request_id=text("request_id"),
        authority=text("authority"),
        upstream_host=text("upstream_host"),
        upstream_cluster=text("upstream_cluster"),
        upstream_local=text("upstream_local_address"),
        downstream_local=text("downstream_local_address"),
        downstream_remote=text("downstream_remote_address"),
        server_name=text("requested_server_name"),
        route_name=text("route_name"),
        raw=raw,
    )


def number(text: str) -> int:
    """A whole number as logs write it; 0 when it is none."""
    head = text.partition(".")[0]
    return int(head) if head.isascii() and head.isdigit() and len(head) < 19 else 0


def address(text: str) -> tuple[str, int]:
    """(ip, port) of `10.0.0.1:8080` or `[fd00::1]:8080`; ("", 0) when it is no address.

    >>> address("[fd00::1]:8080")
    ('fd00::1', 8080)
    """
    host, found, port = text.rpartition(":")
    if not found:
        return ("", 0)
    return (host.strip("[]"), number(port))
