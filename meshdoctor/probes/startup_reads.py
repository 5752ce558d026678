"""Which reads do the probes on the start of pods share? Each is made once per run.

Not a probe: it judges nothing.
"""

from collections import defaultdict
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.admission import Refused, lacks_pods, standing, unlisted
from meshdoctor.mesh.pod_ends import KILLING
from meshdoctor.mesh.pod_startup import (
    Stage,
    Startup,
    at_rest,
    glance,
    judge,
    stays_behind_its_proxy,
    stays_for_its_sandbox,
    worst,
)
from meshdoctor.mesh.workloads import WorkloadPods, is_ready
from meshdoctor.model.kubernetes import Event, Pod, Workload
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.probes.reading import workload, workloads
from meshdoctor.probes.view import View

EventsOf = dict[tuple[str, str], list[Event]]
Owned = dict[str, list[Workload]]
NO_POD = Startup(pod=Pod(), stage=Stage.ENDED)


def events_of(view: View, namespace: str) -> EventsOf:
    """Warning events of a namespace by (kind, name) of the object they are about, with those of
    containers that the kubelet ended, which are Normal."""

    def build(v: View) -> EventsOf:
        out: EventsOf = defaultdict(list)
        for event in v.objects("Event", Event, namespace):
            if event.type != "Normal" or event.reason == KILLING:
                out[(event.involved_object.kind, event.involved_object.name)].append(event)
        return dict(out)

    return view.memo(("events-of", namespace), build)


def owned_in(view: View, namespace: str) -> Owned:
    """ReplicaSets and Jobs of a namespace by the name of their owner."""

    def build(v: View) -> Owned:
        out: Owned = defaultdict(list)
        for kind in ("ReplicaSet", "Job"):
            for one in v.objects(kind, Workload, namespace):
                for owner in one.metadata.owner_references:
                    out[owner.name].append(one)
        return dict(out)

    return view.memo(("owned-by", namespace), build)


def refusal(view: View, subject: WorkloadSubject) -> Refused | None:
    """What keeps the workload's pods from being created; None: nothing that is known."""

    def build(v: View) -> Refused | None:
        events, found = _controllers(v, subject)
        mine: list[Event] = []
        if any(lacks_pods(c) for c in found):
            found = (*found, *unlisted(found, events))
            mine = [e for c in found for e in events.get((c.kind, c.name), ())]
        return standing(found, mine, v.now)

    return view.memo(("refusal", subject), build)


def _controllers(view: View, subject: WorkloadSubject) -> tuple[EventsOf, tuple[Workload, ...]]:
    """The events of the namespace; the workload's controller with those that it owns
    (ReplicaSets of a Deployment, Jobs of a CronJob)."""

    def build(v: View) -> tuple[EventsOf, dict[tuple[str, str], WorkloadPods], Owned]:
        space = subject.namespace
        return events_of(v, space), workloads(v), owned_in(v, space)

    events, known, owned = view.memo(("controllers-in", subject.namespace), build)
    found = known.get((subject.namespace, subject.name)) or workload(view, subject)
    mine = () if found.controller is None else (found.controller,)
    return events, (*mine, *owned.get(subject.name, ()))


class Startups(Struct, frozen=True, kw_only=True):
    """How far each pod of a workload came that is not being deleted, or cannot be; the one furthest
    from Ready, an empty pod that ended where there is none; and those of which a container ever
    ended."""

    states: tuple[Startup, ...]
    worst: Startup
    ended: tuple[Pod, ...]


def startups(view: View, subject: WorkloadSubject) -> Startups:
    """How far each pod of the workload came. Events are read where a pod waits; when they cannot
    be, that is raised."""

    def build(v: View) -> Startups:
        found, now = workload(v, subject), v.now
        waits, ended = glance(found.pods)
        events = events_of(v, subject.namespace) if waits else {}
        staying = [p for p in found.pods if _stays(p, events, now)]
        if len(found.ready) == len(found.pods):
            states = [at_rest(pod) for pod in staying]
        else:
            over = any(p.status.phase == "Succeeded" or is_ready(p) for p in staying)
            states = [
                at_rest(p)
                if over and p.status.phase == "Failed"
                else judge(p, events.get(("Pod", p.metadata.name), ()), now)
                for p in staying
            ]
        return Startups(
            states=tuple(states),
            worst=worst(states) or NO_POD,
            ended=tuple([p for p in ended if p.metadata.deletion_timestamp is None]),
        )

    return view.memo(("startups", subject), build)


def _stays(pod: Pod, events: EventsOf, now: datetime) -> bool:
    """Whether the pod is not being deleted, or is and cannot go."""
    gone = pod.metadata.deletion_timestamp is not None
    own = events.get(("Pod", pod.metadata.name), ())
    return (
        not gone or stays_for_its_sandbox(pod, own) is not None or stays_behind_its_proxy(pod, now)
    )


def pods_in(view: View, namespace: str) -> tuple[Pod, ...]:
    """Every live pod of a namespace that is in scope."""
    return view.memo("live-pods", _live_pods).get(namespace, ())


def _live_pods(view: View) -> dict[str, tuple[Pod, ...]]:
    out: dict[str, list[Pod]] = defaultdict(list)
    for (space, _), found in workloads(view).items():
        out[space] += found.live
    return {space: tuple(pods) for space, pods in out.items()}
