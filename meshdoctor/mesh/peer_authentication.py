"""Which mTLS mode does a proxy enforce on a port, and which policy decided?

Mirrors pilot/pkg/security/authn/policy_applier.go ComposePeerAuthentication, pilot/pkg/model/
authentication.go GetNamespaceMutualTLSMode and push_context.go BestEffortInferServiceMTLSMode
(read at 1.18 to 1.32-dev).
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.selectors import BySelector, workload_selected
from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.snapshot import selects

STRICT = "STRICT"
PERMISSIVE = "PERMISSIVE"
DISABLE = "DISABLE"
UNSET = "UNSET"

MESH = "mesh"
NAMESPACE = "namespace"
WORKLOAD = "workload"
PORT = "port"
DEFAULT = "default"


class Ruling(Struct, frozen=True, kw_only=True):
    """The mode in force. `level` says which kind of rule decided it; `policy` is None when none
    did and Istio's default (PERMISSIVE) holds."""

    mode: str
    policy: PeerAuthentication | None = None
    level: str = DEFAULT

    @property
    def source(self) -> str:
        """`PeerAuthentication/ns/name`, or "" for Istio's default."""
        return self.policy.ref if self.policy is not None else ""


class Scopes(Struct, frozen=True, kw_only=True):
    """The winner of each scope for one workload; None where a scope has no policy."""

    mesh: PeerAuthentication | None = None
    namespace: PeerAuthentication | None = None
    workload: PeerAuthentication | None = None


def oldest_first(policies: Iterable[PeerAuthentication]) -> tuple[PeerAuthentication, ...]:
    """istiod's order: creation time, then name, then namespace (pilot/pkg/model/config.go)."""
    return tuple(sorted(policies, key=_age))


def _age(policy: PeerAuthentication) -> tuple[str, str, str]:
    created = policy.metadata.creation_timestamp
    return (created.isoformat() if created else "", policy.name, policy.namespace)


def has_selector(policy: PeerAuthentication) -> bool:
    """Whether a policy is about some workloads only; nil, `{}` and empty labels are about all."""
    return bool(policy.spec.selector is not None and policy.spec.selector.wanted)


def scope_of(policy: PeerAuthentication, root: str) -> str:
    """mesh, namespace or workload; "" when istiod ignores it (selector in the root namespace)."""
    if has_selector(policy):
        return "" if policy.namespace == root else WORKLOAD
    return MESH if policy.namespace == root else NAMESPACE


def scopes(
    policies: Iterable[PeerAuthentication],
    namespace: str,
    labels: Mapping[str, str] | None,
    root: str,
) -> Scopes:
    """The oldest policy of each scope that is about this workload.

    `labels` None asks about the namespace alone. Policies of other namespaces are ignored.
    """
    return Policies(policies, namespace, root).scopes(labels)


class Policies:
    """The policies that matter to one namespace, sorted out once and asked about for many of its
    workloads. Policies of other namespaces but the root are ignored."""

    def __init__(self, policies: Iterable[PeerAuthentication], namespace: str, root: str) -> None:
        by_scope: dict[str, list[PeerAuthentication]] = {MESH: [], NAMESPACE: [], WORKLOAD: []}
        self.oldest_first = oldest_first(policies)
        for policy in self.oldest_first:
            scope = scope_of(policy, root)
            if scope == MESH or scope and policy.namespace == namespace:
                by_scope[scope].append(policy)
        self.mesh = next(iter(by_scope[MESH]), None)
        self.namespace = next(iter(by_scope[NAMESPACE]), None)
        self._by_selector = BySelector((_wanted(p), p) for p in by_scope[WORKLOAD])
        self.of_all = _inherit(self.scopes(None))

    def workload(self, labels: Mapping[str, str]) -> PeerAuthentication | None:
        """The oldest policy that selects these labels."""
        found = self._by_selector.candidates(labels)
        return next((p for p in found if workload_selected(p.spec.selector, labels)), None)

    def scopes(self, labels: Mapping[str, str] | None) -> Scopes:
        """The oldest policy of each scope; of the namespace alone without `labels`."""
        workload = self.workload(labels) if labels is not None else None
        return Scopes(mesh=self.mesh, namespace=self.namespace, workload=workload)

    def effective(self, labels: Mapping[str, str], port: int = 0) -> Ruling:
        """The mode that a workload's proxy enforces on a *workload* port (0: ports without a
        rule).

        UNSET inherits: port from workload, workload from namespace, namespace from mesh, mesh
        from Istio's default PERMISSIVE.
        """
        workload = self.workload(labels)
        if workload is None:
            return self.of_all
        rule = workload.spec.port_level_mtls.get(str(port)) if port else None
        if rule is not None and rule.mode != UNSET:
            return Ruling(mode=rule.mode, policy=workload, level=PORT)
        return _inherit(Scopes(mesh=self.mesh, namespace=self.namespace, workload=workload))


def effective(
    policies: Iterable[PeerAuthentication],
    namespace: str,
    labels: Mapping[str, str],
    root: str,
    port: int = 0,
) -> Ruling:
    """`Policies.effective` of one workload."""
    return Policies(policies, namespace, root).effective(labels, port)


def for_cluster(policies: Iterable[PeerAuthentication], namespace: str, root: str) -> Ruling:
    """What auto mTLS believes of a whole service: namespace and mesh policies only.

    Workload and port rules are consulted per endpoint, and only where an endpoint may choose.
    """
    return Policies(policies, namespace, root).of_all


def _inherit(found: Scopes) -> Ruling:
    levels = ((found.workload, WORKLOAD), (found.namespace, NAMESPACE), (found.mesh, MESH))
    for policy, level in levels:
        if policy is not None and policy.spec.mtls.mode != UNSET:
            return Ruling(mode=policy.spec.mtls.mode, policy=policy, level=level)
    return Ruling(mode=PERMISSIVE)


def shadowed_by(
    policy: PeerAuthentication, policies: Iterable[PeerAuthentication], root: str
) -> PeerAuthentication | None:
    """The older policy that takes this one's place; None when it is in force.

    Two policies share a scope when both lack a selector in one namespace, or when their selectors
    ask for the same labels. (Selectors that merely overlap are judged per workload.)
    """
    scope = scope_of(policy, root)
    for other in oldest_first(policies):
        if other.ref == policy.ref:
            return None
        if other.namespace != policy.namespace or scope_of(other, root) != scope:
            continue
        if _wanted(other) == _wanted(policy):
            return other
    return None


def _wanted(policy: PeerAuthentication) -> dict[str, str]:
    return policy.spec.selector.wanted if policy.spec.selector is not None else {}


def dead_ports(policy: PeerAuthentication, listening: Iterable[int]) -> tuple[int, ...]:
    """portLevelMtls keys that are no port of any selected workload: rules without effect."""
    known = set(listening)
    keys = (int(key) for key in policy.spec.port_level_mtls if key.isdigit())
    return tuple(sorted(key for key in keys if key not in known))


def selected(policy: PeerAuthentication, labels: Mapping[str, str], root: str) -> bool:
    """Whether the policy's own words select a workload of its namespace with these labels."""
    return scope_of(policy, root) != "" and selects(_wanted(policy), labels)
