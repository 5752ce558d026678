"""How long does istiod take to deliver configuration?"""

from collections.abc import Callable
from typing import Annotated, TypeVar

from msgspec import Struct

from meshdoctor.mesh.istiod_metrics import Delivery, seconds, slowest
from meshdoctor.mesh.push_log import lately
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View, attempt, known, probe

T = TypeVar("T")


class DeliveryTimes(Struct, frozen=True, kw_only=True):
    """Of the slowest istiod since it started; what is `recent` is of all, by their logs. 0 ms:
    nothing was measured."""

    istiod: Annotated[Fact[str], "the slowest istiod pod"]
    convergence_ms: Annotated[
        Fact[int], "p99 from the push until it was sent (mean, without buckets)", OBSERVED
    ]
    queue_ms: Annotated[Fact[int], "p99 of the wait in the push queue", OBSERVED]
    debounce_ms: Annotated[Fact[int], "median wait for changes to settle", OBSERVED]
    pushes: Annotated[Fact[int], "pushes measured", OBSERVED]
    recent_pushes: Annotated[Fact[int], "pushes of the last ten minutes, by istiod's log", OBSERVED]
    recent_ms: Annotated[
        Fact[int], "of them the longest, until the last proxy had it (endpoints aside)", OBSERVED
    ]
    recent_settle_ms: Annotated[
        Fact[int], "of them the median wait for changes to settle", OBSERVED
    ]
    rejects: Annotated[Fact[int], "refusals by proxies, all istiods, since they started", OBSERVED]
    trigger: Annotated[Fact[str], "what triggers most pushes: endpoint, config ...", OBSERVED]
    trigger_said: Annotated[Fact[str], "its share of all, as the end of a sentence", OBSERVED]
    changing: Annotated[
        Fact[str], "what most pushes of the last ten minutes were about, by istiod's log", OBSERVED
    ]
    conflicts: Annotated[Fact[int], "listeners that clash (pilot_conflict_*)", OBSERVED]
    endpoints_without_pod: Annotated[Fact[int], "endpoint_no_pod", OBSERVED]
    dns_without_endpoints: Annotated[Fact[int], "pilot_dns_cluster_without_endpoints", OBSERVED]
    remote_sync_timeouts: Annotated[Fact[int], "remote_cluster_sync_timeouts_total", OBSERVED]
    validation_failures: Annotated[Fact[int], "galley_validation_failed", OBSERVED]
    write_timeouts: Annotated[Fact[int], "pilot_xds_write_timeout", OBSERVED]


@probe("delivery", subject=SubjectKind.MESH, reads=("Pod", "log", "metrics"))
def delivery(view: View, _: MeshSubject) -> DeliveryTimes:
    """How long does istiod take to deliver configuration?"""
    found = attempt(lambda: shared.deliveries(view))
    recent = attempt(lambda: lately(shared.istiod_log(view).log.said, view.now))

    def of_worst(tells: Callable[[Delivery], T]) -> Fact[T]:
        return attempt(lambda: tells(_worst(known(found))))

    def of_all(tells: Callable[[tuple[Delivery, ...]], T]) -> Fact[T]:
        return attempt(lambda: tells(known(found)))

    def summed(name: str) -> Fact[int]:
        return of_all(lambda all_: sum(getattr(one, name) for one in all_))

    return DeliveryTimes(
        istiod=of_worst(lambda one: one.istiod),
        convergence_ms=of_worst(lambda one: _ms(seconds(one.convergence))),
        queue_ms=of_worst(lambda one: _ms(seconds(one.queue))),
        debounce_ms=of_worst(lambda one: _ms(one.debounce.p50)),
        pushes=of_worst(lambda one: one.convergence.count),
        recent_pushes=attempt(lambda: known(recent).pushes),
        recent_ms=attempt(lambda: _ms(known(recent).longest.total_seconds())),
        recent_settle_ms=attempt(lambda: _ms(known(recent).settling.total_seconds())),
        rejects=summed("rejected"),
        trigger=of_worst(lambda one: next(iter(one.triggers), "")),
        trigger_said=_said(found),
        changing=attempt(lambda: _changing(known(recent).about)),
        conflicts=of_all(_most),
        endpoints_without_pod=summed("endpoints_without_pod"),
        dns_without_endpoints=summed("dns_without_endpoints"),
        remote_sync_timeouts=summed("remote_sync_timeouts"),
        validation_failures=summed("validation_failures"),
        write_timeouts=summed("write_timeouts"),
    )


def _worst(found: tuple[Delivery, ...]) -> Delivery:
    return slowest(found) or found[0]


def _said(found: Fact[tuple[Delivery, ...]]) -> str:
    """It may add to a sentence, and no more: "" also where nothing was measured."""
    if isinstance(found, Unavailable):
        return ""
    triggers = _worst(found).triggers
    trigger = next(iter(triggers), "")
    return _share(trigger, triggers[trigger], sum(triggers.values())) if trigger else ""


def _share(trigger: str, times: int, total: int) -> str:
    share = 100 * times // total if total else 0
    return f"; {share} % of all pushes are triggered by {clean(trigger, 63)}"


def _changing(about: tuple[str, int]) -> str:
    name, times = about
    return f"; {times} of them were about {clean(name, 200)}" if times > 1 else ""


def _most(found: tuple[Delivery, ...]) -> int:
    """A gauge that every istiod reports of the same configuration: not summed."""
    return max((one.conflicts for one in found), default=0)


def _ms(value: float | None) -> int:
    return round(value * 1000) if value is not None else 0
