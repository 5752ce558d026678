"""How is the spread of a change shown, as text and as JSON?"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from meshdoctor.mesh.istiod_metrics import Delivery, Quantiles
from meshdoctor.mesh.propagation import ProxyHold, Spread
from meshdoctor.mesh.text import clean
from meshdoctor.model.report import Finding

SCHEMA = "meshdoctor.propagation/v1"
MOST_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything the command says. `missing` are reads that failed, `measured` the time that
    --watch measured from the change to the last proxy in step."""

    spread: Spread
    deliveries: Sequence[Delivery] = ()
    findings: Sequence[Finding] = ()
    missing: Sequence[str] = ()
    measured: timedelta | None = None

    @property
    def slow(self) -> bool:
        """More than ten seconds: a finding by itself."""
        long = self.measured is not None and self.measured > timedelta(seconds=10)
        return long or self.spread.slow


def as_text(answer: Answer) -> str:
    """A few lines for a terminal: what, how far, how long, who lacks it, why."""
    found = answer.spread
    what = found.ref or "all configuration"
    out = [f"{what}: {found.done} of {len(found.proxies)} proxies {_holds(found)}"]
    if not found.proxies:
        out = [f"{what}: no running proxy gets anything from it"]
    if found.changed is not None:
        by = f", by {found.changed_by}" if found.changed_by else ""
        age = duration(found.now - found.changed)
        out.append(f"  changed    {_time(found.changed)}{by} ({age} ago)")
    out.append(f"  took       {_took(answer)}")
    if found.not_concerned:
        out.append(
            f"  others     {found.not_concerned} proxies get nothing from it (scope, selector)"
        )
    out += [f"  istiod     {_delivery(one)}" for one in answer.deliveries]
    out += _rows(found.missing)
    if answer.slow:
        out.append("  SLOW       more than 10 s: see the causes below")
    for finding in list(answer.findings)[:5]:
        out.append(f"  cause      {finding.code} {finding.title} ({finding.verdict})")
        out.append(f"             {finding.because}")
        if finding.fix:
            out.append(f"             fix: {finding.fix}")
    out += [f"  not seen   {one}" for one in answer.missing]
    return "\n".join(_line(line) for line in out) + "\n"


def _line(text: str) -> str:
    indent = len(text) - len(text.lstrip(" "))
    return " " * indent + clean(text, 600)


def _holds(found: Spread) -> str:
    return "have it" if found.ref else "are in step"


def _took(answer: Answer) -> str:
    if not answer.spread.proxies:
        return "nothing to measure"
    if answer.measured is not None:
        return f"{seconds(answer.measured)} from the change to the last acknowledgement (watched)"
    if answer.spread.took is not None:
        return f"{seconds(answer.spread.took)} from the change to the last push that was taken"
    return "not told: no push after the change is dated (istiod 1.23 and later date them)"


def _delivery(one: Delivery) -> str:
    times = one.convergence
    if not times.count:
        return f"{one.istiod}: no pushes measured, {one.proxies} proxies"
    return (
        f"{one.istiod}: {one.proxies} proxies, convergence {_quantiles(times)}; "
        f"queue {_quantiles(one.queue)}; {one.rejected} refusals since it started"
    )


def _quantiles(found: Quantiles) -> str:
    if found.p50 is None or found.p90 is None or found.p99 is None:
        return f"mean {found.mean:.3f} s" if found.mean is not None else "not measured"
    return f"p50 {found.p50:.2f} p90 {found.p90:.2f} p99 {found.p99:.2f} s"


def _rows(missing: Sequence[ProxyHold]) -> list[str]:
    out = []
    for one in missing[:MOST_ROWS]:
        where = f" at {one.istiod}" if one.istiod else ""
        detail = f": {one.detail}" if one.detail else ""
        out.append(f"  {one.hold.value:<14} {one.namespace}/{one.pod}{where}{detail}")
    if len(missing) > MOST_ROWS:
        out.append(f"  ... and {len(missing) - MOST_ROWS} more")
    return out


def seconds(found: timedelta) -> str:
    """Seconds to a tenth; what is below the clocks' grain reads as under a second.

    >>> seconds(timedelta(seconds=1.24)), seconds(timedelta(seconds=-0.4))
    ('1.2 s', 'less than 1 s')
    """
    value = found.total_seconds()
    return f"{value:.1f} s" if value > 0 else "less than 1 s"


def duration(found: timedelta) -> str:
    """A short age.

    >>> duration(timedelta(seconds=75)), duration(timedelta(days=2, hours=3))
    ('1m15s', '2d3h')
    """
    left = max(int(found.total_seconds()), 0)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return "".join(parts[:2]) or "0s"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def as_json(answer: Answer) -> str:
    """`meshdoctor.propagation/v1`: fields are only ever added."""
    found = answer.spread
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "object": found.ref,
        "changed": _time(found.changed) if found.changed is not None else None,
        "changed_by": found.changed_by,
        "observed_at": _time(found.now),
        "proxies": len(found.proxies),
        "done": found.done,
        "complete": found.complete,
        "slow": answer.slow,
        "took_seconds": _number(found.took),
        "measured_seconds": _number(answer.measured),
        "not_concerned": found.not_concerned,
        "states": dict(sorted(Counter(p.hold.value for p in found.proxies).items())),
        "missing": [_proxy(p) for p in found.missing],
        "istiods": [_istiod(d) for d in answer.deliveries],
        "findings": [_finding(f) for f in answer.findings],
        "not_seen": [clean(m, 300) for m in answer.missing],
    }
    return json.dumps(body, indent=2) + "\n"


def _number(found: timedelta | None) -> float | None:
    return round(found.total_seconds(), 3) if found is not None else None


def _proxy(one: ProxyHold) -> dict[str, str]:
    return {
        "namespace": one.namespace,
        "pod": one.pod,
        "state": one.hold.value,
        "istiod": one.istiod,
        "detail": clean(one.detail),
    }


def _istiod(one: Delivery) -> dict[str, Any]:
    times = one.convergence
    return {
        "pod": one.istiod,
        "proxies": one.proxies,
        "convergence_seconds": {"p50": times.p50, "p90": times.p90, "p99": times.p99},
        "queue_p99_seconds": one.queue.p99,
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
    }


def bar(found: Spread, width: int = 24) -> str:
    """`[#######.......] 12/20 proxies` for a line that is drawn again and again."""
    total = len(found.proxies)
    full = width * found.done // total if total else 0
    return f"[{'#' * full}{'.' * (width - full)}] {found.done}/{total} proxies"


def waiting_for(missing: Iterable[ProxyHold]) -> str:
    """The first proxy that is still without it; "" when there is none."""
    first = next(iter(missing), None)
    return f", waiting for {first.namespace}/{first.pod}" if first is not None else ""
