"""What is attached to the ticket? Markdown in which quoted text can neither format nor link."""

import re

from meshdoctor.model.report import Finding, Missing, Report
from meshdoctor.report import explain, wording

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@$:-])")


def escaped(text: str) -> str:
    """Text that shows as it is: no emphasis, link, mention, table cell or HTML comes of it."""
    plain = _SPECIAL.sub(_escape, text.replace("\n", " "))
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")


def _escape(match: re.Match[str]) -> str:
    char = match.group(1)
    if char in "<>&@":
        return f"&#{ord(char)};"
    return char if char in "()-:+#" and not _starts_line(match) else "\\" + char


def _starts_line(match: re.Match[str]) -> bool:
    return not match.string[: match.start()].strip()


def fenced(command: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{command}\n{fence}"


def code(text: str) -> str:
    """Inline code: no backtick, no line break and no cell border can end it early."""
    return "`" + text.replace("\n", " ").replace("`", "'").replace("|", "\\|") + "`"


def text(report: Report, *, verbose: bool = True) -> str:
    """The whole report as one Markdown document."""
    blocks = [*_head(report)]
    for finding in report.main:
        blocks += _finding(finding, report)
    blocks += [
        *_symptoms(report),
        *_lately(report),
        *_undecided(report),
        *_noticed(report),
        *_unseen(report),
    ]
    blocks += _ruled_out(report) if verbose else []
    return "\n\n".join(blocks) + "\n"


def _head(report: Report) -> list[str]:
    left, middle, right = wording.headline(report)
    blocks = [
        f"# {escaped(left)}",
        f"{escaped(middle)} ({escaped(right)})",
        f"Evidence: {escaped(wording.provenance(report))}; "
        f"meshdoctor {escaped(report.tool_version)}, {escaped(report.generated_at)}",
    ]
    if report.partial:
        blocks.append("**Partial**: the run was stopped; this is what was known.")
    said = wording.verdict_line(report)
    return [*blocks, f"**{escaped(said)}**"] if said else blocks


def _finding(finding: Finding, report: Report) -> list[str]:
    title = f"{finding.rank}. {wording.verdict(finding)}: {finding.title}"
    blocks = [f"## {escaped(title)}", f"{code(finding.code)} {finding.name}, {finding.severity}"]
    for label, body in wording.detail(finding, report):
        if label in ("fix", "verify"):
            blocks.append(f"**{label}**\n\n{fenced(body, 'sh')}")
        else:
            blocks.append(f"**{label}**: {escaped(body)}")
    if finding.docs:
        blocks.append(f"**docs**: <{finding.docs}>" if _is_url(finding.docs) else "")
    return [b for b in (*blocks, *_trail(finding)) if b]


def _is_url(text: str) -> bool:
    return re.fullmatch(r"https://[\w./#?=&%~+:,-]+", text) is not None


def _trail(finding: Finding) -> list[str]:
    if not finding.trail:
        return []
    body = "\n".join(" " * line.indent + line.text for line in explain.trail(finding))
    return [f"<details><summary>how this was found</summary>\n\n{fenced(body)}\n\n</details>"]


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _symptoms(report: Report) -> list[str]:
    rows = [
        [escaped(wording.symptom(s, report.observed_at)), escaped(s.look_next)]
        for s in wording.unexplained(report)
    ]
    head = ("symptom", "look at")
    return ["## Seen, and no known cause explains it", _table(head, rows)] if rows else []


def _lately(report: Report) -> list[str]:
    found = wording.lately(report)
    return (
        [f"## {wording.LATELY}", "\n".join(f"- {escaped(one)}" for one in found)] if found else []
    )


def _undecided(report: Report) -> list[str]:
    rows = [
        [
            "<br>".join(escaped(c) for c in wording.codes(need.findings)),
            "<br>".join(escaped(wording.lacking(m)) for m in need.missing),
            "<br>".join(_remedy(m) for m in need.missing),
        ]
        for need in wording.needs(report)
    ]
    title = f"## Undecided ({len(report.of('undecided'))})"
    return [title, _table(("cause", "needs", "to obtain it"), rows)] if rows else []


def _noticed(report: Report) -> list[str]:
    rows = [
        [f.code, f.severity, escaped(f.title), escaped(", ".join(f.objects) or f.subject)]
        for f in report.of("also_noticed")
    ]
    head = ("cause", "severity", "what", "objects")
    return [f"## Also noticed ({len(rows)})", _table(head, rows)] if rows else []


def _unseen(report: Report) -> list[str]:
    rows = [[escaped(wording.lacking(m)), _remedy(m)] for m in wording.unseen(report)]
    rows += [[escaped(f"set aside, malformed: {one}"), ""] for one in report.coverage.set_aside]
    head = ("what", "to see it")
    return [f"## Could not see ({len(rows)})", _table(head, rows)] if rows else []


def _remedy(missing: Missing) -> str:
    remedy = wording.remedy(missing)
    return code(remedy) if remedy else ""


def _ruled_out(report: Report) -> list[str]:
    rows = [[r.code, escaped(r.name), code(r.because)] for r in report.ruled_out]
    head = ("cause", "name", "ruled out by")
    return [f"## Ruled out ({len(rows)})", _table(head, rows)] if rows else []
