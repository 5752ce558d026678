"""What did this run read? Every read of a source, kept so that a bundle replays the same run.

Objects are kept as the structs that were decoded: a bundle holds only the fields that meshdoctor
reads. Reads that failed are kept as failures.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from meshdoctor.model.evidence import SetAside, Unavailable
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import Answer, Defaults, EvidenceError, Source, Text
from meshdoctor.sources import reads

T = TypeVar("T")


class Recorder:
    """A Source that passes every read on, and remembers how it ended."""

    def __init__(self, source: Source, target: Path) -> None:
        self.source = source
        self.target = target
        self.failed: dict[str, Unavailable] = {}
        self.answers: dict[str, Answer] = {}
        self.found: dict[str, Object | None] = {}
        self.texts: dict[str, Text] = {}
        self._lock = threading.Lock()
        self._now: datetime | None = None

    def now(self) -> datetime:
        """The time of the first question, to the second: what a replay will take for now."""
        with self._lock:
            if self._now is None:
                self._now = self.source.now().replace(microsecond=0)
            return self._now

    def describe(self) -> str:
        return self.source.describe()

    def defaults(self) -> Defaults:
        return self.source.defaults()

    def failed_reads(self) -> Sequence[Unavailable]:
        return self.source.failed_reads()

    def set_aside(self) -> Sequence[SetAside]:
        """What was malformed in all lists, each once."""
        found = {one: None for answer in self.answers.values() for one in answer.set_aside}
        return tuple(found)

    def list(self, kind: str, namespace: str | None) -> Answer:
        key = reads.list_key(kind, namespace)
        return self._keep(self.answers, key, lambda: self.source.list(kind, namespace))

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        key = reads.get_key(kind, namespace, name)
        return self._keep(self.found, key, lambda: self.source.get(kind, namespace, name))

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        return self._text(
            reads.log_key(namespace, pod, container, previous),
            lambda: self.source.log(namespace, pod, container, previous=previous),
        )

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        """All of it, whichever namespaces are asked for: a replay may ask for others."""
        return self._text("proxy-status", self.source.proxy_status)

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        """All of it, whichever host is asked for: a replay may ask for another."""
        return self._text(
            reads.tool_key("proxy-config", what, namespace, pod),
            lambda: self.source.proxy_config(what, namespace, pod),
        )

    def authz_check(self, namespace: str, pod: str) -> Text:
        return self._text(
            reads.tool_key("authz-check", namespace, pod),
            lambda: self.source.authz_check(namespace, pod),
        )

    def analyze(self) -> Text:
        return self._text("analyze", self.source.analyze)

    def version(self) -> Text:
        return self._text("version", self.source.version)

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        return self._text(
            reads.tool_key("debug", path.removeprefix("/debug/"), namespace, pod),
            lambda: self.source.debug(path, namespace, pod),
        )

    def metrics(self, namespace: str, pod: str) -> Text:
        return self._text(
            reads.tool_key("metrics", namespace, pod),
            lambda: self.source.metrics(namespace, pod),
        )

    def _text(self, key: str, read: Callable[[], Text]) -> Text:
        return self._keep(self.texts, key, read)

    def _keep(self, kept: dict[str, T], key: str, read: Callable[[], T]) -> T:
        try:
            value = read()
        except EvidenceError as error:
            with self._lock:
                self.failed[key] = error.unavailable
            raise
        with self._lock:
            kept[key] = value
        return value
