"""How does `meshdoctor propagation` get its answer: one look, or many?"""

from collections.abc import Callable
from dataclasses import dataclass, field

import click

from meshdoctor.cli.options import SourceOptions
from meshdoctor.engine.diagnose import Options, diagnose
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.follow import Followed, Follower, Watch
from meshdoctor.engine.playbook import load_all
from meshdoctor.engine.scope import Scope
from meshdoctor.mesh.propagation import Spread
from meshdoctor.mesh.xds_status import parse
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.report import Finding
from meshdoctor.model.subjects import Request
from meshdoctor.ports import Source
from meshdoctor.probes.propagation_reading import deliveries
from meshdoctor.probes.spread import concerned, hindsight, spread
from meshdoctor.probes.view import attempt
from meshdoctor.report.propagation import Answer, progress
from meshdoctor.report.safe import safe
from meshdoctor.sources.open import following

Say = Callable[[str], None]


@dataclass(slots=True)
class Asked:
    """What was asked of which source; `object` is (kind, namespace, name), empty for all."""

    source: Source
    options: SourceOptions
    object: tuple[str, str, str]
    namespace: str
    say: Say
    missing: list[str] = field(default_factory=list)

    def view(self) -> RecordingView:
        """A fresh reading of the source."""
        evidence = Evidence(self.source, Request(), None, self.options.istio_namespace)
        return RecordingView(evidence)

    def read(self) -> Object | None:
        """The object; None when the cluster has none of that name."""
        return self.source.get(*self.object) if self.object[0] else None


def looked(asked: Asked) -> Answer:
    """One look at the sync table."""
    asked.say("reading the object and the pods")
    view = asked.view()
    obj = _existing(asked, asked.read())
    pods, others = concerned(view, obj, asked.namespace)
    asked.say("asking istiod for the state of its proxies")
    table = parse(asked.source.proxy_status().text, view.now)
    asked.missing += table.problems
    if not table.shows_state:
        asked.missing.append("states: this layout hides them; use istioctl proxy-status -v 1")
    found = spread(obj, pods, others, table, asked.source.now())
    live = following(asked.source)
    if obj is not None:
        asked.say("asking the proxies when they took it")
        found = hindsight(view, obj, pods, found, live.updates if live is not None else None)
    return _answer(asked, view, found)


def followed(asked: Asked, next_change: bool) -> tuple[Answer, bool]:
    """Many looks, until every proxy has it; whether the user broke it off is told as well."""
    live = following(asked.source)
    if live is None:
        raise click.UsageError("--watch follows a live cluster")
    asked.say("reading the object and the pods")
    view = asked.view()
    obj = asked.read()
    obj = obj if next_change else _existing(asked, obj)
    shown: list[Spread] = []
    began = asked.source.now()

    def show(found: Spread) -> None:
        shown[:] = [found]
        asked.say(progress(found, asked.source.now() - began))

    watch = Watch(live, *asked.object) if asked.object[0] else None
    follower = Follower(
        asked.source,
        view,
        live,
        obj=obj,
        watch=watch,
        namespace=asked.namespace,
        show=show,
    )
    try:
        done = _run(asked, follower, next_change)
    except KeyboardInterrupt:
        if not shown:
            raise
        return Answer(spread=shown[0], watched=True, missing=["broken off: this was so far"]), True
    return _answer(asked, view, done.spread, done), False


def _run(asked: Asked, follower: Follower, next_change: bool) -> Followed:
    if next_change:
        text = f"waiting for the next change of {'/'.join(asked.object)} (Ctrl-C ends)"
        if not follower.await_change(lambda: asked.say(text)):
            return follower.none()
    return follower.follow()


def _existing(asked: Asked, obj: Object | None) -> Object | None:
    if obj is None and asked.object[0]:
        raise click.UsageError(f"{'/'.join(asked.object)} does not exist")
    return obj


def _answer(
    asked: Asked, view: RecordingView, found: Spread, done: Followed | None = None
) -> Answer:
    late = found.quiet and not found.complete
    wanting = bool(found.missing) or found.slow or not found.proxies or late
    asked.say("reading istiod's metrics")
    times = attempt(lambda: deliveries(view))
    if isinstance(times, Unavailable):
        asked.missing.append(str(times))
    if wanting:
        asked.say("looking for causes")
    causes = attempt(lambda: _causes(asked, found.ref)) if wanting else []
    if isinstance(causes, Unavailable):
        asked.missing.append(f"causes: {causes}")
    return Answer(
        spread=found,
        deliveries=() if isinstance(times, Unavailable) else times,
        findings=[] if isinstance(causes, Unavailable) else causes,
        missing=asked.missing,
        watched=done is not None,
        seen=done is not None and done.seen,
        none=done is not None and done.none,
        deleted=done is not None and done.deleted,
        every=done.every if done is not None else 0.0,
    )


def _causes(asked: Asked, ref: str) -> list[Finding]:
    """What the propagation playbooks confirm that can hold it back, in rank; those that name the
    object asked about come first."""
    books = [b for b in load_all() if b.name.startswith("propagation")]
    options = Options(istio_namespace=asked.options.istio_namespace)
    report = safe(diagnose(asked.source, books, Scope(), options))
    found = [
        f
        for f in report.findings
        if f.verdict == "confirmed" and f.group != "folded" and (ref in f.objects or _of_all(f))
    ]
    return sorted(found, key=lambda f: bool(ref) and ref not in f.objects)


def _of_all(finding: Finding) -> bool:
    """Whether a cause can hold back any configuration: of istiod or of proxies, not of objects."""
    return finding.code.startswith("MD32") or finding.code in _INGEST


_INGEST = frozenset({"MD3002", "MD3004", "MD3005", "MD3006", "MD3007", "MD3008"})
