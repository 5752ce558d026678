"""Does the mesh span clusters or networks?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Namespace, Secret, Service
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe

REMOTE, NETWORK = "istio/multiCluster", "topology.istio.io/network"
NODES = "traffic.istio.io/nodeSelector"


class Multicluster(Struct, frozen=True, kw_only=True):
    """Remote secrets in istiod's namespace, and networks that namespaces name."""

    remotes: Annotated[Fact[int], "secrets labelled istio/multiCluster=true"]
    secret: Annotated[Fact[Ref], "the first of them; empty: none"]
    secret_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[Ref], "istiod's namespace"]
    namespace_name: Annotated[Fact[str], "its name"]
    networked: Annotated[Fact[bool], "istiod's namespace names a network"]
    bare: Annotated[
        Fact[Ref], "a Service labelled as gateway of a network, without address; empty: none"
    ]
    bare_network: Annotated[Fact[str], "that network"]
    bare_type: Annotated[Fact[str], "that Service's type"]


@probe(
    "multicluster", subject=SubjectKind.MESH, reads=("ConfigMap", "Namespace", "Secret", "Service")
)
def multicluster(view: View, _: MeshSubject) -> Multicluster:
    """Does the mesh span clusters or networks?"""
    space = view.istio_namespace
    secrets = [s for s in view.objects("Secret", Secret, space) if s.labels.get(REMOTE) == "true"]

    def networked() -> bool:
        found = view.object("Namespace", Namespace, "", space)
        return found is not None and NETWORK in found.labels

    bare = attempt(lambda: _bare(view))
    if isinstance(bare, Unavailable):
        ref: Fact[Ref] = bare
        network: Fact[str] = bare
        kind: Fact[str] = bare
    else:
        ref = Ref(bare.ref if bare is not None else "")
        network = bare.labels[NETWORK] if bare is not None else ""
        kind = bare.spec.type if bare is not None else ""
    return Multicluster(
        remotes=len(secrets),
        secret=Ref(secrets[0].ref if secrets else ""),
        secret_name=secrets[0].name if secrets else "",
        namespace=Ref(f"Namespace//{space}"),
        namespace_name=space,
        networked=attempt(networked),
        bare=ref,
        bare_network=network,
        bare_type=kind,
    )


def _bare(view: View) -> Service | None:
    """A gateway of a network that istiod cannot tell the address of.

    It takes externalIPs, what a load balancer says, or the nodes that an annotation selects; else
    meshNetworks must say it (pilot/pkg/serviceregistry/kube/controller/network.go).
    """
    mesh = reading.mesh_config_map(view)
    told = mesh.data.get("meshNetworks", "") if mesh is not None else ""
    found = (
        s
        for s in view.objects("Service", Service, view.istio_namespace)
        if s.labels.get(NETWORK)
        and s.labels[NETWORK] not in told
        and s.spec.type != "ExternalName"
        and not (s.spec.external_ips or s.status.load_balancer.ingress)
        and NODES not in s.annotations
    )
    return min(found, key=lambda s: s.ref, default=None)
