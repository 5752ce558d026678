"""Which events does `kubectl get events -A -o wide` list? Its table, as Event objects.

Ages are counted back from the time at which the table was printed.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.patterns import pattern

_COLUMNS = ("NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "SUBOBJECT", "SOURCE", "MESSAGE")
_TAIL = pattern(r"\s{2,}(?P<first>\S+)\s+(?P<count>\d+)\s+(?P<name>\S+)\s*$")
_AGE = pattern(r"(\d+)(d|h|m|s)")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_STAMP = pattern(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", re.MULTILINE)
_KINDS = {name.lower(): name for name in BY_NAME}


def printed_at(log: str) -> datetime | None:
    """The last time that a bug-report's own log names."""
    stamps = _STAMP.findall(log)
    return datetime.fromisoformat(f"{max(stamps)}+00:00") if stamps else None


def as_list(table: str, now: datetime) -> bytes:
    """The events as a JSON List; empty when the text is no such table."""
    items = list(_events(table.splitlines(), now))
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})


def _events(lines: list[str], now: datetime) -> Iterator[dict[str, Any]]:
    if not lines or not lines[0].startswith("NAMESPACE"):
        return
    starts = [lines[0].find(name) for name in _COLUMNS]
    if -1 in starts:
        return
    for line in lines[1:]:
        tail = _TAIL.search(line)
        if not tail or len(line) < starts[-1]:
            continue
        ends = [*starts[1:], tail.start()]
        cells = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        yield _event(dict(zip(_COLUMNS, cells, strict=True)), tail, now)


def _event(cells: dict[str, str], tail: "re.Match[str]", now: datetime) -> dict[str, Any]:
    kind, _, name = cells["OBJECT"].partition("/")
    component, _, host = cells["SOURCE"].partition(", ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": tail["name"], "namespace": cells["NAMESPACE"]},
        "involvedObject": {
            "kind": _KINDS.get(kind, kind),
            "name": name,
            "namespace": cells["NAMESPACE"],
            "fieldPath": cells["SUBOBJECT"],
        },
        "type": cells["TYPE"],
        "reason": cells["REASON"],
        "message": cells["MESSAGE"],
        "source": {"component": component, "host": host},
        "count": int(tail["count"]),
        "firstTimestamp": now - _age(tail["first"]),
        "lastTimestamp": now - _age(cells["LAST SEEN"]),
    }


def _age(text: str) -> timedelta:
    return timedelta(seconds=sum(int(n) * _SECONDS[unit] for n, unit in _AGE.findall(text)))
