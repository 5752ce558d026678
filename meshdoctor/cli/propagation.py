"""`meshdoctor propagation`: which proxies have a change, and how long did it take?"""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from meshdoctor.cli.options import SourceOptions, open_source, source_options

if TYPE_CHECKING:
    from meshdoctor.mesh.istiod_metrics import Delivery
    from meshdoctor.mesh.propagation import Spread
    from meshdoctor.model.kubernetes import Object, Pod
    from meshdoctor.model.report import Finding
    from meshdoctor.ports import Source
    from meshdoctor.probes.view import View

LOOK_AGAIN = 0.2


@click.command(
    epilog="""\b
Examples:
  meshdoctor propagation
  meshdoctor propagation -n shop
  meshdoctor propagation --object VirtualService/shop/pay
  meshdoctor propagation --object VirtualService/shop/pay --watch --deadline 120

Exit status: 0 every proxy has it, 1 some lack it or it took over 10 s, 2 usage error,
3 not everything could be seen, 4 the source could not be reached.
"""
)
@click.option("--namespace", "-n", default="", help="Only proxies of this namespace.")
@click.option("--object", "reference", default="", metavar="KIND/NS/NAME", help="One object.")
@click.option("--watch", is_flag=True, help="Look again until every proxy has it (live only).")
@click.option("--next-change", is_flag=True, help="With --watch: first wait for the next change.")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def propagation(
    namespace: str, reference: str, watch: bool, next_change: bool, output: str, **options: Any
) -> None:
    """Say which proxies hold one object (or everything), which do not and why, and how long the
    last change took, with the percentiles of istiod's own histograms beside it.
    """
    from meshdoctor.engine.evidence import Evidence, RecordingView
    from meshdoctor.model.subjects import Request
    from meshdoctor.probes.spread import concerned
    from meshdoctor.report.propagation import Answer, as_json, as_text

    source_of = SourceOptions(**{k: options[k] for k in SourceOptions.__dataclass_fields__})
    kind, space, name = parse_reference(reference)
    if (watch or next_change) and source_of.bundle is not None:
        raise click.UsageError("--watch follows a live cluster; a bundle does not change")
    if next_change and not (watch and kind):
        raise click.UsageError("--next-change needs --watch and --object")
    source = open_source(source_of)
    view = RecordingView(Evidence(source, Request(), None, source_of.istio_namespace))
    obj = read_object(source, kind, space, name) if kind else None
    pods, others = concerned(view, obj, namespace)
    missing: list[str] = []
    measured: timedelta | None = None
    if watch:
        found, measured = _follow(source, obj, pods, others, source_of.deadline, next_change)
    else:
        found = _once(source, view, obj, pods, others, missing)
    deliveries = _deliveries(view, missing)
    answer = Answer(
        spread=found,
        deliveries=deliveries,
        findings=_causes(source, source_of.istio_namespace, found.ref) if _wanting(found) else (),
        missing=missing,
        measured=measured,
    )
    click.echo(as_json(answer) if output == "json" else as_text(answer), nl=False)
    lacking = any(p.hold.value != "state not shown" for p in found.missing)
    unused = not found.proxies and bool(answer.findings)
    if answer.slow or unused or (lacking and not _young(found)):
        raise click.exceptions.Exit(1)
    raise click.exceptions.Exit(3 if missing or found.missing else 0)


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


def read_object(source: "Source", kind: str, namespace: str, name: str) -> "Object":
    """The object; raises UsageError when the cluster has none of that name."""
    found = source.get(kind, namespace, name)
    if found is None:
        raise click.UsageError(f"{kind}/{namespace}/{name} does not exist")
    return found


def _once(
    source: "Source",
    view: "View",
    obj: "Object | None",
    pods: "list[Pod]",
    others: int,
    missing: list[str],
) -> "Spread":
    from meshdoctor.mesh.xds_status import parse
    from meshdoctor.probes.spread import spread

    table = parse(source.proxy_status().text, view.now)
    missing += table.problems
    if not table.shows_state:
        missing.append("states: this layout hides them; use istioctl proxy-status -v 1")
    return spread(obj, pods, others, table, view.now)


def _follow(
    source: "Source",
    obj: "Object | None",
    pods: "list[Pod]",
    others: int,
    limit: float,
    next_change: bool,
) -> "tuple[Spread, timedelta | None]":
    """Look at the sync table until every proxy is done, or time is up. The time measured runs
    from the change (seen here, else dated by managedFields) to the look that found all done."""
    from meshdoctor.cli.progress import Line
    from meshdoctor.mesh.xds_status import parse
    from meshdoctor.probes.spread import spread
    from meshdoctor.report.propagation import bar, waiting_for
    from meshdoctor.sources.clock import monotonic, pause

    end = monotonic() + limit
    with Line(enabled=sys.stderr.isatty()) as line:
        changed: datetime | None = None
        if next_change and obj is not None:
            obj, changed = _await_change(source, obj, end, line.step)
        while True:
            table = parse(source.proxy_status().text, source.now())
            found = spread(obj, pods, others, table, source.now(), changed)
            line.step(bar(found) + waiting_for(found.missing))
            if found.complete or monotonic() >= end - 1:
                young = found.changed is not None and found.now - found.changed < _WATCHED
                done = found.complete and found.changed is not None and young
                return found, found.now - found.changed if done and found.changed else None
            pause(LOOK_AGAIN)


_WATCHED = timedelta(seconds=120)


def _await_change(
    source: "Source", obj: "Object", end: float, say: Callable[[str], None]
) -> "tuple[Object, datetime | None]":
    from meshdoctor.sources.clock import monotonic, pause

    known = by_kind(obj)
    say(f"waiting for the next change of {obj.ref}")
    while monotonic() < end - 1:
        now = source.get(known, obj.namespace, obj.name)
        if now is not None and now.metadata.resource_version != obj.metadata.resource_version:
            return now, source.now()
        pause(LOOK_AGAIN / 2)
    return obj, None


def by_kind(obj: "Object") -> str:
    """The row of an object in `kinds`."""
    from meshdoctor.model.decode import kind_of

    kind = kind_of(obj)
    return kind.name if kind is not None else obj.kind


def _deliveries(view: "View", missing: list[str]) -> "tuple[Delivery, ...]":
    from meshdoctor.ports import EvidenceError
    from meshdoctor.probes.propagation_reading import deliveries

    try:
        return deliveries(view)
    except EvidenceError as error:
        missing.append(str(error.unavailable))
        return ()


def _young(found: "Spread") -> bool:
    """A change of the last seconds may still be on its way."""
    return found.changed is not None and found.now - found.changed < timedelta(seconds=11)


def _wanting(found: "Spread") -> bool:
    return bool(found.missing) or found.slow or not found.proxies


def _causes(source: "Source", istio_namespace: str, ref: str) -> "list[Finding]":
    """What the propagation playbooks confirm about this mesh, in rank; those that name the object
    asked about come first."""
    from meshdoctor.engine.diagnose import Options, diagnose
    from meshdoctor.engine.playbook import load_all
    from meshdoctor.engine.scope import Scope

    books = [b for b in load_all() if b.name.startswith("propagation")]
    report = diagnose(source, books, Scope(), Options(istio_namespace=istio_namespace))
    found = [f for f in report.findings if f.verdict == "confirmed" and f.group != "folded"]
    return sorted(found, key=lambda f: bool(ref) and ref not in f.objects)
