"""When does every proxy have a change? Looks at the sync table again and again until all do.

Clocks differ. What istiod sent is compared with the API server's date of the write (`_floor`: both
are the cluster's); how long it took is measured between what was seen here, and the proxies' own
dates only say where between two looks they took it.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.changes import last_change, same_but_status
from meshdoctor.mesh.propagation import SLOW, Hold, ProxyHold, Spread, types_of
from meshdoctor.mesh.propagation_time import ACKNOWLEDGING, Arrival, Began, first_update, took
from meshdoctor.mesh.xds_status import parse
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import Change, DeadlineError, EvidenceError, Following, Source
from meshdoctor.probes.spread import GRAIN, concerned, dates, hindsight, spread
from meshdoctor.probes.view import View

EVERY = 0.15
WAIT = 1.0
POD_EVERY = 20
_SHARE = 0.25
_RESERVE = 15.0
_SKEW = timedelta(minutes=5)
Key = tuple[str, str]


class Followed(Struct, frozen=True, kw_only=True):
    """How a change was followed. `seen`: it was seen as it was made; `none`: it was waited for
    and did not come; `looks` were taken, one every `every` seconds."""

    spread: Spread
    seen: bool = False
    deleted: bool = False
    none: bool = False
    looks: int = 0
    every: float = 0.0


class Watch:
    """Writes of one object, gathered by a thread of its own."""

    def __init__(self, following: Following, kind: str, namespace: str, name: str) -> None:
        self._changes: queue.SimpleQueue[Change | EvidenceError | None] = queue.SimpleQueue()
        self._source = (following, kind, namespace, name)
        threading.Thread(target=self._run, name="watch", daemon=True).start()
        self.take(20.0)  # open, or broken: nothing is missed from here on

    def _run(self) -> None:
        following, *which = self._source
        try:
            for change in following.changes(*which):
                self._changes.put(change)
        except EvidenceError as error:
            self._changes.put(error)

    def take(self, seconds: float = 0.0) -> Change | None:
        """The next write, if one comes in time. Raises EvidenceError when the watch has ended."""
        try:
            found = self._changes.get(timeout=seconds) if seconds else self._changes.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, EvidenceError):
            raise found
        return found


class Follower:
    """Follows one object, or everything when there is none."""

    def __init__(
        self,
        source: Source,
        view: View,
        following: Following,
        *,
        obj: Object | None,
        watch: Watch | None,
        namespace: str,
        show: Callable[[Spread], None],
    ) -> None:
        self._source, self._view, self._following = source, view, following
        self._namespace, self._show, self._watch = namespace, show, watch
        self._obj, self._began, self._seen, self._deleted = obj, _dated(obj), False, False
        self._floor = self._began.at if self._began is not None else None
        self._pods, self._others = concerned(view, obj, namespace)
        self._arrivals: dict[Key, Arrival] = {}
        self._sent: dict[Key, datetime | None] = {}
        self._looks, self._from = 0, source.now()
        self._reserve = min(_RESERVE, _SHARE * following.left())

    def await_change(self, ready: Callable[[], None]) -> bool:
        """Wait for a write of the object; False: none came in time. Raises EvidenceError.

        `ready` is called once any write will be measured exactly.
        """
        sent = {(p.namespace, p.pod): p.sent for p in self._spread().proxies}
        if self._noticed(0.0):
            return True
        self._sent = sent
        ready()
        while (left := self._following.left() - self._reserve) > 0:
            try:
                if self._noticed(min(left, WAIT)):
                    return True
            except DeadlineError:
                return False
        return False

    def follow(self) -> Followed:
        """Look until every proxy has it or the time is up. Raises EvidenceError."""
        before = self._began.at if self._began is not None else self._source.now()
        while True:
            if self._noticed(0.0):
                before = self._began.at if self._began is not None else before
            asked = self._source.now()
            found = self._look(before)
            self._show(found)
            spent = (self._source.now() - asked).total_seconds()
            if self._settled(found) or self._following.left() < self._reserve + spent:
                return self._followed(found)
            before = asked
            # Never more than half of the time is spent on making istiod answer.
            self._following.pause(max(EVERY, spent))

    def none(self) -> Followed:
        """What to say when no change came."""
        return replace(self._followed(self._look(self._source.now())), none=True)

    def _noticed(self, seconds: float) -> bool:
        """Take over the next write of the object that changes more than its status."""
        try:
            change = self._watch.take(seconds) if self._watch is not None else None
        except EvidenceError:
            if seconds:
                raise
            self._watch = None
            return False
        if change is None:
            return False
        known = self._obj if not (change.deleted or self._deleted) else None
        if known is not None and same_but_status(known, change.object):
            return False
        at = change.seen if change.after is None else change.after
        dated = None if change.deleted else last_change(change.object)
        self._began = Began(at=at, grain=change.seen - at)
        self._floor = dated or change.seen - 2 * GRAIN
        self._obj, self._seen, self._deleted = change.object, True, change.deleted
        self._arrivals.clear()
        self._concern(change.object)
        return True

    def _concern(self, obj: Object) -> None:
        """Those that had it before must drop it: they count as well."""
        pods, others = concerned(self._view, obj, self._namespace)
        total = len(pods) + others
        known = {(p.namespace, p.name): p for p in (*self._pods, *pods)}
        self._pods = list(known.values())
        self._others = max(total - len(self._pods), 0)

    def _spread(self) -> Spread:
        table = parse(self._source.proxy_status().text, self._source.now())
        now = self._source.now()
        self._looks += 1
        if self._looks % POD_EVERY == 0:
            self._forget_pods({(p.namespace, p.pod) for p in table.proxies.values()})
        found = spread(self._obj, self._pods, self._others, table, now, self._floor)
        shown = self._began.at if self._began is not None else None
        return replace(found, changed=shown)

    def _look(self, before: datetime) -> Spread:
        found = self._spread()
        return replace(found, proxies=tuple(self._held(p, before, found) for p in found.proxies))

    def _held(self, proxy: ProxyHold, before: datetime, found: Spread) -> ProxyHold:
        """Note the first look that shows it; a later push on its way takes nothing away."""
        key = (proxy.namespace, proxy.pod)
        if key in self._arrivals:
            later = proxy.hold in (Hold.WAITING, Hold.IN_STEP)
            return replace(proxy, hold=Hold.HAS) if later else proxy
        if proxy.hold is not Hold.HAS:
            return proxy
        if proxy.sent is not None and proxy.sent == self._sent.get(key):
            return replace(proxy, hold=Hold.IN_STEP, sent=None)  # sent before the change
        after = max(before, found.changed or before)
        self._arrivals[key] = Arrival(
            namespace=proxy.namespace, pod=proxy.pod, after=after, by=max(found.now, after)
        )
        return proxy

    def _forget_pods(self, listed: set[Key]) -> None:
        """Pods that ended meanwhile need nothing any more."""
        gone = [p for p in self._pods if (p.namespace, p.name) not in listed]
        for pod in gone:
            if self._source.get("Pod", pod.namespace, pod.name) is None:
                self._pods.remove(pod)

    def _settled(self, found: Spread) -> bool:
        """Pushes of one change leave within seconds of each other, however late the first is."""
        if found.done < len(found.proxies) or not self._arrivals or found.has == len(found.proxies):
            return found.complete
        return found.now - max(a.by for a in self._arrivals.values()) > SLOW

    def _followed(self, found: Spread) -> Followed:
        every = (self._source.now() - self._from).total_seconds() / max(self._looks, 1)
        if self._settled(found) and self._obj is not None:
            found = self._timed(found, self._obj)
        return Followed(
            spread=found, seen=self._seen, deleted=self._deleted, looks=self._looks, every=every
        )

    def _timed(self, found: Spread, obj: Object) -> Spread:
        if self._began is None or self._floor is None:
            return found
        if not self._seen and self._looks == 1:
            return hindsight(self._view, obj, self._pods, found, self._following.updates)
        holders = [p for p in found.proxies if (p.namespace, p.pod) in self._arrivals]
        known = dates(holders, types_of(obj), self._following.updates)
        arrivals = [self._placed(a, known.get(key, ())) for key, a in self._arrivals.items()]
        return replace(found, took=took(self._began, arrivals))

    def _placed(self, arrival: Arrival, times: Sequence[datetime]) -> Arrival:
        """What was written before we looked is measured by the clocks of the cluster alone."""
        assert self._began is not None
        if self._seen:
            since = Began(at=max(self._began.at, arrival.after - ACKNOWLEDGING))
            return replace(arrival, taken=first_update(times, since, arrival.by))
        taken = first_update(times, self._began, arrival.by + _SKEW)
        if taken is None:
            return arrival
        return replace(arrival, taken=taken, after=min(arrival.after, taken), by=taken)


def _dated(obj: Object | None) -> Began | None:
    at = last_change(obj) if obj is not None else None
    return Began(at=at, grain=GRAIN) if at is not None else None
