"""`meshdoctor collect`: record evidence as a bundle that replays anywhere."""

from pathlib import Path
from typing import Any

import click

from meshdoctor.cli.diagnose import progress
from meshdoctor.cli.options import (
    SourceOptions,
    build_scope,
    open_source,
    scope_options,
    source_options,
)


@click.command(
    epilog="""\b
Examples:
  meshdoctor collect --from shop/cart --to shop/pay:8080 incident.tgz
  meshdoctor collect -n shop incident/
"""
)
@click.argument("target", type=click.Path(path_type=Path))
@scope_options
@source_options
def collect(target: Path, **options: Any) -> None:
    """Record what a diagnosis reads into TARGET (a folder, or a file ending in .tgz).

    Private keys, tokens and environment values never enter it.
    """
    from meshdoctor.engine.diagnose import Options
    from meshdoctor.engine.diagnose import diagnose as run
    from meshdoctor.engine.playbook import load_all
    from meshdoctor.sources.open import finish_recording, recording

    source_of = SourceOptions.of(options)
    books = load_all()
    source = recording(open_source(source_of), target)
    scope = build_scope(
        source.defaults(),
        options["from_"],
        options["to"],
        options["request"],
        options["headers"],
        options["namespaces"],
    )
    with progress(False) as bar:
        report = run(
            source,
            books,
            scope,
            Options(
                istio_namespace=source_of.istio_namespace,
                workers=1 if source_of.bundle else 12,
            ),
            progress=bar,
        )
    finish_recording(source, scope)
    reads, objects = report.coverage.reads, report.coverage.objects
    click.echo(f"{target}: {objects} objects, {reads} reads, {len(report.unseen)} not seen")
    for one in report.unseen[:10]:
        click.echo(f"  not seen: {one.what} ({one.reason}) {one.remedy}".rstrip())
    click.echo(f"Diagnose it with: meshdoctor diagnose --bundle {target}")
