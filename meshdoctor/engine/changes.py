"""When was an object last written, and by whom?"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from meshdoctor.engine.evidence import Evidence
from meshdoctor.mesh.text import clean
from meshdoctor.model import report as r
from meshdoctor.model.kubernetes import Object

if TYPE_CHECKING:
    pass


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
        return last_change(obj) if obj is not None else None

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


def last_change(obj: Object) -> tuple[datetime, str, str] | None:
    """(time, manager, created or changed) of the newest write outside status."""
    writes = [
        (m.time, m.manager)
        for m in obj.metadata.managed_fields
        if m.time is not None and m.subresource != "status"
    ]
    created = obj.metadata.creation_timestamp
    if not writes:
        return (created, "", "created") if created else None
    at, by = max(writes, key=lambda w: w[0])
    return at, by, "created" if created and abs((at - created).total_seconds()) < 2 else "changed"


def text_of(moment: datetime) -> str:
    """A moment as reports write it, such as 2026-11-18T09:24:00Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
