"""Which probes does the kubelet make into a pod, and does the sidecar see them?

The injector rewrites httpGet, tcpSocket and grpc probes of application containers to port 15020,
which is never captured, and keeps the originals in ISTIO_KUBE_APP_PROBERS (pkg/kube/inject/
app_probe.go, 1.18 to 1.32-dev). A probe that was not rewritten reaches the sidecar in plaintext.
tcpSocket and grpc probes: rewritten since 1.13 and 1.14.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from meshdoctor.mesh.log_text import json_object
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, app_containers, proxy_container
from meshdoctor.model.kubernetes import Container, IntOrString, Lifecycle, Pod, PodSpec, Probe
from meshdoctor.model.patterns import pattern

REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"
STATUS_PORT = "status.sidecar.istio.io/port"
AGENT_PORT = 15020
_NUMBER = pattern(r"[+-]?[0-9]{1,9}")
_YES = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_NO = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_PROBERS = "ISTIO_KUBE_APP_PROBERS"


class AppProbe(Struct, frozen=True, kw_only=True):
    """One probe of the pod as it stands: `kind` readiness, liveness or startup; `port` 0: none."""

    container: str
    kind: str
    port: int
    scheme: str
    path: str
    rewritten: bool


def app_probes(pod: Pod) -> tuple[AppProbe, ...]:
    """Network probes of the application's containers (exec probes stay in the container)."""
    found = []
    for container in (*app_containers(pod), *_restarting(pod)):
        for kind, probe in _kinds(container):
            one = _probe(container, kind, probe)
            if one is not None:
                found.append(one)
    return tuple(found)


def _restarting(pod: Pod) -> tuple[Container, ...]:
    """Native sidecars other than Istio's: init containers with probes of their own."""
    init = pod.spec.init_containers
    return tuple([c for c in init if c.restart_policy == "Always" and c.name != PROXY])


def _kinds(container: Container) -> Iterator[tuple[str, Probe]]:
    if container.readiness_probe is not None:
        yield "readiness", container.readiness_probe
    if container.liveness_probe is not None:
        yield "liveness", container.liveness_probe
    if container.startup_probe is not None:
        yield "startup", container.startup_probe


def _probe(container: Container, kind: str, probe: Probe) -> AppProbe | None:
    get, tcp = probe.http_get, probe.tcp_socket
    if get is not None:
        port, scheme, path = _port(container, get.port), get.scheme or "HTTP", get.path
    elif tcp is not None:
        port, scheme, path = _port(container, tcp.port), "TCP", ""
    elif probe.grpc is not None:
        port, scheme, path = probe.grpc.port, "GRPC", ""
    else:
        return None
    rewritten = port == AGENT_PORT and path.startswith("/app-health/")
    return AppProbe(
        container=container.name,
        kind=kind,
        port=port,
        scheme=scheme.upper(),
        path=path,
        rewritten=rewritten,
    )


def _port(container: Container, port: IntOrString) -> int:
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((p.container_port for p in container.ports if p.name == port), 0)


def not_rewritten(pod: Pod) -> tuple[AppProbe, ...]:
    """Probes that reach a captured port as the kubelet sends them."""
    if proxy_container(pod) is None:
        return ()
    found = []
    for container in (*app_containers(pod), *_restarting(pod)):
        for kind, probe in _kinds(container):
            if probe.http_get is not None and probe.http_get.port == AGENT_PORT:
                continue
            one = _probe(container, kind, probe)
            if one is not None and one.port != AGENT_PORT:
                found.append(one)
    return tuple(found)


def rewrite_off(pod: Pod) -> bool:
    """Whether the pod itself asked that probes be left alone."""
    return pod.annotations.get(REWRITE, "").lower() == "false"


def without_port(spec: PodSpec, annotations: Mapping[str, str], default: bool) -> str:
    """A probe or hook of the template that the injector would lead to port 0, which the API server
    refuses, as `readinessProbe of container app`; "": none. `default`: the injector rewrites where
    the pod does not say. A port that is no number (blanks around it pass as one elsewhere) is 0 to
    patchRewriteProbe, and so is 0, which is meant to switch the proxy's own probe off."""
    value = annotations.get(STATUS_PORT, "1")
    if not _rewrites(annotations, default) or (_NUMBER.fullmatch(value) and int(value)):
        return ""
    for container in (*spec.containers, *spec.init_containers):
        found = next(_rewritten(container), "") if container.name != PROXY else ""
        if found:
            return f"{found} of container {clean(container.name, 63)}"
    return ""


def _rewrites(annotations: Mapping[str, str], default: bool) -> bool:
    said = annotations.get(REWRITE, "")
    return said in _YES or (default and said not in _NO)


def _rewritten(container: Container) -> Iterator[str]:
    for kind, probe in _kinds(container):
        if probe.http_get or probe.tcp_socket or probe.grpc:
            yield f"{kind}Probe"
    hooks = container.lifecycle or Lifecycle()
    for kind, hook in (("postStart", hooks.post_start), ("preStop", hooks.pre_stop)):
        if hook is not None and (hook.http_get or hook.tcp_socket):
            yield f"{kind} hook"


def _originals(pod: Pod) -> Iterator[tuple[str, int]]:
    """(scheme, port) of rewritten probes, from what the injector kept."""
    proxy = proxy_container(pod)
    if proxy is None:
        return
    text = next((e.value for e in proxy.env if e.name == _PROBERS and e.value), "") or ""
    for one in (json_object(text) or {}).values():
        get = one.get("httpGet") if isinstance(one, dict) else None
        if isinstance(get, dict) and isinstance(get.get("port"), int):
            yield str(get.get("scheme") or "HTTP").upper(), get["port"]


def serves_tls(pod: Pod, port: int) -> bool:
    """Whether the application's own probe says that it serves HTTPS on a port."""
    asked = [(p.scheme, p.port) for p in app_probes(pod) if not p.rewritten]
    return ("HTTPS", port) in (*asked, *_originals(pod))
