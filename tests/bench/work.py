"""What is measured?"""

from collections.abc import Callable
from pathlib import Path

from meshdoctor.engine.diagnose import diagnose
from meshdoctor.engine.playbook import load_all
from meshdoctor.engine.scope import Scope
from meshdoctor.model.report import Timing
from meshdoctor.sources.clock import monotonic as stopwatch
from meshdoctor.sources.open import open_recorded


def _decode(folder: Path) -> str:
    source = open_recorded(folder)
    return f"{len(source.list('Pod', None).objects)} pods decoded"


def _diagnose(folder: Path) -> str:
    source = open_recorded(folder)
    books = load_all()
    report = diagnose(source, books, Scope(), stopwatch=stopwatch)
    judged = sum(report.coverage.subjects.values())
    return f"{judged} subjects, {len(books)} playbooks, {report.summary}; {_steps(report.timings)}"


def _steps(timings: list[Timing]) -> str:
    return ", ".join(f"{t.step} {t.seconds:.1f} s" for t in timings)


WORK: dict[str, Callable[[Path], str]] = {"decode": _decode, "diagnose": _diagnose}
