"""What is the answer to: would a sidecar be injected here?"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    INJECTED = "injected"
    NOT_INJECTED = "not-injected"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One workload: the outcome, the clause that decides, what refuses, which webhooks were
    passed over and why (only when none is called), what was not seen. `not_judged`: bounds of the
    namespace that could not be read, without a say in the outcome."""

    workload: str
    outcome: Outcome
    clause: str
    because: str
    webhook: str
    entry: str
    revision: str
    has_sidecar: bool | None
    refusals: tuple[str, ...]
    passed_over: tuple[str, ...]
    not_seen: tuple[str, ...]
    not_judged: tuple[str, ...] = ()
