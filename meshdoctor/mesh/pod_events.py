"""Which events tell of a pod as it is now?"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from meshdoctor.model.kubernetes import Event, Pod

RECENT = timedelta(hours=1)


def recent(pod: Pod, events: Iterable[Event], now: datetime) -> list[Event]:
    """This pod's events of the last hour, newest first; Normal ones left out."""
    found = [e for e in events if e.type != "Normal" and of_late(e, pod, now)]
    return sorted(found, key=lambda e: (e.last_seen or now, e.name), reverse=True)


def of_late(event: Event, pod: Pod, now: datetime) -> bool:
    """Of this pod and of the last hour. An event of a former pod of that name does not count."""
    born = pod.metadata.creation_timestamp
    return (
        event.involved_object.kind == "Pod"
        and event.involved_object.name == pod.name
        and (event.involved_object.namespace or event.namespace) == pod.namespace
        and event.last_seen is not None
        and now - event.last_seen <= RECENT
        and (born is None or event.last_seen >= born)
    )
