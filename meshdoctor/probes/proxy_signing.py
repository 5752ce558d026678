"""Is there a reason to doubt that this proxy can get certificates, and from whom does it?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.ca import ROOT_MAP, mounted_in, root_bundle, signing, signing_chain
from meshdoctor.mesh.certificates import trusted
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_ready, owner_of, proxy_type
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, Pod, Secret
from meshdoctor.model.subjects import ProxySubject, SubjectKind
from meshdoctor.ports import EvidenceError, MissingError
from meshdoctor.probes.propagation_reading import sync_table
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.view import View, attempt, probe


class ProxySigning(Struct, frozen=True, kw_only=True):
    """What can be told of a proxy's certificates without asking the proxy."""

    doubtful: Annotated[
        Fact[bool],
        "its proxy is not ready, or istiod does not list it, or it is older than the mesh's root "
        "and no list could be read",
    ]
    ready: Annotated[Fact[bool], "its proxy container is ready"]
    disconnected: Annotated[Fact[bool], "proxy-status was read and does not list the proxy"]
    before_root: Annotated[
        Fact[bool], "the pod started before the root certificate of its namespace was made"
    ]
    address: Annotated[Fact[str], "where its agent sends signing requests"]
    external: Annotated[Fact[bool], "that is not istiod, or an SDS socket is mounted"]
    audience: Annotated[Fact[str], "audience of its istio-token; empty: none is projected"]
    workload: Annotated[Fact[Ref], "the workload of the pod"]
    workload_kind: Annotated[Fact[str], "its kind, in lower case"]
    workload_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "namespace of the pod"]
    pod: Annotated[Fact[str], "name of the pod"]
    istiod: Annotated[Fact[Ref], "the Service that the agent calls when istiod is its CA"]
    guilty: Annotated[
        Fact[Ref], "its workload, where the pod is older than the root; else istiod's"
    ]
    control: Annotated[Fact[Ref], "the workload of istiod's first pod; empty: none is seen"]
    control_name: Annotated[Fact[str], "its name"]
    control_namespace: Annotated[Fact[str], "its namespace"]
    mounted: Annotated[
        Fact[Ref],
        "the Secret whose certificate istiod shows, where none of the roots that the pod's "
        "namespace is handed vouches for it; empty: there is none",
    ]
    mounted_name: Annotated[Fact[str], "its name"]
    node: Annotated[Fact[Ref], "the node it runs on"]


@probe(
    "proxy-signing", subject=SubjectKind.PROXY, reads=("ConfigMap", "Pod", "Secret", "proxy-status")
)
def proxy_signing(view: View, proxy: ProxySubject) -> ProxySigning:
    """Is there a reason to doubt that this proxy can get certificates?"""
    pod = _pod(view, proxy)
    kept = _runs(pod) and proxy_type(pod) in ("sidecar", "router", "waypoint")
    ready = _proxy_ready(pod)
    listed = _listed(view, pod) if kept else None
    early = kept and _before_root(view, pod)
    owner, told = owner_of(pod), signing(pod)
    istiods = istiod_pods(view)
    control = owner_of(istiods[0]) if istiods else None
    doubtful = kept and (not ready or listed is False or (early and listed is None))
    mounted = attempt(lambda: _foreign(view, pod.namespace)) if doubtful else ""
    return ProxySigning(
        doubtful=doubtful,
        ready=ready,
        disconnected=listed is False,
        before_root=early,
        address=clean(told.address),
        external=told.external,
        audience=clean(told.audience),
        workload=Ref(owner.ref),
        workload_kind=owner.owner.lower(),
        workload_name=owner.name,
        namespace=pod.namespace,
        pod=pod.name,
        istiod=Ref(f"Service/{view.istio_namespace}/istiod"),
        guilty=Ref(control.ref if control and not early else owner.ref),
        control=Ref(control.ref if control else ""),
        control_name=control.name if control else "",
        control_namespace=view.istio_namespace,
        mounted=_as_ref(mounted, view.istio_namespace),
        mounted_name=mounted,
        node=Ref(f"Node//{pod.spec.node_name}" if pod.spec.node_name else ""),
    )


def _pod(view: View, proxy: ProxySubject) -> Pod:
    pod = view.object("Pod", Pod, proxy.namespace, proxy.pod)
    if pod is None:
        raise MissingError(f"pod {proxy.namespace}/{proxy.pod}")
    return pod


def _runs(pod: Pod) -> bool:
    """Whether its proxy runs or ran: a native sidecar that is not up yet leaves the pod Pending."""
    if pod.status.phase != "Pending":
        return pod.status.phase == "Running"
    status = pod.container_status(PROXY)
    return status is not None and (status.state.running is not None or status.restart_count > 0)


def _proxy_ready(pod: Pod) -> bool:
    status = pod.container_status(PROXY)
    return status.ready if status is not None else is_ready(pod)


def _listed(view: View, pod: Pod) -> bool | None:
    """Whether istiod's list names the proxy; None when no list could be read."""
    try:
        table = sync_table(view)
    except EvidenceError:
        return None
    if not table.proxies and not table.istiods:
        return None
    name, space = pod.metadata.name, pod.metadata.namespace
    return f"{name}.{space}" in table.proxies or f"{name}." in table.proxies


def _before_root(view: View, pod: Pod) -> bool:
    """Whether every root in the namespace's ConfigMap is younger than the pod."""
    try:
        eldest = _eldest_root(view, pod.metadata.namespace)
    except EvidenceError:
        return False
    started = pod.status.start_time or pod.metadata.creation_timestamp
    return eldest is not None and started is not None and eldest > started


def _foreign(view: View, namespace: str) -> str:
    """The Secret mounted in istiod whose certificate the namespace's roots do not vouch for."""

    def build(v: View) -> str:
        for name in dict.fromkeys(filter(None, map(mounted_in, istiod_pods(v)))):
            secret = v.object("Secret", Secret, v.istio_namespace, name)
            chain = signing_chain(secret).certificates
            roots = root_bundle(v.object("ConfigMap", ConfigMap, namespace, ROOT_MAP)).certificates
            if chain and roots and not trusted(chain, roots):
                return name
        return ""

    return view.memo(("foreign-to", namespace), build)


def _as_ref(name: Fact[str], namespace: str) -> Fact[Ref]:
    if isinstance(name, Unavailable):
        return name
    return Ref(f"Secret/{namespace}/{name}" if name else "")


def _eldest_root(view: View, namespace: str) -> datetime | None:
    """Since when the eldest root that the namespace hands out is valid; None: it has none."""

    def build(v: View) -> datetime | None:
        found = v.object("ConfigMap", ConfigMap, namespace, ROOT_MAP)
        return min((c.not_before for c in root_bundle(found).certificates), default=None)

    return view.memo(("eldest-root", namespace), build)
