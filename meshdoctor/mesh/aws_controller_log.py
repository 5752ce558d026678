"""What does the AWS load balancer controller's own log say that it cannot do?

It logs each failed reconciliation as JSON (controller-runtime's `Reconciler error`): the kind that
was reconciled, its name and the error. Target groups are TargetGroupBindings, named after the
Service (LBC pkg/service/model_build_target_group.go and pkg/ingress: k8s-NAMESPACE-SERVICE-HASH,
the first eight letters and digits of each).
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from meshdoctor.mesh.log_text import json_object, lines, when
from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import Ingress, Service
from meshdoctor.model.patterns import pattern

_KINDS = {"service": "Service", "ingress": "Ingress", "targetgroupbinding": "TargetGroupBinding"}
_MODIFIED = "the object has been modified"
_OTHER = pattern(r"[^A-Za-z0-9]")


class Complaint(Struct, frozen=True, kw_only=True):
    """One failed reconciliation. An Ingress of a group of its own is named `namespace/name`."""

    kind: str
    namespace: str
    name: str
    reason: str
    at: datetime | None


def complaints(text: str) -> tuple[Complaint, ...]:
    """Failed reconciliations of a controller's log, in order; not those that are tried again at
    once, because somebody else had changed the object.

    >>> line = ('{"level":"error","ts":"2026-11-18T09:20:00Z","msg":"Reconciler error",'
    ...         '"controller":"service","namespace":"ingress","name":"gw","error":"no subnet"}')
    >>> complaints(line)[0].kind, complaints(line)[0].reason
    ('Service', 'no subnet')
    """
    found = []
    for line in lines(text):
        data = json_object(line) if "Reconciler error" in line else None
        kind = _KINDS.get(str(data.get("controller", "")).lower()) if data is not None else None
        if data is not None and kind is not None and _MODIFIED not in str(data.get("error")):
            found.append(_one(kind, data))
    return tuple(found)


def last_error(text: str) -> str:
    """The error that the log ends with; "" when it tells none.

    >>> last_error('{"level":"error","msg":"unable to initialize AWS cloud","error":"no VPC ID"}')
    'unable to initialize AWS cloud: no VPC ID'
    """
    found = ""
    for line in lines(text):
        data = json_object(line)
        if data is not None and data.get("level") == "error":
            said = (str(data.get(key, "")) for key in ("msg", "error"))
            found = ": ".join(filter(None, said))
    return found


def _one(kind: str, data: dict[str, Any]) -> Complaint:
    namespace, name = str(data.get("namespace", "")), str(data.get("name", ""))
    if not namespace and "/" in name:
        namespace, _, name = name.partition("/")
    return Complaint(
        kind=kind,
        namespace=namespace,
        name=name,
        reason=clean(str(data.get("error", "")), 300),
        at=_time(data.get("ts")),
    )


def _time(said: Any) -> datetime | None:
    """Seconds since 1970 in older releases, an ISO time in newer ones."""
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < 1e11:
        return datetime.fromtimestamp(said, UTC)
    return when(str(said)) if said is not None else None


def about(one: Service | Ingress, said: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Those about a Service or Ingress, or about a target group of that Service."""
    return tuple(c for c in said if c.namespace == one.namespace and _names(one, c))


def _names(one: Service | Ingress, said: Complaint) -> bool:
    if said.kind == one.kind:
        return said.name == one.name
    if said.kind != "TargetGroupBinding" or one.kind != "Service":
        return False
    return is_target_group(said.name, one.namespace, one.name)


def is_target_group(name: str, namespace: str, service: str) -> bool:
    """Whether a TargetGroupBinding bears the name that the controller gives to those of a Service.

    >>> is_target_group("k8s-istiosys-istioing-737679f196", "istio-system", "istio-ingressgateway")
    True
    """
    head = "-".join(("k8s", _short(namespace), _short(service), ""))
    return name.startswith(head) and re.fullmatch(r"[0-9a-f]{1,10}", name[len(head) :]) is not None


def _short(name: str) -> str:
    return _OTHER.sub("", name)[:8]
