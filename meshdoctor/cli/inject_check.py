"""`meshdoctor inject-check`: would a sidecar be injected, and by which webhook?"""

import sys
from pathlib import Path
from typing import Any

import click

from meshdoctor.cli.options import SourceOptions, open_source, source_options


@click.command(
    epilog="""\b
Examples:
  meshdoctor inject-check shop/cart
  meshdoctor inject-check -n shop
  meshdoctor inject-check -f deployment.yaml -n shop -o json

Exit status: 0 every pod would be injected and admitted, 1 one would not, 2 usage error,
3 undecided, 4 source not reached.
"""
)
@click.argument("workloads", nargs=-1, metavar="[NS/WORKLOAD]...")
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="A manifest that was never applied; - reads standard input.",
)
@click.option(
    "--namespace", "-n", default="", help="Of the manifest, or check every workload there."
)
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def inject_check(
    workloads: tuple[str, ...], files: tuple[Path, ...], namespace: str, output: str, **options: Any
) -> None:
    """Say which webhook and revision would inject a pod, which clause says no, what refuses it.

    Nothing is applied and nothing is sent: selectors, policy and admission are judged from the
    objects that are there.
    """
    from meshdoctor.engine.evidence import Evidence, RecordingView
    from meshdoctor.engine.inject_check import check
    from meshdoctor.model.inject_check import Outcome
    from meshdoctor.model.subjects import Request
    from meshdoctor.report.inject_check import as_json, as_text
    from meshdoctor.sources.applied import applied

    source_of = SourceOptions.of(options)
    manifests = [one for file in files for one in _manifests(file, namespace)]
    named = [_named(text, namespace) for text in workloads]
    if not (manifests or named or namespace):
        raise click.UsageError("name a workload (NS/NAME), a namespace (-n) or a manifest (-f)")
    source = open_source(source_of)
    spaces = {ns for ns, _ in named} | {m.namespace for m in manifests} | ({namespace} - {""})
    home = source_of.istio_namespace
    evidence = Evidence(applied(source, manifests), Request(), tuple(sorted({*spaces, home})), home)
    view = RecordingView(evidence)
    subjects = _subjects(view, manifests, named, "" if manifests or named else namespace)
    found = [check(view, subject) for subject in subjects]
    click.echo(as_json(found) if output == "json" else as_text(found), nl=False)
    outcomes = {one.outcome for one in found}
    if outcomes & {Outcome.REFUSED, Outcome.NOT_INJECTED}:
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(3 if Outcome.UNDECIDED in outcomes else 0)


def _manifests(file: Path, namespace: str) -> list[Any]:
    """The pods and controllers of a manifest, in the namespace that kubectl would put them."""
    from meshdoctor.model.kubernetes import CronJob, Pod, Workload
    from meshdoctor.sources.applied import objects_in

    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    objects, problems = objects_in(text, str(file))
    for problem in problems:
        raise click.UsageError(problem)
    out = [_placed(o, namespace) for o in objects if isinstance(o, Pod | Workload | CronJob)]
    if not out:
        raise click.UsageError(f"{file}: holds no Pod and no controller of pods")
    return out


def _placed(one: Any, namespace: str) -> Any:
    """The object with name and namespace as applied; a CronJob as the Job that it would make."""
    import msgspec

    from meshdoctor.model.kubernetes import CronJob, Workload

    meta = msgspec.structs.replace(
        one.metadata,
        namespace=one.namespace or namespace or "default",
        name=one.name or f"{one.metadata.generate_name}new",
    )
    if isinstance(one, CronJob):
        spec = one.spec.job_template.spec
        return Workload(api_version="batch/v1", kind="Job", metadata=meta, spec=spec)
    return msgspec.structs.replace(one, metadata=meta)


def _named(text: str, namespace: str) -> tuple[str, str]:
    space, slash, name = text.rpartition("/")
    if not name or (not slash and not namespace):
        raise click.UsageError(f"{text!r}: expected NS/WORKLOAD, or -n with WORKLOAD")
    return space or namespace, name


def _subjects(
    view: Any, manifests: list[Any], named: list[tuple[str, str]], namespace: str
) -> list[Any]:
    """The workloads asked about; unknown names are usage errors, with what there is."""
    from meshdoctor.model.subjects import WorkloadSubject
    from meshdoctor.probes.reading import workloads

    there = workloads(view)
    out = [WorkloadSubject(m.namespace, m.name, m.kind) for m in manifests]
    for key in named:
        if key not in there:
            names = ", ".join(name for ns, name in sorted(there) if ns == key[0])[:300]
            raise click.UsageError(f"no workload {'/'.join(key)}; there are: {names or 'none'}")
        out.append(there[key].subject)
    if namespace:
        out += [found.subject for (ns, _), found in sorted(there.items()) if ns == namespace]
    return out
