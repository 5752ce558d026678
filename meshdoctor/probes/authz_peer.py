"""Does the caller present an Istio identity to this server?

Not a probe: a shared reading of the authorization probes, used where no log line tells.
"""

from meshdoctor.mesh import peer_authentication
from meshdoctor.mesh.services import fqdn, host_matches, resolve_short_name
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy, tls_mode_label
from meshdoctor.model.istio import ClientTls, DestinationRule, PeerAuthentication
from meshdoctor.model.subjects import EdgeSubject
from meshdoctor.probes.authz_ambient import enrolled
from meshdoctor.probes.reading import mesh_config, service
from meshdoctor.probes.view import View


def peer_speaks_mtls(
    view: View,
    edge: EdgeSubject,
    client: WorkloadPods | None,
    server: WorkloadPods,
    port: int,
) -> bool | None:
    """Whether the connection carries the caller's certificate; None when the caller is unknown."""
    if client is None or client.pod is None:
        return None
    if not has_proxy(client.pod):
        return enrolled(view, client)
    if server.pod is None or tls_mode_label(server.pod) != "istio":
        return has_proxy(server.pod) if server.pod is not None else None
    config = mesh_config(view)
    spaces = dict.fromkeys((server.subject.namespace, config.root_namespace))
    rules = [
        one
        for space in spaces
        for one in view.objects("PeerAuthentication", PeerAuthentication, space)
    ]
    mode = peer_authentication.effective(
        rules, server.subject.namespace, server.labels, config.root_namespace, port
    ).mode
    if mode == peer_authentication.DISABLE:
        return False
    tls = _client_tls(view, edge)
    if tls is not None:
        return tls.mode == "ISTIO_MUTUAL"
    return config.enable_auto_mtls


def _client_tls(view: View, edge: EdgeSubject) -> ClientTls | None:
    """The `tls` of a DestinationRule for the service, port settings first; None: auto mTLS."""
    found = service(view, edge.service) if edge.service else None
    if found is None or edge.client is None:
        return None
    host = fqdn(found)
    for space in (edge.client.namespace, found.namespace, mesh_config(view).root_namespace):
        for rule in view.objects("DestinationRule", DestinationRule, space):
            if not host_matches(resolve_short_name(rule.spec.host, rule.namespace), host):
                continue
            policy = rule.spec.traffic_policy
            if policy is None:
                continue
            for one in policy.port_level_settings:
                if one.port.number == edge.port:
                    return one.tls
            return policy.tls
    return None
