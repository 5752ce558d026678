"""Which waypoint and which ztunnel stand before an ambient workload?

Not a probe: shared reads of the authorization probes. Labels as istiod reads them
(`istio.io/dataplane-mode`, `istio.io/use-waypoint`, 1.22 to 1.31).
"""

from meshdoctor.mesh.workloads import WorkloadPods, has_proxy, proxy_type
from meshdoctor.mesh.ztunnel_log import Connection
from meshdoctor.model.kubernetes import Namespace, Service
from meshdoctor.ports import MissingError
from meshdoctor.probes.reading import workloads
from meshdoctor.probes.view import View
from meshdoctor.probes.ztunnel_reading import connections, ztunnels

MODE = "istio.io/dataplane-mode"
USE = "istio.io/use-waypoint"
USE_NAMESPACE = "istio.io/use-waypoint-namespace"
GATEWAY = "gateway.networking.k8s.io/gateway-name"


def enrolled(view: View, found: WorkloadPods) -> bool:
    """Whether ambient mode captures the workload: its label, else its namespace's."""
    pod = found.pod
    if pod is None or has_proxy(pod) or pod.spec.host_network:
        return False
    mode = pod.labels.get(MODE) or _labels(view, found.subject.namespace).get(MODE, "")
    return mode == "ambient"


def _labels(view: View, namespace: str) -> dict[str, str]:
    one = view.object("Namespace", Namespace, "", namespace)
    return one.labels if one is not None else {}


def waypoint_name(view: View, found: WorkloadPods, service: Service | None) -> tuple[str, str]:
    """(namespace, name) of the waypoint that labels ask for; ("", "") when none is asked for.

    The service's label wins, then the workload's, then the namespace's; `none` asks for none.
    """
    space = found.subject.namespace
    for labels in (service.labels if service else {}, found.labels, _labels(view, space)):
        name = labels.get(USE, "")
        if name == "none":
            return ("", "")
        if name:
            return (labels.get(USE_NAMESPACE) or space, name)
    return ("", "")


def waypoint_of(view: View, found: WorkloadPods, service: Service | None) -> WorkloadPods | None:
    """The waypoint's pods; None when no waypoint is asked for or it has no pods."""
    namespace, name = waypoint_name(view, found, service)
    if not name:
        return None
    for one in workloads(view).values():
        pod = one.pod
        if one.subject.namespace != namespace or pod is None or proxy_type(pod) != "waypoint":
            continue
        if one.labels.get(GATEWAY, one.subject.name) == name:
            return one
    return None


def ztunnel_lines(view: View, found: WorkloadPods) -> tuple[Connection, ...]:
    """What the ztunnels on the workload's nodes logged of connections to its pods.

    Raises EvidenceError when no ztunnel's log can be read.
    """
    nodes = {p.spec.node_name for p in found.pods}
    ips = {p.status.pod_ip for p in found.pods if p.status.pod_ip}
    tunnels = ztunnels(view)
    near = [p for p in tunnels if p.spec.node_name in nodes] or tunnels[:1]
    if not near:
        raise MissingError("ztunnel", f"no ztunnel pod in {view.istio_namespace}")
    return tuple(
        line
        for pod in near[:3]
        for line in connections(view, pod)
        if line.target.rpartition(":")[0].strip("[]") in ips
    )
