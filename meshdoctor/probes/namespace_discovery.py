"""Does istiod see a namespace, and does it matter?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.discovery import discovered, wanted_label
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, Gateway, PeerAuthentication, VirtualService
from meshdoctor.model.kubernetes import Namespace, Object, Pod
from meshdoctor.model.subjects import NamespaceSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe

_KINDS: tuple[tuple[str, type[Object]], ...] = (
    ("DestinationRule", DestinationRule),
    ("Gateway", Gateway),
    ("PeerAuthentication", PeerAuthentication),
    ("VirtualService", VirtualService),
)


class NamespaceDiscovery(Struct, frozen=True, kw_only=True):
    """meshConfig.discoverySelectors against the namespace's labels."""

    ref: Annotated[Fact[Ref], "the namespace"]
    name: Annotated[Fact[str], "its name"]
    discovered: Annotated[Fact[bool], "no discoverySelectors, or one of them matches its labels"]
    proxies: Annotated[Fact[int], "pods with a proxy, started or not"]
    gateway: Annotated[Fact[str], "one of them that is a gateway; empty: none"]
    config: Annotated[Fact[int], "VirtualServices, DestinationRules, Gateways, PeerAuthentications"]
    is_root: Annotated[Fact[bool], "it is the root namespace"]
    mesh_config: Annotated[Fact[Ref], "the ConfigMap with the selectors"]
    label: Annotated[Fact[str], "a label that a selector asks for; empty: none so simple"]


@probe(
    "namespace-discovery",
    subject=SubjectKind.NAMESPACE,
    reads=(
        "ConfigMap",
        "DestinationRule",
        "Gateway",
        "Namespace",
        "PeerAuthentication",
        "Pod",
        "VirtualService",
    ),
)
def namespace_discovery(view: View, subject: NamespaceSubject) -> NamespaceDiscovery:
    """Does istiod see a namespace, and does it matter?"""
    mesh = reading.mesh_config(view)
    namespace = view.object("Namespace", Namespace, "", subject.name)
    if namespace is None:
        raise MissingError(f"namespace {subject.name}", "it does not exist any more")
    seen = discovered(mesh, namespace.labels)
    pods, config = [], 0
    if not seen:
        pods = [p for p in view.objects("Pod", Pod, subject.name) if _wants(p)]
        config = sum(len(view.objects(kind, type_, subject.name)) for kind, type_ in _KINDS)
    gateway = next((p.name for p in pods if shared.is_gateway(p)), "")
    return NamespaceDiscovery(
        ref=Ref(namespace.ref),
        name=subject.name,
        discovered=seen,
        proxies=len(pods),
        gateway=gateway,
        config=config,
        is_root=subject.name == mesh.root_namespace,
        mesh_config=Ref(reading.mesh_config_ref(view)),
        label=wanted_label(mesh),
    )


def _wants(pod: Pod) -> bool:
    """Whether a proxy of this pod wants istiod: one that waits for its root certificate does so
    because the namespace is left out."""
    ended = pod.status.phase in ("Succeeded", "Failed")
    return not ended and pod.metadata.deletion_timestamp is None and bool(proxy_type(pod))
