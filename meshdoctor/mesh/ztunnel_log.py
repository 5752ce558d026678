"""Which connections does a ztunnel's access log tell of, and who refused them?

ztunnel writes `connection complete` (and `connection opened` at debug) as key=value text, or as
JSON with the same keys (ztunnel src/proxy/metrics.rs ConnectionResult; 1.22 to 1.31). One that
ends before it finds where to go is `connection failed`, with fewer keys; 1.22 does not quote its
error, which is the last key.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.access_log import address, number
from meshdoctor.mesh.log_text import MAX_LINE, json_object, lines, when
from meshdoctor.model.patterns import pattern

_HEAD = pattern(r"^(\S+)\s+(\w+)\s+access\s+connection (complete|failed|opened)\s+")
_BARE_ERROR = pattern(r'\serror=([^"\s].*)$')
_PAIR = pattern(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|\S*)')


class Connection(Struct, frozen=True, kw_only=True):
    """One connection. `source_identity` "" means that the caller presented none (plaintext).

    `target` is the workload address called: `dst.hbone_addr` when tunnelled, else `dst.addr`.
    """

    at: datetime | None
    direction: str
    source: str
    source_workload: str
    source_namespace: str
    source_identity: str
    target: str
    service: str
    target_workload: str
    target_namespace: str
    target_identity: str
    bytes_sent: int
    bytes_received: int
    error: str
    complete: bool
    raw: str

    @property
    def source_ip(self) -> str:
        return address(self.source)[0]

    @property
    def target_port(self) -> int:
        return address(self.target)[1]

    @property
    def denied_by(self) -> str:
        """`namespace/policy` of an explicit denial; "" otherwise.

        STRICT is policy `istio_converted_static_strict` in the root namespace.
        """
        return self.error.partition("explicitly denied by: ")[2].split(" ")[0].strip("\"'")

    @property
    def kind(self) -> str:
        """What the error means: `strict`, `denied`, `not_allowed`, `hbone_blocked`, `refused`,
        `timeout`, `unknown_waypoint`, `no_upstream`, `peer_denied`, `tls`, `other`; "" is none."""
        if not self.error:
            return ""
        return next(kind for kind, marks in _KINDS if any(m in self.error for m in marks))


_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("strict", ("istio_converted_static_strict",)),
    ("denied", ("explicitly denied by:",)),
    ("not_allowed", ("allow policies exist, but none allowed",)),
    ("hbone_blocked", ("NetworkPolicy is blocking HBONE",)),
    ("unknown_waypoint", ("unknown waypoint",)),
    ("no_upstream", ("no healthy upstream", "no valid upstream")),
    ("peer_denied", ("http status: 401",)),
    ("refused", ("Connection refused", "os error 111")),
    ("timeout", ("timed out", "os error 110", "deadline has elapsed")),
    ("tls", ("tls handshake", "certificate", "expected SAN")),
    ("other", ("",)),
)


def parse(text: str) -> tuple[Connection, ...]:
    """Connections in order; empty when the log holds no access line. Never raises.

    >>> log = parse('2026-11-18T09:24:00.9Z error access connection complete '
    ...   'src.addr=10.0.0.1:41512 dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:9080 '
    ...   'direction="inbound" error="connection closed due to policy rejection: '
    ...   'explicitly denied by: istio-system/istio_converted_static_strict"')
    >>> log[0].kind, log[0].denied_by, log[0].target
    ('strict', 'istio-system/istio_converted_static_strict', '10.0.0.2:9080')
    """
    found = []
    for raw in lines(text):
        if "connection " not in raw or len(raw) > MAX_LINE:
            continue
        one = _from_json(raw) if raw.startswith("{") else _from_text(raw)
        if one is not None:
            found.append(one)
    return tuple(found)


def _from_text(raw: str) -> Connection | None:
    head = _HEAD.match(raw)
    if head is None:
        return None
    pairs = {key: _unquote(value) for key, value in _PAIR.findall(raw[head.end() :])}
    bare = _BARE_ERROR.search(raw)
    if bare is not None:
        pairs["error"] = bare[1].strip()
    return _connection(pairs, head[1], head[3] != "opened", raw)


def _from_json(raw: str) -> Connection | None:
    data = json_object(raw)
    if data is None or data.get("scope") != "access":
        return None
    message = str(data.get("message", ""))
    if not message.startswith("connection "):
        return None
    flat = {key: str(value) for key, value in data.items() if value is not None}
    return _connection(flat, flat.get("time", ""), not message.endswith("opened"), raw)


def _connection(pairs: Mapping[str, str], time: str, complete: bool, raw: str) -> Connection:
    error = pairs.get("error", "")
    return Connection(
        at=when(time),
        direction=pairs.get("direction", ""),
        source=pairs.get("src.addr", ""),
        source_workload=pairs.get("src.workload", ""),
        source_namespace=pairs.get("src.namespace", ""),
        source_identity=pairs.get("src.identity", ""),
        target=pairs.get("dst.hbone_addr") or pairs.get("dst.addr", ""),
        service=pairs.get("dst.service", ""),
        target_workload=pairs.get("dst.workload", ""),
        target_namespace=pairs.get("dst.namespace", ""),
        target_identity=pairs.get("dst.identity", ""),
        bytes_sent=number(pairs.get("bytes_sent", "")),
        bytes_received=number(pairs.get("bytes_recv", "")),
        error=error,
        complete=complete,
        raw=raw,
    )


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
