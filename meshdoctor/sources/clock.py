"""What time is it? The only wall clock of the program."""

import time
from datetime import UTC, datetime


class WallClock:
    """Clock of a live source: every call may answer later than the one before."""

    def now(self) -> datetime:
        """The current time, in UTC."""
        return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never jump, for deadlines and timings."""
    return time.monotonic()
