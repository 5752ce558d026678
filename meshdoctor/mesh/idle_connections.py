"""Which calls came just when the upstream closed a connection that lay idle?

HTTP/1.1 keep-alive: the upstream closes after its own idle timeout, and a request that is on its
way then ends in UC without an answer. Envoy does not try it again by itself (retry.go of istiod
leaves UC out). Such a connection is known by the proxy's own address on it, which every line tells.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.model.patterns import pattern

SHORTEST = timedelta(milliseconds=500)
_IDENTIFIER = pattern(r"[^/]*\d[^/]*")
_LONGEST_MS = 10**9


class IdleCall(Struct, frozen=True, kw_only=True):
    """A call that ended with its connection, and how long that had lain idle before."""

    line: Line
    idle: timedelta


def cut_off(given: Iterable[Line]) -> tuple[IdleCall, ...]:
    """Calls in UC on a connection that had answered before and then lain idle.

    Only where others of the same kind are answered well: else it may be the request itself at which
    the upstream breaks. The lines are all that the proxies logged of the upstream, of any caller.
    """
    timed = sorted(
        ((line.start, line) for line in given if line.start is not None and line.method),
        key=lambda pair: pair[0],
    )
    good = {_kind(line) for _, line in timed if 0 < line.code < 500 and not line.flags}
    answered: dict[tuple[str, str], datetime] = {}
    found = []
    for start, line in timed:
        way = (line.upstream_host, line.upstream_local)
        if "UC" not in line.flags:
            answered[way] = start + timedelta(milliseconds=min(line.duration_ms, _LONGEST_MS))
            continue
        before = answered.pop(way, None) if all(way) else None
        if before is not None and start - before >= SHORTEST and _kind(line) in good:
            found.append(IdleCall(line=line, idle=start - before))
    return tuple(found)


def shortest(calls: Iterable[IdleCall]) -> int:
    """The shortest such time in whole seconds, at least 1; 0: no call.

    The upstream's keep-alive is no longer than this."""
    return max((1, round(min(times)))) if (times := [c.idle.total_seconds() for c in calls]) else 0


def _kind(line: Line) -> tuple[str, str]:
    """Method and path, without the query and without what looks like an identifier."""
    return (line.method, _IDENTIFIER.sub("*", line.path.partition("?")[0]))
