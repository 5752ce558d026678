"""How is the spread of a change shown as text?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.text import Text

from meshdoctor.mesh.istiod_metrics import Delivery, Quantiles
from meshdoctor.mesh.propagation import SLOW, Hold, ProxyHold, Spread
from meshdoctor.mesh.propagation_time import Took
from meshdoctor.mesh.text import clean
from meshdoctor.model.report import Finding
from meshdoctor.report.terminal import Sheet

MOST_PODS = 6
MOST_GROUPS = 6
MOST_CAUSES = 3
_LABEL: Mapping[Hold, str] = {
    Hold.REFUSED: "refused",
    Hold.WAITING: "waiting",
    Hold.ABSENT: "absent",
    Hold.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything the command says. `missing` are reads that failed; `findings` are of a report
    that was made safe. Of --watch: `seen`, the change was seen as it was made; `none`, it was
    waited for in vain; `every`, seconds between looks."""

    spread: Spread
    deliveries: Sequence[Delivery] = ()
    findings: Sequence[Finding] = ()
    missing: Sequence[str] = ()
    watched: bool = False
    seen: bool = False
    none: bool = False
    deleted: bool = False
    every: float = 0.0

    @property
    def slow(self) -> bool:
        """More than ten seconds: a finding by itself."""
        return self.spread.slow


def as_text(answer: Answer, width: int = 100) -> str:
    """A few lines for a terminal: what, how far, how long, who lacks it, why."""
    found, sheet = answer.spread, Sheet(width, color=False)
    sheet.wrapped(Text(""), _line(_headline(answer)), 2)
    if found.changed is not None:
        sheet.row("changed", _line(_changed(answer, found.changed)))
    if found.ref and found.proxies:
        for label, line in zip(("took", ""), _took(answer), strict=False):
            sheet.row(label, _line(line))
    _missing(sheet, found)
    if answer.slow:
        sheet.row("SLOW", _slow(answer))
    for finding in list(answer.findings)[:MOST_CAUSES]:
        _cause(sheet, finding)
    if found.not_concerned:
        text = f"{found.not_concerned} proxies get nothing from it (scope, selector, gateway)"
        sheet.row("others", text)
    for one in answer.deliveries:
        sheet.row("istiod", _line(_delivery(one)))
    for text in answer.missing:
        sheet.row("not seen", _line(text))
    return sheet.done()


def _line(text: str) -> str:
    return clean(text, 600)


def _headline(answer: Answer) -> str:
    found = answer.spread
    what, total = found.ref or "all configuration", len(found.proxies)
    if answer.none:
        return f"{what}: no change came in time; of the last one, {found.done} of {total} have it"
    if not total:
        return f"{what}: no running proxy gets anything from it"
    if answer.deleted:
        return f"{what} was deleted: {found.done} of {total} proxies have dropped it"
    if found.quiet:
        return f"{what}: istiod has sent nothing to its {total} proxies since the change"
    return f"{what}: {found.done} of {total} proxies {'have it' if found.ref else 'are in step'}"


def _changed(answer: Answer, at: datetime) -> str:
    found = answer.spread
    by = f" by {found.changed_by}" if found.changed_by and not answer.deleted else ""
    grain = "milliseconds" if answer.seen else "seconds"
    return f"{_time(at, grain)}{by} ({duration(found.now - at)} ago)"


def _took(answer: Answer) -> list[str]:
    found = answer.spread
    if found.took is not None:
        return [_measured(found.took), _resolution(answer, found.took)]
    if found.missing:
        return ["not told yet: some proxies lack it"]
    if found.moved:
        again = f"meshdoctor propagation --object {found.ref} --watch --next-change"
        return [f"not told: {found.moved}. To measure the next change: {again}"]
    if found.quiet and found.complete:
        return ["nothing came of the change: every proxy already had what follows from it"]
    if found.quiet:
        return ["not told: istiod is late, or nothing comes of the change for these proxies"]
    return ["not told: nothing that these proxies took is dated after the change"]


def _measured(time: Took) -> str:
    last = f"{seconds(time.best)} until the last of {time.proxies} proxies had it ({time.last})"
    return f"{last}, {seconds(time.half)} until half had it" if time.proxies > 1 else last


def _resolution(answer: Answer, time: Took) -> str:
    start = "the change was seen as it was made" if answer.seen else "changes are dated to a second"
    end = "arrivals as seen from here" if answer.watched else "arrivals when istiod sent it"
    if time.dated == time.proxies:
        end = "arrivals by the proxies' own clocks"
    return f"known to \u00b1{max(time.within.total_seconds(), 0.01):.2f} s: {start}, {end}"


def _slow(answer: Answer) -> str:
    time = answer.spread.took
    text = f"more than {SLOW.total_seconds():.0f} s"
    if time is not None and time.best > SLOW:
        text = f"{seconds(time.best)} is {text}"
    if any(one.startswith("causes: ") for one in answer.missing):
        return f"{text}; its causes could not be looked for (see below)"
    if not answer.findings:
        return f"{text}; no cause that is known is confirmed"
    return f"{text}; causes, most likely first:"


def _missing(sheet: Sheet, found: Spread) -> None:
    groups: dict[tuple[Hold, str, str], list[ProxyHold]] = {}
    for one in found.missing:
        groups.setdefault((one.hold, one.detail, one.istiod), []).append(one)
    for (hold, detail, istiod), some in list(groups.items())[:MOST_GROUPS]:
        names = [f"{p.namespace}/{p.pod}" for p in some[:MOST_PODS]]
        more = f" and {len(some) - len(names)} more" if len(some) > len(names) else ""
        where = f" at {istiod}" if istiod else ", listed by no istiod" * (hold is Hold.ABSENT)
        count = "1 proxy" if len(some) == 1 else f"{len(some)} proxies"
        sheet.row(_LABEL[hold], _line(f"{count}{where}: {', '.join(names)}{more}"))
        if detail:
            sheet.row("", _line(_detail(hold, detail, some, found.now)))
    if len(groups) > MOST_GROUPS:
        sheet.row("", f"and {len(groups) - MOST_GROUPS} groups of proxies more")


def _detail(hold: Hold, detail: str, some: Sequence[ProxyHold], now: datetime) -> str:
    sent = [p.sent for p in some if p.sent is not None]
    if hold is not Hold.WAITING or not sent:
        return detail
    return f"{detail}: sent {duration(now - min(sent))} ago, not acknowledged"


def _cause(sheet: Sheet, finding: Finding) -> None:
    sheet.row("cause", _line(f"{finding.code} {finding.title} ({finding.verdict})"))
    sheet.row("because", _line(finding.because))
    if finding.fix:
        sheet.command("fix", finding.fix)
    if finding.by_hand:
        sheet.row("by hand", _line(finding.by_hand))


def _delivery(one: Delivery) -> str:
    times = one.convergence
    if not times.count:
        return f"{one.istiod}: {one.proxies} proxies, no pushes measured"
    refused = f"; {one.rejected} refusals" if one.rejected else ""
    return (
        f"{one.istiod}: {one.proxies} proxies; since it started, from a change until sent "
        f"{_quantiles(times)} (settling {_p99(one.debounce)}, queue {_p99(one.queue)}){refused}"
    )


def _quantiles(found: Quantiles) -> str:
    if found.p50 is None or found.p90 is None or found.p99 is None:
        return f"mean {found.mean:.2f} s" if found.mean is not None else "not measured"
    return f"p50 {found.p50:.2f} p90 {found.p90:.2f} p99 {found.p99:.2f} s"


def _p99(found: Quantiles) -> str:
    if found.p99 is None:
        return _quantiles(found)
    return f"p99 {found.p99:.2f} s"


def seconds(found: timedelta) -> str:
    """Seconds, to a hundredth below ten.

    >>> seconds(timedelta(seconds=1.239)), seconds(timedelta(seconds=12.34))
    ('1.24 s', '12.3 s')
    """
    value = max(found.total_seconds(), 0.0)
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


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


def _time(moment: datetime, grain: str = "seconds") -> str:
    return moment.isoformat(timespec=grain).replace("+00:00", "Z")


def progress(found: Spread, since: timedelta, width: int = 20) -> str:
    """`[#######......] 12/20 proxies after 3 s, waiting for shop/pay-1`, drawn again and again."""
    total, done = len(found.proxies), found.has if found.ref else found.done
    full = width * done // total if total else 0
    drawn = f"[{'#' * full}{'.' * (width - full)}] {done}/{total} proxies"
    first = next(iter(found.missing), None)
    whom = f", waiting for {first.namespace}/{first.pod}" if first is not None else ""
    if found.quiet:
        whom = ", istiod has sent nothing yet"
    return f"{drawn} after {since.total_seconds():.0f} s{whom}"
