"""Does the caller call before its own proxy runs?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.pod_startup import MESH_CONTAINERS, Stage, judge
from meshdoctor.mesh.workloads import is_native_sidecar, is_sidecar
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class EdgeClientStart(Struct, frozen=True, kw_only=True):
    """An init container of the application in a pod whose proxy has not started: what it sends is
    plaintext, if it gets out at all. Empty where the caller is not known or its pods are past."""

    container: Annotated[Fact[str], "that init container; empty: none", OBSERVED]
    pod: Annotated[Fact[str], "its pod"]
    workload: Annotated[Fact[Ref], "the caller"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    target: Annotated[Fact[str], "it as kubectl takes it, kind/name"]


_NONE = EdgeClientStart(container="", pod="", workload=Ref(""), name="", namespace="", target="")


@probe(
    "edge-client-start",
    subject=SubjectKind.EDGE,
    reads=reading.WORKLOAD_READS,
)
def edge_client_start(view: View, edge: EdgeSubject) -> EdgeClientStart:
    """Does the caller call before its own proxy runs?"""
    if edge.client is None:
        return _NONE
    found = reading.workload(view, edge.client)
    for pod in found.pods:
        container = _early(pod, view)
        if container:
            return EdgeClientStart(
                container=container,
                pod=pod.name,
                workload=Ref(found.subject.ref),
                name=found.subject.name,
                namespace=found.subject.namespace,
                target=found.target,
            )
    return _NONE


def _early(pod: Pod, view: View) -> str:
    """Its own init container that it has come to; a native sidecar runs before those."""
    if not is_sidecar(pod) or is_native_sidecar(pod):
        return ""
    one = judge(pod, (), view.now)
    return one.container if one.stage is Stage.INIT and one.container not in MESH_CONTAINERS else ""
