"""What does a probe see, and how does it declare itself?

A probe is one question about one subject: a function `(view, subject) -> facts struct`, declared
with `@probe`. It reads through `View` only, asks `mesh/` to judge, and returns facts. A read that
fails raises EvidenceError; a probe that needs only part of its facts from that read catches it
with `attempt` and puts the `Unavailable` in the field.
"""

from collections.abc import Callable, Collection, Hashable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import FactDeclaration, declarations
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.subjects import Request, SubjectKind
from meshdoctor.ports import EvidenceError, Text

T = TypeVar("T")
O = TypeVar("O", bound=Object)


class View(Protocol):
    """Memoised, recording access to one source. Every read happens once per run.

    All methods raise EvidenceError when the evidence cannot be had.
    """

    @property
    def now(self) -> datetime: ...

    @property
    def request(self) -> Request: ...

    @property
    def istio_namespace(self) -> str:
        """Where istiod runs."""
        ...

    @property
    def namespaces(self) -> tuple[str, ...] | None:
        """The namespaces that bound this run; None: the whole mesh."""
        ...

    def objects(self, kind: str, type_: type[O], namespace: str | None = None) -> tuple[O, ...]:
        """All objects of a kind (`kinds.Kind.name`) in a namespace; None: in every namespace
        of the run's scope."""
        ...

    def everywhere(self, kind: str, type_: type[O]) -> tuple[O, ...]:
        """All objects of a kind, those outside the run's scope too: one more read where a scope
        bounds the run, so only for what was seen to come from anywhere."""
        ...

    def object(self, kind: str, type_: type[O], namespace: str, name: str) -> O | None:
        """One object; None when the source says it does not exist."""
        ...

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text: ...

    def proxy_status(self) -> Text: ...

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        """`host`: of `endpoint`, clusters of other hosts may be left out."""
        ...

    def authz_check(self, namespace: str, pod: str) -> Text: ...

    def analyze(self) -> Text: ...

    def version(self) -> Text: ...

    def debug(self, path: str, namespace: str, pod: str) -> Text: ...

    def metrics(self, namespace: str, pod: str) -> Text: ...

    def memo(self, key: Hashable, build: Callable[["View"], T]) -> T:
        """`build(view)` once per run; a failure is remembered and raised again."""
        ...


class Probe(Struct, frozen=True, kw_only=True):
    """A declared probe. `reads` are kinds and other evidence (`log`, `metrics`, `proxy-status`,
    `proxy-config`, `debug`, `authz-check`): RBAC and docs are generated from them. `costly` probes
    run only for subjects still undecided. `kinds`: of other kinds of configuration objects it says
    the same of every one, and reads nothing; empty: it judges all. `texts`: places of the facts
    that are plain text."""

    name: str
    subject: SubjectKind
    facts: type
    reads: tuple[str, ...]
    costly: bool
    kinds: frozenset[str]
    doc: str
    run: Callable[[View, Any], Any]
    declares: tuple[FactDeclaration, ...] = field(default=())
    texts: tuple[int, ...] = field(default=())

    def concerns(self, kind: str) -> bool:
        """Whether it judges configuration objects of that kind ("" for other subjects)."""
        return not self.kinds or kind in self.kinds


def probe(
    name: str,
    *,
    subject: SubjectKind,
    reads: tuple[str, ...],
    costly: bool = False,
    kinds: Collection[str] = (),
) -> Callable[[Callable[[View, Any], Any]], Probe]:
    """Declare a probe; its facts struct is its return annotation."""

    def declare(function: Callable[[View, Any], Any]) -> Probe:
        facts = function.__annotations__["return"]
        declares = declarations(facts)
        doc = (function.__doc__ or "").strip()
        if not doc:
            raise TypeError(f"probe {name} has no docstring")
        return Probe(
            name=name,
            subject=subject,
            facts=facts,
            reads=reads,
            costly=costly,
            kinds=frozenset(kinds),
            doc=doc.splitlines()[0],
            run=function,
            declares=declares,
            texts=tuple(at for at, fact in enumerate(declares) if fact.type is str),
        )

    return declare


def attempt(read: Callable[[], T]) -> T | Unavailable:
    """The read's value, or why it could not be had."""
    try:
        return read()
    except EvidenceError as error:
        return error.unavailable


def known(value: T | Unavailable) -> T:
    """The value; raises EvidenceError again when it is unavailable."""
    if isinstance(value, Unavailable):
        error = EvidenceError(value.what, value.detail, value.remedy)
        error.unavailable = value
        raise error
    return value
