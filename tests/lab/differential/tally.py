"""What did a run find, of whichever kind?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.lab import layout
from tests.lab.differential.case import Object

FOLDER = layout.STATE / "differential"


class Drawn(Protocol):
    """A case of any kind."""

    @property
    def seed(self) -> int: ...

    @property
    def index(self) -> int: ...

    @property
    def name(self) -> str: ...


class Outcome(Protocol):
    """One request or call of one case: what was seen of it, and what was said."""

    @property
    def case(self) -> Drawn: ...

    @property
    def number(self) -> int: ...

    @property
    def agrees(self) -> bool: ...


O = TypeVar("O", bound=Outcome)


@dataclass
class Tally(Generic[O]):
    """What a run counted; `kind` names the files of its disagreements."""

    kind: str
    outcomes: list[O] = field(default_factory=list)
    refused: list[tuple[Object, str]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def disagreements(self) -> list[O]:
        return [one for one in self.outcomes if not one.agrees]

    @property
    def cases(self) -> int:
        return len({one.case.name for one in self.outcomes})

    def add(self, number: int, fresh: Sequence[O], what: str) -> None:
        """Take in one round: keep its disagreements, and say that it is over."""
        self.outcomes += fresh
        wrong = [one for one in fresh if not one.agrees]
        self.write(wrong)
        words = " ".join(f"{one.case.name}.{one.number}" for one in wrong)
        print(f"round {number}: {len(fresh)} {what} {words}", flush=True)

    def summary(self) -> str:
        """One paragraph of numbers; each kind has its own words."""
        raise NotImplementedError

    def end(self) -> None:
        """The run is over."""
        self.seconds = time.monotonic() - self.begun

    def write(self, disagreements: Sequence[O]) -> None:
        """Keep every disagreement in a file of its own."""
        folder: Path = FOLDER / "disagreements"
        folder.mkdir(parents=True, exist_ok=True)
        for one in disagreements:
            path = folder / f"{self.kind}-{one.case.seed}-{one.case.index}-{one.number}.txt"
            path.write_text(str(one))
