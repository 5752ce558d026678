"""Through which doors does evidence come in?

    EvidenceError
    ├── ForbiddenError     the API or istioctl refused: which permission
    ├── NotServedError     the API does not serve that kind (CRD not installed)
    ├── MissingError       the named object, pod, log or file does not exist
    ├── DeadlineError      the deadline passed before the answer was whole
    ├── UnreachableError   no connection to the API server, istiod or a proxy
    ├── ToolMissingError   istioctl not found, or too old for the command
    ├── UnparsableError    an answer came that is no valid answer
    ├── NotRecordedError   the bundle does not hold that read
    └── TooLargeError      the answer is larger than we are willing to hold
    SourceError            no diagnosis is possible at all: bad kubeconfig, no bundle, no API

Probes see these Protocols only; implementations live in `sources/`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from meshdoctor.model.evidence import Reason, SetAside, Unavailable
from meshdoctor.model.kubernetes import Object


class EvidenceError(Exception):
    """A read that failed; `unavailable` is what the report will say."""

    reason = Reason.UNPARSABLE

    def __init__(self, what: str, detail: str = "", remedy: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.unavailable = Unavailable(reason=self.reason, what=what, detail=detail, remedy=remedy)


class ForbiddenError(EvidenceError):
    reason = Reason.FORBIDDEN


class NotServedError(EvidenceError):
    reason = Reason.NOT_SERVED


class MissingError(EvidenceError):
    reason = Reason.NOT_FOUND


class DeadlineError(EvidenceError):
    reason = Reason.TIMEOUT


class UnreachableError(EvidenceError):
    reason = Reason.UNREACHABLE


class ToolMissingError(EvidenceError):
    reason = Reason.TOOL_MISSING


class UnparsableError(EvidenceError):
    reason = Reason.UNPARSABLE


class NotRecordedError(EvidenceError):
    reason = Reason.NOT_RECORDED


class TooLargeError(EvidenceError):
    reason = Reason.TOO_LARGE


class NotAskedError(EvidenceError):
    """The question was not put: no client named, or a costly read not needed yet."""

    reason = Reason.NOT_ASKED


class SourceError(Exception):
    """No evidence at all can be had from this source. `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 4) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One kind's objects of one namespace (or of all, or cluster-scoped), with what was skipped.

    `command` is what a person would run to see the same.
    """

    objects: tuple[Object, ...]
    set_aside: tuple[SetAside, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text evidence: a log, an istioctl output, a metrics page. `cut` when older lines are gone."""

    text: str
    command: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a bundle's bundle.yaml says of itself: the defaults of `diagnose`'s options."""

    observed_at: datetime | None = None
    from_: str = ""
    to: str = ""
    method: str = ""
    path: str = ""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


class Cluster(Protocol):
    """Kubernetes objects. Every method raises EvidenceError, or answers truthfully."""

    def list(self, kind: str, namespace: str | None) -> Answer:
        """All objects of `kind` (a `kinds.Kind.name`) in one namespace; None: in all.

        An empty answer means that the source says there are none.
        """
        ...

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object by name; None when the source says it does not exist."""
        ...


class Logs(Protocol):
    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        """The container's log since the window asked for, newest last."""
        ...


class Istioctl(Protocol):
    """Read commands only. Each names the command that a person would run."""

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        """Sync state of every proxy: syncz JSON, `proxy-status -o json` or any table layout. With
        `namespaces`, proxies of others may be left out."""
        ...

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        """`what`: cluster, listener, route, endpoint, secret, bootstrap, all, log.

        `host`: of `endpoint`, clusters of other hosts may be left out.
        """
        ...

    def authz_check(self, namespace: str, pod: str) -> Text: ...

    def analyze(self) -> Text: ...

    def version(self) -> Text: ...

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        """`/debug/PATH` of one istiod."""
        ...


class Metrics(Protocol):
    def metrics(self, namespace: str, pod: str) -> Text:
        """Prometheus text of one pod: istiod :15014, agent and Envoy :15020."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The "now" of every judgement: wall clock, or the bundle's observed_at."""
        ...


class Progress(Protocol):
    def step(self, text: str, done: int = 0, total: int = 0) -> None: ...


class Source(Cluster, Logs, Istioctl, Metrics, Clock, Protocol):
    """One cluster or one recording of it. Thread-safe: collect reads concurrently."""

    def describe(self) -> str:
        """ "context NAME" or "bundle PATH", for the report's header."""
        ...

    def defaults(self) -> Defaults: ...

    def failed_reads(self) -> Sequence[Unavailable]:
        """What a recording could not see (errors.json); empty when live."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A write of one object, as a live source saw it: made after `after` (None: not known) and by
    `seen`. `object` is what was there last when it was deleted."""

    object: Object
    seen: datetime
    after: datetime | None = None
    deleted: bool = False


class Following(Protocol):
    """What only a live source can do: see a change happen, and its arrival in a proxy."""

    def changes(self, kind: str, namespace: str, name: str) -> Iterator[Change | None]:
        """First None, as soon as nothing can be missed any more, then every write of the object.

        Raises EvidenceError.
        """
        ...

    def updates(self, namespace: str, pod: str, types: Sequence[str]) -> tuple[datetime, ...]:
        """When the pod's Envoy last took each of its resources of these types (CDS, LDS, RDS), by
        its own clock. Raises EvidenceError."""
        ...

    def left(self) -> float:
        """Seconds until the deadline."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait between two looks."""
        ...
