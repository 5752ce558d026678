"""Who signs the mesh's certificates, and which root does it hand out?

istiod signs with Secret `cacerts` when there is one, else with its own `istio-ca-secret`
(pilot/pkg/bootstrap/istio_ca.go; 1.20 to 1.32-dev). An agent asks another CA when CA_ADDR or
meshConfig.caAddress names it, or when an SDS socket of SPIRE is mounted.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.certificates import Bundle, parse
from meshdoctor.mesh.istiod_health import CONTAINER as ISTIOD
from meshdoctor.mesh.workloads import PROXY, proxy_container
from meshdoctor.model.kubernetes import ConfigMap, Container, Pod, Projected, Secret

ROOT_MAP = "istio-ca-root-cert"
PLUGGED, OWN = "cacerts", "istio-ca-secret"
MOUNTED = "istio-csr-dns-cert"
SELF_SIGNED, PLUGGED_IN = "istiod self-signed", "istiod with cacerts"
ISTIO_CSR, KUBERNETES, SPIRE, OTHER = "istio-csr", "kubernetes", "spire", "another CA"


def root_bundle(found: ConfigMap | None) -> Bundle:
    """The roots in ConfigMap `istio-ca-root-cert`; empty when it is absent or empty."""
    return parse(found.data.get("root-cert.pem", "") if found is not None else "")


def secret_roots(secret: Secret | None) -> Bundle:
    """The roots that istiod takes from its Secret: `root-cert.pem`, cert-manager's `ca.crt`, or
    `ca-cert.pem` of a self-signed CA."""
    if secret is None:
        return Bundle(certificates=())
    for key in ("root-cert.pem", "ca.crt", "ca-cert.pem"):
        found = parse(secret.data.get(key, ""))
        if found.certificates:
            return found
    return Bundle(certificates=())


def signing_chain(secret: Secret | None) -> Bundle:
    """The signing certificate and its intermediates."""
    if secret is None:
        return Bundle(certificates=())
    keys = ("ca-cert.pem", "tls.crt", "cert-chain.pem")
    return parse("".join(secret.data.get(key, "") for key in keys))


def mounted_in(istiod: Pod) -> str:
    """The Secret whose certificate istiod shows instead of one that it signs itself, when it
    exists: that of the chart's optional volume; "": istiod has no such volume."""
    secrets = (v.secret for v in istiod.spec.volumes if v.name == MOUNTED)
    return next((s.secret_name for s in secrets if s is not None), "")


def signed_by_cluster(istiods: Iterable[Pod]) -> str:
    """What an istiod is told to have its own certificate signed by, where that is not itself but a
    signer of the cluster (`kubernetes`, `k8s.io/NAME`; pilot/pkg/bootstrap/certcontroller.go)."""
    for pod in istiods:
        told = _env(pod.container(ISTIOD), "PILOT_CERT_PROVIDER")
        if told == KUBERNETES or told.startswith("k8s.io/"):
            return told
    return ""


def missing_keys(secret: Secret) -> tuple[str, ...]:
    """Keys that istiod wants in `cacerts` and that are absent: the four files of a plugged-in CA,
    or the three of a TLS secret; empty when one of the two sets is whole."""
    files = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
    tls = ("tls.crt", "tls.key", "ca.crt")
    lacks = tuple(k for k in files if k not in secret.data)
    if not lacks or all(k in secret.data for k in tls):
        return ()
    return tuple(k for k in tls if k not in secret.data) if "tls.crt" in secret.data else lacks


def worst_state(bundle: Bundle, now: datetime) -> str:
    """`valid` when any certificate of the bundle is in date, else `expired` or `early`; "" when
    there is none."""
    states = {c.state(now) for c in bundle.certificates}
    return next((s for s in ("valid", "expired", "early") if s in states), "")


def _env(container: Container | None, name: str) -> str:
    """A variable's value; of two the later one counts, as for the kubelet: istiod writes CA_ADDR
    first, and what proxyMetadata adds after it."""
    said = [one.value for one in container.env if one.name == name] if container is not None else []
    return said[-1] or "" if said else ""


class Signing(Struct, frozen=True, kw_only=True):
    """Who signs a proxy's certificates: CA_ADDR ("": the istiod that configures it), whether that
    is not istiod or an SDS socket of SPIRE is mounted, and the audience of the projected
    istio-token ("": none is projected)."""

    address: str
    external: bool
    audience: str


def signing(pod: Pod) -> Signing:
    """What the pod of a proxy says of it."""
    address, spire, audience = _env(proxy_container(pod), "CA_ADDR"), False, None
    for volume in pod.spec.volumes:
        if volume.csi is not None and "spiffe" in volume.csi.driver:
            spire = True
        if volume.projected is not None and audience is None:
            audience = _audience(volume.projected)
    external = spire or _is_elsewhere(address)
    return Signing(address=address, external=external, audience=audience or "")


def domain_of(pod: Pod) -> str:
    """The trust domain that the pod's proxy was started for; "" where it is not told."""
    return _env(proxy_container(pod), "TRUST_DOMAIN")


_CLUSTER_FLAG = "--cluster-id"
DEFAULT_CLUSTER = "Kubernetes"
"""Of proxies and of istio-csr alike, where nothing else is said."""


def cluster_of(pod: Pod) -> str:
    """The cluster that a proxy says it is in."""
    return _env(proxy_container(pod), "ISTIO_META_CLUSTER_ID") or DEFAULT_CLUSTER


def cluster_taken(containers: Iterable[Container]) -> str:
    """The cluster whose callers cert-manager's istio-csr takes (cmd/app/options, --cluster-id); ""
    when none of the containers is one, or it says so in a way that is not read here."""
    found = next((c for c in containers if "istio-csr" in c.image), None)
    if found is None or found.args == ():
        return ""
    words = (*found.command, *found.args)
    for index, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag == _CLUSTER_FLAG:
            return value or "".join(words[index + 1 : index + 2])
    return DEFAULT_CLUSTER


def _is_elsewhere(address: str) -> bool:
    return bool(address) and "istiod" not in address.split(":")[0]


def _audience(projected: Projected) -> str | None:
    for source in projected.sources:
        token = source.service_account_token
        if token is not None and token.path == "istio-token":
            return token.audience
    return None


def _has_spire(pod: Pod) -> bool:
    drivers = [v.csi for v in pod.spec.volumes if v.csi is not None]
    return bool(drivers) and any("spiffe" in one.driver for one in drivers)


def kind(istiods: Iterable[Pod], pods: Iterable[Pod], has_cacerts: bool) -> str:
    """The kind of CA, from what istiod and the proxies of these pods are told."""
    for pod in istiods:
        for container in pod.all_containers:
            provider = _env(container, "PILOT_CERT_PROVIDER")
            if (
                provider.startswith("k8s.io/")
                or _env(container, "EXTERNAL_CA") == "ISTIOD_RA_KUBERNETES_API"
            ):
                return KUBERNETES
    for pod in pods:
        proxy = pod.container(PROXY)
        if proxy is None:
            continue
        address = _env(proxy, "CA_ADDR")
        if _has_spire(pod):
            return SPIRE
        if _is_elsewhere(address):
            return ISTIO_CSR if "istio-csr" in address else OTHER
    return PLUGGED_IN if has_cacerts else SELF_SIGNED
