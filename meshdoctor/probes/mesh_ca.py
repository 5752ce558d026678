"""Who signs the mesh's certificates, with which root, and is that root in date?"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, TypeVar

from msgspec import Struct

from meshdoctor.mesh import ca
from meshdoctor.mesh.certificates import Bundle, compare
from meshdoctor.mesh.sync_judgement import proxy_never_gets_ready
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready, owner_of, proxy_type
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, Pod, Secret
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import reading
from meshdoctor.probes.propagation_reading import unready_proxies
from meshdoctor.probes.view import View, attempt, probe

T = TypeVar("T")
V = TypeVar("V")


class MeshCa(Struct, frozen=True, kw_only=True):
    """The CA from objects: ConfigMap istio-ca-root-cert, the CA's Secret, istiod and proxies."""

    kind: Annotated[
        Fact[str],
        "istiod self-signed, istiod with cacerts, istio-csr, kubernetes, spire or another CA",
    ]
    external: Annotated[Fact[bool], "proxies do not ask istiod"]
    plugged: Annotated[Fact[bool], "a Secret cacerts exists in istiod's namespace"]
    struggling: Annotated[Fact[bool], "istiod, or a proxy that runs, is not ready"]
    istiod_ready: Annotated[Fact[bool], "every istiod pod is ready"]
    istiod: Annotated[Fact[Ref], "the workload that runs istiod"]
    istiod_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "istiod's namespace"]
    secret: Annotated[Fact[Ref], "the Secret that istiod signs with"]
    secret_name: Annotated[Fact[str], "its name"]
    missing_keys: Annotated[Fact[str], "keys that cacerts lacks; empty: none"]
    secret_state: Annotated[
        Fact[str], "valid, expired or early: the signing certificate; empty: not seen", OBSERVED
    ]
    secret_not_after: Annotated[Fact[datetime], "when the signing certificate ends", OBSERVED]
    serving_by: Annotated[
        Fact[str], "the cluster's signer that signs istiod's own certificate; empty: istiod does"
    ]
    root_map: Annotated[Fact[Ref], "ConfigMap istio-ca-root-cert of istiod's namespace"]
    root_state: Annotated[
        Fact[str], "valid, expired or early: the root handed out; empty: none", OBSERVED
    ]
    root_not_after: Annotated[Fact[datetime], "when the root handed out ends", OBSERVED]
    root_subject: Annotated[Fact[str], "its subject"]
    root_bits: Annotated[Fact[int], "size of its key"]
    secret_differs: Annotated[
        Fact[bool], "the root in the Secret is not among those handed out", OBSERVED
    ]
    secret_after_istiod: Annotated[Fact[bool], "the Secret was written after istiod started"]
    rival: Annotated[Fact[Ref], "an istiod of another namespace; empty: none"]
    rival_namespace: Annotated[Fact[str], "its namespace"]
    rival_differs: Annotated[
        Fact[bool], "the two hand out different roots, and neither is kept to its own namespaces"
    ]


READS = ("ConfigMap", "DaemonSet", "Deployment", "Job", "Pod", "Secret", "StatefulSet")


@probe("mesh-ca", subject=SubjectKind.MESH, reads=READS)
def mesh_ca(view: View, mesh: MeshSubject) -> MeshCa:
    """Who signs the mesh's certificates, with which root, and is that root in date?"""
    space = view.istio_namespace
    istiods = reading.istiod_pods(view)
    pods = view.objects("Pod", Pod)
    root = attempt(lambda: ca.root_bundle(_map(view, space)))
    plugged = attempt(lambda: view.object("Secret", Secret, space, ca.PLUGGED))
    secret = (
        plugged
        if plugged is not None
        else attempt(lambda: view.object("Secret", Secret, space, ca.OWN))
    )
    name = ca.OWN if plugged is None else ca.PLUGGED
    owner = owner_of(istiods[0]) if istiods else None
    rival = _rival(pods, space)
    kind: Fact[str] = (
        plugged if isinstance(plugged, Unavailable) else ca.kind(istiods, pods, plugged is not None)
    )
    return MeshCa(
        kind=kind,
        external=kind
        if isinstance(kind, Unavailable)
        else kind
        not in (
            ca.SELF_SIGNED,
            ca.PLUGGED_IN,
        ),
        plugged=plugged if isinstance(plugged, Unavailable) else plugged is not None,
        struggling=any(not is_ready(p) for p in istiods) or any(map(_waits, unready_proxies(view))),
        istiod_ready=bool(istiods) and all(is_ready(p) for p in istiods),
        istiod=Ref(owner.ref if owner else f"Deployment/{space}/istiod"),
        istiod_name=owner.name if owner else "istiod",
        namespace=space,
        secret=Ref(f"Secret/{space}/{name}"),
        secret_name=name,
        missing_keys=_of(secret, lambda s: ", ".join(ca.missing_keys(s) if s else ()))
        if name == ca.PLUGGED
        else "",
        secret_state=_of(secret, lambda s: ca.worst_state(_leaf(s), view.now)),
        secret_not_after=_of(secret, lambda s: _end(_leaf(s), "the CA's certificate")),
        serving_by=clean(ca.signed_by_cluster(istiods), 120),
        root_map=Ref(f"ConfigMap/{space}/{ca.ROOT_MAP}"),
        root_state=_of(root, lambda b: ca.worst_state(b, view.now)),
        root_not_after=_of(root, lambda b: _end(b, "the root certificate")),
        root_subject=_of(root, lambda b: clean(b.leaf.subject) if b.leaf else ""),
        root_bits=_of(root, lambda b: b.leaf.bits if b.leaf else 0),
        secret_differs=_differs(secret, root),
        secret_after_istiod=_of(secret, lambda s: _written_after(s, istiods)),
        rival=Ref(owner_of(rival).ref if rival else ""),
        rival_namespace=rival.namespace if rival else "",
        rival_differs=_rival_differs(view, rival, root),
    )


def _map(view: View, namespace: str) -> ConfigMap | None:
    return view.object("ConfigMap", ConfigMap, namespace, ca.ROOT_MAP)


def _waits(pod: Pod) -> bool:
    """Whether the pod's proxy has started and is not ready, as one without certificate is."""
    return proxy_never_gets_ready(pod) and proxy_type(pod) in ("sidecar", "router")


def _leaf(secret: Secret | None) -> Bundle:
    """The signing certificate alone."""
    return Bundle(certificates=ca.signing_chain(secret).certificates[:1])


def _end(bundle: Bundle, what: str) -> Fact[datetime]:
    """When the last certificate of a bundle ends."""
    if not bundle.certificates:
        return Unavailable(reason=Reason.NOT_FOUND, what=what)
    return max(c.not_after for c in bundle.certificates)


def _differs(secret: Secret | Unavailable | None, root: Bundle | Unavailable) -> Fact[bool]:
    for one in (secret, root):
        if isinstance(one, Unavailable):
            return one
    if secret is None or isinstance(secret, Unavailable) or isinstance(root, Unavailable):
        return False
    return compare(ca.secret_roots(secret).roots, root.roots) == "differ"


def _written_after(secret: Secret | None, istiods: Iterable[Pod]) -> bool:
    """Whether the Secret's last write is later than the newest istiod's start."""
    if secret is None:
        return False
    times = [f.time for f in secret.metadata.managed_fields if f.time is not None]
    written = max(times, default=secret.metadata.creation_timestamp)
    starts = [p.status.start_time for p in istiods if p.status.start_time is not None]
    return bool(written and starts and written > max(starts))


def _rival(pods: Iterable[Pod], space: str) -> Pod | None:
    """An istiod pod of another namespace in the run's scope."""
    everywhere = (p for p in pods if p.metadata.labels.get("app") == "istiod")
    return next((p for p in everywhere if p.namespace != space), None)


def _rival_differs(view: View, rival: Pod | None, root: Bundle | Unavailable) -> Fact[bool]:
    if rival is None:
        return False
    if isinstance(root, Unavailable):
        return root
    try:
        other = ca.root_bundle(_map(view, rival.namespace))
        bounded = bool(reading.mesh_config(view).discovery_selectors)
    except EvidenceError as error:
        return error.unavailable
    return compare(root.roots, other.roots) == "differ" and not bounded


def _of(value: V | Unavailable, use: Callable[[V], T | Unavailable]) -> T | Unavailable:
    """A fact from a value that may be unavailable."""
    return value if isinstance(value, Unavailable) else use(value)
