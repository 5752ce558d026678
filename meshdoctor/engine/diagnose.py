"""From a source and a scope to a report: the short story that calls the rest."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from msgspec import Struct

from meshdoctor.engine.collect import Collector, FactSet
from meshdoctor.engine.compose import compose
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.masking import masked
from meshdoctor.engine.playbook import Playbook
from meshdoctor.engine.scope import Scope, namespace_of
from meshdoctor.engine.subjects import Resolved, resolve
from meshdoctor.engine.tree import Judgement, judge, needs
from meshdoctor.engine.triage import failing_edges
from meshdoctor.mesh.meshconfig import parse as parse_mesh_config
from meshdoctor.model.cause import Severity
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.kubernetes import ConfigMap
from meshdoctor.model.report import Report, Timing
from meshdoctor.model.subjects import Subject, SubjectKind
from meshdoctor.ports import EvidenceError, Progress, Source

ISTIO_NAMESPACE = "istio-system"


Job = tuple[Playbook, Subject]
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
    """How to run. `workers` 1 runs everything in the calling thread; `strict` lets a probe's
    programming error through; after `seconds` the report says what is known so far."""

    istio_namespace: str = ISTIO_NAMESPACE
    fail_on: Severity = Severity.DEGRADED
    workers: int = 1
    strict: bool = False
    seconds: float | None = None


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
    collector = Collector(evidence, strict=options.strict, alone=options.workers <= 1)
    progress.step("reading objects")
    collector.prefetch(playbooks, max(options.workers, 1))
    evidence.must_see()
    clock("objects")
    view = RecordingView(evidence)
    progress.step("finding subjects")
    edges = [] if scope.pair else failing_edges(view)
    resolved = resolve(view, scope, edges)
    clock("subjects")
    judgements: list[Judgement] = []
    ruled_out: Counter[str] = Counter()
    partial = False
    cut: Unavailable | None = None
    jobs = _jobs(playbooks, resolved)
    shown: set[str] = set()
    cleared: Counter[tuple[str, ...]] = Counter()
    try:
        gathered = _gather_all(collector, jobs, shown, options, progress)
        for done, (job, facts) in enumerate(gathered, 1):
            if facts is None:
                cleared[job[0].codes] += 1
            else:
                judgements += judge(*job, facts, ruled_out)
                if all(ruled_out[code] for code in job[0].codes):
                    shown.add(job[0].name)
            if end is not None and done < len(jobs) and stopwatch() > end:
                partial, cut = True, _cut(done, len(jobs))
                break
    except KeyboardInterrupt:
        partial = True
    for codes, times in cleared.items():
        ruled_out.update(dict.fromkeys(codes, times))
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


def _jobs(playbooks: tuple[Playbook, ...], resolved: Resolved) -> list[Job]:
    """What is judged, failing edges first; all playbooks of one subject follow each other."""
    books: dict[SubjectKind, list[Playbook]] = defaultdict(list)
    for book in playbooks:
        books[book.subject].append(book)
    kinds = sorted(books, key=_ORDER.index)
    return [(b, s) for kind in kinds for s in resolved.subjects.get(kind, ()) for b in books[kind]]


def _gather_all(
    collector: Collector, jobs: list[Job], shown: Set[str], options: Options, progress: Progress
) -> Iterator[tuple[Job, FactSet | None]]:
    """The facts of every job, in order; None: they rule out every cause, and of that playbook
    the report has enough to show. What was found about a subject is forgotten after its last
    playbook, for a whole mesh would fill the memory."""

    def collect(job: Job) -> FactSet | None:
        if job[0].name in shown and collector.rules_out(*job):
            return None
        return gather(collector, *job)

    gathered = _gathered(collect, jobs, options, progress)
    for number, (job, facts) in enumerate(gathered, 1):
        yield job, facts
        subject = job[1]
        if subject.kind in _BY_ITSELF and (number == len(jobs) or jobs[number][1] != subject):
            collector.forget(subject)


def _gathered(
    collect: Callable[[Job], FactSet | None],
    jobs: list[Job],
    options: Options,
    progress: Progress,
) -> Iterator[tuple[Job, FactSet | None]]:
    if options.workers <= 1:
        for done, job in enumerate(jobs):
            if done % 50 == 0:
                progress.step("judging", done, len(jobs))
            yield job, collect(job)
        return
    pool = ThreadPoolExecutor(max_workers=options.workers)
    try:
        for done, (job, facts) in enumerate(zip(jobs, pool.map(collect, jobs), strict=True)):
            progress.step("judging", done, len(jobs))
            yield job, facts
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
