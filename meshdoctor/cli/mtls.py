"""`meshdoctor mtls`: what will both sides speak, per port, and why?"""

import contextlib
from typing import Any

import click

from meshdoctor.cli.options import SourceOptions, build_scope, open_source, source_options


@click.command(
    epilog="""\b
Examples:
  meshdoctor mtls --from shop/cart --to shop/pay
  meshdoctor mtls --from shop/cart --to shop/pay:8080 -o json
  meshdoctor mtls --from shop/cart --to shop/pay --with-change strict.yaml

Exit status: 0 every port works, 1 one fails, 2 usage error, 3 unknown, 4 source not reached.
"""
)
@click.option("--from", "from_", default="", metavar="NS/WORKLOAD", help="The caller.")
@click.option("--to", default="", metavar="NS/NAME[:PORT]", help="Workload or service called.")
@click.option("--host", default="", help="The host or address that the caller uses.")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def mtls(from_: str, to: str, host: str, output: str, **options: Any) -> None:
    """Say what client and server will speak on each port, which objects say so, and the result.

    Judged from objects alone: nothing is sent, and no log is read.
    """
    from meshdoctor.engine.evidence import Evidence, RecordingView
    from meshdoctor.engine.scope import ScopeError
    from meshdoctor.engine.subjects import resolve
    from meshdoctor.probes.edge_objects import judged
    from meshdoctor.report.mtls import as_json, as_text, verdict

    source_of = SourceOptions.of(options)
    source = open_source(source_of)
    headers = (f"host:{host}",) if host else ()
    scope = build_scope(source.defaults(), from_, to, "", headers, ())
    if scope.from_ is None or scope.to is None:
        raise ScopeError("name both sides: --from namespace/workload --to namespace/name[:port]")
    home = source_of.istio_namespace
    view = RecordingView(Evidence(source, scope.request, _spaces(source, scope, home), home))
    edges = _all_ports(view, resolve(view, scope).edges, asked=bool(scope.to.port))
    rows = [(edge, judged(view, edge)) for edge in edges]
    click.echo(as_json(rows) if output == "json" else as_text(rows), nl=False)
    results = {verdict(found) for _, found in rows}
    if "fails" in results:
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(3 if "unknown" in results or not results else 0)


def _spaces(source: Any, scope: Any, istio_namespace: str) -> tuple[str, ...]:
    """Both ends' namespaces, istiod's and the root's; never the whole cluster."""
    from meshdoctor.engine.scope import namespace_of
    from meshdoctor.mesh.meshconfig import parse
    from meshdoctor.ports import EvidenceError

    home = namespace_of(scope.from_, "default")
    spaces = {istio_namespace, home, namespace_of(scope.to, home or "default")} - {""}
    with contextlib.suppress(EvidenceError):
        spaces.add(parse(source.get("ConfigMap", istio_namespace, "istio")).root_namespace)
    return tuple(sorted(spaces))


def _all_ports(view: Any, edges: Any, *, asked: bool) -> list[Any]:
    """The edges, one for every TCP port of the service when no port was asked for."""
    from dataclasses import replace

    from meshdoctor.probes.reading import service

    out = []
    for edge in edges:
        found = service(view, edge.service) if edge.service is not None and not asked else None
        ports = [p.port for p in found.spec.ports if p.protocol != "UDP"] if found else [edge.port]
        out += [replace(edge, port=port) for port in ports]
    return list(dict.fromkeys(out))
