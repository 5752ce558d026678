"""How long is istiod told to gather changes before it pushes?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.istiod_settings import settling
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class IstiodSettings(Struct, frozen=True, kw_only=True):
    """Of the istiod that waits longest."""

    settle_ms: Annotated[Fact[int], "what every push waits at least; istiod's default is 100"]
    told: Annotated[Fact[str], "the settings that say so, as written; empty: none is set"]
    workload: Annotated[Fact[Ref], "that istiod's Deployment; empty: there is no istiod"]
    workload_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "istiod's namespace"]


@probe("istiod-settings", subject=SubjectKind.MESH, reads=("Pod",))
def istiod_settings(view: View, _: MeshSubject) -> IstiodSettings:
    """How long is istiod told to gather changes before it pushes?"""
    found = settling(reading.istiod_pods(view))
    return IstiodSettings(
        settle_ms=round(found.wait.total_seconds() * 1000),
        told=found.told,
        workload=Ref(found.workload),
        workload_name=found.workload.rpartition("/")[2],
        namespace=view.istio_namespace,
    )
