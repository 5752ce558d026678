"""Which Gateways and VirtualServices does a gateway's pod have? Shared reads; not a probe."""

from collections.abc import Iterable

from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.model.istio import Gateway, VirtualService
from meshdoctor.model.kubernetes import Pod
from meshdoctor.probes.route_reading import as_served
from meshdoctor.probes.view import View

GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
"""The label of what istiod makes for a Gateway of the Gateway API."""


def gateways_of(view: View, pod: Pod | None) -> tuple[Gateway, ...]:
    """Gateways that select the pod."""
    if pod is None:
        return ()
    return tuple(g for g in view.objects("Gateway", Gateway) if gateway_pods(g, (pod,)))


def routes_of(view: View, gateways: Iterable[Gateway]) -> tuple[VirtualService, ...]:
    """VirtualServices bound to one of these Gateways."""
    keys = {(g.namespace, g.name) for g in gateways}
    if not keys:
        return ()
    every = view.objects("VirtualService", VirtualService)
    return tuple(as_served(view, one) for one in every if keys.intersection(gateway_keys(one)))
