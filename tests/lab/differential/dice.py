"""How is chance drawn so that a case is the same for the same seed and number?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws of one case: the same for the same words."""

    def __init__(self, *words: object) -> None:
        self._random = random.Random(":".join(str(word) for word in words))

    def chance(self, percent: float) -> bool:
        """True in so many of a hundred draws."""
        return self._random.random() * 100 < percent

    def one(self, pool: Sequence[T]) -> T:
        """Any one of them."""
        return self._random.choice(pool)

    def some(self, pool: Sequence[T], most: int) -> list[T]:
        """One to `most` of them, each at most once, in any order."""
        return self._random.sample(list(pool), min(len(pool), self._random.randint(1, most)))

    def number(self, low: int, high: int) -> int:
        """Any number between the two, both included."""
        return self._random.randint(low, high)

    def weighted(self, pool: dict[T, int]) -> T:
        """One of the keys, by their weights."""
        return self._random.choices(list(pool), weights=list(pool.values()))[0]

    def pattern(self, value: str, others: Sequence[str]) -> str:
        """A pattern near a value: itself, a prefix or suffix of it, presence, or a near miss."""
        cut = self.number(1, max(1, len(value) - 1))
        kind = self.weighted(
            {"same": 40, "prefix": 14, "suffix": 14, "any": 5, "other": 17, "case": 4, "near": 6}
        )
        match kind:
            case "same" if value:
                return value
            case "prefix":
                return f"{value[:cut]}*"
            case "suffix":
                return f"*{value[cut:]}" if value[cut:] else f"*{value}"
            case "any":
                return "*"
            case "case" if value:
                return value.swapcase()
            case "near" if len(value) > 1:
                return value[:-1]
        return self.one(others)

    def patterns(self, value: str, others: Sequence[str], most: int = 2) -> list[str]:
        """One to `most` patterns near a value."""
        drawn = [self.pattern(value, others) for _ in range(self.number(1, most))]
        return list(dict.fromkeys(drawn))
