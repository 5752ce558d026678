"""A small world for tests: a Source built from YAML text, and the View that a probe gets.

    view = world('''
    kind: Pod ...
    ---
    kind: Service ...
    ''', logs={("shop", "cart-1", "istio-proxy"): "..."})
    facts = some_probe.run(view, WorkloadSubject("shop", "cart"))

Everything not given is recorded as absent (objects) or NotRecorded (texts). `failing` maps a kind
or evidence name to the EvidenceError that reading it raises.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import yaml

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.model.decode import documents
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.snapshot import Snapshot
from meshdoctor.model.subjects import Request
from meshdoctor.ports import Answer, Defaults, EvidenceError, NotRecordedError, Text

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)


class FakeSource:
    """A Source over given objects and texts; `failing` by kind, or by `KIND in NAMESPACE`."""

    def __init__(
        self,
        objects: str = "",
        *,
        logs: Mapping[tuple[str, str, str], str] | None = None,
        previous: Mapping[tuple[str, str, str], str] | None = None,
        istioctl: Mapping[str, str] | None = None,
        metrics: Mapping[tuple[str, str], str] | None = None,
        failing: Mapping[str, EvidenceError] | None = None,
        now: datetime = NOW,
    ) -> None:
        items = list(yaml.load_all(dedent(objects), Loader=_Loader))
        self.found, self.aside, _ = documents(items, "test")
        self.snapshot = Snapshot(self.found)
        self.logs = dict(logs or {})
        self.previous = dict(previous or {})
        self.istioctl = dict(istioctl or {})
        self.pages = dict(metrics or {})
        self.failing = dict(failing or {})
        self._now = now

    def _check(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]

    def list(self, kind: str, namespace: str | None) -> Answer:
        self._check(kind)
        self._check(f"{kind} in {namespace}")
        return Answer(
            objects=self.snapshot.list(kind, namespace),
            set_aside=tuple(self.aside) if kind == "Pod" else (),
            command=f"kubectl get {kind} -n {namespace or '-A'}",
        )

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        self._check(kind)
        return self.snapshot.get(kind, namespace, name)

    def _text(self, what: str, key: Any, texts: Mapping[Any, str]) -> Text:
        self._check(what)
        if key not in texts:
            raise NotRecordedError(f"{what} {key}")
        return Text(text=texts[key], command=f"{what} {key}")

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        return self._text(
            "log", (namespace, pod, container), self.previous if previous else self.logs
        )

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        return self._text("proxy-status", "proxy-status", self.istioctl)

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        return self._text("proxy-config", f"proxy-config {what} {pod}.{namespace}", self.istioctl)

    def authz_check(self, namespace: str, pod: str) -> Text:
        return self._text("authz-check", f"authz-check {pod}.{namespace}", self.istioctl)

    def analyze(self) -> Text:
        return self._text("analyze", "analyze", self.istioctl)

    def version(self) -> Text:
        return self._text("version", "version", self.istioctl)

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        return self._text("debug", f"debug {path} {pod}.{namespace}", self.istioctl)

    def metrics(self, namespace: str, pod: str) -> Text:
        return self._text("metrics", (namespace, pod), self.pages)

    def now(self) -> datetime:
        return self._now

    def describe(self) -> str:
        return "test world"

    def defaults(self) -> Defaults:
        return Defaults(observed_at=self._now)

    def failed_reads(self) -> Sequence[Unavailable]:
        return ()


class _Loader(yaml.SafeLoader):
    """SafeLoader without dates: the API's times are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def world(
    objects: str = "",
    *,
    request: Request | None = None,
    namespaces: tuple[str, ...] | None = None,
    **rest: Any,
) -> RecordingView:
    """The view of a probe on these objects and texts (see FakeSource for `rest`)."""
    return RecordingView(Evidence(FakeSource(objects, **rest), request or Request(), namespaces))
