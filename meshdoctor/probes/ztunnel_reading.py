"""Which ztunnels are there, and which connections do they log? Shared reads; not a probe."""

from meshdoctor.mesh.workloads import PROXY, proxy_type
from meshdoctor.mesh.ztunnel_log import Connection, parse
from meshdoctor.model.kubernetes import Pod
from meshdoctor.probes.view import View


def ztunnels(view: View) -> tuple[Pod, ...]:
    """The ztunnels of the mesh, one of each node that has one."""
    pods = view.objects("Pod", Pod, view.istio_namespace)
    return tuple(pod for pod in pods if proxy_type(pod) == "ztunnel")


def connections(view: View, pod: Pod) -> tuple[Connection, ...]:
    """What one of them logged, in order; raises EvidenceError when its log cannot be read."""
    return view.memo(
        ("ztunnel-log", pod.namespace, pod.name),
        lambda v: parse(v.log(pod.namespace, pod.name, PROXY).text),
    )
