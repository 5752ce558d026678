"""Did calls go to addresses that no endpoint has any more?"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.model.patterns import pattern

_DNS = pattern(
    r"no such host|[Nn]ame or service not known|[Tt]emporary failure in name resolution|"
    r"ENOTFOUND|EAI_AGAIN|UnknownHostException|[Cc]ould not resolve host|server misbehaving|"
    r"NXDOMAIN|[Nn]ame does not resolve|[Nn]odename nor servname"
)


class DeadCalls(Struct, frozen=True, kw_only=True):
    """Failed connections to addresses outside the endpoints; `span` between first and last."""

    count: int
    address: str
    span: timedelta
    last: datetime | None


def dead_calls(lines: Iterable[Line], known: frozenset[str]) -> DeadCalls:
    """UF lines whose upstream address is not among `known` (every address of the slices)."""
    bad = [
        line
        for line in lines
        if "UF" in line.flags and line.upstream_host and _ip(line) and _ip(line) not in known
    ]
    times = sorted(line.start for line in bad if line.start is not None)
    common = Counter(map(_ip, bad)).most_common(1)
    return DeadCalls(
        count=len(bad),
        address=common[0][0] if common else "",
        span=times[-1] - times[0] if times else timedelta(0),
        last=times[-1] if times else None,
    )


def _ip(line: Line) -> str:
    return address(line.upstream_host)[0]


def older_than(lines: Iterable[Line], change: datetime | None) -> int:
    """Connections and streams that began before a change and ended over a minute after it."""
    if change is None:
        return 0
    return sum(
        line.start is not None
        and line.start < change
        and line.start + timedelta(milliseconds=min(line.duration_ms, 10**9))
        > change + timedelta(minutes=1)
        for line in lines
    )


def name_errors(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Lines of an application's log that say one of these names could not be resolved."""
    wanted = tuple(n for n in names if n)
    return tuple(
        line
        for line in text.splitlines()[-5000:]
        if _DNS.search(line) and any(n in line for n in wanted)
    )


def is_private_ip(host: str) -> bool:
    """Whether a host is an address of a private network.

    >>> is_private_ip("10.0.0.7"), is_private_ip("pay.shop"), is_private_ip("8.8.8.8")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return False
