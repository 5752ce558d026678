"""What is mailed or kept as one file? A page without scripts or outside resources, all escaped."""

import re
from html import escape

from meshdoctor.model.report import Finding, Report
from meshdoctor.report import explain, wording

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24}
h1{font-size:1.3rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .4rem}
.finding{border-left:4px solid #b3261e;padding:.2rem 1rem;margin:1rem 0;background:#fafafa}
.finding.soft{border-color:#a66f00}.muted{color:#5b6370}
dl{display:grid;grid-template-columns:6.5rem 1fr;gap:.2rem .8rem;margin:.5rem 0}
dt{color:#5b6370}dd{margin:0;overflow-wrap:anywhere}
pre{background:#eef0f3;padding:.5rem .7rem;margin:0;overflow-x:auto;white-space:pre-wrap}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;
padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def text(report: Report) -> str:
    """The whole report as one HTML document."""
    left, middle, right = wording.headline(report)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(left)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(left)}</h1><p>{escape(middle)} · {escape(right)}<br>",
        f'<span class="muted">{escape(wording.provenance(report))}; meshdoctor '
        f"{escape(report.tool_version)}</span></p>",
    ]
    if report.partial:
        parts.append("<p><strong>Partial: the run was stopped early.</strong></p>")
    parts.append(f"<p><strong>{escape(wording.verdict_line(report))}</strong></p>")
    parts += [_finding(f, report) for f in report.main]
    parts += _sections(report)
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _finding(finding: Finding, report: Report) -> str:
    soft = " soft" if finding.severity in ("degraded", "hygiene") else ""
    rows = [_row(label, body) for label, body in wording.detail(finding, report)]
    if re.fullmatch(r"https://\S+", finding.docs):
        url = escape(finding.docs)
        rows.append(f'<dt>docs</dt><dd><a href="{url}" rel="noreferrer">{url}</a></dd>')
    title = f"{finding.rank}. {wording.verdict(finding)} · {finding.title}"
    trail = "\n".join(" " * line.indent + line.text for line in explain.trail(finding))
    return (
        f'<section class="finding{soft}" id="{escape(finding.fingerprint)}">'
        f"<h2>{escape(title)} <span class=muted>{escape(finding.code)} "
        f"{escape(finding.severity)}</span></h2><dl>{''.join(rows)}</dl>"
        f"<details><summary>how this was found</summary><pre>{escape(trail)}</pre></details>"
        "</section>"
    )


def _row(label: str, body: str) -> str:
    shown = f"<pre>{escape(body)}</pre>" if label in ("fix", "verify") else escape(body)
    return f"<dt>{label}</dt><dd>{shown}</dd>"


def _sections(report: Report) -> list[str]:
    undecided = [
        ["; ".join(wording.codes(n.findings)), "; ".join(wording.lacking(m) for m in n.missing)]
        for n in wording.needs(report)
    ]
    noticed = [
        [f.code, f.severity, f.title, ", ".join(map(wording.thing, f.objects)) or f.subject]
        for f in report.of("also_noticed")
    ]
    unseen = [[wording.lacking(m), wording.remedy(m)] for m in wording.unseen(report)]
    unseen += [[f"set aside, malformed: {one}", ""] for one in report.coverage.set_aside]
    symptoms = [
        [wording.symptom(s, report.observed_at), s.look_next] for s in wording.unexplained(report)
    ]
    out = [[r.code, r.name, r.because] for r in report.ruled_out]
    return [
        _table("Seen, and no known cause explains it", symptoms),
        _table(wording.LATELY, [[one] for one in wording.lately(report)]),
        _table("Undecided: what would settle it", undecided),
        _table("Also noticed", noticed),
        _table("Could not see", unseen),
        _table("Ruled out", out, folded=True),
    ]


def _table(title: str, rows: list[list[str]], *, folded: bool = False) -> str:
    if not rows:
        return ""
    cells = "\n".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in r) + "</tr>" for r in rows)
    table = f"<table>{cells}</table>"
    head = f"{escape(title)} ({len(rows)})"
    if folded:
        return f"<details><summary>{head}</summary>{table}</details>"
    return f"<h2>{head}</h2>{table}"
