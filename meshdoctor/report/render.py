"""How does a report become text in the format asked for?"""

from collections.abc import Callable
from dataclasses import dataclass

from meshdoctor.model.report import Report
from meshdoctor.report import html, json, junit, markdown, plain, prometheus, sarif, terminal, yaml
from meshdoctor.report.safe import safe


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to draw: `trail` adds why each verdict was reached, `verbose` shortens nothing."""

    width: int = 80
    color: bool = False
    verbose: bool = False
    trail: bool = False


def _terminal(report: Report, style: Style) -> str:
    return terminal.text(
        report,
        width=style.width,
        color=style.color,
        verbose=style.verbose,
        trail=style.trail,
    )


def _plain(report: Report, style: Style) -> str:
    return plain.text(report, verbose=style.verbose, trail=style.trail)


FORMATS: tuple[tuple[str, Callable[[Report, Style], str]], ...] = (
    ("html", lambda report, _: html.text(report)),
    ("json", lambda report, _: json.text(report)),
    ("junit", lambda report, _: junit.text(report)),
    ("markdown", lambda report, _: markdown.text(report)),
    ("plain", _plain),
    ("prometheus", lambda report, _: prometheus.text(report)),
    ("sarif", lambda report, _: sarif.text(report)),
    ("text", _terminal),
    ("yaml", lambda report, _: yaml.text(report)),
)
NAMES: tuple[str, ...] = tuple(name for name, _ in FORMATS)


def render(
    report: Report,
    format: str,
    *,
    width: int = 80,
    color: bool = False,
    verbose: bool = False,
    trail: bool = False,
) -> str:
    """The report as text, ending in a line break.

    `text` is for a terminal, `plain` for a pipe. Raises KeyError for a format not in `NAMES`.
    """
    style = Style(width=width, color=color, verbose=verbose, trail=trail)
    return dict(FORMATS)[format](safe(report), style)
