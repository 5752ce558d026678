"""Does a proxy wait for a secret that never comes?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.mesh.warming import warming_secrets
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class ProxyWarming(Struct, frozen=True, kw_only=True):
    """`proxy-config secret` of the workload's newest pod with a proxy."""

    secrets: Annotated[Fact[int], "secrets in state WARMING", OBSERVED]
    first: Annotated[Fact[str], "the first of them; empty: none", OBSERVED]
    pod: Annotated[Fact[str], "the pod read"]


@probe(
    "proxy-warming",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Deployment", "Job", "Pod", "StatefulSet", "proxy-config"),
    costly=True,
)
def proxy_warming(view: View, subject: WorkloadSubject) -> ProxyWarming:
    """Does a proxy wait for a secret that never comes?"""
    pods = [p for p in reading.workload(view, subject).pods if shared.is_client(p)]
    if not pods:
        return ProxyWarming(secrets=0, first="", pod="")
    pod = pods[-1]
    found = warming_secrets(reading.proxy_config(view, "secret", pod))
    return ProxyWarming(
        secrets=len(found), first=clean(found[0], 200) if found else "", pod=pod.name
    )
