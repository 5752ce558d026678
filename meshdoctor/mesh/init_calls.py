"""Do the calls of an init container pass the redirection by, as its log tells where they go?

Words of the usual clients: Go's `dial tcp ADDRESS:PORT`, curl's and psql's `port N`, URLs.
"""

import ipaddress

from meshdoctor.mesh.capture import excluded, excludes_some
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

_AT = pattern(r"(?:dial tcp |://|\bto |\()(\[?[\w.:\-]{1,200}\]?):(\d{2,5})\b")
_PORT = pattern(r"\bport[ =:]{1,2}(\d{2,5})\b")
_FAILED = pattern(
    r"refused|timed? ?out|unreachable|no route|reset|[Cc]onnection failed|could not connect|"
    r"[Cc]ouldn't connect|[Ff]ailed to connect|deadline exceeded"
)


def targets(text: str) -> frozenset[tuple[str, int]]:
    """(address, port) of the failing calls that a log names; the address is "" where the log has
    a name or none.

    >>> sorted(targets("Put http://vault:8200/v1: dial tcp 10.0.0.7:8200: connection refused"))
    [('', 8200), ('10.0.0.7', 8200)]
    """
    found = set()
    for line in text[-200_000:].splitlines():
        if _FAILED.search(line[:2000]):
            head = line[:2000]
            found |= {(_address(m[1]), int(m[2])) for m in _AT.finditer(head)}
            found |= {("", int(m[1])) for m in _PORT.finditer(head)}
    return frozenset(found)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


def exempt(pod: Pod, calls: frozenset[tuple[str, int]]) -> bool | None:
    """Whether every call passes the redirection by; None: it depends on where the calls go, and
    that is not known."""
    if excluded(pod, (), 0):
        return True
    if not excludes_some(pod):
        return False
    answers = {_past(pod, address, port) for address, port in calls}
    known = answers - {None}
    return known.pop() if len(known) == 1 else (False if known else None)


def _past(pod: Pod, address: str, port: int) -> bool | None:
    if excluded(pod, (address,) if address else (), port):
        return True
    return False if address else None
