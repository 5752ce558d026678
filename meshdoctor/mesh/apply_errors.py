"""Which changes never reached the API server's store?

GitOps controllers and operators repeat the API server's refusal in their events: Istio's
validation webhook denied the object, or could not be called (pkg/webhooks/validation, Kubernetes'
admission plugin; the same words in all supported releases).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import Event
from meshdoctor.model.patterns import pattern

_DENIED = pattern(r'admission webhook "[^"]*validation[^"]*istio\.io" denied the request: (.*)')
_FAILED = pattern(r'failed calling webhook "[^"]*validation[^"]*istio\.io"')


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
