"""Which changes never reached the API server's store?

GitOps controllers and operators repeat the API server's refusal in their events and logs: Istio's
validation webhook denied the object, or could not be called (pkg/webhooks/validation, Kubernetes'
admission plugin; the same words in all supported releases).
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.log_text import lines, when
from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import Event
from meshdoctor.model.patterns import pattern

_DENIED = pattern(r'admission webhook "[^"]*validation[^"]*istio\.io" denied the request: (.*)')
_FAILED = pattern(
    r'failed calling (?:admission )?webhook "[^"]*validation[^"]*istio\.io":? ?(.{0,400})'
)
_TIME = pattern(r"(?<!\d)(\d{4}-\d\d-\d\dT[\d:.]+Z?)")
APPLIERS = (
    "argocd",
    "argo-cd",
    "helm-controller",
    "helm-operator",
    "kustomize-controller",
    "istio/operator",
    "sail-operator",
)
"""What images of programs that apply Istio's objects are called."""


class ApplyErrors(Struct, frozen=True, kw_only=True):
    """Events of both kinds; `on` is the object whose event said it last, Kind/ns/name."""

    denied: int
    denied_text: str
    denied_on: str
    failed: int
    failed_text: str


def apply_errors(events: Iterable[Event]) -> ApplyErrors:
    """Count refusals and failed calls in events, newest last."""
    ordered = sorted(events, key=lambda e: e.last_seen.isoformat() if e.last_seen else "")
    denied = [(e, m) for e in ordered if (m := _DENIED.search(e.message))]
    failed = [e for e in ordered if _FAILED.search(e.message)]
    last = denied[-1] if denied else None
    where = last[0].involved_object if last else None
    return ApplyErrors(
        denied=sum(max(e.count, 1) for e, _ in denied),
        denied_text=clean(last[1][1]) if last else "",
        denied_on=f"{where.kind}/{where.namespace}/{where.name}" if where else "",
        failed=sum(max(e.count, 1) for e in failed),
        failed_text=clean(failed[-1].message) if failed else "",
    )


class Failure(Struct, frozen=True, kw_only=True):
    """A call of the validation webhook that failed, as a log tells it."""

    text: str
    at: datetime | None


def failed_calls(text: str) -> tuple[Failure, ...]:
    """Failed calls in the log of something that applies objects, in order; quotes within quotes
    may be escaped there.

    >>> failed_calls('ts=2026-11-18T09:20:00Z error="failed calling webhook '
    ...              '\\\\"validation.istio.io\\\\": EOF')[0].text
    'failed calling webhook "validation.istio.io": EOF'
    """
    out = []
    for line in lines(text):
        if "istio.io" not in line:
            continue
        plain = line.replace("\\", "")
        found = _FAILED.search(plain)
        if found is not None:
            moment = _TIME.search(plain)
            at = when(moment[1]) if moment is not None else None
            out.append(Failure(text=clean(found[0], 300), at=at))
    return tuple(out)
