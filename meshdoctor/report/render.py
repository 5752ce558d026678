"""How does a report become text in the format asked for?"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from meshdoctor.model.report import Report
from meshdoctor.report.safe import safe


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to draw: `trail` adds why each verdict was reached, `verbose` shortens nothing."""

    width: int = 80
    color: bool = False
    verbose: bool = False
    trail: bool = False


Draw = Callable[[Report, Style], str]


def _terminal(report: Report, style: Style) -> str:
    from meshdoctor.report import terminal

    return terminal.text(
        report,
        width=style.width,
        color=style.color,
        verbose=style.verbose,
        trail=style.trail,
    )


def _plain(report: Report, style: Style) -> str:
    from meshdoctor.report import plain

    return plain.text(report, verbose=style.verbose, trail=style.trail)


def _whole(module: str) -> Draw:
    """A format without style, whose module is imported when it is asked for."""

    def draw(report: Report, style: Style) -> str:
        text: str = import_module(f"meshdoctor.report.{module}").text(report)
        return text

    return draw


FORMATS: tuple[tuple[str, Draw], ...] = (
    ("html", _whole("html")),
    ("json", _whole("json")),
    ("junit", _whole("junit")),
    ("markdown", _whole("markdown")),
    ("plain", _plain),
    ("prometheus", _whole("prometheus")),
    ("sarif", _whole("sarif")),
    ("text", _terminal),
    ("yaml", _whole("yaml")),
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
