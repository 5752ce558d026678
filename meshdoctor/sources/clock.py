"""What time is it, and how much of it is left? The only wall clock of the program."""

import time
from datetime import UTC, datetime

from meshdoctor.ports import DeadlineError


class WallClock:
    """Clock of a live source: every call may answer later than the one before."""

    def now(self) -> datetime:
        """The current time, in UTC."""
        return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never jump, for deadlines and timings."""
    return time.monotonic()


class Deadline:
    """The end of a run, shared by all of its reads."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds
        self.seconds = seconds

    def left(self) -> float:
        """Seconds until the end, never below zero."""
        return max(0.0, self._end - monotonic())

    def share(self, most: float, what: str) -> float:
        """How long one call may take. Raises DeadlineError when the end has passed."""
        left = self.left()
        if left <= 0:
            raise DeadlineError(
                what, f"the deadline of {self.seconds:g} s passed", "Give a longer --deadline."
            )
        return min(most, left)

    def sleep(self, seconds: float, what: str) -> None:
        """Wait before another try. Raises DeadlineError when that would pass the end."""
        if seconds >= self.left():
            raise DeadlineError(
                what,
                f"the deadline of {self.seconds:g} s leaves no time to try again",
                "Give a longer --deadline.",
            )
        time.sleep(seconds)


def pause(seconds: float) -> None:
    """Wait between two looks at something that changes."""
    time.sleep(seconds)
