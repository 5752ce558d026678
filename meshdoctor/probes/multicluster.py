"""Does the mesh span clusters or networks?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Namespace, Secret
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes.view import View, attempt, probe

REMOTE, NETWORK = "istio/multiCluster", "topology.istio.io/network"


class Multicluster(Struct, frozen=True, kw_only=True):
    """Remote secrets in istiod's namespace, and networks that namespaces name."""

    remotes: Annotated[Fact[int], "secrets labelled istio/multiCluster=true"]
    secret: Annotated[Fact[Ref], "the first of them; empty: none"]
    secret_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[Ref], "istiod's namespace"]
    namespace_name: Annotated[Fact[str], "its name"]
    networked: Annotated[Fact[bool], "istiod's namespace names a network"]


@probe("multicluster", subject=SubjectKind.MESH, reads=("Namespace", "Secret"))
def multicluster(view: View, _: MeshSubject) -> Multicluster:
    """Does the mesh span clusters or networks?"""
    space = view.istio_namespace
    secrets = [s for s in view.objects("Secret", Secret, space) if s.labels.get(REMOTE) == "true"]

    def networked() -> bool:
        found = view.object("Namespace", Namespace, "", space)
        return found is not None and NETWORK in found.labels

    return Multicluster(
        remotes=len(secrets),
        secret=Ref(secrets[0].ref if secrets else ""),
        secret_name=secrets[0].name if secrets else "",
        namespace=Ref(f"Namespace//{space}"),
        namespace_name=space,
        networked=attempt(networked),
    )
