"""Do istiod's pods run, and what made them restart?"""

from datetime import timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.istiod_health import health
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe

WINDOW = timedelta(hours=1)


class IstiodHealth(Struct, frozen=True, kw_only=True):
    """Container `discovery` of every istiod pod in istiod's namespace."""

    pods: Annotated[Fact[int], "istiod pods that exist"]
    ready: Annotated[Fact[int], "of them Ready"]
    not_ready_pod: Annotated[Fact[str], "an istiod pod that runs and is not Ready; empty: none"]
    restarting: Annotated[
        Fact[int],
        "istiod pods that ended within the last hour or are in CrashLoopBackOff",
        OBSERVED,
    ]
    restarts: Annotated[Fact[int], "restarts of the istiod that restarted most", OBSERVED]
    reason: Annotated[
        Fact[str], "why it ended last: OOMKilled, Error ...; empty: unknown", OBSERVED
    ]
    exit_code: Annotated[Fact[int], "its last exit code", OBSERVED]
    pod: Annotated[Fact[str], "that pod; empty: none restarted"]
    workload: Annotated[
        Fact[Ref], "the Deployment of that pod, else of the one not Ready, else of the first istiod"
    ]
    workload_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "istiod's namespace"]
    memory_limit: Annotated[Fact[str], "its memory limit; empty: none"]
    limit_said: Annotated[Fact[str], "the same as the end of a clause; empty: there is none"]
    cpu_limit: Annotated[Fact[str], "its CPU limit; empty: none"]


@probe("istiod-health", subject=SubjectKind.MESH, reads=("Pod",))
def istiod_health(view: View, _: MeshSubject) -> IstiodHealth:
    """Do istiod's pods run, and what made them restart?"""
    found = health(reading.istiod_pods(view), view.now, WINDOW)
    return IstiodHealth(
        pods=found.pods,
        ready=found.ready,
        not_ready_pod=found.not_ready_pod,
        restarting=found.restarting,
        restarts=found.restarts,
        reason=found.reason,
        exit_code=found.exit_code,
        pod=found.pod,
        workload=Ref(found.workload),
        workload_name=found.workload.rpartition("/")[2],
        namespace=view.istio_namespace,
        memory_limit=found.memory_limit,
        limit_said=f"; memory limit {found.memory_limit}" if found.memory_limit else "",
        cpu_limit=found.cpu_limit,
    )
