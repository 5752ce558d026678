"""Which workload signs a proxy's certificates in istiod's stead, and does it know the proxy's
cluster?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import ca
from meshdoctor.mesh.log_lines import Said, of, scan
from meshdoctor.mesh.services import named_by_client
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers, owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ProxySubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe


class ProxyExternalCa(Struct, frozen=True, kw_only=True):
    """The workload behind CA_ADDR; everything is false or empty where istiod signs, and where what
    signs is not in sight."""

    workload: Annotated[Fact[Ref], "the workload behind the Service of CA_ADDR"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    target: Annotated[Fact[str], "it as kubectl takes it, kind/name"]
    claimed: Annotated[Fact[str], "the cluster that the proxy says it is in"]
    cluster: Annotated[Fact[str], "the cluster whose callers istio-csr takes; empty: no istio-csr"]
    differs: Annotated[Fact[bool], "that is another one"]
    unknown: Annotated[Fact[int], "its log: callers of a cluster that it does not know", OBSERVED]
    text: Annotated[Fact[str], "the last of these lines", OBSERVED]


@probe(
    "proxy-external-ca",
    subject=SubjectKind.PROXY,
    reads=(*reading.WORKLOAD_READS, "Service", "log"),
    costly=True,
)
def proxy_external_ca(view: View, proxy: ProxySubject) -> ProxyExternalCa:
    """Which workload signs this proxy's certificates in istiod's stead?"""
    pod = view.object("Pod", Pod, proxy.namespace, proxy.pod)
    if pod is None:
        raise MissingError(f"pod {proxy.namespace}/{proxy.pod}")
    told = ca.signing(pod)
    found = _behind(view, told.address, proxy.namespace) if told.external else None
    claimed = ca.cluster_of(pod)
    cluster = ca.cluster_taken(app_containers(found)) if found is not None else ""
    owner = owner_of(found) if found is not None else None
    said = attempt(lambda: _said(view, found)) if found is not None else ()
    strangers = said if isinstance(said, Unavailable) else of(said, "cluster_unknown")
    return ProxyExternalCa(
        workload=Ref(owner.ref if owner else ""),
        name=owner.name if owner else "",
        namespace=owner.namespace if owner else "",
        target=f"{owner.owner.lower()}/{owner.name}" if owner else "",
        claimed=clean(claimed),
        cluster=clean(cluster),
        differs=bool(cluster) and cluster != claimed,
        unknown=strangers if isinstance(strangers, Unavailable) else len(strangers),
        text=strangers
        if isinstance(strangers, Unavailable)
        else clean(strangers[-1].text, 300)
        if strangers
        else "",
    )


def _behind(view: View, address: str, namespace: str) -> Pod | None:
    """The newest pod of the Service that an agent asks."""
    name = named_by_client(address.rpartition(":")[0] or address, namespace)
    service = view.object("Service", Service, *name) if name is not None else None
    pods = reading.pods_of_service(view, service) if service is not None else ()
    return pods[-1] if pods else None


def _said(view: View, pod: Pod) -> tuple[Said, ...]:
    container = app_containers(pod)[0].name
    return view.memo(
        ("ca-said", pod.namespace, pod.name),
        lambda v: scan(v.log(pod.namespace, pod.name, container).text),
    )
