"""Does the mesh span clusters or networks?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Namespace, Secret, Service
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import propagation_reading, reading
from meshdoctor.probes.view import View, attempt, probe

REMOTE, NETWORK = "istio/multiCluster", "topology.istio.io/network"
CLUSTER = "networking.istio.io/cluster"
NODES = "traffic.istio.io/nodeSelector"


class Multicluster(Struct, frozen=True, kw_only=True):
    """Remote secrets in istiod's namespace, and networks that namespaces name."""

    remotes: Annotated[Fact[int], "secrets labelled istio/multiCluster=true"]
    secret: Annotated[
        Fact[Ref],
        "the one of the cluster that istiod last says it failed to read, else the first of them; "
        "empty: none",
    ]
    secret_name: Annotated[Fact[str], "its name"]
    cluster: Annotated[Fact[str], "the cluster that it is of"]
    namespace: Annotated[Fact[Ref], "istiod's namespace"]
    namespace_name: Annotated[Fact[str], "its name"]
    networked: Annotated[Fact[bool], "istiod's namespace names a network"]
    bare: Annotated[
        Fact[Ref], "a Service labelled as gateway of a network, without address; empty: none"
    ]
    named: Annotated[
        Fact[Ref], "such a Service whose load balancer has a name and no address; empty: none"
    ]
    bare_network: Annotated[Fact[str], "that network"]
    bare_type: Annotated[Fact[str], "that Service's type"]


@probe(
    "multicluster",
    subject=SubjectKind.MESH,
    reads=("ConfigMap", "Namespace", "Pod", "Secret", "Service", "log"),
)
def multicluster(view: View, _: MeshSubject) -> Multicluster:
    """Does the mesh span clusters or networks?"""
    space = view.istio_namespace
    secrets = [s for s in view.objects("Secret", Secret, space) if s.labels.get(REMOTE) == "true"]
    failed = attempt(lambda: _failed(view)) if len(secrets) > 1 else ""
    secrets.sort(key=lambda s: (failed not in s.data, s.ref))

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
        cluster=_cluster(secrets[0]) if secrets else "",
        namespace=Ref(f"Namespace//{space}"),
        namespace_name=space,
        networked=attempt(networked),
        bare=ref,
        named=attempt(lambda: Ref(one.ref if (one := _named(view)) else "")),
        bare_network=network,
        bare_type=kind,
    )


def _failed(view: View) -> str:
    """The remote cluster that istiod last says it failed to read; a Secret has a key of that
    name."""
    said = propagation_reading.istiod_log(view).log.kind("remote_cluster")
    return said[-1].get("cluster") if said else ""


def _cluster(secret: Secret) -> str:
    """create-remote-secret says it in an annotation; istiod goes by the key."""
    return clean(min(secret.data, default=secret.annotations.get(CLUSTER, "")), 63)


def _named(view: View) -> Service | None:
    """A gateway of a network whose load balancer has a name, as those of AWS do."""
    found = (
        s
        for s in view.objects("Service", Service, view.istio_namespace)
        if s.labels.get(NETWORK)
        and s.status.load_balancer.ingress
        and all(i.hostname and not i.ip for i in s.status.load_balancer.ingress)
    )
    return min(found, key=lambda s: s.ref, default=None)


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
