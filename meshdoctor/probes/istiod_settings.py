"""What is istiod told: how long to gather changes before it pushes, and by which mesh config?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.istiod_settings import settling
from meshdoctor.mesh.meshconfig_check import refused
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe


class IstiodSettings(Struct, frozen=True, kw_only=True):
    """The mesh config, and of the istiod that waits longest what it is told."""

    settle_ms: Annotated[Fact[int], "what every push waits at least; istiod's default is 100"]
    told: Annotated[Fact[str], "the settings that say so, as written; empty: none is set"]
    workload: Annotated[Fact[Ref], "that istiod's Deployment; empty: there is no istiod"]
    workload_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "istiod's namespace"]
    mesh_config: Annotated[Fact[Ref], "ConfigMap of the mesh config; empty: there is none"]
    mesh_config_name: Annotated[Fact[str], "its name"]
    mesh_refused: Annotated[
        Fact[str], "why istiod refuses the mesh config's text; empty: it takes it"
    ]


@probe("istiod-settings", subject=SubjectKind.MESH, reads=("ConfigMap", "Pod"))
def istiod_settings(view: View, _: MeshSubject) -> IstiodSettings:
    """What is istiod told: how long to gather changes, and by which mesh config?"""
    found = settling(reading.istiod_pods(view))
    return IstiodSettings(
        settle_ms=round(found.wait.total_seconds() * 1000),
        told=found.told,
        workload=Ref(found.workload),
        workload_name=found.workload.rpartition("/")[2],
        namespace=view.istio_namespace,
        mesh_config=attempt(lambda: Ref(reading.mesh_config_ref(view))),
        mesh_config_name=attempt(lambda: reading.mesh_config_ref(view).rpartition("/")[2]),
        mesh_refused=attempt(lambda: _refused(view)),
    )


def _refused(view: View) -> str:
    found = reading.mesh_config_map(view)
    return refused(found.data.get("mesh", "")) if found is not None else ""
