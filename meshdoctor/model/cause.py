"""What is a cause, and how sure can we be of it?"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Severity(StrEnum):
    OUTAGE = "outage"
    PARTIAL = "partial"
    DEGRADED = "degraded"
    HYGIENE = "hygiene"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    UNDECIDED = "undecided"
    RULED_OUT = "ruled_out"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)


class Strength(StrEnum):
    """observed: evidence shows it happening · derived: objects must produce it · suspected."""

    OBSERVED = "observed"
    DERIVED = "derived"
    SUSPECTED = "suspected"

    @property
    def rank(self) -> int:
        return list(Strength).index(self)


class Exit(IntEnum):
    """Exit status, the same in every format."""

    HEALTHY = 0
    CONFIRMED = 1
    USAGE = 2
    INCOMPLETE = 3
    UNREACHABLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """A command that shows whether the fault is gone.

    `expect` says it to a person; `shows` and `lacks` to a program: every text of `shows` is in the
    output and none of `lacks`.
    """

    run: str
    expect: str
    shows: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A possible root cause as a playbook states it; templates hold `{step.fact}`.

    `by_hand` says that the fix is a decision for a person and cannot be run as printed.
    `concerns` are references to the services and workloads whose calls the fault spoils, where
    the subject itself does not tell. `symptom` are words of the failures that it accounts for even
    as mere advice.
    """

    code: str
    name: str
    title: str
    severity: Severity
    when: str
    observed: str
    suspected: bool
    at_fault: tuple[str, ...]
    concerns: tuple[str, ...]
    explains: tuple[str, ...]
    because: str
    fix: str
    by_hand: str
    verify: Verify
    docs: str
    symptom: str
    mesh: bool
    path: str
    line: int
