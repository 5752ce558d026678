"""What would this source say if that manifest were applied to it? (`--with-change FILE`)

An object that is there already keeps its age, identity and status: applying does not renew it. One
that is new is as old as this moment. Pods are not remade: a changed Deployment keeps its pods. What
was logged before the change says nothing about it, so there are no logs.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from meshdoctor.model.decode import kind_of
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import EvidenceError, NotRecordedError, Source, SourceError, Text
from meshdoctor.sources import reads
from meshdoctor.sources.applied import applied
from meshdoctor.sources.archive import open_files
from meshdoctor.sources.objects import SUFFIXES, load


class _Proposed:
    """The source after the change: nothing has been logged yet, and proxies hold no new config."""

    def __init__(self, source: Source, label: str) -> None:
        self._source = source
        self._label = label

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def describe(self) -> str:
        return self._label

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        return Text(text="", command=reads.log_command(namespace, pod, container, previous))

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        if what == "secret":
            return self._source.proxy_config(what, namespace, pod)
        raise NotRecordedError(
            reads.config_command(what, namespace, pod),
            "the proxy holds the configuration from before the change",
        )


def overlay(source: Source, change: Path) -> Source:
    """The source as if the manifests of a file or folder were applied. Raises SourceError."""
    files = open_files(change)
    paths = [p for p in files.paths() if p.endswith(SUFFIXES) or change.is_file()]
    loaded = load(files, paths)
    if loaded.broken:
        first = loaded.broken[0]
        raise _wrong(change, f"{first.what}: {first.detail}")
    if loaded.aside:
        bad = loaded.aside[0]
        raise _wrong(change, f"{bad.where}: {bad.ref}: {bad.problem}")
    if not loaded.objects:
        raise _wrong(change, "holds no object that a diagnosis reads")
    now = source.now()
    laid = [_as_applied(source, one, now) for one in loaded.objects]
    label = f"{source.describe()}, as if {change} were applied"
    return _Proposed(applied(source, laid), label)


def _wrong(change: Path, problem: str) -> SourceError:
    hint = f"Try: kubectl apply --dry-run=server -f {change}"
    return SourceError(f"--with-change {change}: {problem}", hint, exit_code=2)


def _as_applied(source: Source, wanted: Object, now: datetime) -> Object:
    kind = kind_of(wanted)
    if kind is None:
        return wanted
    try:
        there = source.get(kind.name, wanted.namespace, wanted.name)
    except EvidenceError:
        there = None
    meta = wanted.metadata
    if there is None:
        if meta.creation_timestamp is not None:
            return wanted
        fresh = msgspec.structs.replace(meta, creation_timestamp=now)
        return msgspec.structs.replace(wanted, metadata=fresh)
    old = there.metadata
    kept = msgspec.structs.replace(
        meta,
        creation_timestamp=old.creation_timestamp,
        uid=old.uid,
        owner_references=meta.owner_references or old.owner_references,
        generation=old.generation,
    )
    status = {"status": there.status} if hasattr(there, "status") else {}
    return msgspec.structs.replace(wanted, metadata=kept, **status)
