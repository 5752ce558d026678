"""What does the on-call engineer read first?

One screen of 80 columns: what is broken, which object, how sure and why, what to run. Colour only
repeats what the words say. Text is never parsed as markup, and commands stay copyable.
"""

import io

from rich.console import Console
from rich.text import Text

from meshdoctor.model.report import Finding, Missing, Report
from meshdoctor.report import commands, explain, wording

FULL = 3
SHORT = 3
LABEL = 10
INDENT = " " * 3
_RED, _YELLOW, _DIM, _BOLD = "bold red", "yellow", "dim", "bold"


def text(report: Report, *, width: int, color: bool, verbose: bool, trail: bool) -> str:
    """The report as lines of at most `width` columns, commands excepted."""
    sheet = Sheet(width, color)
    _header(sheet, report)
    _findings(sheet, report, verbose)
    if trail:
        _trails(sheet, report)
    _symptoms(sheet, report)
    _lately(sheet, report, verbose)
    _undecided(sheet, report, verbose)
    _ruled_out(sheet, report, verbose)
    _noticed(sheet, report, verbose)
    _unseen(sheet, report, verbose)
    return sheet.done()


class Sheet:
    """Lines written so far."""

    def __init__(self, width: int, color: bool) -> None:
        self.width = max(width, 40)
        self._out = io.StringIO()
        self._console = Console(
            file=self._out,
            width=self.width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
        )

    def line(self, line: Text | str = "") -> None:
        shown = Text(line) if isinstance(line, str) else line
        shown.rstrip()
        self._console.print(shown, soft_wrap=True)

    def wrapped(self, first: Text, body: str, hang: int, style: str = "") -> None:
        """`first`, then `body` wrapped with its further lines indented by `hang` columns."""
        room = self.width - max(hang, first.cell_len)
        for line in self.split(Text(body, style), room):
            self.line(Text.assemble(first, line))
            first = Text(" " * hang)

    def split(self, text: Text, room: int) -> list[Text]:
        """The text in lines of at most `room` columns, cut at spaces where there are any."""
        lines = text.wrap(self._console, max(room, 20))
        return [_stripped(line) for line in lines]

    def row(self, label: str, body: str, style: str = "") -> None:
        hang = len(INDENT) + LABEL
        self.wrapped(Text(f"{INDENT}{label:<{LABEL}}", _DIM), body, hang, style)

    def command(self, label: str, command: str) -> None:
        hang = len(INDENT) + LABEL
        lead = Text(f"{INDENT}{label:<{LABEL}}", _DIM)
        if commands.verbatim(command):
            self.line(lead)
            for line in command.split("\n"):
                self.line(Text(line, _BOLD))
            return
        for line in commands.fold(command, self.width - hang):
            self.line(Text.assemble(lead, (line, _BOLD)))
            lead = Text(" " * hang)

    def spread(self, parts: tuple[Text, ...]) -> bool:
        """The parts over the whole line; False (and nothing written) when they do not fit."""
        free = self.width - sum(p.cell_len for p in parts)
        gaps = len(parts) - 1
        if free < 2 * gaps:
            return False
        line = parts[0]
        for i, part in enumerate(parts[1:]):
            gap = free // gaps if i < gaps - 1 else free - (free // gaps) * (gaps - 1)
            line = Text.assemble(line, " " * gap, part)
        self.line(line)
        return True

    def done(self) -> str:
        return self._out.getvalue()


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line


def _header(sheet: Sheet, report: Report) -> None:
    left, middle, right = wording.headline(report)
    style = _RED if report.exit == 1 else _YELLOW if report.exit else "bold green"
    parts = (Text(left, _BOLD), Text(middle), Text(right, style))
    if not sheet.spread(parts):
        sheet.wrapped(Text(), left, 3, _BOLD)
        if not sheet.spread((Text(INDENT + middle), Text(right, style))):
            sheet.wrapped(Text(INDENT), f"{middle}, {right}", 3)
    sheet.wrapped(Text(), wording.provenance(report), 0, _DIM)
    if report.partial:
        sheet.wrapped(Text(), "PARTIAL: the run was stopped; this is what was known.", 0, _YELLOW)
    said = wording.verdict_line(report)
    if said:
        sheet.line()
        sheet.wrapped(Text(), said, 0, _BOLD)


def _findings(sheet: Sheet, report: Report, verbose: bool) -> None:
    main = report.main
    full = main if verbose else main[:FULL]
    for finding in full:
        _finding(sheet, report, finding, verbose)
    rest = main[len(full) :]
    if rest:
        sheet.line()
        sheet.line(Text(f"{len(rest)} more confirmed (-v shows them in full)", _BOLD))
        for finding in rest:
            _brief(sheet, f"{finding.rank:<3}{finding.code}", finding)


def _finding(sheet: Sheet, report: Report, finding: Finding, verbose: bool) -> None:
    sheet.line()
    style = _YELLOW if finding.severity in ("degraded", "hygiene") else _RED
    verdict = wording.verdict(finding)
    lead = Text.assemble(f"{finding.rank:<3}", (verdict, style), "  ")
    code = Text(f"{finding.code} {finding.severity}", style)
    title = Text(finding.title, _BOLD)
    room = sheet.width - lead.cell_len - code.cell_len - 2
    first, *more = sheet.split(title, room)
    first.rstrip()
    if not sheet.spread((Text.assemble(lead, first), code)):
        sheet.line(Text.assemble(lead, first, "  ", code))
    for line in more:
        sheet.line(Text.assemble(" " * lead.cell_len, line))
    for label, body in wording.detail(finding, report):
        if label in ("fix", "verify"):
            sheet.command(label, body)
        else:
            sheet.row(label, body)
    if verbose and finding.docs:
        sheet.command("docs", finding.docs)


def _brief(sheet: Sheet, lead: str, finding: Finding) -> None:
    at = wording.counted((wording.thing(o) for o in finding.objects), 1)
    where = finding.subject + (f" (+{len(finding.also_on)})" if finding.also_on else "")
    body = f"{finding.severity}: {finding.title}" + (f"; {at}" if at else f"; {where}")
    sheet.wrapped(Text(f"{INDENT}{lead:<{LABEL}}"), body, len(INDENT) + LABEL)


def _trails(sheet: Sheet, report: Report) -> None:
    for finding in (*report.main, *report.of("undecided")):
        sheet.line()
        for line in explain.trail(finding):
            if line.command:
                sheet.line(Text(" " * line.indent + line.text))
            else:
                sheet.wrapped(Text(" " * line.indent), line.text, line.indent + 2)


def _symptoms(sheet: Sheet, report: Report) -> None:
    found = wording.unexplained(report)
    if not found:
        return
    sheet.line()
    sheet.line(Text("Seen, and no known cause explains it", _YELLOW))
    for one in found:
        sheet.wrapped(Text(INDENT), wording.symptom(one, report.observed_at), 5)
        if one.look_next:
            sheet.wrapped(Text(" " * 5), f"look at {one.look_next}", 7)


def _lately(sheet: Sheet, report: Report, verbose: bool) -> None:
    found = wording.lately(report)
    if not found:
        return
    sheet.line()
    sheet.line(Text(wording.LATELY, _BOLD))
    for one in found if verbose else found[:SHORT]:
        sheet.wrapped(Text(INDENT), one, 5)
    if not verbose and len(found) > SHORT:
        sheet.line(Text(f"{INDENT}and {len(found) - SHORT} more (-v lists them)", _DIM))


def _undecided(sheet: Sheet, report: Report, verbose: bool) -> None:
    groups = wording.needs(report)
    if not groups:
        return
    sheet.line()
    total = len(report.of("undecided"))
    sheet.line(Text(f"Undecided ({total}): what would settle it", _YELLOW))
    shown = groups if verbose else groups[:SHORT]
    for need in shown:
        named = wording.codes(need.findings)
        for name in named if verbose else named[:SHORT]:
            sheet.wrapped(Text(INDENT), name, 10)
        if not verbose and len(named) > SHORT:
            sheet.line(Text(f"{INDENT}and {len(named) - SHORT} more", _DIM))
        for missing in need.missing if verbose else need.missing[:2]:
            _missing(sheet, missing, "needs ", 5)
    left = sum(len(g.findings) for g in groups[len(shown) :])
    if left:
        sheet.line(Text(f"{INDENT}and {left} more that need other evidence (-v lists them)", _DIM))


def _missing(sheet: Sheet, missing: Missing, lead: str, indent: int) -> None:
    sheet.wrapped(Text(" " * indent + lead), wording.lacking(missing), indent + len(lead))
    remedy = wording.remedy(missing)
    if remedy:
        lines = commands.fold(remedy, sheet.width - indent - len(lead))
        for line in lines:
            sheet.line(Text.assemble(" " * (indent + len(lead)), (line, _BOLD)))


def _ruled_out(sheet: Sheet, report: Report, verbose: bool) -> None:
    every = report.ruled_out
    if not every:
        return
    sheet.line()
    if not verbose:
        sheet.line(wording.few(f"Ruled out ({len(every)})  ", [r.name for r in every], sheet.width))
        return
    sheet.line(Text(f"Ruled out ({len(every)})", _BOLD))
    for out in every:
        sheet.wrapped(Text(f"{INDENT}{out.code} "), f"{out.name}: {out.because}", 13)


def _noticed(sheet: Sheet, report: Report, verbose: bool) -> None:
    found = report.of("also_noticed")
    if not found:
        return
    sheet.line(Text(f"Also noticed ({len(found)})", _BOLD))
    for finding in found if verbose else found[:SHORT]:
        _brief(sheet, finding.code, finding)
    if not verbose and len(found) > SHORT:
        sheet.line(Text(f"{INDENT}and {len(found) - SHORT} more (-v lists them)", _DIM))


def _unseen(sheet: Sheet, report: Report, verbose: bool) -> None:
    found = wording.unseen(report)
    aside = report.coverage.set_aside
    if not found and not aside:
        return
    sheet.line(Text(f"Could not see ({len(found) + len(aside)})", _YELLOW))
    for missing in found if verbose else found[:SHORT]:
        _missing(sheet, missing, "", 3)
    if not verbose and len(found) > SHORT:
        sheet.line(Text(f"{INDENT}and {len(found) - SHORT} more (-v lists them)", _DIM))
    for one in aside if verbose else aside[:SHORT]:
        sheet.wrapped(Text(INDENT), f"set aside, malformed: {one}", 5)
