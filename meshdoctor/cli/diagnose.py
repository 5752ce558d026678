"""`meshdoctor diagnose`: what is broken, and why?"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from meshdoctor.cli.options import (
    SourceOptions,
    build_scope,
    opening,
    scope_options,
    source_options,
)
from meshdoctor.model.cause import Severity
from meshdoctor.model.report import Report

MOST = 100
"""Of a whole live mesh, so many subjects are asked what takes a process or a port-forward."""


@click.command(
    epilog="""\b
Examples:
  meshdoctor diagnose
  meshdoctor diagnose --from shop/cart --to shop/pay:8080 --request "GET /v1/charge"
  meshdoctor diagnose --bundle incident.tgz -o text -o json=report.json
  meshdoctor diagnose -n shop --fail-on outage --quiet
"""
)
@scope_options
@source_options
@click.option("--playbook", "playbooks", multiple=True, help="Only these playbooks (prefix).")
@click.option("--record", type=click.Path(path_type=Path), help="Save the evidence as a bundle.")
@click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity]),
    default=Severity.DEGRADED.value,
    show_default=True,
    help="Exit 1 for causes at least this severe.",
)
@click.option("--explain", is_flag=True, help="Show every condition with the values it read.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; print only what is wrong.")
@click.option("-v", "--verbose", count=True, help="Also list what was ruled out.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help="text, plain, json, yaml, markdown, html, junit, sarif, prometheus; repeatable.",
)
def diagnose(**options: Any) -> None:
    """Say what is broken, which object is at fault, how sure we are, and what to run.

    Without --from and --to the whole mesh is judged, starting from what is observably failing.
    """
    from meshdoctor.sources.clock import judging_time, reading_time, running
    from meshdoctor.sources.clock import monotonic as stopwatch

    ours = (click.get_current_context().obj or {}).get("ours", False)
    begun = stopwatch() - (running() if ours else 0.0)
    source_of = SourceOptions.of(options)
    targets = parse_outputs(options["outputs"])
    opened = opening(source_of, reading_time(source_of.deadline, stopwatch() - begun))
    from meshdoctor.engine.compiled import keep, load_shipped
    from meshdoctor.engine.diagnose import Options
    from meshdoctor.engine.diagnose import diagnose as run

    books = shipped = load_shipped()
    if options["playbooks"]:
        chosen = tuple(b for b in books if b.name.startswith(options["playbooks"]))
        if not chosen:
            names = ", ".join(b.name for b in books)
            raise click.UsageError(f"no playbook matches {options['playbooks'][0]!r}: {names}")
        books = chosen
    source = opened()
    if options["record"] is not None:
        from meshdoctor.sources.open import recording

        source = recording(source, options["record"])
    scope = build_scope(
        source.defaults(),
        options["from_"],
        options["to"],
        options["request"],
        options["headers"],
        options["namespaces"],
    )
    live = source_of.bundle is None
    if not scope.pair:
        from meshdoctor.sources.heap import keep_pages_out

        keep_pages_out()
    with progress(options["quiet"]) as bar:
        report = run(
            source,
            books,
            scope,
            Options(
                istio_namespace=source_of.istio_namespace,
                fail_on=Severity(options["fail_on"]),
                workers=12 if live else 1,
                most=MOST if live else None,
                seconds=judging_time(source_of.deadline, stopwatch() - begun) if live else None,
            ),
            progress=bar,
            stopwatch=stopwatch,
        )
    if options["record"] is not None:
        from meshdoctor.sources.open import finish_recording

        finish_recording(source, scope)
    emit(
        report,
        targets,
        verbose=options["verbose"],
        explain=options["explain"],
        quiet=options["quiet"],
    )
    keep(shipped)
    raise click.exceptions.Exit(report.exit)


def parse_outputs(outputs: tuple[str, ...]) -> list[tuple[str, Path | None]]:
    """`FORMAT[=FILE]` pairs; text to standard output when none is asked for."""
    from meshdoctor.report.render import NAMES

    out: list[tuple[str, Path | None]] = []
    for one in outputs or ("text",):
        name, _, file = one.partition("=")
        if name not in NAMES:
            raise click.UsageError(f"-o {one}: unknown format; one of {', '.join(NAMES)}")
        out.append((name, Path(file) if file else None))
    if sum(path is None for _, path in out) > 1:
        raise click.UsageError("only one output can go to standard output: give the others =FILE")
    return out


def emit(
    report: Report,
    targets: list[tuple[str, Path | None]],
    *,
    verbose: int = 0,
    explain: bool = False,
    quiet: bool = False,
) -> None:
    """Write every output asked for; standard output is coloured only on a terminal."""
    from meshdoctor.report.render import render

    terminal = sys.stdout.isatty()
    for name, path in targets:
        to_terminal = path is None and terminal
        form = "plain" if name == "text" and not to_terminal else name
        text = render(
            report,
            form,
            width=_width() if to_terminal else 100,
            color=to_terminal and "NO_COLOR" not in os.environ,
            verbose=bool(verbose),
            trail=explain,
        )
        if path is None and quiet and name == "text" and report.exit == 0:
            continue
        if path is None:
            click.echo(text, nl=not text.endswith("\n"))
            continue
        try:
            path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        except OSError as error:
            raise click.FileError(str(path), error.strerror or str(error)) from error


def _width() -> int:
    import shutil

    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 200))


def progress(quiet: bool) -> Any:
    """A progress line on stderr, on a terminal only."""
    from meshdoctor.cli.progress import Line

    return Line(enabled=not quiet and sys.stderr.isatty())
