"""How does a whole list come from the API server?

In pages of 500, each decoded while the next one travels. A list of which many pages are left comes
namespace by namespace instead, a few side by side: pages of one list wait for each other, and the
server takes longer to write a page than we to read it. A continue token that expired (410) starts
the list again, the second time without pages.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from meshdoctor.model.decode import Page, objects_of, page
from meshdoctor.model.evidence import SetAside
from meshdoctor.model.kinds import Kind
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.same import Same
from meshdoctor.ports import Answer, UnparsableError
from meshdoctor.sources.http import Refused, Transport

T = TypeVar("T")
PAGE = 500
MANY = 4 * PAGE
LANES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a list is. `parts` gives the path of each namespace's part of it, by namespace; None
    when the namespaces cannot be told."""

    path: str
    kind: Kind
    command: str
    parts: Callable[[], Mapping[str, str] | None] = lambda: None


@dataclass(slots=True)
class _Gathered:
    place: Place
    objects: list[Object] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    same: Same = field(default_factory=Same)

    def add(self, found: Page) -> None:
        kind, command = self.place.kind, self.place.command
        objects, aside = decoded(lambda: objects_of(found, kind, command, self.same), command)
        self.objects += objects
        self.aside += aside

    def answer(self) -> Answer:
        command = self.place.command
        return Answer(objects=tuple(self.objects), set_aside=tuple(self.aside), command=command)


class Lists:
    """Whole lists over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, place: Place) -> Answer:
        """All objects there. Raises Refused or an EvidenceError."""
        for size in (PAGE, PAGE, 0):
            try:
                return self._walk(place, size)
            except Refused as refused:
                if refused.status != 410 or not size:
                    raise
        raise AssertionError("unreachable")

    def _walk(self, place: Place, size: int) -> Answer:
        got = _Gathered(place)
        query: dict[str, str | int] = {"limit": size} if size else {}
        found = _page(self._transport.get(place.path, query), place.command)
        parts = place.parts() if found.metadata.remaining_item_count > MANY else None
        if parts is not None:
            return self._side_by_side(place, parts)
        with ThreadPoolExecutor(1, thread_name_prefix="page") as ahead:
            while True:
                coming: Future[bytes] | None = None
                if token := found.metadata.continue_:
                    more = {**query, "continue": token}
                    coming = ahead.submit(self._transport.get, place.path, more)
                got.add(found)
                if coming is None:
                    return got.answer()
                found = _page(coming.result(), place.command)

    def _side_by_side(self, place: Place, parts: Mapping[str, str]) -> Answer:
        """Every part from its beginning: the page already seen may end amid a namespace."""
        whole = _Gathered(place)
        got = {name: _Gathered(place, same=whole.same) for name in sorted(parts)}
        left = deque(got)
        moving: dict[Future[bytes], str] = {}
        with ThreadPoolExecutor(LANES, thread_name_prefix="part") as pool:
            while left or moving:
                while left and len(moving) < LANES:
                    name = left.popleft()
                    first = pool.submit(self._transport.get, parts[name], {"limit": PAGE})
                    moving[first] = name
                for one in wait(moving, return_when=FIRST_COMPLETED).done:
                    name, found = moving.pop(one), _page(one.result(), place.command)
                    if token := found.metadata.continue_:
                        more: dict[str, str | int] = {"limit": PAGE, "continue": token}
                        moving[pool.submit(self._transport.get, parts[name], more)] = name
                    got[name].add(found)
        for part in got.values():
            whole.objects += part.objects
            whole.aside += part.aside
        return whole.answer()


def _page(body: bytes, command: str) -> Page:
    return decoded(lambda: page(body), command)


def resource_version(body: bytes, command: str) -> str:
    """The version of a list, from which a watch of it begins."""
    return _page(body, command).metadata.resource_version


def decoded(read: Callable[[], T], command: str) -> T:
    """What `read` makes of an answer; raises UnparsableError when it is none."""
    try:
        return read()
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnparsableError(command, f"no valid answer: {error}"[:200]) from None
