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
from meshdoctor.engine.group import Group
from meshdoctor.engine.masking import masked_reason, masked_values
from meshdoctor.engine.playbook import Playbook, Step
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Scalar
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    MeshSubject,
    NamespaceSubject,
    Subject,
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
    """Runs probes, each once per subject it judges. `most`: of so many subjects a costly probe
    asks; when thousands are odd alike, asking all of them would only end with the time allowed."""

    def __init__(
        self, evidence: Evidence, *, strict: bool = False, most: int | None = None
    ) -> None:
        self.evidence = evidence
        self.strict = strict
        self.most = most
        self._asked: dict[str, set[Subject]] = defaultdict(set)
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}
        self._answers: dict[Subject, dict[str, _Answer]] = defaultdict(dict)
        self._no_concern: dict[str, _Answer] = {}

    def prefetch(self, playbooks: Iterable[Playbook], workers: int) -> None:
        """Read every declared kind of the scope side by side, pods, which take longest, first;
        failures are remembered."""
        kinds = {r for b in playbooks for s in b.steps for r in s.probe.reads if r in BY_NAME}
        spaces = self.evidence.namespaces or (None,)
        jobs = [
            (kind, ns if BY_NAME[kind].namespaced and kind not in WIDE else None)
            for kind in sorted(kinds, key=lambda kind: (kind != "Pod", kind))
            for ns in spaces
        ]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            list(pool.map(lambda job: self._try(*job), dict.fromkeys(jobs)))

    def _try(self, kind: str, namespace: str | None) -> None:
        try:
            self.evidence.answer(kind, namespace)
        except EvidenceError:
            return

    def cleared(self, group: Group, subject: Subject) -> frozenset[str]:
        """Names of the playbooks whose causes the steps that are not costly rule out."""
        return group.cleared(lambda step: self._answer(step, subject).values, _config_kind(subject))

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
        found = self._answer(step, subject)
        for name, value in zip(self._qualified(step), found.values, strict=True):
            if isinstance(value, Unavailable):
                out.unavailable[name] = value
            else:
                out.bound[name] = value
        if found.commands is not None:
            out.commands[step.name] = found.commands

    def forget(self, subject: Subject) -> None:
        """Drop what every probe said of a subject; it is asked again if need be."""
        self._answers.pop(subject, None)

    def _answer(self, step: Step, subject: Subject) -> "_Answer":
        target = project(subject, step.on) if step.on else subject
        if target is None:
            return _not_asked(step, subject)
        probe = step.probe
        if probe.kinds and not probe.concerns(_config_kind(target)):
            return self._of_no_concern(step, target)
        answers = self._answers[target]
        found = answers.get(probe.name)
        if found is None:
            enough = probe.costly and self._enough(probe.name, target)
            found = _left_out(step, target) if enough else self._run(step, target)
            answers[probe.name] = found
        return found

    def _enough(self, probe: str, target: Subject) -> bool:
        """Whether a costly probe has asked so many subjects that this one is left out."""
        asked = self._asked[probe]
        if self.most is not None and len(asked) >= self.most and target not in asked:
            return True
        asked.add(target)
        return False

    def _of_no_concern(self, step: Step, target: Subject) -> "_Answer":
        """What a probe says of a kind that it does not judge: the same of every object."""
        found = self._no_concern.get(step.probe.name)
        if found is None:
            found = self._no_concern[step.probe.name] = self._run(step, target)
        return found

    def _qualified(self, step: Step) -> tuple[str, ...]:
        """`step.fact` of every fact, the same texts for every subject."""
        key = (step.name, step.probe.name)
        if key not in self._names:
            self._names[key] = tuple(f"{step.name}.{d.name}" for d in step.probe.declares)
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
        masked = masked_values(astuple(values), step.probe.texts)
        return _Answer(commands=tuple(view.commands), values=masked)


def _config_kind(subject: Subject) -> str:
    return subject.config_kind if isinstance(subject, ConfigSubject) else ""


def _unanswered(step: Step, view: RecordingView, why: Unavailable) -> "_Answer":
    """Every fact of the probe is unavailable, for one reason."""
    values = (masked_reason(why),) * len(step.probe.declares)
    return _Answer(commands=tuple(view.commands), values=values)


def _not_asked(step: Step, subject: Subject) -> "_Answer":
    """The subject has no such part."""
    why = Unavailable(
        reason=Reason.NOT_ASKED,
        what=f"the {step.on} of {subject}",
        remedy=f"name it with --{'from' if step.on == 'client' else 'to'}",
    )
    return _Answer(commands=None, values=(why,) * len(step.probe.declares))


def _left_out(step: Step, target: Subject) -> "_Answer":
    """So many others were asked already."""
    why = Unavailable(
        reason=Reason.NOT_ASKED,
        what=f"{step.probe.name} of {target}",
        detail="many others need it too, and some of them were asked",
        remedy="name its workload with --from or --to, or its --namespace",
    )
    return _Answer(commands=None, values=(why,) * len(step.probe.declares))


class _Answer(Struct, frozen=True, kw_only=True):
    """What one probe said of one subject, without secrets: each fact's value, or why there is
    none, in the order declared. `commands` None: nothing was asked."""

    commands: tuple[str, ...] | None
    values: tuple[Scalar | Unavailable, ...]
