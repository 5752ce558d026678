"""When was an object last written, and by whom?"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from meshdoctor.engine.evidence import Evidence
from meshdoctor.mesh.changes import writes
from meshdoctor.mesh.text import clean
from meshdoctor.model import report as r

LATELY = timedelta(days=3)
MOST_LATELY = 10
MOMENT = timedelta(seconds=2)


class Changes:
    """When was an object last written, and by whom?"""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def time(self, ref: str) -> datetime | None:
        """The last write to an object's spec or metadata that was seen; None when unknown."""
        found = self._last(ref)
        return found[0] if found else None

    def _last(self, ref: str) -> tuple[datetime, str, str] | None:
        obj = self._evidence.known_object(ref)
        if obj is None:
            return None
        made, found = obj.metadata.creation_timestamp, writes(obj)
        if not found:
            return (made, "", "created") if made else None
        last = found[-1]
        new = made is not None and abs(last.at - made) < MOMENT
        return last.at, last.manager, "created" if new else "changed"

    def note(self, ref: str) -> r.ChangeNote | None:
        """The same as the report says it."""
        found = self._last(ref)
        if found is None:
            return None
        at, by, what = found
        return r.ChangeNote(object=ref, at=text_of(at), by=clean(by, 60), what=what)

    def listed(self, refs: Iterable[str]) -> list[r.ChangeNote]:
        """Newest first, each object once."""
        notes = [n for n in map(self.note, dict.fromkeys(refs)) if n is not None]
        return sorted(notes, key=lambda n: n.at, reverse=True)

    def lately(self, refs: Iterable[str], now: datetime) -> list[r.ChangeNote]:
        """The newest of the last days, at most MOST_LATELY: what a person asks for first when no
        cause is known."""
        dated = ((self.time(ref), ref) for ref in dict.fromkeys(refs))
        late = [
            (at, ref) for at, ref in dated if at is not None and timedelta(0) <= now - at <= LATELY
        ]
        return self.listed(ref for _, ref in sorted(late, reverse=True)[:MOST_LATELY])


def text_of(moment: datetime) -> str:
    """A moment as reports write it, such as 2026-11-18T09:24:00Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
