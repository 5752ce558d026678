"""Which mTLS mode does a proxy enforce on a port, and which policy decided?

Mirrors pilot/pkg/security/authn/policy_applier.go ComposePeerAuthentication, pilot/pkg/model/
authentication.go GetNamespaceMutualTLSMode and push_context.go BestEffortInferServiceMTLSMode
(read at 1.18 to 1.32-dev).
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.selectors import workload_selected
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
    mesh = space = workload = None
    for policy in oldest_first(policies):
        match scope_of(policy, root):
            case "mesh":
                mesh = mesh or policy
            case "namespace" if policy.namespace == namespace:
                space = space or policy
            case "workload" if policy.namespace == namespace and labels is not None:
                if workload_selected(policy.spec.selector, labels):
                    workload = workload or policy
            case _:
                pass
    return Scopes(mesh=mesh, namespace=space, workload=workload)


def effective(
    policies: Iterable[PeerAuthentication],
    namespace: str,
    labels: Mapping[str, str],
    root: str,
    port: int = 0,
) -> Ruling:
    """The mode that a workload's proxy enforces on a *workload* port (0: ports without a rule).

    UNSET inherits: port from workload, workload from namespace, namespace from mesh, mesh from
    Istio's default PERMISSIVE.
    """
    found = scopes(policies, namespace, labels, root)
    ruling = _inherit(found)
    if found.workload is None or not port:
        return ruling
    rule = found.workload.spec.port_level_mtls.get(str(port))
    if rule is None or rule.mode == UNSET:
        return ruling
    return Ruling(mode=rule.mode, policy=found.workload, level=PORT)


def for_cluster(policies: Iterable[PeerAuthentication], namespace: str, root: str) -> Ruling:
    """What auto mTLS believes of a whole service: namespace and mesh policies only.

    Workload and port rules are consulted per endpoint, and only where an endpoint may choose.
    """
    return _inherit(scopes(policies, namespace, None, root))


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
