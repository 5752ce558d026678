"""Which words say it, in every text format?

Pure functions from a report to short phrases; nothing here knows colours, columns or markup.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshdoctor.model.report import ChangeNote, Finding, Missing, Report, Symptom

SURE = {
    "derived": "derived: these objects must produce it; nothing was seen of it happening",
    "suspected": "suspected: it fits in time or place, nothing proves it",
}
_CODE = re.compile(r"MD\d{4}")
Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Evidence that is missing, and the undecided findings it would settle."""

    missing: tuple[Missing, ...]
    findings: tuple[Finding, ...]


def thing(ref: str) -> str:
    """`Kind/namespace/name` as a person says it: `Kind namespace/name`."""
    kind, _, rest = ref.partition("/")
    if not rest:
        return ref
    return f"{kind} {rest.lstrip('/')}"


def headline(report: Report) -> tuple[str, str, str]:
    """Left, middle and right of the first line."""
    istio = report.versions.get("istio") or report.versions.get("istiod") or ""
    middle = ", ".join(p for p in (f"Istio {istio}" if istio else "", report.summary) if p)
    right = f"exit {report.exit}"
    spent = seconds(report)
    return report.scope, middle, f"{right}, {spent:.1f} s" if spent is not None else right


def seconds(report: Report) -> float | None:
    """The whole time of the run; None when it was not measured."""
    total = [t.seconds for t in report.timings if t.step == "total"]
    if total:
        return total[0]
    return sum(t.seconds for t in report.timings) if report.timings else None


def provenance(report: Report) -> str:
    """Where the evidence comes from and of when it speaks."""
    return f"{report.source}, as of {report.observed_at}" if report.observed_at else report.source


def verdict(finding: Finding) -> str:
    """The verdict in capitals; a correlation is never called confirmed."""
    if finding.verdict == "confirmed" and finding.strength == "suspected":
        return "SUSPECTED"
    return finding.verdict.replace("_", " ").upper()


def detail(finding: Finding, report: Report) -> Rows:
    """Label and text of each line below a finding's title; commands are rows `fix`, `verify`."""
    rows: Rows = []
    if finding.subject != report.scope:
        rows.append(("on", also(finding.subject, finding.also_on)))
    elif finding.also_on:
        rows.append(("also on", counted(finding.also_on, 2)))
    if finding.objects:
        rows.append(("at fault", ", ".join(thing(o) for o in finding.objects)))
    rows.append(("because", finding.because))
    if finding.observed:
        rows.append(("observed", finding.observed.replace(f" on {finding.subject},", ",")))
    else:
        rows.append(("evidence", SURE.get(finding.strength, "")))
    rows += [("changed", change(c, report.observed_at)) for c in recent(finding, report)[:3]]
    rows.append(("fix", finding.fix))
    rows.append(("by hand", finding.by_hand))
    if finding.verify:
        rows += [("verify", finding.verify.run), ("expect", finding.verify.expect)]
    rows.append(("explains", "; ".join([*_seen(finding), *finding.folded])))
    return [(label, text) for label, text in rows if text]


def _seen(finding: Finding) -> list[str]:
    """What it explains in words; the codes that it could explain say nothing of this run."""
    return [text for text in finding.explains if not _CODE.fullmatch(text)]


def also(first: str, others: list[str]) -> str:
    """A subject and the other subjects that have the same finding."""
    match len(others):
        case 0:
            return first
        case 1:
            return f"{first} and {others[0]}"
        case more:
            return f"{first} and {more} more like it"


def counted(names: Iterable[str], limit: int = 3) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    text = ", ".join(every[:limit])
    return f"{text} and {len(every) - limit} more" if len(every) > limit else text


def recent(finding: Finding, report: Report) -> list[ChangeNote]:
    """Changes of the last three days: an older one is no news in an incident."""
    now = _time(report.observed_at)
    kept = []
    for note in finding.changes:
        then = _time(note.at)
        if then is None or now is None or (now - then).total_seconds() < 3 * 86400:
            kept.append(note)
    return kept


LATELY = "Changed lately, near what was judged"


def lately(report: Report) -> list[str]:
    """What changed in the last days, newest first, where no cause is known."""
    if report.main or report.healthy:
        return []
    return [change(note, report.observed_at) for note in report.changes]


def change(note: ChangeNote, observed_at: str) -> str:
    """Which object was written last when, and by whom."""
    when = moment(note.at, observed_at)
    what = "" if note.what == "changed" else f" {note.what}"
    by = f", by {note.by}" if note.by else ""
    return f"{thing(note.object)}{what}, {when}{by}"


def moment(at: str, observed_at: str) -> str:
    """The time of day, with the date when it is another day, and how long before."""
    then, now = _time(at), _time(observed_at)
    if then is None or now is None:
        return at
    return f"{clock(at, observed_at)} ({_ago(now - then)})"


def clock(at: str, observed_at: str) -> str:
    """The time of day, with the date when it is another day than that of the evidence."""
    then, now = _time(at), _time(observed_at)
    if then is None or now is None:
        return at
    day = "" if then.date() == now.date() else f"{then:%Y-%m-%d} "
    return f"{day}{then:%H:%M:%S}"


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ago(span: timedelta) -> str:
    total = int(span.total_seconds())
    size, unit = next(
        ((n, u) for n, u in ((86400, "d"), (3600, "h"), (60, "min")) if abs(total) >= n), (1, "s")
    )
    return f"{abs(total) // size} {unit} {'before' if total >= 0 else 'after'}"


def symptom(found: Symptom, observed_at: str) -> str:
    """How often what was seen where, and when."""
    first, last = clock(found.first, observed_at), clock(found.last, observed_at)
    times = f" between {first} and {last}" if last else ""
    since = f" since {first}" if first and not last else ""
    return f"{found.count} x {found.text} on {found.subject}{times}{since}"


def unexplained(report: Report) -> list[Symptom]:
    """Symptoms that no finding explains."""
    return [s for s in report.symptoms if not s.explained_by and not s.over]


def needs(report: Report) -> list[Need]:
    """Undecided findings grouped by the evidence that would settle them, in rank order."""
    groups: dict[tuple[tuple[str, str], ...], list[Finding]] = {}
    for finding in report.of("undecided"):
        key = tuple(sorted({(m.what, m.reason) for m in finding.missing}))
        groups.setdefault(key, []).append(finding)
    return [
        Need(missing=_distinct(found[0].missing), findings=tuple(found))
        for found in groups.values()
    ]


def _distinct(missing: list[Missing]) -> tuple[Missing, ...]:
    return tuple({(m.what, m.reason): m for m in reversed(missing)}.values())[::-1]


def unseen(report: Report) -> list[Missing]:
    """What could not be seen and is not already named under an undecided finding."""
    named = {(m.what, m.reason) for f in report.of("undecided") for m in f.missing}
    return [m for m in report.unseen if (m.what, m.reason) not in named]


def lacking(missing: Missing) -> str:
    """Which evidence is missing and why."""
    why = missing.reason.replace("_", " ")
    return (
        f"{missing.what} ({why}: {missing.detail})"
        if missing.detail
        else (f"{missing.what} ({why})")
    )


def remedy(missing: Missing) -> str:
    """What to do about it; empty when that only says to run what is named already."""
    return "" if missing.remedy.endswith(f": {missing.what}") else missing.remedy


def codes(findings: Iterable[Finding]) -> list[str]:
    """`MDnnnn title` of each distinct cause."""
    return list(dict.fromkeys(f"{f.code} {f.title}" for f in findings))


def verdict_line(report: Report) -> str:
    """What to say when nothing is confirmed; empty otherwise."""
    if report.main:
        return ""
    judged = sum(report.coverage.subjects.values())
    if report.healthy and report.exit == 0:
        return (
            f"Healthy. {len(report.ruled_out)} causes ruled out on {judged} subjects, "
            f"and everything needed to say so was seen.{_sample(report)}"
        )
    return "Nothing confirmed. That is not the same as healthy: read what is open below."


def _sample(report: Report) -> str:
    """That calls were looked for in some logs only, where it is so."""
    logs, proxies = report.coverage.logs, report.coverage.proxies
    if logs >= proxies:
        return ""
    return (
        f" Failing calls were looked for in the access logs of {logs} of {proxies} workloads: "
        "name a namespace or a pair to have more of them read."
    )


def few(lead: str, names: list[str], width: int) -> str:
    """As many names as fit on the line, and how to see the others."""
    for shown in range(min(len(names), 4), -1, -1):
        more = ["..."] if shown < len(names) else []
        line = f"{lead}{', '.join([*names[:shown], *more])} (-v lists them)"
        if len(line) <= width:
            break
    return line
