"""What do we know, and what could we not see?

A read ends in a value or in `Unavailable`: why, of what, and what would show it. It never ends in
"does not exist" unless the source says so.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a read gave nothing."""

    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    TOOL_MISSING = "tool_missing"
    UNPARSABLE = "unparsable"
    NOT_RECORDED = "not_recorded"
    NOT_ASKED = "not_asked"
    NOT_SERVED = "not_served"
    TOO_LARGE = "too_large"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A read that gave nothing: `what` was wanted, `reason` why not, `remedy` what to run next."""

    reason: Reason
    what: str
    detail: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.what} ({self.reason.replace('_', ' ')}"
        return f"{text}: {self.detail})" if self.detail else f"{text})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One malformed object: where it was, which it was, what is wrong with it."""

    where: str
    ref: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The last write to an object that a finding names."""

    ref: str
    at: str
    by: str
    what: str = "changed"
