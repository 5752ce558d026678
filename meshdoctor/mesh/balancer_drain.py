"""Do calls fail because a gateway's pods end before their load balancer leaves them alone?

Deregistering a target takes a while: a network load balancer may go on sending new connections for
up to three minutes (istio/istio#35964; LBC docs/deploy/pod_readiness_gate.md), an application load
balancer sends requests, over connections that it keeps, until its controller has deregistered the
target, and answers 502 or 504 where nobody takes them (istio/istio#26302; LBC issue 1719). A
gateway that ends after Istio's default drain of 5 s is gone by then.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from meshdoctor.mesh.annotations import PROXY_CONFIG
from meshdoctor.mesh.log_text import lines, when
from meshdoctor.mesh.proxy_setup import DEFAULT_GRACE, drain_seconds, proxy_config
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Event, Pod
from meshdoctor.model.patterns import pattern

LAG_SECONDS, ALB_LAG_SECONDS = 180, 30
AFTER = timedelta(minutes=5)
BEFORE = timedelta(seconds=10)
_STAMP = pattern(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?")
_BROKEN = pattern(
    r"[Cc]onnection (?:was )?(?:reset|refused|timed out)|ECONNRESET|ECONNREFUSED|ETIMEDOUT"
    r"|i/o timeout|curl: \((?:7|28|52|56)\)|unexpected EOF|[Ee]mpty reply from server"
)


_ALB_FAILS = pattern(r"(?<![\d.:/\-])50[234](?![\d.:/\-])")


def stays(pod: Pod) -> float:
    """For how many seconds a gateway goes on serving once it is told to end."""
    grace = pod.spec.termination_grace_period_seconds or DEFAULT_GRACE
    proxy = pod.container(PROXY)
    given = next((e.value for e in proxy.env if e.name == "PROXY_CONFIG"), "") if proxy else ""
    configs = tuple(map(proxy_config, (pod.annotations.get(PROXY_CONFIG, ""), given or "")))
    if any(c.exits_on_zero for c in configs):
        return float(grace)
    return min(drain_seconds(configs), float(grace))


def replaced(pods: Iterable[Pod], events: Iterable[Event], workload: str) -> tuple[datetime, ...]:
    """When pods of a workload came or went: births of those that are there, ends that events tell
    of."""
    born = (p.metadata.creation_timestamp for p in pods)
    ended = (
        e.last_seen
        for e in events
        if e.reason == "Killing"
        and e.involved_object.kind == "Pod"
        and e.involved_object.name.startswith(f"{workload}-")
    )
    return tuple(sorted(at for at in (*born, *ended) if at is not None))


def broken(text: str, names: Collection[str], *, alb: bool = False) -> tuple[datetime, ...]:
    """When connections to one of these hosts broke, as an application's log says; to any host when
    no name is known. An application load balancer answers for who is gone.

    >>> len(broken("2026-01-01T00:00:00Z GET https://shop.example.com/ 502", ["shop"], alb=True))
    1
    """
    found: list[datetime] = []
    for line in lines(text):
        head = line[:2000]
        stamp = _STAMP.search(head[:80])
        if stamp is None:
            continue
        rest = head[stamp.end() :]
        if not (_BROKEN.search(rest) or alb and names and _ALB_FAILS.search(rest)):
            continue
        at = when(stamp[0].replace(" ", "T").replace(",", "."))
        if at is not None and (not names or any(name in head for name in names)):
            found.append(at)
    return tuple(found)


def soon_after(moments: Iterable[datetime], replaced: Sequence[datetime]) -> int:
    """How many of these moments follow soon after a replacement."""
    return sum(any(at - BEFORE <= one <= at + AFTER for at in replaced) for one in moments)
