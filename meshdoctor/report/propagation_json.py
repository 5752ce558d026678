"""How is the spread of a change told to programs?"""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from meshdoctor.mesh.istiod_metrics import Delivery
from meshdoctor.mesh.propagation import ProxyHold
from meshdoctor.mesh.propagation_time import Took
from meshdoctor.mesh.text import clean
from meshdoctor.model.report import Finding
from meshdoctor.report.propagation import Answer

SCHEMA = "meshdoctor.propagation/v1"


def as_json(answer: Answer) -> str:
    """`meshdoctor.propagation/v1`: fields are only ever added.

    `took_seconds` is known to `took.within_seconds`; `measured_seconds` is the same where --watch
    saw it.
    """
    found = answer.spread
    time = found.took
    best = _number(time.best) if time is not None else None
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "object": found.ref,
        "changed": _time(found.changed),
        "changed_by": found.changed_by,
        "change_seen": answer.seen,
        "deleted": answer.deleted,
        "no_change": answer.none,
        "observed_at": _time(found.now),
        "proxies": len(found.proxies),
        "done": found.done,
        "took_a_push_after_the_change": found.has,
        "nothing_sent_since": found.quiet,
        "complete": found.complete,
        "slow": answer.slow,
        "took_seconds": best,
        "measured_seconds": best if answer.watched else None,
        "took": _took(time),
        "not_told_because": found.moved,
        "not_concerned": found.not_concerned,
        "states": dict(sorted(Counter(p.hold.value for p in found.proxies).items())),
        "missing": [_proxy(p) for p in found.missing],
        "istiods": [_istiod(d) for d in answer.deliveries],
        "findings": [_finding(f) for f in answer.findings],
        "not_seen": [clean(m, 300) for m in answer.missing],
    }
    return json.dumps(body, indent=2) + "\n"


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    grain = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=grain).replace("+00:00", "Z")


def _number(found: timedelta) -> float:
    return round(found.total_seconds(), 3)


def _took(time: Took | None) -> dict[str, Any] | None:
    if time is None:
        return None
    return {
        "seconds": _number(time.best),
        "within_seconds": _number(time.within),
        "least_seconds": _number(time.low),
        "most_seconds": _number(time.high),
        "half_of_proxies_seconds": _number(time.half),
        "last_proxy": time.last,
        "proxies": time.proxies,
        "dated_by_proxy": time.dated,
    }


def _proxy(one: ProxyHold) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "pod": one.pod,
        "state": one.hold.value,
        "istiod": one.istiod,
        "detail": clean(one.detail),
        "sent": _time(one.sent),
    }


def _istiod(one: Delivery) -> dict[str, Any]:
    times = one.convergence
    return {
        "pod": one.istiod,
        "proxies": one.proxies,
        "convergence_seconds": {"p50": times.p50, "p90": times.p90, "p99": times.p99},
        "queue_p99_seconds": one.queue.p99,
        "debounce_p50_seconds": one.debounce.p50,
        "debounce_p99_seconds": one.debounce.p99,
        "pushes": times.count,
        "rejects": dict(one.rejects),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "title": one.title,
        "verdict": one.verdict,
        "objects": list(one.objects),
        "because": one.because,
        "fix": one.fix,
        "by_hand": one.by_hand,
    }
