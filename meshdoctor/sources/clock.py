"""What time is it, and how much of it is left? The only wall clock of the program."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from meshdoctor.ports import DeadlineError

_LEAST = 0.5


class WallClock:
    """Clock of a live source: every call may answer later than the one before."""

    def now(self) -> datetime:
        """The current time, in UTC."""
        return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never jump, for deadlines and timings."""
    return time.monotonic()


def reading_time(deadline: float, spent: float) -> float:
    """How much of a run's time is for reading: the rest is for judging what was read.

    A fifth even where starting took all of it, or nothing at all could be said.
    """
    return max(0.2 * deadline, 0.7 * (deadline - spent))


def judging_time(deadline: float, spent: float) -> float:
    """How much of a run's time is left for reading and judging: the rest is for the report."""
    return max(0.3 * deadline, 0.9 * deadline - spent)


def running() -> float:
    """For how long this process has been running: its start counts towards a deadline."""
    try:
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begun = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun)
    except (AttributeError, IndexError, OSError, ValueError):
        return time.process_time()


class Deadline:
    """The end of a run, shared by all of its reads."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds
        self.seconds = seconds

    def left(self) -> float:
        """Seconds until the end, never below zero."""
        return max(0.0, self._end - monotonic())

    def share(self, most: float, what: str) -> float:
        """How long one call may take: at most half of what is left, so that one which hangs
        leaves time for the others. Raises DeadlineError when the end has passed."""
        left = self.left()
        if left <= 0:
            raise DeadlineError(
                what, f"the {self.seconds:.3g} s for reading passed", "Give a longer --deadline."
            )
        return min(most, max(left / 2, min(left, _LEAST)))

    def sleep(self, seconds: float, what: str) -> None:
        """Wait before another try. Raises DeadlineError when that would pass the end."""
        if seconds >= self.left():
            raise DeadlineError(
                what,
                f"the {self.seconds:.3g} s for reading leave no time to try again",
                "Give a longer --deadline.",
            )
        time.sleep(seconds)


def pause(seconds: float) -> None:
    """Wait between two looks at something that changes."""
    time.sleep(seconds)
