"""What does a YAML text hold, when nobody vouches for it?

Documents are split by hand, so that one broken document costs only itself and keeps its line
number. Dates, base-60 numbers and `=` stay text, as they do for kubectl; aliases that multiply are
refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from meshdoctor.model.patterns import pattern

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML without libyaml: the same answers, slower
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

EXPANDED_LIMIT = 2_000_000
_MARK = pattern(r"^---(?=[ \t\r]|$)", re.MULTILINE)
_ALIAS = pattern(r"(?:^|[\s\[{,:-])\*[^\s,\]}]", re.MULTILINE)
_DROPPED = frozenset(
    {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:int"}
)
_INT = pattern(r"^(?:[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")


class _Loader(_Base):
    """Safe loader without timestamps, base-60 integers and the `=` value."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rows if tag not in _DROPPED]
    for first, rows in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))


def _int(loader: Any, node: Any) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: the line where it starts, and its data or what is wrong with it."""

    line: int
    data: Any = None
    problem: str = ""
    problem_line: int = 0


def documents(text: str) -> Iterator[Document]:
    """Every document of a multi-document text; empty ones are left out."""
    for line, part in _split(text):
        if part.strip() and not _only_comments(part):
            yield _load(line, part)


def load_one(text: str) -> Any:
    """The data of a one-document text. Raises ValueError naming the line."""
    for document in documents(text):
        if document.problem:
            raise ValueError(f"line {document.problem_line}: {document.problem}")
        return document.data
    return None


def _split(text: str) -> Iterator[tuple[int, str]]:
    start, line = 0, 1
    for mark in _MARK.finditer(text):
        yield line, text[start : mark.start()]
        line += text.count("\n", start, mark.start())
        start = mark.end()
    yield line, text[start:]


def _only_comments(part: str) -> bool:
    if len(part) > 4096:
        return False
    return all(not row.strip() or row.lstrip()[0] in "#%" for row in part.splitlines())


def _load(line: int, part: str) -> Document:
    try:
        data = yaml.load(part, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = line + (mark.line if mark else 0)
        return Document(line, problem=(error.problem or "no valid YAML")[:200], problem_line=at)
    except yaml.YAMLError as error:
        return Document(line, problem=_first(error), problem_line=line)
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        return Document(line, problem=_first(error), problem_line=line)
    if _ALIAS.search(part) and not _bounded(data):
        return Document(line, problem="aliases multiply without bound", problem_line=line)
    return Document(line, data=data)


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def _bounded(data: Any) -> bool:
    """Whether the data stays below EXPANDED_LIMIT values when every alias is written out."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        key = id(value)
        if key in open_:
            return EXPANDED_LIMIT + 1
        if key not in sizes:
            open_.add(key)
            inner = value.values() if isinstance(value, dict) else value
            sizes[key] = 1 + sum(size(one) for one in inner)
            open_.discard(key)
        return min(sizes[key], EXPANDED_LIMIT + 1)

    try:
        return size(data) <= EXPANDED_LIMIT
    except RecursionError:
        return False
