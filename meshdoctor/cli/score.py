"""`meshdoctor score`: where do reports rank the true causes of known incidents?"""

from pathlib import Path

import click

from meshdoctor.engine.playbook import Playbook, load_all, strict_yaml
from meshdoctor.engine.score import Mark, mark, total, truth_from


@click.command(epilog="\b\nExample:\n  meshdoctor score tests/incidents")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--min-ac1", type=float, default=0.0, help="Exit 1 below this AC@1.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def score(folders: tuple[Path, ...], min_ac1: float, output: str) -> None:
    """Diagnose each incident (a bundle with truth.yaml) without reading its truth, then compare.

    FOLDERS are incidents, or folders of incidents.
    """
    import json
    from dataclasses import asdict

    incidents = [i for f in folders for i in _incidents(f)]
    if not incidents:
        raise click.UsageError("no truth.yaml below the folders given")
    books = load_all()
    marks: list[Mark] = [_mark(one, books) for one in incidents]
    result = total(marks)
    if output == "json":
        click.echo(
            json.dumps({"incidents": [asdict(m) for m in marks], **asdict(result)}, indent=1)
        )
    else:
        for one in marks:
            click.echo(_line(one))
        click.echo(
            f"\n{result.faulty} faulty: AC@1 {result.ac1:.2f}  AC@3 {result.ac3:.2f}  "
            f"MRR {result.mrr:.2f}; {result.healthy} healthy: {result.false_alarms} false alarms"
        )
    raise click.exceptions.Exit(
        1 if result.ac1 < min_ac1 or (min_ac1 and result.false_alarms) else 0
    )


def _incidents(folder: Path) -> list[Path]:
    if (folder / "truth.yaml").is_file():
        return [folder]
    return sorted(p.parent for p in folder.glob("*/truth.yaml"))


def _mark(folder: Path, books: tuple[Playbook, ...]) -> Mark:
    from meshdoctor.cli.options import build_scope
    from meshdoctor.engine.diagnose import diagnose
    from meshdoctor.sources.clock import monotonic as stopwatch
    from meshdoctor.sources.open import open_recorded

    started = stopwatch()
    source = open_recorded(folder)
    scope = build_scope(source.defaults(), "", "", "", (), ())
    report = diagnose(source, books, scope)
    text = (folder / "truth.yaml").read_text(encoding="utf-8")
    return mark(
        folder.name,
        truth_from(strict_yaml(text, str(folder / "truth.yaml"))),
        report,
        round(stopwatch() - started, 2),
    )


def _line(one: Mark) -> str:
    if one.healthy:
        verdict = f"FALSE ALARM {', '.join(one.false_alarms)}" if one.false_alarms else "clean"
        return f"{one.name:<56} healthy  {verdict}"
    where = f"{one.rank:>2} {one.code}" if one.rank else " -"
    first = f"   first: {one.first}" if one.rank != 1 else ""
    return f"{one.name:<56} {where}{first}"
