"""May this report be pasted into a ticket? Secrets that came with evidence are masked here.

Facts are masked as they are collected, so conditions and printed commands never see a secret; the
report is searched once more, for what reached it by another way (error messages, log excerpts).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from meshdoctor.mesh.secrets import mask
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Scalar
from meshdoctor.model.report import Report

_MOST = 32768
_harmless: set[str] = {""}
"""Texts that hold no secret. Facts repeat: most are names, modes and reasons that many subjects
share, and looking one up here is all that it takes."""

_OURS = frozenset({"fix", "run", "by_hand", "docs", "condition", "commands", "remedy", "schema"})
"""Written by playbooks, from facts that are masked already: `Bearer $TOKEN` in a command stays."""


def _mask(text: str) -> str:
    safe = mask(text)
    if safe == text:
        if len(_harmless) >= _MOST:
            _harmless.clear()
        _harmless.add(text)
    return safe


Values = tuple[Scalar | Unavailable, ...]


def masked_values(values: Values, texts: Sequence[int]) -> Values:
    """The facts without secrets. `texts`: places of those that are declared as plain text, the
    only ones that can hold one, beside reasons why there is none."""
    if Unavailable in map(type, values):
        values = tuple(masked_reason(v) if isinstance(v, Unavailable) else v for v in values)
    changed: dict[int, str] = {}
    for at in texts:
        text = values[at]
        if text not in _harmless and isinstance(text, str) and (safe := _mask(text)) != text:
            changed[at] = safe
    return tuple(changed.get(at, v) for at, v in enumerate(values)) if changed else values


def masked_reason(why: Unavailable) -> Unavailable:
    """The reason without secrets: an API's or a tool's message is somebody else's text."""
    detail = _mask(why.detail)
    if detail == why.detail:
        return why
    return Unavailable(reason=why.reason, what=why.what, detail=detail, remedy=why.remedy)


def masked(report: Report) -> Report:
    """The report without secrets."""
    before = msgspec.to_builtins(report)
    after = _walk(before)
    return report if after == before else msgspec.convert(after, Report)


def _walk(value: Any, key: str = "") -> Any:
    if isinstance(value, str):
        return value if key in _OURS else mask(value)
    if isinstance(value, dict):
        return {k: v if k in _OURS else _walk(v, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(one, key) for one in value]
    return value
