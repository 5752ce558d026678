"""Is a workload in ambient mode, and what did its ztunnel log?

Not a probe: shared reads of the authorization probes. Labels as istiod reads them
(`istio.io/dataplane-mode`, 1.22 to 1.31).
"""

from meshdoctor.mesh.workloads import WorkloadPods, has_proxy
from meshdoctor.mesh.ztunnel_log import Connection
from meshdoctor.model.kubernetes import Namespace
from meshdoctor.ports import MissingError
from meshdoctor.probes.view import View
from meshdoctor.probes.ztunnel_reading import connections, ztunnels

MODE = "istio.io/dataplane-mode"


def enrolled(view: View, found: WorkloadPods) -> bool:
    """Whether ambient mode captures the workload: its label, else its namespace's."""
    pod = found.pod
    if pod is None or has_proxy(pod) or pod.spec.host_network:
        return False
    mode = pod.labels.get(MODE) or namespace_labels(view, found.subject.namespace).get(MODE, "")
    return mode == "ambient"


def namespace_labels(view: View, namespace: str) -> dict[str, str]:
    """Labels of a namespace; none where there is no such."""
    one = view.object("Namespace", Namespace, "", namespace)
    return one.labels if one is not None else {}


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
