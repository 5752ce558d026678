"""Is the pod's own setup one that a sidecar can live with?

Object fields only: the ports, users and lifecycles that istio.io's application requirements name
(ops/deployment/application-requirements) and that pkg/kube/inject sets (1.18 to 1.32-dev).
"""

from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from meshdoctor.mesh.workloads import (
    PROXY,
    app_containers,
    is_native_sidecar,
    proxy_container,
)
from meshdoctor.model.istio import MeshConfig
from meshdoctor.model.kubernetes import Container, Pod
from meshdoctor.model.patterns import pattern

_CONFIG, _OUTPUT_CERTS = "proxy.istio.io/config", "OUTPUT_CERTS"
RESERVED = frozenset({15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090})
_DURATION = pattern(r"(\d+(?:\.\d+)?)(h|ms|s|m)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DRAIN = pattern(r'"?terminationDrainDuration"?\s*:\s*"?([\dhms.]+)"?')
_HOLD = pattern(r'"?holdApplicationUntilProxyStarts"?\s*:\s*"?true"?')
DNS_CAPTURE = "ISTIO_META_DNS_CAPTURE"
AUTO_ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"
_ISTIOD_ALLOCATES = (1, 25)
_ALLOCATES = pattern(r'ISTIO_META_DNS_AUTO_ALLOCATE"?\s*:\s*"?true')
_CAPTURES = pattern(r'ISTIO_META_DNS_CAPTURE"?\s*:\s*"?true')
_SLEEP = pattern(r"\bsleep\s+(\d+)")
_RELEASE = pattern(r":v?(\d+)\.(\d+)(?:\.\d+)?[^/]*$")
EXIT_ON_ZERO = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"
DEFAULT_DRAIN = 5.0
DEFAULT_GRACE = 30


def reserved_port(containers: Iterable[Container]) -> tuple[str, int]:
    """The first (container, port) of the application that the proxy needs itself."""
    for container in containers:
        if container.name == PROXY:
            continue
        for port in container.ports:
            if port.container_port in RESERVED and port.protocol == "TCP":
                return container.name, port.container_port
    return "", 0


def takes_certificates(pod: Pod) -> bool:
    """Whether the proxy writes its certificates to files for the application (proxyMetadata
    OUTPUT_CERTS, pkg/istio-agent): that speaks mutual TLS itself."""
    proxies = (c for c in (*pod.spec.init_containers, *pod.spec.containers) if c.name == PROXY)
    set_there = any(e.name == _OUTPUT_CERTS for c in proxies for e in c.env)
    return set_there or _OUTPUT_CERTS in pod.annotations.get(_CONFIG, "")


def answers_dns(pod: Pod, mesh: MeshConfig) -> bool:
    """Whether the pod's proxy answers the application's DNS (DNS_CAPTURE, off by default in
    sidecars): as injected, or as the mesh or the pod asks for it now. True where it has no
    sidecar: nobody can tell here what ztunnel answers."""
    proxy = proxy_container(pod)
    if proxy is None:
        return True
    said = [e.value or "" for e in proxy.env if e.name in (DNS_CAPTURE, "PROXY_CONFIG")]
    said += [pod.annotations.get("proxy.istio.io/config", "")]
    said += [mesh.default_config.proxy_metadata.get(DNS_CAPTURE, "")]
    return any(text == "true" or _CAPTURES.search(text) for text in said)


def allocates_addresses(pod: Pod, mesh: MeshConfig) -> bool:
    """Whether hosts of entries without addresses get one that the proxy can answer with: the proxy
    asks for it (DNS_AUTO_ALLOCATE), or istiod allocates it (by default since 1.25)."""
    proxy = proxy_container(pod)
    minor = release(proxy.image) if proxy is not None else None
    if proxy is None or minor is None or minor >= _ISTIOD_ALLOCATES:
        return True
    said = [e.value or "" for e in proxy.env if e.name in (AUTO_ALLOCATE, "PROXY_CONFIG")]
    said += [pod.annotations.get("proxy.istio.io/config", "")]
    said += [mesh.default_config.proxy_metadata.get(AUTO_ALLOCATE, "")]
    return any(text == "true" or _ALLOCATES.search(text) for text in said)


def holds_application(pod: Pod) -> bool:
    """Whether the application waits for the proxy: native sidecar, or the post-start hook."""
    if is_native_sidecar(pod):
        return True
    proxy = pod.container(PROXY)
    hook = proxy.lifecycle.post_start if proxy is not None and proxy.lifecycle else None
    return hook is not None and hook.exec is not None and "wait" in hook.exec.command


class ProxyConfig(Struct, frozen=True, kw_only=True):
    """What a proxy config text says of start and end; `drain` None: nothing."""

    holds: bool
    drain: float | None
    exits_on_zero: bool


@lru_cache(maxsize=1024)
def proxy_config(text: str) -> ProxyConfig:
    """Read from annotation, PROXY_CONFIG or an environment variable: JSON or YAML alike."""
    drain = _DRAIN.search(text)
    return ProxyConfig(
        holds=bool(_HOLD.search(text)),
        drain=seconds(drain.group(1)) if drain is not None else None,
        exits_on_zero=_exits(text),
    )


def _exits(text: str) -> bool:
    _, found, rest = text.partition(EXIT_ON_ZERO)
    return bool(found) and rest.lstrip("\"': ").lower().startswith("true")


def drain_seconds(configs: Iterable[ProxyConfig]) -> float:
    """The first terminationDrainDuration; Istio's 5 s when none says."""
    return next((c.drain for c in configs if c.drain is not None), DEFAULT_DRAIN)


def seconds(text: str) -> float:
    """A Go duration in seconds; 0.0 for what is none."""
    return sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))


def app_stop_seconds(pod: Pod) -> float:
    """How long the application says it needs to stop: its preStop sleep, 0.0 when it has none."""
    longest = 0.0
    for container in app_containers(pod):
        hook = container.lifecycle.pre_stop if container.lifecycle else None
        if hook is None or hook.exec is None:
            continue
        found = _SLEEP.search(" ".join(hook.exec.command))
        if found is not None:
            longest = max(longest, float(found.group(1)))
    return longest


@lru_cache(maxsize=1024)
def release(image: str) -> tuple[int, int] | None:
    """(minor release) of an image reference; None when its tag is none."""
    found = _RELEASE.search(image)
    return (int(found.group(1)), int(found.group(2))) if found else None


def skewed(proxy: tuple[int, int] | None, istiod: tuple[int, int] | None) -> bool | None:
    """Whether a proxy is more than two minors behind istiod, or ahead of it; None: not known."""
    if proxy is None or istiod is None:
        return None
    return proxy[0] != istiod[0] or proxy[1] > istiod[1] or proxy[1] < istiod[1] - 2
