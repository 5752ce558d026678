"""Where does one log line begin and end, whatever wrote the file?

Logs reach us as `kubectl logs` prints them, with `--timestamps` or `--prefix`, as files of the
container runtime (CRI `TIME STREAM P|F TEXT`, Docker's JSON), and cut anywhere.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from meshdoctor.model.patterns import pattern

_PREFIX = pattern(r"^\[pod/[^\]\s]{1,512}\] ")
_CRI = pattern(r"^\d{4}-\d\d-\d\dT[0-9:.,]+(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) ([FP])(?: |$)")
_STAMP = pattern(r"^\d{4}-\d\d-\d\dT[0-9:.,]+(?:Z|[+-]\d\d:\d\d) (?=[\[{]|\d{4}-\d\d-\d\dT)")
MAX_LINE = 64 * 1024


def lines(text: str) -> Iterator[str]:
    """The lines as the container wrote them; parts of a split CRI line are joined.

    >>> list(lines("2026-11-18T09:24:00Z stdout P [a\\n2026-11-18T09:24:00Z stdout F b]\\n"))
    ['[ab]']
    """
    parts: list[str] = []
    for raw in text.split("\n"):
        line = raw.rstrip("\r")
        if not line:
            continue
        line = _PREFIX.sub("", line)
        cri = _CRI.match(line)
        if cri is not None:
            rest = line[cri.end() :]
            if cri[1] == "P":
                parts.append(rest)
                continue
            line = "".join((*parts, rest))
            parts.clear()
        elif line.startswith('{"log":'):
            line = _docker(line)
        else:
            line = _STAMP.sub("", line)
        if line:
            yield line
    if parts:
        yield "".join(parts)


def _docker(line: str) -> str:
    data = json_object(line)
    inner = data.get("log") if data is not None and "stream" in data else None
    return inner.rstrip("\r\n") if isinstance(inner, str) else line


def json_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is; None when it is none."""
    if not line.startswith("{") or len(line) > MAX_LINE:
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def when(text: str) -> datetime | None:
    """An ISO time as a log writes it; a time without zone is UTC; None when it is no time."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
