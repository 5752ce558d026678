"""`meshdoctor demo`: diagnose an incident shipped with meshdoctor, without any cluster."""

from importlib import resources
from pathlib import Path

import click


def demos() -> dict[str, Path]:
    """Shipped incidents by name."""
    root = Path(str(resources.files("meshdoctor"))) / "demos"
    return {p.parent.name: p.parent for p in sorted(root.glob("*/bundle.yaml"))}


@click.command(epilog="\b\nExamples:\n  meshdoctor demo\n  meshdoctor demo --list")
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="List the incidents.")
@click.option("-o", "--output", "outputs", multiple=True, metavar="FORMAT[=FILE]")
@click.option("--explain", is_flag=True, help="Show every condition with the values it read.")
def demo(name: str | None, list_: bool, outputs: tuple[str, ...], explain: bool) -> None:
    """Diagnose the incident NAME, or all of them one after the other. Exits 0."""
    from msgspec.structs import replace

    from meshdoctor.cli.diagnose import emit, parse_outputs
    from meshdoctor.cli.options import build_scope
    from meshdoctor.engine.diagnose import diagnose
    from meshdoctor.engine.playbook import load_all, strict_yaml
    from meshdoctor.engine.score import truth_from
    from meshdoctor.sources.clock import monotonic as stopwatch
    from meshdoctor.sources.open import open_recorded

    known = demos()
    if name is not None and name not in known:
        raise click.UsageError(f"no demo is named {name!r}: {', '.join(known)}")
    books = load_all()
    for one in [name] if name else list(known):
        text = (known[one] / "truth.yaml").read_text(encoding="utf-8")
        truth = truth_from(strict_yaml(text, f"{one}/truth.yaml"))
        if list_:
            click.echo(f"{one:<32}{truth.summary}")
            continue
        click.echo(f"\n=== meshdoctor demo {one}\n")
        source = open_recorded(known[one])
        scope = build_scope(source.defaults(), "", "", "", (), ())
        report = diagnose(source, books, scope, stopwatch=stopwatch)
        report = replace(report, source=f"demo {one}, shipped with meshdoctor")
        emit(report, parse_outputs(outputs), explain=explain)
