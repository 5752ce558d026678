"""How long did a change take until every proxy had it, and how exactly is that known?

A change is dated to the second by managedFields, or exactly by a watch that saw it. An arrival is
bounded by two looks at the sync table; Envoy's own date of the update (config_dump's last_updated,
milliseconds) says where between them, and is not believed outside of them: clocks differ.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

_NONE = timedelta(0)
_ONE_UPDATE = timedelta(seconds=0.5)
ACKNOWLEDGING = timedelta(seconds=1)
"""A look may still miss an acknowledgement that is on its way."""


class Began(Struct, frozen=True, kw_only=True):
    """The change was written in the span from `at` on, `grain` long."""

    at: datetime
    grain: timedelta = _NONE


class Arrival(Struct, frozen=True, kw_only=True):
    """One proxy took the change after `after` (still without it) and by `by` (seen with it)."""

    namespace: str
    pod: str
    after: datetime
    by: datetime
    taken: datetime | None = None

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first and last moment at which it may have been taken."""
        if self.taken is None:
            return self.after, self.by
        at = min(max(self.taken, self.after - ACKNOWLEDGING), self.by)
        return at, at


class Took(Struct, frozen=True, kw_only=True):
    """`best` lies between `low` and `high`; `half` is until half of the proxies had it."""

    low: timedelta
    best: timedelta
    high: timedelta
    half: timedelta
    last: str
    proxies: int
    dated: int

    @property
    def within(self) -> timedelta:
        """How far `best` may be off."""
        return max(self.high - self.best, self.best - self.low)


def took(began: Began, arrivals: Iterable[Arrival]) -> Took | None:
    """From the change to the last arrival; None when nothing arrived."""
    found = tuple(arrivals)
    if not found:
        return None
    spans = sorted((a.span[1], a.span[0], f"{a.namespace}/{a.pod}") for a in found)
    first = spans[0][0]
    latest = max(began.at, min(began.at + began.grain, first))
    start = began.at + (latest - began.at) / 2
    high, name = spans[-1][0], spans[-1][2]
    low = max(one[1] for one in spans)
    end = low + (high - low) / 2
    return Took(
        low=max(low - latest, _NONE),
        best=max(end - start, _NONE),
        high=max(high - began.at, _NONE),
        half=max(_middle(spans[(len(spans) - 1) // 2]) - start, _NONE),
        last=name,
        proxies=len(found),
        dated=sum(a.taken is not None for a in found),
    )


def _middle(span: tuple[datetime, datetime, str]) -> datetime:
    return span[1] + (span[0] - span[1]) / 2


def first_update(times: Sequence[datetime], began: Began, by: datetime) -> datetime | None:
    """When Envoy had taken the first update after the change: the last of the dates that lie
    close together, none later than `by`. None: nothing was updated in that time."""
    later = sorted(t for t in times if began.at <= t <= by)
    if not later:
        return None
    last = later[0]
    for one in later:
        if one - last > _ONE_UPDATE:
            break
        last = one
    return last
