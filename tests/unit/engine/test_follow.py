"""Following a change in a mesh whose time stands still between two looks."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from meshdoctor.engine import follow as engine_follow
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.follow import Followed, Follower, Watch
from meshdoctor.mesh.propagation import Hold
from meshdoctor.model.kubernetes import ManagedField, Object
from meshdoctor.model.subjects import Request
from meshdoctor.ports import Change, ForbiddenError, Text
from tests.unit.world import FakeSource

START = datetime.fromisoformat("2026-08-22T03:10:00+00:00")
OBJECTS = """
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
---
kind: Pod
apiVersion: v1
metadata: {name: pay-1, namespace: shop, labels: {app: pay}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata:
  name: pay
  namespace: shop
  generation: 1
  resourceVersion: "1"
  managedFields: [{manager: kubectl, operation: Update, time: "2026-08-22T03:09:00Z"}]
spec: {hosts: [pay], http: [{route: [{destination: {host: pay}}]}]}
"""
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class Push:
    """istiod sends, the proxy takes it (by its own clock), istiod has the acknowledgement."""

    sent: float
    acked: float
    taken: float | None = None


@dataclass
class World(FakeSource):
    """Seconds pass by `pause` alone. `writes` happen as soon as somebody waits for them."""

    pushes: dict[str, list[Push]] = field(default_factory=dict)
    writes: list[Change] = field(default_factory=list)
    seconds: float = 0.0
    deadline: float = 60.0
    forbidden: bool = False

    def __post_init__(self) -> None:
        super().__init__(OBJECTS)
        self.waiting = threading.Event()

    def now(self) -> datetime:
        return at(self.seconds)

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        self.seconds += 0.05
        rows: list[dict[str, Any]] = []
        for pod, pushes in self.pushes.items():
            past = [p for p in pushes if p.sent <= self.seconds]
            last = max(past, key=lambda p: p.sent)
            nonce, sent = f"n{last.sent}", at(last.sent).isoformat()
            acked = nonce if last.acked <= self.seconds else "before"
            resource = {"sent": nonce, "acked": acked, "sentTime": sent}
            rows.append({"proxy": f"{pod}.shop", "resources": {RDS: resource}})
        return Text(text=json.dumps({"istiod-1": rows}))

    def changes(self, kind: str, namespace: str, name: str) -> Iterator[Change | None]:
        if self.forbidden:
            raise ForbiddenError("watch")
        yield None
        self.waiting.wait(1)
        yield from self.writes

    def updates(self, namespace: str, pod: str, types: Sequence[str]) -> tuple[datetime, ...]:
        assert "RDS" in types
        return tuple(at(p.taken) for p in self.pushes[pod] if p.taken is not None)

    def left(self) -> float:
        self.seconds += 0.001
        return self.deadline - self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_follow, "WAIT", 0.001)


OLD = Push(-60, -59.9, -59.95)


def written(world: World, seconds: float, **changes: Any) -> Change:
    old = world.get("VirtualService", "shop", "pay")
    assert old is not None
    fields = (ManagedField(manager="kubectl", operation="Update", time=at(int(seconds))),)
    more = {"generation": 2, "resource_version": "2", "managed_fields": fields, **changes}
    meta = msgspec.structs.replace(old.metadata, **more)
    return Change(object=msgspec.structs.replace(old, metadata=meta), seen=at(seconds))


def follow(world: World, *, next_change: bool = True) -> Followed:
    shown: list[int] = []
    obj: Object | None = world.get("VirtualService", "shop", "pay")
    follower = Follower(
        world,
        RecordingView(Evidence(world, Request(), None, "istio-system")),
        world,
        obj=obj,
        watch=Watch(world, "VirtualService", "shop", "pay") if not world.forbidden else None,
        namespace="",
        show=lambda found: shown.append(found.done),
    )
    if next_change and not follower.await_change(world.waiting.set):
        return follower.none()
    found = follower.follow()
    assert shown
    return found


def test_a_change_that_is_seen_is_measured_by_the_proxies_clocks() -> None:
    world = World(
        pushes={
            "cart-1": [OLD, Push(0.3, 0.5, 0.42)],
            "pay-1": [OLD, Push(0.31, 0.9, 0.64)],
        }
    )
    world.writes = [written(world, 0.1)]
    found = follow(world)
    took = found.spread.took
    assert found.seen and took is not None and took.last == "shop/pay-1"
    assert took.best == timedelta(seconds=0.54) and took.within < timedelta(seconds=0.01)


def test_a_proxys_clock_that_is_off_moves_nothing_beyond_a_look() -> None:
    pushes = [OLD, Push(0.3, 0.5, 40.0)]
    world = World(pushes={"cart-1": pushes, "pay-1": pushes})
    world.writes = [written(world, 0.1)]
    took = follow(world).spread.took
    assert took is not None and timedelta(seconds=0.1) < took.best < timedelta(seconds=0.7)


def test_a_push_sent_before_the_change_in_its_second_is_not_it() -> None:
    before, after = Push(0.05, 0.06, 0.06), Push(3.0, 3.1, 3.05)
    world = World(pushes={"cart-1": [before, after], "pay-1": [before, after]}, seconds=0.1)
    world.writes = [written(world, 0.2)]
    took = follow(world).spread.took
    assert took is not None and abs(took.best - timedelta(seconds=2.85)) < timedelta(seconds=0.3)


def test_a_change_made_before_the_start_and_pushed_late() -> None:
    late = Push(12.0, 12.2, 12.1)
    world = World(pushes={"cart-1": [OLD, late], "pay-1": [OLD, late]}, seconds=1.5)
    world.found[2] = written(world, 0.9).object
    world.snapshot = type(world.snapshot)(world.found)
    found = follow(world, next_change=False)
    took = found.spread.took
    assert not found.seen and took is not None and found.spread.slow
    assert took.best == timedelta(seconds=11.6) and took.within == timedelta(seconds=0.5)


def test_no_change_came() -> None:
    found = follow(World(pushes={"cart-1": [OLD], "pay-1": [OLD]}, deadline=2.0))
    assert found.none and not found.seen


def test_a_change_of_the_status_is_none() -> None:
    world = World(pushes={"cart-1": [OLD], "pay-1": [OLD]}, deadline=2.0)
    world.writes = [written(world, 0.1, generation=1)]
    assert follow(world).none


def test_a_proxy_that_does_not_take_it() -> None:
    world = World(
        pushes={"cart-1": [OLD, Push(0.3, 0.5, 0.4)], "pay-1": [OLD, Push(0.3, 999)]},
        deadline=30.0,
    )
    world.writes = [written(world, 0.1)]
    found = follow(world)
    assert found.spread.took is None and found.spread.slow
    assert [p.hold for p in found.spread.missing] == [Hold.WAITING]
    assert world.seconds < 30


def test_a_deleted_object_and_proxies_that_ended() -> None:
    taken = Push(0.3, 0.4, 0.35)
    world = World(pushes={"cart-1": [OLD, taken]})
    gone = written(world, 0.1)
    world.writes = [Change(object=gone.object, seen=gone.seen, deleted=True)]
    world.found = [o for o in world.found if o.name != "pay-1"]
    first = world.snapshot
    world.waiting.set()
    found = follow_after(world, first)
    assert found.deleted and found.spread.took is not None
    assert [p.pod for p in found.spread.proxies] == ["cart-1"]


def follow_after(world: World, first: Any) -> Followed:
    """Follow with a pod that ends after the pods were listed."""
    world.snapshot = first
    listed = world.list

    def once(kind: str, namespace: str | None) -> Any:
        answer = listed(kind, namespace)
        if kind == "Pod":
            world.snapshot = type(first)(world.found)
        return answer

    world.list = once  # type: ignore[method-assign]
    return follow(world)


def test_without_the_right_to_watch() -> None:
    world = World(forbidden=True)
    with pytest.raises(ForbiddenError):
        Watch(world, "VirtualService", "shop", "pay")
