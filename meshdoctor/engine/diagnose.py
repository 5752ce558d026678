"""From a source and a scope to a report: the short story that calls the rest."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Protocol

from msgspec import Struct

from meshdoctor.engine.calls import caller_of, calls_of
from meshdoctor.engine.collect import Collector, FactSet
from meshdoctor.engine.compose import compose
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.fronts import gateways_to, led_through
from meshdoctor.engine.group import Group
from meshdoctor.engine.masking import masked
from meshdoctor.engine.playbook import Playbook
from meshdoctor.engine.rounds import in_rounds
from meshdoctor.engine.scope import Scope, namespace_of
from meshdoctor.engine.subjects import Resolved, resolve
from meshdoctor.engine.tree import Judgement, judge, needs
from meshdoctor.engine.triage import failing_edges
from meshdoctor.engine.tunnels import failing_tunnels
from meshdoctor.mesh.meshconfig import parse as parse_mesh_config
from meshdoctor.model.cause import Severity
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.kubernetes import ConfigMap
from meshdoctor.model.report import Report, Timing
from meshdoctor.model.subjects import EdgeSubject, Subject, SubjectKind
from meshdoctor.ports import EvidenceError, Progress, Source
from meshdoctor.probes.view import View

ISTIO_NAMESPACE = "istio-system"


Job = tuple[Group, Subject]
_ORDER = (
    SubjectKind.EDGE,
    SubjectKind.MESH,
    SubjectKind.WEBHOOK,
    SubjectKind.NAMESPACE,
    SubjectKind.WORKLOAD,
    SubjectKind.SERVICE,
    SubjectKind.PROXY,
    SubjectKind.CONFIG,
    SubjectKind.NODE,
)
_BY_ITSELF = _ORDER[_ORDER.index(SubjectKind.WORKLOAD) :]
"""Kinds of which, once edges are judged, no other subject asks for the facts."""


class Quiet:
    """A Progress that says nothing."""

    def step(self, text: str, done: int = 0, total: int = 0) -> None:
        """Ignore it."""


class Stopwatch(Protocol):
    """Seconds since some fixed moment; wall clocks live in sources/."""

    def __call__(self) -> float: ...


class Options(Struct, frozen=True, kw_only=True):
    """How to run. `workers` 1 also reads everything in the calling thread; `strict` lets a probe's
    programming error through; after `seconds` the report says what is known so far; of a whole
    mesh a costly probe asks `most` subjects."""

    istio_namespace: str = ISTIO_NAMESPACE
    fail_on: Severity = Severity.DEGRADED
    workers: int = 1
    strict: bool = False
    seconds: float | None = None
    most: int | None = None


class Run(Struct):
    """Everything a report is composed from."""

    source: Source
    scope: Scope
    options: Options
    evidence: Evidence
    resolved: Resolved
    judgements: list[Judgement]
    ruled_out: Counter[str]
    partial: bool
    timings: list[Timing]
    cut: Unavailable | None = None


def diagnose(
    source: Source,
    playbooks: Iterable[Playbook],
    scope: Scope,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    stopwatch: Stopwatch = lambda: 0.0,
) -> Report:
    """Judge a scope and report. Raises SourceError when nothing at all can be read, and
    ScopeError when the scope names nothing; Ctrl-C, or the end of the time allowed, gives what
    is known so far."""
    options = options or Options()
    progress = progress or Quiet()
    playbooks = tuple(playbooks)
    timings: list[Timing] = []
    clock = _laps(stopwatch, timings)
    end = stopwatch() + options.seconds if options.seconds is not None else None
    evidence = Evidence(
        source, scope.request, _namespaces(source, scope, options), options.istio_namespace
    )
    whole = evidence.namespaces is None
    collector = Collector(evidence, strict=options.strict, most=options.most if whole else None)
    progress.step("reading objects")
    collector.prefetch(playbooks, max(options.workers, 1))
    evidence.must_see()
    clock("objects")
    progress.step("finding subjects")
    edges = _failing(RecordingView(evidence), scope)
    beyond = _beyond(evidence, scope, edges)
    if beyond:
        evidence = evidence.widened(beyond)
        collector = Collector(evidence, strict=options.strict)
        collector.prefetch(playbooks, max(options.workers, 1))
        edges = _failing(RecordingView(evidence), scope)
    resolved = resolve(RecordingView(evidence), scope, edges)
    clock("subjects")
    judgements: list[Judgement] = []
    ruled_out: Counter[str] = Counter()
    partial = False
    cut: Unavailable | None = None
    together = not scope.pair
    jobs = _jobs(playbooks, resolved, together=together)
    shown: set[str] = set()
    cleared: Counter[frozenset[str]] = Counter()
    try:
        gathered = _gather_all(collector, jobs, shown, options, progress)
        for done, (subject, found) in enumerate(gathered, 1):
            cleared[found.cleared] += 1
            for book, facts in found.facts:
                judgements += judge(book, subject, facts, ruled_out)
                if together and all(ruled_out[code] for code in book.codes):
                    shown.add(book.name)
            if end is not None and done < len(jobs) and stopwatch() > end:
                partial, cut = True, _cut(done, len(jobs))
                break
    except KeyboardInterrupt:
        partial = True
    codes = {book.name: book.codes for book in playbooks}
    for names, times in cleared.items():
        for name in names:
            ruled_out.update(dict.fromkeys(codes[name], times))
    clock("judgement")
    report = compose(
        Run(
            source=source,
            scope=scope,
            options=options,
            evidence=evidence,
            resolved=resolved,
            judgements=judgements,
            ruled_out=ruled_out,
            partial=partial,
            timings=timings,
            cut=cut,
        )
    )
    return masked(report)


def _failing(view: View, scope: Scope) -> list[EdgeSubject]:
    """The edges seen failing where the scope names none: of the one end it names, or of all."""
    if scope.from_ is not None and scope.to is not None:
        return []
    caller = caller_of(view, scope)
    edges = {str(one): one for one in failing_edges(view, caller)}
    tunnels = {
        str(one.edge): one.edge
        for one in failing_tunnels(view, None if caller is None else [caller])
    }
    every = list((tunnels | edges).values())
    return calls_of(view, scope, every) if scope.to is not None else every


def _beyond(evidence: Evidence, scope: Scope, edges: Iterable[EdgeSubject]) -> set[str]:
    """Namespaces of the services at the other end, and of the gateways before the one that is
    asked about or on the way out, that the scope did not have."""
    if evidence.namespaces is None:
        return set()
    ends = {e.service.namespace for e in edges if e.service is not None}
    ends |= {one.namespace for one in gateways_to(RecordingView(evidence), scope)}
    ends |= led_through(RecordingView(evidence), scope)
    return ends - set(evidence.namespaces)


def _cut(done: int, total: int) -> Unavailable:
    """What the report says of judgements for which there was no time."""
    return Unavailable(
        reason=Reason.TIMEOUT,
        what="judging what was read",
        detail=f"the deadline came after {done} of {total} judgements",
        remedy="Give a longer --deadline, or name a pair or a --namespace.",
    )


def _laps(stopwatch: Stopwatch, timings: list[Timing]) -> Callable[[str], None]:
    last = [stopwatch()]

    def lap(name: str) -> None:
        now = stopwatch()
        timings.append(Timing(step=name, seconds=round(now - last[0], 3)))
        last[0] = now

    return lap


def _namespaces(source: Source, scope: Scope, options: Options) -> tuple[str, ...] | None:
    """The namespaces that a pair or --namespace concerns: both ends, istiod's and the root's.

    None: the whole mesh.
    """
    if not scope.pair and not scope.namespaces:
        return None
    spaces = {options.istio_namespace, *scope.namespaces}
    home = namespace_of(scope.from_, "default")
    spaces |= {home, namespace_of(scope.to, home or "default")} - {""}
    try:
        found = source.get("ConfigMap", options.istio_namespace, "istio")
        config = parse_mesh_config(found if isinstance(found, ConfigMap) else None)
        spaces.add(config.root_namespace)
    except EvidenceError:
        pass
    return tuple(sorted(spaces))


def _jobs(playbooks: tuple[Playbook, ...], resolved: Resolved, *, together: bool) -> list[Job]:
    """What is judged, failing edges first; all playbooks of one subject follow each other.

    `together`: they are one job, for of a whole mesh few need more than a look. Those of a pair
    are a job each, so that their costly reads go side by side.
    """
    books: dict[SubjectKind, list[Playbook]] = defaultdict(list)
    for book in playbooks:
        books[book.subject].append(book)
    out: list[Job] = []
    for kind in sorted(books, key=_ORDER.index):
        alone = not together or kind not in _BY_ITSELF
        groups = [Group([book]) for book in books[kind]] if alone else [Group(books[kind])]
        out += [(group, s) for s in resolved.subjects.get(kind, ()) for group in groups]
    return out


class Found(Struct, frozen=True):
    """Of one job: the playbooks whose causes are all ruled out, of which the report has enough
    to show, and the facts of the others."""

    cleared: frozenset[str]
    facts: tuple[tuple[Playbook, FactSet], ...]


def _gather_all(
    collector: Collector, jobs: list[Job], shown: Set[str], options: Options, progress: Progress
) -> Iterator[tuple[Subject, Found]]:
    """What was found in every job, in order. What was found about a subject is forgotten after
    its last job, for a whole mesh would fill the memory."""

    def collect(job: Job) -> Found:
        group, subject = job
        cleared = collector.cleared(group, subject) & shown if shown else frozenset[str]()
        if len(cleared) == len(group.books):
            return Found(cleared, ())
        rest = [book for book in group.books if book.name not in cleared]
        return Found(cleared, tuple((book, gather(collector, book, subject)) for book in rest))

    gathered = _gathered(collect, jobs, collector.evidence, options, progress)
    for number, found in enumerate(gathered, 1):
        subject = jobs[number - 1][1]
        yield subject, found
        if subject.kind in _BY_ITSELF and (number == len(jobs) or jobs[number][1] != subject):
            collector.forget(subject)


def _gathered(
    collect: Callable[[Job], Found],
    jobs: list[Job],
    evidence: Evidence,
    options: Options,
    progress: Progress,
) -> Iterator[Found]:
    if options.workers <= 1:
        for done, job in enumerate(jobs):
            if done % 50 == 0:
                progress.step("judging", done, len(jobs))
            yield collect(job)
        return
    for done, (_, found) in enumerate(in_rounds(collect, jobs, evidence, options.workers)):
        if done % 50 == 0 or len(jobs) < 1000:
            progress.step("judging", done, len(jobs))
        yield found


def gather(collector: Collector, playbook: Playbook, subject: Subject) -> FactSet:
    """Facts of one subject: the cheap steps, then those costly ones that could still decide."""
    facts = collector.facts(playbook, subject)
    while facts.pending:
        wanted = needs(playbook, facts)
        if not wanted:
            break
        for step in playbook.steps:
            if step.name in wanted:
                collector.add(facts, step, subject)
    return facts
