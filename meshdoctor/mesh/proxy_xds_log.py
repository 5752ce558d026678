"""Has a proxy lost its connection to istiod, and what came over it?

Envoy closes and reopens its stream about twice an hour by design: only a loss with no connection
after it is one.
"""

from msgspec import Struct

from meshdoctor.mesh.istiod_log import ROWS
from meshdoctor.mesh.log_lines import AGENT, ENVOY, Said, of, scan

_TOO_LARGE = "received message larger than max"
_LOST = ("xds_closed", "xds_connect_failed", "xds_terminated")


class XdsLog(Struct, frozen=True, kw_only=True):
    """`lost`: the last word is a loss that lasts; `ended`: the last word is any end of the
    connection, be it of a moment; `too_large`: messages over gRPC's limit."""

    lost: Said | None
    ended: Said | None
    losses: int
    too_large: tuple[Said, ...]
    warming: int


def read(text: str) -> XdsLog:
    """The connection as the proxy's log tells it.

    >>> line = "2026-01-01T00:00:00Z\\tinfo\\txdsproxy\\tconnected to delta upstream XDS server: i"
    >>> gone = ("2026-01-01T00:00:01Z\\twarning\\tenvoy config\\tDeltaAggregatedResources gRPC "
    ...         "config stream to xds-grpc closed since 40s ago: 14, connection error")
    >>> read(line + "\\n" + gone).lost is not None, read(gone + "\\n" + line).lost
    (True, None)
    """
    said = scan(text, (*ENVOY, *AGENT, *ROWS))
    losses = of(said, *_LOST)
    last = next((s for s in reversed(said) if s.kind in (*_LOST, "xds_connected")), None)
    ended = last if last is not None and last.kind in _LOST else None
    return XdsLog(
        ended=ended,
        lost=ended if ended is not None and _real(ended) else None,
        losses=len(losses),
        too_large=tuple(s for s in said if _TOO_LARGE in s.text),
        warming=text.count("initial fetch timed out for"),
    )


def _real(last: Said) -> bool:
    """A close that Envoy announces without `since` is the first moment of any reconnection."""
    return last.kind == "xds_connect_failed" or bool(last.get("seconds"))
