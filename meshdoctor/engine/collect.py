"""What are the facts about one subject?

Runs the probes of a playbook's steps; a probe whose evidence cannot be had leaves its facts
unavailable, with the reason. Reads that all subjects share are made first, side by side.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct, field
from msgspec.structs import astuple

from meshdoctor.engine.evidence import WIDE, Evidence, RecordingView
from meshdoctor.engine.masking import masked_fact, masked_reason
from meshdoctor.engine.playbook import Playbook, Step
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Scalar
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.subjects import (
    EdgeSubject,
    MeshSubject,
    NamespaceSubject,
    Subject,
    SubjectKind,
)
from meshdoctor.ports import EvidenceError


class FactSet(Struct):
    """Facts of one playbook on one subject: `step.fact` -> value, or why there is none."""

    bound: dict[str, Scalar] = field(default_factory=dict)
    unavailable: dict[str, Unavailable] = field(default_factory=dict)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)


def project(subject: Subject, on: str) -> Subject | None:
    """The part of a subject that a step judges; None when this subject has none."""
    if on == "mesh":
        return MeshSubject()
    if on == "namespace":
        name = getattr(subject, "namespace", "")
        return NamespaceSubject(name) if name else None
    if on and isinstance(subject, EdgeSubject):
        return {"client": subject.client, "server": subject.server, "service": subject.service}[on]
    return subject


class Collector:
    """Runs probes, each once per subject it judges."""

    def __init__(self, evidence: Evidence, *, strict: bool = False) -> None:
        self.evidence = evidence
        self.strict = strict
        self._names: dict[tuple[str, str], dict[str, str]] = {}
        self._ran: dict[SubjectKind, set[str]] = defaultdict(set)

    def prefetch(self, playbooks: Iterable[Playbook], workers: int) -> None:
        """Read every declared kind of the scope side by side; failures are remembered."""
        kinds = {r for b in playbooks for s in b.steps for r in s.probe.reads if r in BY_NAME}
        spaces = self.evidence.namespaces or (None,)
        jobs = [
            (kind, ns if BY_NAME[kind].namespaced and kind not in WIDE else None)
            for kind in sorted(kinds)
            for ns in spaces
        ]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            list(pool.map(lambda job: self._try(*job), dict.fromkeys(jobs)))

    def _try(self, kind: str, namespace: str | None) -> None:
        try:
            self.evidence.answer(kind, namespace)
        except EvidenceError:
            return

    def facts(self, playbook: Playbook, subject: Subject) -> FactSet:
        """The facts of all steps but the costly ones, which stay pending."""
        out = FactSet()
        for step in playbook.steps:
            if step.probe.costly:
                out.pending.add(step.name)
            else:
                self.add(out, step, subject)
        return out

    def add(self, out: FactSet, step: Step, subject: Subject) -> None:
        """Run one step and put its facts into `out`."""
        out.pending.discard(step.name)
        names = self._qualified(step)
        target = project(subject, step.on)
        if target is None:
            why = Unavailable(
                reason=Reason.NOT_ASKED,
                what=f"the {step.on} of {subject}",
                remedy=f"name it with --{'from' if step.on == 'client' else 'to'}",
            )
            out.unavailable.update(dict.fromkeys(names.values(), why))
            return
        self._ran[target.kind].add(step.probe.name)
        found = self.evidence.once(
            ("memo", "probe", step.probe.name, target), lambda: self._run(step, target)
        )
        out.commands[step.name] = found.commands
        if step.name not in found.named:
            found.named[step.name] = (
                {names[n]: v for n, v in found.bound.items()},
                {names[n]: v for n, v in found.unavailable.items()},
            )
        bound, unavailable = found.named[step.name]
        out.bound.update(bound)
        if unavailable:
            out.unavailable.update(unavailable)

    def forget(self, subject: Subject) -> None:
        """Drop what every probe said of a subject; it is asked again if need be."""
        for probe in self._ran[subject.kind]:
            self.evidence.forget(("memo", "probe", probe, subject))

    def _qualified(self, step: Step) -> dict[str, str]:
        """Fact -> `step.fact`, the same texts for every subject."""
        key = (step.name, step.probe.name)
        if key not in self._names:
            self._names[key] = {d.name: f"{step.name}.{d.name}" for d in step.probe.declares}
        return self._names[key]

    def _run(self, step: Step, target: Subject) -> "_Answer":
        view = RecordingView(self.evidence)
        try:
            values = step.probe.run(view, target)
        except EvidenceError as error:
            return _unanswered(step, view, error.unavailable)
        except Exception as error:
            if self.strict:
                raise
            why = Unavailable(
                reason=Reason.UNPARSABLE,
                what=f"probe {step.probe.name} on {target}",
                detail=f"internal error: {type(error).__name__}: {error}"[:200],
                remedy="please report this with the bundle (meshdoctor collect)",
            )
            return _unanswered(step, view, why)
        answer = _Answer(commands=tuple(view.commands))
        for fact, value in zip(step.probe.declares, astuple(values), strict=True):
            if isinstance(value, Unavailable):
                answer.unavailable[fact.name] = masked_reason(value)
            else:
                answer.bound[fact.name] = masked_fact(value) if value else value
        return answer


def _unanswered(step: Step, view: RecordingView, why: Unavailable) -> "_Answer":
    """Every fact of the probe is unavailable, for one reason."""
    reason = masked_reason(why)
    names = (fact.name for fact in step.probe.declares)
    return _Answer(commands=tuple(view.commands), unavailable=dict.fromkeys(names, reason))


class _Answer(Struct, kw_only=True):
    """What one probe said of one subject, without secrets: fact -> value, or why there is none.

    `named`: the same under the name of each step that asked, for steps of many playbooks share it.
    """

    commands: tuple[str, ...]
    bound: dict[str, Scalar] = field(default_factory=dict)
    unavailable: dict[str, Unavailable] = field(default_factory=dict)
    named: dict[str, tuple[dict[str, Scalar], dict[str, Unavailable]]] = field(default_factory=dict)
