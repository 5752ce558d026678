"""Do events tell of pods refused for the mesh's sake whose controller cannot be seen?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.admission import RECENT, Refusal, Refused, read
from meshdoctor.mesh.webhooks import Injector
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event
from meshdoctor.model.subjects import NamespaceSubject, SubjectKind
from meshdoctor.probes.injection_reads import all_injectors
from meshdoctor.probes.reading import workloads_in
from meshdoctor.probes.startup_reads import events_of, owned_in
from meshdoctor.probes.view import View, probe

OWN = frozenset(
    {Refusal.TEMPLATE, Refusal.ANNOTATION, Refusal.TEMPLATE_UNKNOWN, Refusal.CALL_OTHER}
)


class OrphanRefusals(Struct, frozen=True, kw_only=True):
    """FailedCreate events that no workload of the run accounts for."""

    namespace: Annotated[Fact[Ref], "the Namespace"]
    namespace_name: Annotated[Fact[str], "its name"]
    count: Annotated[Fact[int], "controllers that such recent events are about", OBSERVED]
    kind: Annotated[Fact[str], "who refused (mesh/admission.py Refusal)", OBSERVED]
    about: Annotated[Fact[str], "the object that could not create its pods"]
    text: Annotated[Fact[str], "what the API server said", OBSERVED]
    at_fault: Annotated[Fact[Ref], "the object that the words accuse, else the Namespace"]


@probe(
    "orphan-refusals",
    subject=SubjectKind.NAMESPACE,
    reads=(
        "DaemonSet",
        "Deployment",
        "Event",
        "Job",
        "MutatingWebhookConfiguration",
        "Pod",
        "ReplicaSet",
        "StatefulSet",
    ),
)
def orphan_refusals(view: View, subject: NamespaceSubject) -> OrphanRefusals:
    """Do events tell of pods refused for the mesh's sake whose controller cannot be seen?"""
    known = _accounted_for(view, subject.name)
    found: list[tuple[str, Refused]] = []
    for (kind, name), events in sorted(events_of(view, subject.name).items()):
        recent = [e for e in events if e.reason == "FailedCreate" and _is_recent(e, view.now)]
        if not recent or kind in ("Pod", ""):
            continue
        if any(name == k or name.startswith(f"{k}-") for k in known):
            continue
        for event in recent:
            told = read(event.message, event.last_seen)
            if told.call_failed or told.kind in OWN or told.names_mesh:
                found.append((f"{kind} {name}", told))
                break
    first = found[0] if found else None
    space = f"Namespace//{subject.name}"
    return OrphanRefusals(
        namespace=Ref(space),
        namespace_name=subject.name,
        count=len(found),
        kind=first[1].kind.value if first else "",
        about=first[0][:200] if first else "",
        text=first[1].text if first else "",
        at_fault=Ref(_accused(first[1], all_injectors(view), space) if first else space),
    )


def _is_recent(event: Event, now: datetime) -> bool:
    return event.last_seen is not None and now - event.last_seen <= RECENT


def _accounted_for(view: View, namespace: str) -> set[str]:
    """Names of controllers, and of what they own, that workloads of the run speak for."""
    found = workloads_in(view, namespace)
    owned = owned_in(view, namespace) if found else {}
    names: set[str] = set()
    for one in found:
        name = one.subject.name
        names.add(name)
        names.update(child.metadata.name for child in owned.get(name, ()))
    return names


def _accused(said: Refused, hooks: Iterable[Injector], space: str) -> str:
    """The object that a refusal points at."""
    one = next((h for h in hooks if h.webhook.name == said.by), None)
    if said.kind is Refusal.QUOTA:
        return f"ResourceQuota/{space.rpartition('/')[2]}/{said.by}"
    if one is None:
        return space
    if said.kind in (Refusal.CALL_NO_ENDPOINTS, Refusal.CALL_UNREACHABLE):
        return one.service_ref or f"MutatingWebhookConfiguration//{one.config.name}"
    if said.call_failed:
        return f"MutatingWebhookConfiguration//{one.config.name}"
    return space
