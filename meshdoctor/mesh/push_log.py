"""How long do istiod's pushes take lately, and how long do they wait for changes to settle?

Metrics count since istiod started, so they tell of a storm long after it is over; its log has
times. Lines of pilot/pkg/xds/{discovery,delta,xdsgen}.go, the same from 1.8 to 1.32-dev: "Push
debounce stable" starts a push, and "PUSH for node" tells each delivery, but for those that change
endpoints only. Deliveries that a proxy asked for ("PUSH request") belong to no push.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct

from meshdoctor.mesh.log_lines import Said, go_duration

LATELY = timedelta(minutes=10)
_EMPTY = timedelta(milliseconds=200)
_SILENCE = timedelta(seconds=5)


class Lately(Struct, frozen=True, kw_only=True):
    """`longest`: from a push until its last proxy had it; `settling`: the median wait before a
    push; `pushes`: how many there were; `about`: the configuration that most of them were for, and
    how many."""

    pushes: int
    longest: timedelta
    settling: timedelta
    about: tuple[str, int]


def lately(said: Iterable[Said], now: datetime) -> Lately:
    """What the pushes of the last ten minutes took, of istiods whose lines follow each other."""
    recent = [s for s in said if s.at is not None and timedelta(0) <= now - s.at <= LATELY]
    waits = [
        wait.total_seconds()
        for s in recent
        if s.kind == "debounce" and (wait := go_duration(s.get("since_push"))) is not None
    ]
    return Lately(
        pushes=sum(s.kind == "debounce" for s in recent),
        longest=_longest(recent),
        settling=timedelta(seconds=median(waits)) if waits else timedelta(0),
        about=_about(recent),
    )


def _about(recent: Iterable[Said]) -> tuple[str, int]:
    """A push names one configuration of those that changed."""
    found = (s.get("config").partition(" ")[0] for s in recent if s.kind == "debounce")
    return next(iter(Counter(one for one in found if "/" in one).most_common(1)), ("", 0))


def _longest(said: Iterable[Said]) -> timedelta:
    """A push that comes before the queue was empty leaves its proxies waiting since the former."""
    longest, last = timedelta(0), None
    begun: datetime | None = None
    for one in said:
        at = one.at
        if at is None:
            continue
        if one.kind == "debounce" and not _follows(last, at, _EMPTY):
            begun, last = at, None
        elif _sent(one) and begun is not None and _follows(last or begun, at, _SILENCE):
            longest, last = max(longest, at - begun), at
    return longest


def _follows(last: datetime | None, at: datetime, within: timedelta) -> bool:
    return last is not None and timedelta(0) <= at - last <= within


def _sent(one: Said) -> bool:
    return one.kind == "push" and "PUSH request" not in one.text
