"""What does a bundle say of itself? bundle.yaml, errors.json and reads.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from meshdoctor.model.evidence import Reason, SetAside, Unavailable
from meshdoctor.ports import Defaults, SourceError
from meshdoctor.sources import yaml_text
from meshdoctor.sources.archive import MEBI, Files

SETTINGS = "bundle.yaml"
ERRORS = "errors.json"
READS = "reads.json"
ASIDE = "aside.json"
_KEYS = frozenset({"observed_at", "from", "to", "request", "versions", "source", "recorder"})


class FailedRead(msgspec.Struct, frozen=True, kw_only=True):
    """One row of errors.json: the read's key (`reads.py`) and why it gave nothing."""

    read: str
    reason: str
    what: str = ""
    detail: str = ""
    remedy: str = ""

    @property
    def unavailable(self) -> Unavailable:
        try:
            reason = Reason(self.reason)
        except ValueError:
            reason = Reason.NOT_RECORDED
        return Unavailable(
            reason=reason, what=self.what or self.read, detail=self.detail, remedy=self.remedy
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """`failed`: reads that failed, by key; `reads`: every read that succeeded, None when the
    bundle was put together by hand and does not say; `aside`: objects malformed in the cluster."""

    failed: Mapping[str, Unavailable]
    reads: frozenset[str] | None
    aside: tuple[SetAside, ...] = ()


def recording(files: Files) -> Recording:
    """errors.json, reads.json and aside.json. Raises SourceError when one is not valid."""
    paths = set(files.paths())
    rows = _json(files, ERRORS, list[FailedRead]) if ERRORS in paths else []
    reads = frozenset(_json(files, READS, list[str])) if READS in paths else None
    aside = tuple(_json(files, ASIDE, list[SetAside])) if ASIDE in paths else ()
    return Recording({row.read: row.unavailable for row in rows}, reads, aside)


def _json(files: Files, path: str, type_: Any) -> Any:
    try:
        return msgspec.json.decode(files.read(path, 64 * MEBI), type=type_)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SourceError(f"{path} of the bundle is not valid: {error}") from None


def defaults(files: Files) -> Defaults:
    """bundle.yaml as the defaults of `diagnose`. Raises SourceError when it is not valid."""
    try:
        data = yaml_text.load_one(files.read(SETTINGS, MEBI).decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError) as error:
        raise SourceError(f"{SETTINGS} is no valid YAML: {error}", _HINT) from None
    if data is None:
        return Defaults()
    if not isinstance(data, dict):
        raise SourceError(f"{SETTINGS} is no mapping", _HINT)
    if unknown := sorted(str(key) for key in data if key not in _KEYS):
        raise SourceError(f"{SETTINGS} has an unknown key {unknown[0]!r}", _HINT)
    request = _mapping(data, "request")
    return Defaults(
        observed_at=_time(data.get("observed_at")),
        from_=_text(data, "from"),
        to=_text(data, "to"),
        method=_text(request, "method").upper(),
        path=_text(request, "path"),
        host=_text(request, "host"),
        headers=_pairs(_mapping(request, "headers"), lower=True),
        versions=_pairs(_mapping(data, "versions"), lower=False),
    )


_HINT = "Known keys: observed_at, from, to, request {method, path, host, headers}, versions."


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise SourceError(f"{SETTINGS}: {key} is no mapping", _HINT)
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise SourceError(f"{SETTINGS}: {key} is no text", _HINT)
    return str(value)


def _pairs(data: Mapping[str, Any], *, lower: bool) -> tuple[tuple[str, str], ...]:
    """Name and value pairs; a header given several values stays several headers."""
    found: list[tuple[str, str]] = []
    for key, value in data.items():
        name = str(key).lower() if lower else str(key)
        found += [(name, str(one)) for one in (value if isinstance(value, list) else [value])]
    return tuple(found)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
    except ValueError:
        raise SourceError(
            f"{SETTINGS}: observed_at is no time", "Write it as 2026-03-01T04:05:06Z."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
