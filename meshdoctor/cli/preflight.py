"""`meshdoctor preflight`: what can be seen from here?"""

from typing import Any

import click

from meshdoctor.cli.options import SourceOptions, source_options


@click.command(
    epilog="\b\nExamples:\n  meshdoctor preflight -n shop -n istio-system\n"
    "  meshdoctor preflight --rbac | kubectl apply -f -"
)
@source_options
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Namespaces to ask about.")
@click.option("--rbac", is_flag=True, help="Print the ClusterRole that a diagnosis needs, and end.")
def preflight(namespaces: tuple[str, ...], rbac: bool, **options: Any) -> None:
    """Check the API server, permissions, istioctl, and its skew against istiod and proxies."""
    from meshdoctor.cli.rbac import rbac as role
    from meshdoctor.probes.registry import PROBES
    from meshdoctor.sources.open import preflight as check

    if rbac:
        click.echo(role(PROBES), nl=False)
        return
    source_of = SourceOptions.of(options)
    reads = sorted({r for p in PROBES for r in p.reads})
    good = True
    rows = check(
        context=source_of.context,
        kubeconfig=source_of.kubeconfig,
        istio_namespace=source_of.istio_namespace,
        istioctl=source_of.istioctl,
        namespaces=namespaces,
        reads=reads,
    )
    for row in rows:
        mark = {True: "ok  ", False: "FAIL", None: "??  "}[row.ok]
        click.echo(f"{mark} {row.text}")
        if row.remedy and row.ok is not True:
            click.echo(f"     {row.remedy}")
        good = good and row.ok is True
    raise click.exceptions.Exit(0 if good else 3)
