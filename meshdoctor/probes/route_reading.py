"""VirtualServices as proxies have them. Shared reads; not a probe."""

from meshdoctor.mesh.delegate_merge import merged
from meshdoctor.model.istio import VirtualService
from meshdoctor.probes import reading
from meshdoctor.probes.view import View


def as_served(view: View, route: VirtualService) -> VirtualService:
    """With the rules of its delegates; as it is where they leave it none at all, which has a cause
    of its own."""
    if all(rule.delegate is None for rule in route.spec.http):
        return route
    whole = merged(
        route,
        lambda *key: view.object("VirtualService", VirtualService, *key),
        reading.mesh_config(view).default_virtual_service_export_to,
        reading.release(view),
    )
    return whole if whole.spec.http else route
