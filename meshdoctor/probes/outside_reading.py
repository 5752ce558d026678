"""Where does a VirtualService send requests outside the mesh? Shared reads; not a probe."""

from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.outside_names import Outside, kept
from meshdoctor.model.istio import ServiceEntry, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View


def kept_of(view: View, route: VirtualService) -> tuple[Outside, ...]:
    """Its destinations outside the mesh whose requests keep the name of the host called."""
    return kept(route, lambda host: _known(view, host))


def _known(view: View, host: str) -> Service | ServiceEntry | None:
    own = service_of(host)
    if own is not None:
        return view.object("Service", Service, *own)
    return shared.known_hosts(view).entry_for(host)
