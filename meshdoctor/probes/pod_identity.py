"""Does a workload's application get AWS credentials from the Pod Identity agent?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.pod_identity import asks_agent, too_old
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs
from meshdoctor.probes.reading import WORKLOAD_READS, workload
from meshdoctor.probes.view import View, attempt, probe


class PodIdentity(Struct, frozen=True, kw_only=True):
    """Of a workload whose pods are told to ask the agent; empty for every other."""

    asks: Annotated[Fact[bool], "its pods are told to ask the agent of their node"]
    too_old: Annotated[
        Fact[str], "a log line in which the SDK does not take that address; empty: none", OBSERVED
    ]
    image: Annotated[Fact[str], "the application's image"]
    pod: Annotated[Fact[str], "the pod whose log was read"]
    workload: Annotated[Fact[Ref], "the workload"]
    resource: Annotated[Fact[str], "its kind as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "pod-identity",
    subject=SubjectKind.WORKLOAD,
    reads=(*WORKLOAD_READS, "log"),
)
def pod_identity(view: View, subject: WorkloadSubject) -> PodIdentity:
    """Does a workload's application get AWS credentials from the Pod Identity agent?"""
    pod = next((p for p in workload(view, subject).pods if asks_agent(p)), None)
    image = next((c.image for c in app_containers(pod)), "") if pod is not None else ""
    owner = owner_of(pod) if pod is not None else subject
    return PodIdentity(
        asks=pod is not None,
        too_old=attempt(lambda: _too_old(view, pod)) if pod is not None else "",
        image=clean(image, 200),
        pod=pod.name if pod is not None else "",
        workload=Ref(owner.ref),
        resource=owner.owner.lower(),
        name=owner.name,
        namespace=owner.namespace,
    )


def _too_old(view: View, pod: Pod) -> str:
    texts = container_logs.read(view, pod, app_containers(pod))
    return next((said for text in texts if (said := too_old(text))), "")
