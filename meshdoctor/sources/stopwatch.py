"""How many seconds did a step take?"""

import time


def stopwatch() -> float:
    """Seconds since some fixed moment; never goes back."""
    return time.monotonic()
