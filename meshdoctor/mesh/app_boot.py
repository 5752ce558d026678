"""Did an application fail to connect in its first moments only, while its proxy was not ready?

Words of the usual clients for a connection that nobody takes: before Envoy listens, the redirected
calls of the application are refused by its own pod.
"""

from datetime import UTC, datetime, timedelta

from meshdoctor.mesh.log_text import lines
from meshdoctor.model.patterns import pattern

_REFUSED = pattern(
    r"ECONNREFUSED|[Cc]onnection refused|connect: connection refused|Failed to connect to|"
    r"[Cc]ould not connect|[Cc]ouldn't connect|ConnectException"
)
_STAMP = pattern(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_SETTLED = timedelta(seconds=5)
"""Calls that began just before it was ready may still fail a moment later."""


def refused_early(text: str, ready: datetime) -> str:
    """The first line in which a connection was refused before the proxy was ready, where none was
    refused later; "": none. Lines without a time tell nothing.

    >>> ready = datetime(2026, 11, 18, 9, 0, 2, tzinfo=UTC)
    >>> refused_early("2026-11-18T09:00:01Z connect ECONNREFUSED 10.0.0.7:80", ready)
    '2026-11-18T09:00:01Z connect ECONNREFUSED 10.0.0.7:80'
    """
    first = ""
    for line in lines(text):
        head = line[:2000]
        at = _time(head) if _REFUSED.search(head) else None
        if at is None:
            continue
        if at > ready + _SETTLED:
            return ""
        if at < ready and not first:
            first = line
    return first


def _time(head: str) -> datetime | None:
    found = _STAMP.search(head[:80])
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    text = f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{zone or '+00:00'}"
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
