"""What goes down a pipe? The same words, one fact a line, never wrapped, never coloured.

A line holds one thing, so that grep and cut work; tables are tabulate's plain ones.
"""

from tabulate import tabulate

from meshdoctor.model.report import Finding, Missing, Report
from meshdoctor.report import explain, wording


def text(report: Report, *, verbose: bool, trail: bool) -> str:
    """The report as unwrapped lines."""
    blocks = [_header(report)]
    blocks += [_finding(f, report, verbose) for f in report.main]
    if trail:
        blocks += [_trail(f) for f in (*report.main, *report.of("undecided"))]
    blocks += [_symptoms(report), _lately(report), _undecided(report), _ruled_out(report, verbose)]
    blocks += [_noticed(report), _unseen(report)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(rows: list[list[str]]) -> str:
    shown = tabulate(rows, tablefmt="plain", disable_numparse=True)
    return "\n".join(line.rstrip() for line in shown.split("\n"))


def _block(title: str, rows: list[list[str]]) -> str:
    return "\n".join([title, *("   " + line for line in _table(rows).split("\n"))]) if rows else ""


def _header(report: Report) -> str:
    left, middle, right = wording.headline(report)
    lines = [f"{left}  {middle}  {right}", wording.provenance(report)]
    if report.partial:
        lines.append("PARTIAL: the run was stopped; this is what was known.")
    said = wording.verdict_line(report)
    return "\n".join([*lines, said] if said else lines)


def _finding(finding: Finding, report: Report, verbose: bool) -> str:
    title = (
        f"{finding.rank}  {wording.verdict(finding)}  {finding.code} {finding.severity}  "
        f"{finding.title}"
    )
    rows = wording.detail(finding, report)
    if finding.docs and verbose:
        rows.append(("docs", finding.docs))
    lines = []
    for label, body in rows:
        first, *more = body.split("\n")
        lines += [f"   {label:<10}{first}", *more]
    return "\n".join([title, *lines])


def _trail(finding: Finding) -> str:
    return "\n".join(" " * line.indent + line.text for line in explain.trail(finding))


def _symptoms(report: Report) -> str:
    rows = [
        [wording.symptom(s, report.observed_at), s.look_next] for s in wording.unexplained(report)
    ]
    return _block("Seen, and no known cause explains it", rows)


def _lately(report: Report) -> str:
    return _block(wording.LATELY, [[one] for one in wording.lately(report)])


def _undecided(report: Report) -> str:
    rows = [
        [f.code, f.severity, f.title, f.subject, "; ".join(wording.lacking(m) for m in f.missing)]
        for f in report.of("undecided")
    ]
    return _block(f"Undecided ({len(rows)})", rows)


def _ruled_out(report: Report, verbose: bool) -> str:
    every = report.ruled_out
    if not every:
        return ""
    if not verbose:
        return wording.few(f"Ruled out ({len(every)})  ", [r.name for r in every], 100)
    return _block(f"Ruled out ({len(every)})", [[r.code, r.name, r.because] for r in every])


def _noticed(report: Report) -> str:
    rows = [
        [f.code, f.severity, f.title, f.subject, ", ".join(f.objects)]
        for f in report.of("also_noticed")
    ]
    return _block(f"Also noticed ({len(rows)})", rows)


def _unseen(report: Report) -> str:
    rows = [[wording.lacking(m), _one_line(m)] for m in wording.unseen(report)]
    rows += [[f"set aside, malformed: {one}", ""] for one in report.coverage.set_aside]
    return _block(f"Could not see ({len(rows)})", rows)


def _one_line(missing: Missing) -> str:
    return wording.remedy(missing).replace("\n", "; ")
