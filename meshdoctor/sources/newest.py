"""When was this recorded, if it does not say? The newest time that its objects or logs carry."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from meshdoctor.model.kubernetes import Event, Object, Pod
from meshdoctor.model.patterns import pattern

_STAMP = pattern(
    r'(?:^\[?"?|"(?:time|ts|timestamp|start_time)"\s*:\s*")'
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)"
)
_TAIL_LINES = 50


def newest(objects: Iterable[Object], tails: Iterable[str]) -> datetime | None:
    """The newest of all write times, event times, pod condition times and log line times."""
    best: datetime | None = None
    for time in (*_object_times(objects), *_log_times(tails)):
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        if best is None or aware > best:
            best = aware
    return best


def _object_times(objects: Iterable[Object]) -> Iterator[datetime]:
    for obj in objects:
        meta = obj.metadata
        if meta.creation_timestamp:
            yield meta.creation_timestamp
        yield from (field.time for field in meta.managed_fields if field.time)
        if isinstance(obj, Event) and obj.last_seen:
            yield obj.last_seen
        if isinstance(obj, Pod):
            yield from (
                c.last_transition_time for c in obj.status.conditions if c.last_transition_time
            )


def _log_times(tails: Iterable[str]) -> Iterator[datetime]:
    for tail in tails:
        for line in tail.splitlines()[-_TAIL_LINES:]:
            match = _STAMP.search(line[:2000])
            if match:
                try:
                    yield datetime.fromisoformat(match[1])
                except ValueError:
                    continue
