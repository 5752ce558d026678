"""What is one line of `preflight`?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`ok` None means that it could not be told; `remedy` is what to run or ask for."""

    ok: bool | None
    text: str
    remedy: str = ""
