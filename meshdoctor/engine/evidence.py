"""What has been read so far, and what could not be?

One per run. Every read happens once, whoever asks; a failure is remembered and raised again.
Each probe gets a recording view, so that every fact carries the commands that reproduce it.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

from meshdoctor.model.evidence import SetAside, Unavailable
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.snapshot import Snapshot
from meshdoctor.model.subjects import Request
from meshdoctor.ports import (
    Answer,
    EvidenceError,
    ForbiddenError,
    NotServedError,
    Source,
    SourceError,
    Text,
)
from meshdoctor.probes.view import View

WIDE = frozenset(
    {"VirtualService", "ServiceEntry", "DestinationRule", "Gateway", "GRPCRoute", "HTTPRoute"}
)
"""Kinds that matter to a pair from any namespace: exported routes and hosts apply across
namespaces, Gateways of all namespaces meet on one gateway pod, a route may lie in a third namespace
beside neither its Gateway nor its backend, and a rule there is what "it has no effect" is about."""

_NOT_YET = object()
T = TypeVar("T")
O = TypeVar("O", bound=Object)


class Awaited(BaseException):
    """A read that was not made yet, by its key: not an error, so no probe catches it."""

    def __init__(self, key: Hashable, read: Callable[[], Any]) -> None:
        super().__init__(key)
        self.key = key
        self.read = read


class Evidence:
    """Memoised reads of one source. `namespaces` bounds a run's scope; None is the whole mesh."""

    def __init__(
        self,
        source: Source,
        request: Request,
        namespaces: tuple[str, ...] | None,
        istio_namespace: str = "istio-system",
    ) -> None:
        self.source = source
        self.request = request
        self.namespaces = namespaces
        self.istio_namespace = istio_namespace
        self.now = source.now()
        self._postponing = False
        self._lock = threading.Lock()
        self._values: dict[Hashable, Any] = {}
        self._errors: dict[Hashable, Exception] = {}
        self._busy: dict[Hashable, threading.Lock] = {}
        self.memos: dict[Hashable, tuple[Any, dict[str, None]]] = {}
        self._listed: dict[tuple[str, str | None], tuple[tuple[Object, ...], tuple[str, ...]]] = {}
        self._named: dict[tuple[str, str, str], tuple[Object | None, str]] = {}

    def widened(self, namespaces: Iterable[str]) -> "Evidence":
        """The same reads with more namespaces in scope; what was concluded from them is not
        kept."""
        spaces = tuple(sorted({*(self.namespaces or ()), *namespaces}))
        out = Evidence(self.source, self.request, spaces, self.istio_namespace)
        for mine, theirs in ((self._values, out._values), (self._errors, out._errors)):
            theirs.update((k, v) for k, v in mine.items() if not _concluded(k))
        return out

    def once(self, key: Hashable, read: Callable[[], T]) -> T:
        """`read()` the first time, its value or its error ever after."""
        while True:
            found = self._values.get(key, _NOT_YET)
            if found is not _NOT_YET:
                return cast(T, found)
            if key in self._errors:
                raise self._errors[key].with_traceback(None)
            with self._lock:
                if key in self._values or key in self._errors:
                    continue
                busy = self._busy.get(key)
                if busy is None:
                    mine = self._busy[key] = threading.Lock()
                    mine.acquire()
                    break
            with busy:
                """Another thread was reading it."""
        try:
            value = self._values[key] = read()
            return value
        except Exception as error:
            self._errors[key] = error
            raise
        finally:
            del self._busy[key]
            mine.release()

    @contextmanager
    def postponing(self) -> Iterator[None]:
        """Within: a read of the source that was not made yet raises Awaited. For one thread."""
        self._postponing = True
        try:
            yield
        finally:
            self._postponing = False

    def far(self, key: Hashable, read: Callable[[], T]) -> T:
        """`once`, for a read of the source."""
        if self._postponing and key not in self._values and key not in self._errors:
            raise Awaited(key, read)
        return self.once(key, read)

    def let_go(self, key: Hashable) -> None:
        """No longer keep what was read; whoever asks again reads again."""
        self._values.pop(key, None)

    def _lists(self) -> Iterator[Answer]:
        """Every list read so far."""
        for key, value in list(self._values.items()):
            if isinstance(key, tuple) and key[0] == "list":
                yield value

    def answer(self, kind: str, namespace: str | None) -> Answer:
        """One kind in one namespace; a kind that the API does not serve has no objects."""
        if not BY_NAME[kind].namespaced:
            namespace = None

        def read() -> Answer:
            try:
                return self.source.list(kind, namespace)
            except NotServedError:
                return Answer(objects=(), command=f"kubectl api-resources | grep {kind}")

        return self.far(("list", kind, namespace), read)

    def snapshot(self, kind: str, namespace: str | None) -> Snapshot:
        """The same, indexed."""
        return self.once(
            ("snapshot", kind, namespace), lambda: Snapshot(self.answer(kind, namespace).objects)
        )

    def objects(
        self, kind: str, namespace: str | None
    ) -> tuple[tuple[Object, ...], tuple[str, ...]]:
        """Objects of a kind and the commands that show them."""
        found = self._listed.get((kind, namespace))
        if found is None:
            found = self._listed[kind, namespace] = self._list(kind, namespace)
        return found

    def _list(self, kind: str, namespace: str | None) -> tuple[tuple[Object, ...], tuple[str, ...]]:
        if self._whole(kind):
            answer = self.answer(kind, None)
            found = answer.objects
            if namespace is not None and BY_NAME[kind].namespaced:
                found = self.snapshot(kind, None).list(kind, namespace)
            return found, tuple(filter(None, [answer.command]))
        spaces = (self.namespaces or ()) if namespace is None else (namespace,)
        answers = [self.answer(kind, ns) for ns in spaces]
        commands = tuple(a.command for a in answers if a.command)
        return tuple(o for a in answers for o in a.objects), commands

    def _whole(self, kind: str) -> bool:
        return self.namespaces is None or kind in WIDE or not BY_NAME[kind].namespaced

    def object(self, kind: str, namespace: str, name: str) -> tuple[Object | None, str]:
        """One object by name, from a list already read or by itself, and the command that shows
        it."""
        key = (kind, namespace, name)
        found = self._named.get(key)
        if found is None:
            found = self._named[key] = (self._get(*key), _command(*key))
        return found

    def _get(self, kind: str, namespace: str, name: str) -> Object | None:
        row = BY_NAME[kind]
        whole = self._whole(kind)
        key = ("list", kind, None if whole else namespace)
        if key in self._values or key in self._errors or whole:
            snapshot = self.snapshot(kind, None if whole else namespace)
            return snapshot.get(kind, namespace if row.namespaced else "", name)

        def read() -> Object | None:
            try:
                return self.source.get(kind, namespace, name)
            except NotServedError:
                return None

        return self.far(("get", kind, namespace, name), read)

    def failures(self) -> list[Unavailable]:
        """Every read that failed so far, each once."""
        out: dict[str, Unavailable] = {}
        for error in list(self._errors.values()):
            if isinstance(error, EvidenceError):
                out.setdefault(error.unavailable.what, error.unavailable)
        return [out[what] for what in sorted(out)]

    def must_see(self) -> None:
        """Raises the first failure when reads failed and none showed an object: there is nothing
        to judge."""
        if any(answer.objects for answer in self._lists()):
            return
        failed = [e for e in self._errors.values() if isinstance(e, EvidenceError)]
        if failed and all(isinstance(error, ForbiddenError) for error in failed):
            raise SourceError(
                f"nothing can be seen: all {len(failed)} reads were refused, the first: "
                f"{failed[0].unavailable.detail}",
                "meshdoctor preflight says what these credentials may read, and "
                "meshdoctor preflight --rbac prints the role that a diagnosis needs.",
            )
        if failed:
            raise failed[0]

    def set_aside(self) -> list[SetAside]:
        """Malformed objects of every list read so far."""
        return [one for answer in self._lists() for one in answer.set_aside]

    def counts(self) -> tuple[int, int]:
        """(reads made, objects read). A get that a list covers counts with the list: which of
        them came first is chance, where probes run side by side."""
        made = {*list(self._values), *list(self._errors)}
        reads = sum(
            isinstance(k, tuple)
            and k[0] not in ("memo", "snapshot")
            and not (k[0] == "get" and ("list", *k[1:3]) in made)
            for k in made
        )
        return reads, sum(len(answer.objects) for answer in self._lists())

    def logs_of(self, container: str) -> set[tuple[str, str]]:
        """(namespace, pod) of every log of such a container that was read."""
        keys = [k for k in list(self._values) if isinstance(k, tuple) and k[0] == "log"]
        return {(k[1], k[2]) for k in keys if k[3] == container}

    def known_object(self, ref: str) -> Object | None:
        """The object of a `Kind/ns/name` reference if a list or get already read it."""
        kind, _, rest = ref.partition("/")
        namespace, _, name = rest.partition("/")
        for row in (kind, f"K8s{kind}"):
            for key in (("list", row, None), ("list", row, namespace)):
                if key in self._values:
                    found = self.snapshot(row, key[2]).get(row, namespace, name)
                    if found is not None:
                        return found
            got = self._values.get(("get", row, namespace, name))
            if got is not None:
                return cast(Object, got)
        return None


def _command(kind: str, namespace: str, name: str) -> str:
    row = BY_NAME[kind]
    where = f"-n {namespace} " if row.namespaced else ""
    return f"kubectl {where}get {row.resource} {name} -o yaml"


def _concluded(key: Hashable) -> bool:
    """Whether a key is of something made of several reads."""
    return not isinstance(key, tuple) or key[0] == "memo"


class RecordingView:
    """What one probe sees; `commands` lists what it read, in order."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.commands: dict[str, None] = {}

    @property
    def now(self) -> datetime:
        return self._evidence.now

    @property
    def request(self) -> Request:
        return self._evidence.request

    @property
    def istio_namespace(self) -> str:
        return self._evidence.istio_namespace

    @property
    def namespaces(self) -> tuple[str, ...] | None:
        return self._evidence.namespaces

    def objects(self, kind: str, type_: type[O], namespace: str | None = None) -> tuple[O, ...]:
        found, commands = self._evidence.objects(kind, namespace)
        for command in commands:
            self.commands[command] = None
        return cast("tuple[O, ...]", found)

    def everywhere(self, kind: str, type_: type[O]) -> tuple[O, ...]:
        answer = self._evidence.answer(kind, None)
        if answer.command:
            self.commands[answer.command] = None
        return cast("tuple[O, ...]", answer.objects)

    def object(self, kind: str, type_: type[O], namespace: str, name: str) -> O | None:
        found, command = self._evidence.object(kind, namespace, name)
        self.commands[command] = None
        return cast("O | None", found)

    def _text(self, key: Hashable, read: Callable[[], Text]) -> Text:
        text = self._evidence.far(key, read)
        if text.command:
            self.commands[text.command] = None
        return text

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        return self._text(
            ("log", namespace, pod, container, previous),
            lambda: self._evidence.source.log(namespace, pod, container, previous=previous),
        )

    def proxy_status(self) -> Text:
        """What is made of it is remembered; the text itself, twenty megabytes of a large mesh, is
        let go."""
        spaces = self._evidence.namespaces or ()
        key = ("proxy-status", spaces)
        text = self._text(key, lambda: self._evidence.source.proxy_status(namespaces=spaces))
        self._evidence.let_go(key)
        return text

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        return self._text(
            ("proxy-config", what, namespace, pod, host),
            lambda: self._evidence.source.proxy_config(what, namespace, pod, host=host),
        )

    def authz_check(self, namespace: str, pod: str) -> Text:
        return self._text(
            ("authz-check", namespace, pod),
            lambda: self._evidence.source.authz_check(namespace, pod),
        )

    def analyze(self) -> Text:
        return self._text(("analyze",), self._evidence.source.analyze)

    def version(self) -> Text:
        return self._text(("version",), self._evidence.source.version)

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        return self._text(
            ("debug", path, namespace, pod),
            lambda: self._evidence.source.debug(path, namespace, pod),
        )

    def metrics(self, namespace: str, pod: str) -> Text:
        return self._text(
            ("metrics", namespace, pod),
            lambda: self._evidence.source.metrics(namespace, pod),
        )

    def memo(self, key: Hashable, build: Callable[[View], T]) -> T:
        found = self._evidence.memos.get(key)
        if found is None:
            found = self._evidence.memos[key] = self._build(key, build)
        value, commands = found
        if commands:
            self.commands.update(commands)
        return cast(T, value)

    def _build(self, key: Hashable, build: Callable[[View], T]) -> tuple[T, dict[str, None]]:
        def run() -> tuple[T, dict[str, None]]:
            inner = RecordingView(self._evidence)
            return build(inner), inner.commands

        return self._evidence.once(("memo", key), run)
