"""What does a diagnosis say? The one structure that every renderer draws.

Serialised as `meshdoctor.report/v1`: fields are only ever added.
"""

import msgspec

SCHEMA = "meshdoctor.report/v1"


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every report struct; snake_case on the wire."""


class TrailStep(Struct, frozen=True):
    """One question on the way to a verdict.

    `condition` is the CEL text, `values` the facts it read, `holds` true, false or null (unknown),
    `commands` what a person runs to see the same values.
    """

    ask: str
    condition: str
    holds: bool | None
    values: dict[str, str | int | bool | None] = {}
    commands: list[str] = []


class VerifyStep(Struct, frozen=True):
    """A command, what its output means to a person (`expect`) and, where a program can tell: texts
    that are all in the output (`shows`), texts that are not (`lacks`)."""

    run: str
    expect: str
    shows: list[str] = []
    lacks: list[str] = []


class ChangeNote(Struct, frozen=True):
    """The last write to an object that a finding names: RFC 3339 time and field manager."""

    object: str
    at: str
    by: str
    what: str = "changed"


class Missing(Struct, frozen=True):
    """Evidence that would settle a cause, and how to obtain it."""

    what: str
    reason: str
    detail: str = ""
    remedy: str = ""


class Finding(Struct, frozen=True):
    """A cause on a subject. `objects` are at fault, most guilty first (`Kind/namespace/name`).

    `group`: main (ranked), folded (a consequence of another finding), also_noticed (advice or a
    derived cause beside an observed one), undecided.
    """

    code: str
    name: str
    title: str
    verdict: str
    strength: str
    severity: str
    subject_kind: str
    subject: str
    group: str
    rank: int
    mesh: bool
    objects: list[str] = []
    because: str = ""
    observed: str = ""
    trail: list[TrailStep] = []
    explains: list[str] = []
    folded: list[str] = []
    also_on: list[str] = []
    changes: list[ChangeNote] = []
    missing: list[Missing] = []
    fix: str = ""
    by_hand: str = ""
    verify: VerifyStep | None = None
    docs: str = ""
    fingerprint: str = ""


class RuledOut(Struct, frozen=True):
    """A cause that cannot be, on every subject judged, with the condition that rules it out."""

    code: str
    name: str
    subjects: int
    because: str
    values: dict[str, str | int | bool | None] = {}


class Symptom(Struct, frozen=True):
    """Something seen failing: text, how often, between which times, which findings explain it.

    `over`: later traffic of the same kind went through, so it no longer happens.
    """

    subject: str
    text: str
    count: int
    first: str = ""
    last: str = ""
    explained_by: list[str] = []
    look_next: str = ""
    over: bool = False


class Timing(Struct, frozen=True):
    step: str
    seconds: float


class Coverage(Struct, frozen=True):
    """How much was seen: subjects judged by kind, reads made, objects read, objects set aside.

    `logs`: workloads of which an access log was read, out of `proxies`, the workloads with an
    Envoy: a run over a large mesh reads those of gateways, of pods in trouble and of some others.
    Both 0 for a pair, which reads what it needs."""

    subjects: dict[str, int] = {}
    reads: int = 0
    objects: int = 0
    set_aside: list[str] = []
    logs: int = 0
    proxies: int = 0


class Report(Struct, frozen=True):
    schema: str
    tool_version: str
    generated_at: str
    observed_at: str
    source: str
    scope: str
    exit: int
    summary: str
    partial: bool
    healthy: bool
    versions: dict[str, str] = {}
    findings: list[Finding] = []
    ruled_out: list[RuledOut] = []
    unseen: list[Missing] = []
    symptoms: list[Symptom] = []
    changes: list[ChangeNote] = []
    coverage: Coverage = msgspec.field(default_factory=Coverage)
    timings: list[Timing] = []

    @property
    def main(self) -> list[Finding]:
        return [f for f in self.findings if f.group == "main"]

    def of(self, group: str) -> list[Finding]:
        return [f for f in self.findings if f.group == group]
