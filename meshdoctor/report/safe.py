"""Which text of a report is safe to draw?

A report quotes log lines, annotations and API messages. Every renderer gets a copy in which each
text is printable, bounded and free of terminal escapes; only commands keep their line breaks.
"""

from typing import Any

import msgspec

from meshdoctor.mesh.text import clean, strip_ansi
from meshdoctor.model.report import Report

LIMIT = 4000
_KEEP_LINES = frozenset({"fix", "by_hand", "run", "remedy", "commands"})


def safe(report: Report) -> Report:
    """The same report with every text cleaned; key names of value maps included."""
    return msgspec.convert(_walk(msgspec.to_builtins(report), False), Report)


def _walk(value: Any, lines: bool) -> Any:
    match value:
        case str():
            return _lines(value) if lines else clean(value, LIMIT)
        case list():
            return [_walk(item, lines) for item in value]
        case dict():
            return {clean(k, LIMIT): _walk(v, k in _KEEP_LINES) for k, v in value.items()}
        case _:
            return value


def _lines(text: str) -> str:
    kept = strip_ansi(text).replace("\r\n", "\n").strip("\n").split("\n")
    return "\n".join(_indented(line) for line in kept)


def _indented(line: str) -> str:
    """A cleaned line that keeps its leading spaces: YAML in a here-document needs them."""
    body = line.lstrip(" ")
    return " " * min(len(line) - len(body), 80) + clean(body, LIMIT)
