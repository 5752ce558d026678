"""Would LimitRanges and ResourceQuotas let the next pod of a workload in with its proxy?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import room
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact
from meshdoctor.model.kubernetes import LimitRange, ResourceQuota
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import Next, next_on_record, template_of
from meshdoctor.probes.view import View, attempt, known, probe


class InjectionRoom(Struct, frozen=True, kw_only=True):
    """What the namespace's own bounds would say to one more pod."""

    limit: Annotated[Fact[str], "what a LimitRange would refuse; empty: nothing"]
    quota: Annotated[Fact[str], "what a ResourceQuota would refuse; empty: nothing"]


@probe(
    "injection-room",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        "LimitRange",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Pod",
        "ReplicaSet",
        "ResourceQuota",
        "StatefulSet",
    ),
)
def injection_room(view: View, subject: WorkloadSubject) -> InjectionRoom:
    """Would LimitRanges and ResourceQuotas let the next pod of a workload in with its proxy?

    Nothing is said of a pod that gets no proxy, or where the injector's values were not seen.
    """
    coming, space = next_on_record(view, subject), subject.namespace
    config, (_, spec) = coming.config, template_of(coming.found)
    if not coming.decision.injected or config is None:
        return InjectionRoom(limit="", quota="")
    values = config.value("global", "proxy", "resources")
    own = next((c for c in spec.containers if c.name == room.PROXY and _written(coming)), None)
    asks = room.proxy_asks(coming.pod.annotations, values, own)
    ranges = attempt(lambda: view.objects("LimitRange", LimitRange, space))
    asked = attempt(lambda: room.sizes(spec, asks, known(ranges)))
    return InjectionRoom(
        limit=attempt(lambda: clean(room.limited(known(ranges), known(asked)))),
        quota=attempt(
            lambda: clean(
                room.counted(view.objects("ResourceQuota", ResourceQuota, space), known(asked))
            )
        ),
    )


def _written(coming: Next) -> bool:
    """Whether the container is the template's own: a pod's may be what was injected before."""
    return coming.found.controller is not None
