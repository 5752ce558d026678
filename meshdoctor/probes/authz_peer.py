"""Does the caller present an Istio identity to this server?

Not a probe: a shared reading of the authorization probes, used where no log line tells.
"""

from meshdoctor.mesh.mtls import MTLS
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy
from meshdoctor.model.subjects import EdgeSubject
from meshdoctor.probes.authz_ambient import enrolled
from meshdoctor.probes.edge_objects import judged
from meshdoctor.probes.view import View


def peer_speaks_mtls(
    view: View, edge: EdgeSubject, client: WorkloadPods | None, server: WorkloadPods
) -> bool | None:
    """Whether the connection carries the caller's certificate.

    None when the caller is unknown, or when the two ends cannot talk at all: then no policy is
    ever asked.
    """
    if client is None or client.pod is None:
        return None
    if not has_proxy(client.pod):
        return enrolled(view, client)
    if server.pod is None:
        return None
    found = judged(view, edge)
    if not found.applies:
        return has_proxy(server.pod)
    if not found.outcome.works:
        return None
    return found.outcome.client.says == MTLS
