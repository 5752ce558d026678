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
    r"NXDOMAIN|[Nn]ame does not resolve|[Nn]odename nor servname|"
    r"lookup \S+(?: on \S+)?: .{0,200}(?:i/o timeout|connection refused|deadline exceeded)|"
    r"[Rr]esolving timed out|ETIMEOUT"
)
_SILENT = pattern(
    r"[Tt]emporary failure in name resolution|EAI_AGAIN|server misbehaving|i/o timeout|"
    r"connection refused|deadline exceeded|timed out|ETIMEOUT"
)
_UPSTREAM = pattern(r"plugin/errors: \d (?P<name>\S+?)\.? [A-Z]+: (?P<reason>.*)")


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


def ends_unresolved(text: str, names: Iterable[str]) -> bool:
    """Whether the last line of an application's log says so of one of these names.

    >>> ends_unresolved("curl: (6) Could not resolve host: a.example", ["a.example"])
    True
    >>> ends_unresolved("curl: (6) Could not resolve host: a.example\\nGET / 200", ["a.example"])
    False
    """
    last = text.rstrip().rpartition("\n")[2]
    return bool(name_errors(last, names))


def no_answer(line: str) -> bool:
    """Whether a name error says that no resolver answered, rather than that there is no such name.

    >>> no_answer("lookup pay.shop on 10.0.0.10:53: read udp: i/o timeout"), no_answer("ENOTFOUND")
    (True, False)
    """
    return bool(_SILENT.search(line))


def of_resolver(text: str, host: str) -> str:
    """The last line in which CoreDNS says that it could not look the host up; "": none.

    >>> of_resolver("[ERROR] plugin/errors: 2 a.example. A: read udp: i/o timeout", "a.example")
    '[ERROR] plugin/errors: 2 a.example. A: read udp: i/o timeout'
    """
    found = ""
    for line in text.splitlines()[-5000:]:
        said = _UPSTREAM.search(line)
        if said is not None and said["name"].lower().startswith(host.lower()):
            found = line
    return found


def is_private_ip(host: str) -> bool:
    """Whether a host is an address of a private network.

    >>> is_private_ip("10.0.0.7"), is_private_ip("pay.shop"), is_private_ip("8.8.8.8")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return False
