"""Was a proxy started with another configuration than the mesh has today?

Mirrors pkg/kube/inject (PROXY_CONFIG in the injection template, cleanProxyConfig drops values
that equal Istio's defaults) and pilot/cmd/pilot-agent (1.18 to 1.32-dev): defaultConfig and
ProxyConfig are fixed when the pod is injected (trap T48).
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from meshdoctor.mesh.annotations import PROXY_CONFIG
from meshdoctor.mesh.workloads import proxy_container
from meshdoctor.model.istio import GatewayTopology, MeshConfig
from meshdoctor.model.kubernetes import ConfigMap, Pod

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEFAULTS: Mapping[str, object] = {
    "discoveryAddress": "istiod.istio-system.svc:15012",
    "concurrency": 2,
    "drainDuration": "45s",
    "terminationDrainDuration": "5s",
    "proxyAdminPort": 15000,
    "statusPort": 15020,
    "statNameLength": 189,
    "interceptionMode": "REDIRECT",
    "serviceCluster": "istio-proxy",
}
_PER_POD = frozenset({"image", "tracing", "discoveryAddress"})


def injected(pod: Pod) -> dict[str, Any] | None:
    """PROXY_CONFIG of the pod's proxy; None when it has none or it was not recorded."""
    container = proxy_container(pod)
    for env in container.env if container is not None else ():
        if env.name == "PROXY_CONFIG" and env.value is not None:
            try:
                found = json.loads(env.value or "{}")
            except json.JSONDecodeError:
                return None
            return found if isinstance(found, dict) else None
    return None


def topology(pod: Pod | None, mesh: MeshConfig) -> GatewayTopology:
    """gatewayTopology in force at a gateway: what its proxy was started with, else what its
    annotation says, else the mesh's (pilot/pkg/networking/core/gateway.go and listener_builder.go,
    ProxyConfigOrDefault)."""
    started = injected(pod) if pod is not None else None
    own = _annotated(pod) if pod is not None else {}
    said = started if started is not None else own
    found = said.get("gatewayTopology", {} if started is not None else None)
    try:
        return msgspec.convert(found, GatewayTopology)
    except msgspec.ValidationError:
        return mesh.default_config.gateway_topology


def _annotated(pod: Pod) -> Mapping[str, Any]:
    """The annotation proxy.istio.io/config; empty where it is no mapping."""
    try:
        found = yaml.load(pod.annotations.get(PROXY_CONFIG, ""), Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def wanted(config_map: ConfigMap | None) -> dict[str, Any]:
    """defaultConfig of the mesh as written; empty when there is none or it cannot be read."""
    try:
        mesh = yaml.load(config_map.data.get("mesh", ""), Loader=_LOADER) if config_map else {}  # noqa: S506
    except yaml.YAMLError:
        return {}
    found = mesh.get("defaultConfig") if isinstance(mesh, dict) else None
    return found if isinstance(found, dict) else {}


def outdated(pod: Pod, config_map: ConfigMap | None) -> str:
    """The first setting of defaultConfig that the pod's proxy was started without or with another
    value; "" when there is none, or the pod sets the field itself.

    Values that equal Istio's defaults are left out of PROXY_CONFIG, so their absence says nothing.
    """
    has = injected(pod)
    if has is None:
        return ""
    own = pod.annotations.get(PROXY_CONFIG, "")
    for key, value in sorted(wanted(config_map).items()):
        if key in _PER_POD or key in own or value is None:
            continue
        if isinstance(value, dict):
            differs = not _subset(value, has.get(key))
        elif key in has:
            differs = has[key] != value
        else:
            differs = value not in ("", False, 0) and value != _DEFAULTS.get(key)
        if differs:
            return key
    return ""


def _subset(value: Mapping[str, Any], has: object) -> bool:
    """Whether scalars below `value` are in `has`; an empty block asks nothing."""
    inner = has if isinstance(has, Mapping) else {}
    for key, one in value.items():
        if isinstance(one, Mapping):
            if not _subset(one, inner.get(key)):
                return False
        elif one not in ("", False, 0, None) and inner.get(key) != one:
            return False
    return True
