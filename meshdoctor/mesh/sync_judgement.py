"""Which proxies of the cluster are out of step with istiod?"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh import revisions
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.mesh.xds import ProxySync, State, SyncTable, wrong_types
from meshdoctor.model.kubernetes import Pod

ISTIOD = "discovery"
CONNECT_WITHIN = timedelta(seconds=60)


class Overview(Struct, frozen=True, kw_only=True):
    """Proxies whose state is wrong, and running ones that no istiod lists: `absent`, and `early`,
    of which that says nothing yet."""

    wrong: tuple[ProxySync, ...]
    errors: int
    absent: tuple[Pod, ...]
    early: tuple[Pod, ...] = ()


def overview(
    table: SyncTable,
    late: Mapping[str, ProxySync],
    pods: Iterable[Pod],
    istiods: Iterable[Pod],
    now: datetime,
) -> Overview:
    """Compare the istiods' table, and `late`, what of it is out of step, with the pods that have
    a proxy."""
    wrong = tuple(proxy for _, proxy in sorted(late.items()))
    errors = sum(any(t.state is State.ERROR for t in p.types) for p in wrong)
    known = tuple(istiods)
    listed = table.proxies
    unlisted = [p for p in pods if f"{p.metadata.name}.{p.metadata.namespace}" not in listed]
    told = [(p, absence(p, table, known, now)) for p in unlisted]
    return Overview(
        wrong=wrong,
        errors=errors,
        absent=tuple(p for p, gone in told if gone),
        early=tuple(p for p, gone in told if gone is None),
    )


def is_absent(pod: Pod, table: SyncTable, istiods: Iterable[Pod], now: datetime) -> bool:
    """Whether no istiod lists a proxy that had a minute to connect."""
    return absence(pod, table, istiods, now) is True


def absence(pod: Pod, table: SyncTable, istiods: Iterable[Pod], now: datetime) -> bool | None:
    """Whether no istiod lists a proxy that had a minute to connect; None: an istiod of its revision
    has started since, and after that proxies come back within half a minute.

    Only when every istiod of its revision answered (`proxy-status` from 1.28 on asks the default
    revision alone, and one wedged istiod knows proxies that no other does).
    """
    if table.problems or table.proxy(pod.namespace, pod.name) is not None:
        return False
    started = _started(pod, PROXY)
    if started is None or now - started < CONNECT_WITHIN:
        return False
    revision = revisions.of_proxy(pod)
    mine = [p for p in istiods if not revision or revisions.of_istiod(p) == revision]
    if not mine or any(p.name not in table.istiods for p in mine):
        return False
    young = any((at := _started(p, ISTIOD)) and now - at < CONNECT_WITHIN for p in mine)
    return None if young else True


def _started(pod: Pod, container: str) -> datetime | None:
    status = pod.container_status(container)
    running = status.state.running if status is not None else None
    return running.started_at if running is not None else None


def in_words(proxy: ProxySync, now: datetime | None = None) -> str:
    """`CDS SYNCED, LDS ERROR` of the types that are wrong.

    >>> from meshdoctor.mesh.xds import TypeSync
    >>> stale = TypeSync(type="LDS", state=State.STALE)
    >>> in_words(ProxySync(pod="a", namespace="b", types=(stale,)))
    'LDS STALE'
    """
    return ", ".join(f"{t.type} {t.state.value}" for t in wrong_types(proxy, now))


def proxy_not_ready(pod: Pod) -> bool:
    """Whether the pod's istio-proxy runs and is not ready."""
    status = pod.container_status(PROXY)
    return status is not None and not status.ready and status.state.running is not None


def proxy_never_gets_ready(pod: Pod) -> bool:
    """Whether the pod should come up, and its istio-proxy has started and is not ready: it runs,
    or kubelet ended it and starts it again.

    Phase is Pending while another container waits for it (a native sidecar, or
    holdApplicationUntilProxyStarts).
    """
    status = pod.container_status(PROXY)
    if status is None or status.ready or pod.metadata.deletion_timestamp is not None:
        return False
    started = status.state.running is not None or status.last_state.terminated is not None
    return started and pod.status.phase in ("Pending", "Running")
