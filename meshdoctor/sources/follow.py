"""When was an object written, and when did a proxy take what came of it? Live clusters only.

A write is seen by a watch, milliseconds after the API server committed it; without the right to
watch the object is read ten times a second. Envoy dates each resource it took in its config dump
(admin API, `resource` and `mask`, 1.19 and later): a few bytes per resource are asked for.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import Change, ForbiddenError, UnreachableError
from meshdoctor.sources.clock import pause
from meshdoctor.sources.live import ENVOY_PORT, Live

EVERY = 0.1
_DUMPS = {
    "CDS": ("dynamic_active_clusters", "last_updated"),
    "LDS": ("dynamic_listeners", "active_state.last_updated"),
    "RDS": ("dynamic_route_configs", "last_updated"),
}
_DATE = re.compile(rb'"last_updated"\s*:\s*"([0-9T:.\-]+)Z"')


class LiveFollowing:
    """Following over one live source."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def changes(self, kind: str, namespace: str, name: str) -> Iterator[Change | None]:
        """First None, then every write of the object. Raises EvidenceError."""
        known = self._live.get(kind, namespace, name)
        yield None
        while True:
            try:
                for event in self._live.api.watch(kind, namespace, name):
                    if event is None:
                        # What was written while no watch was open is not lost.
                        change = self._missed(kind, namespace, name, known)
                    else:
                        seen, deleted = self._live.now(), event[0] == "DELETED"
                        change = Change(object=event[1], seen=seen, deleted=deleted)
                    if change is not None and _version(change) != _of(known):
                        known = None if change.deleted else change.object
                        yield change
            except UnreachableError:
                pass  # a watch that broke is opened again
            except ForbiddenError:
                yield from self._polled(kind, namespace, name, known)
            pause(EVERY)

    def _missed(self, kind: str, namespace: str, name: str, known: Object | None) -> Change | None:
        found = self._live.get(kind, namespace, name)
        if _of(found) == _of(known):
            return None
        if found is None:
            return Change(object=known, seen=self._live.now(), deleted=True) if known else None
        return Change(object=found, seen=self._live.now())

    def _polled(
        self, kind: str, namespace: str, name: str, known: Object | None
    ) -> Iterator[Change]:
        before = self._live.now()
        while True:
            asked = self._live.now()
            found = self._live.get(kind, namespace, name)
            if _of(found) != _of(known):
                last = found or known
                if last is not None:
                    seen = self._live.now()
                    yield Change(object=last, seen=seen, after=before, deleted=found is None)
                known = found
            before = asked
            pause(EVERY)

    def updates(self, namespace: str, pod: str, types: Sequence[str]) -> tuple[datetime, ...]:
        """When the pod's Envoy took each resource of these types. Raises EvidenceError."""
        found: list[datetime] = []
        for type_ in types:
            if type_ not in _DUMPS:
                continue
            resource, mask = _DUMPS[type_]
            path = f"/config_dump?resource={resource}&mask={mask}"
            body = self._live.read_pod(namespace, pod, ENVOY_PORT, path)
            found += [_when(m[1]) for m in _DATE.finditer(body)]
        return tuple(found)

    def left(self) -> float:
        """Seconds until the deadline."""
        return self._live.transport.deadline.left()

    def pause(self, seconds: float) -> None:
        """Wait between two looks."""
        pause(seconds)


def _when(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode()[:26]).replace(tzinfo=UTC)


def _of(obj: Object | None) -> str:
    return obj.metadata.resource_version if obj is not None else ""


def _version(change: Change) -> str:
    return "" if change.deleted else _of(change.object)
