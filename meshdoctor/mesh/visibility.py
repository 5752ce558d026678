"""Can a proxy see this service, host or rule: exportTo, and the Sidecar in force?

Mirrors pilot/pkg/model/push_context.go IsServiceVisible, initSidecarScopes, getSidecarScope and
sidecar.go (convertIstioListenerToWrapper, selectServices); read at 1.18 to 1.32-dev. An absent
`egress` means `*/*`: only a Sidecar *object* is inherited from the root namespace, not its parts.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import IstioEgressListener, MeshConfig, Sidecar
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.snapshot import selects

EXPORT_TO = "networking.istio.io/exportTo"
ALLOW_ANY = "ALLOW_ANY"
REGISTRY_ONLY = "REGISTRY_ONLY"


def exported(
    export_to: Iterable[str], owner: str, viewer: str, default: Iterable[str] = ()
) -> bool:
    """Whether an object of namespace `owner` is visible from namespace `viewer`.

    Absent exportTo takes the mesh's default, absent that means everywhere. `*` beats everything,
    `~` alone hides from all, the owner included.
    """
    wanted = [value.strip() for value in export_to] or [value.strip() for value in default]
    if not wanted or "*" in wanted:
        return True
    return ("." in wanted and owner == viewer) or viewer in wanted


def service_export_to(service: Service) -> tuple[str, ...]:
    """The namespaces that a Kubernetes Service's annotation names; empty when it has none."""
    text = service.annotations.get(EXPORT_TO, "")
    return tuple(part.strip() for part in text.split(",") if part.strip())


def service_exported(service: Service, viewer: str, mesh: MeshConfig) -> bool:
    """Whether a Kubernetes Service is exported to a namespace."""
    return exported(
        service_export_to(service), service.namespace, viewer, mesh.default_service_export_to
    )


class Scope(Struct, frozen=True, kw_only=True):
    """The Sidecar in force for one proxy; `sidecar` None: none is, everything exported is seen.

    `level` is workload, namespace, root or "" (none).
    """

    namespace: str
    sidecar: Sidecar | None = None
    level: str = ""

    @property
    def source(self) -> str:
        """`Sidecar/ns/name`, or ""."""
        return self.sidecar.ref if self.sidecar is not None else ""

    @property
    def egress(self) -> tuple[IstioEgressListener, ...]:
        """The egress listeners; none written means one that imports `*/*`."""
        if self.sidecar is None or not self.sidecar.spec.egress:
            return (IstioEgressListener(hosts=("*/*",)),)
        return self.sidecar.spec.egress

    def imports(self, host: str, owner: str, ports: Iterable[int] = ()) -> bool:
        """Whether an egress listener names this host of namespace `owner`.

        A listener with a port imports only hosts that serve that port (when `ports` are known).
        """
        served = frozenset(ports)
        return any(
            _names(one, host, owner, self.namespace)
            for one in self.egress
            if one.port is None or not one.port.number or not served or one.port.number in served
        )

    def outbound_policy(self, mesh: MeshConfig) -> str:
        """ALLOW_ANY or REGISTRY_ONLY: what becomes of hosts that the proxy does not know."""
        own = self.sidecar.spec.outbound_traffic_policy if self.sidecar is not None else None
        if own is not None:
            # an outboundTrafficPolicy without mode is protobuf's zero value
            return own.mode or REGISTRY_ONLY
        return mesh.outbound_traffic_policy.mode or ALLOW_ANY


def _names(listener: IstioEgressListener, host: str, owner: str, own: str) -> bool:
    for entry in listener.hosts:
        space, _, pattern = entry.partition("/")
        if space == "~" or not pattern:
            continue
        space = own if space == "." else space
        if space in ("*", owner) and host_matches(pattern, host):
            return True
    return False


def _age(sidecar: Sidecar) -> tuple[str, str, str]:
    created = sidecar.metadata.creation_timestamp
    return (created.isoformat() if created else "", sidecar.name, sidecar.namespace)


def scope(
    sidecars: Iterable[Sidecar],
    namespace: str,
    labels: Mapping[str, str],
    root: str,
    *,
    proxy: str = "sidecar",
) -> Scope:
    """The one Sidecar in force: by workload selector, else the namespace's, else the root's.

    The oldest wins within each. Gateways and waypoints ignore Sidecars.
    """
    if proxy != "sidecar":
        return Scope(namespace=namespace)
    ordered = sorted(sidecars, key=_age)
    own = [s for s in ordered if s.namespace == namespace]
    for one in own:
        selector = one.spec.workload_selector
        if selector is not None and selects(selector.wanted, labels):
            return Scope(namespace=namespace, sidecar=one, level="workload")
    for one in own:
        if one.spec.workload_selector is None:
            return Scope(namespace=namespace, sidecar=one, level="namespace")
    for one in ordered:
        if one.namespace == root and one.spec.workload_selector is None:
            return Scope(namespace=namespace, sidecar=one, level="root")
    return Scope(namespace=namespace)


class Sight(Struct, frozen=True, kw_only=True):
    """Whether a proxy knows a service. `hidden_by`: `exportTo`, `sidecar` or "" (it is known)."""

    visible: bool
    hidden_by: str = ""


def sees(service: Service, host: str, scope_: Scope, mesh: MeshConfig) -> Sight:
    """Whether the proxy of a scope has a cluster for a Kubernetes Service."""
    if not service_exported(service, scope_.namespace, mesh):
        return Sight(visible=False, hidden_by="exportTo")
    ports = [p.port for p in service.spec.ports]
    if not scope_.imports(host, service.namespace, ports):
        return Sight(visible=False, hidden_by="sidecar")
    return Sight(visible=True)
