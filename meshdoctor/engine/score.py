"""Where does a report rank the true cause of a known incident?"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from meshdoctor.model.report import Finding, Report


class Truth(Struct, frozen=True, kw_only=True):
    """truth.yaml: the objects at fault (any of them counts), or a healthy mesh."""

    objects: tuple[str, ...]
    healthy: bool
    summary: str = ""


class Mark(Struct, frozen=True, kw_only=True):
    """`rank` 0: no finding names an object at fault. `false_alarms`: findings confirmed against
    the mesh on an incident whose truth is healthy."""

    name: str
    rank: int
    code: str
    healthy: bool
    false_alarms: tuple[str, ...]
    first: str
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not self.false_alarms if self.healthy else self.rank == 1


def truth_from(data: Any) -> Truth:
    """The fields of truth.yaml that scoring reads; raises ValueError."""
    if not isinstance(data, dict) or not isinstance(data.get("healthy"), bool):
        raise ValueError("truth.yaml: needs `healthy: true|false` and `objects: [...]`")
    objects = tuple(str(o).partition(" (")[0] for o in data.get("objects") or ())
    return Truth(objects=objects, healthy=data["healthy"], summary=str(data.get("summary", "")))


def mark(name: str, truth: Truth, report: Report, seconds: float = 0.0) -> Mark:
    """Rank of the first finding that names an object at fault, among those shown: main, then
    folded under them, then also noticed. Undecided findings do not count."""
    shown = [f for f in report.findings if f.group != "undecided"]
    main = [f for f in shown if f.group == "main"]
    hit = next((f for f in shown if set(f.objects) & set(truth.objects)), None)
    return Mark(
        name=name,
        rank=_position(hit, shown) if hit else 0,
        code=hit.code if hit else "",
        healthy=truth.healthy,
        false_alarms=tuple(f"{f.code} {f.subject}" for f in main if f.mesh)
        if truth.healthy
        else (),
        first=f"{main[0].code} {main[0].objects[0] if main[0].objects else main[0].subject}"
        if main
        else "",
        seconds=seconds,
    )


def _position(hit: Finding, shown: Sequence[Finding]) -> int:
    return shown.index(hit) + 1


class Score(Struct, frozen=True, kw_only=True):
    """Over the incidents with a fault: AC@1, AC@3, MRR; over healthy ones: false alarms."""

    faulty: int
    healthy: int
    ac1: float
    ac3: float
    mrr: float
    false_alarms: int


def total(marks: Sequence[Mark]) -> Score:
    """The score of a set of incidents; an incident never ranked counts as 0."""
    faulty = [m for m in marks if not m.healthy]
    count = len(faulty) or 1
    return Score(
        faulty=len(faulty),
        healthy=len(marks) - len(faulty),
        ac1=sum(m.rank == 1 for m in faulty) / count,
        ac3=sum(0 < m.rank <= 3 for m in faulty) / count,
        mrr=sum(1 / m.rank for m in faulty if m.rank) / count,
        false_alarms=sum(bool(m.false_alarms) for m in marks if m.healthy),
    )
