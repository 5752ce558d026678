"""`meshdoctor propagation`: which proxies have a change, and how long did it take?"""

import sys
from typing import Any

import click

from meshdoctor.cli.options import SourceOptions, open_source, source_options
from meshdoctor.cli.progress import Line, terminal_width
from meshdoctor.cli.propagation_run import Asked, followed, looked
from meshdoctor.report.propagation import Answer, as_text
from meshdoctor.report.propagation_json import as_json


@click.command(
    epilog="""\b
Examples:
  meshdoctor propagation
  meshdoctor propagation -n shop
  meshdoctor propagation --object VirtualService/shop/pay
  meshdoctor propagation --object VirtualService/shop/pay --watch
  meshdoctor propagation --object VirtualService/shop/pay --watch --next-change --deadline 600

Exit status: 0 every proxy has it, 1 some lack it or it took over 10 s, 2 usage error,
3 not everything could be seen, 4 the source could not be reached.
"""
)
@click.option("--namespace", "-n", default="", help="Only proxies of this namespace.")
@click.option("--object", "reference", default="", metavar="KIND/NS/NAME", help="One object.")
@click.option("--watch", is_flag=True, help="Look again until every proxy has it (live only).")
@click.option(
    "--next-change",
    is_flag=True,
    help="With --watch: wait for the next change (also the creation) and measure it exactly.",
)
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def propagation(
    namespace: str, reference: str, watch: bool, next_change: bool, output: str, **options: Any
) -> None:
    """Say which proxies hold one object (or everything), which do not and why, and how long the
    last change took, with the percentiles of istiod's own histograms beside it.
    """
    source_of = SourceOptions.of(options)
    kind, space, name = parse_reference(reference)
    if (watch or next_change) and (source_of.bundle or source_of.with_change):
        raise click.UsageError("--watch follows a live cluster; recorded evidence does not change")
    if next_change and not (watch and kind):
        raise click.UsageError("--next-change needs --watch and --object")
    source = open_source(source_of)
    with Line(enabled=sys.stderr.isatty()) as line:
        asked = Asked(source, source_of, (kind, space, name), namespace, line.step)
        answer, interrupted = followed(asked, next_change) if watch else (looked(asked), False)
    width = terminal_width() if sys.stdout.isatty() else 100
    click.echo(as_json(answer) if output == "json" else as_text(answer, width), nl=False)
    raise click.exceptions.Exit(130 if interrupted else status(answer))


def parse_reference(text: str) -> tuple[str, str, str]:
    """Kind (as `kinds.Kind.name`), namespace, name; empty texts for no reference.

    The kind may be written in any case, singular or plural. Raises UsageError.
    """
    from meshdoctor.model.kinds import KINDS

    if not text:
        return "", "", ""
    parts = text.split("/")
    if len(parts) != 3 or not parts[2]:
        raise click.UsageError(f"--object {text!r}: expected Kind/namespace/name")
    wanted = parts[0].lower()
    for kind in KINDS:
        if wanted in (kind.name.lower(), kind.plural.lower(), kind.wire.lower()):
            return kind.name, parts[1], parts[2]
    raise click.UsageError(f"--object {text!r}: unknown kind {parts[0]!r}")


def status(answer: Answer) -> int:
    """The exit status: 1 for what is found wrong, 3 for what could not be seen."""
    found = answer.spread
    lacking = any(p.hold.value != "state not shown" for p in found.missing)
    unused = not found.proxies and bool(answer.findings)
    if answer.slow or unused or (lacking and not found.young):
        return 1
    late = found.quiet and not found.complete
    return 3 if answer.missing or found.missing or answer.none or late else 0
