"""Which annotations of a pod would istiod refuse to inject with?

Stage C of the injection decision. Mirrors pkg/kube/inject/validate.go validateAnnotations,
inject.go selectTemplates and the injection template (1.18 to 1.32-dev; what changed has the
releases beside it); one bad value fails the pod's creation.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from meshdoctor.mesh import proxy_config_value
from meshdoctor.mesh.injector_config import InjectorConfig
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

TEMPLATES = "inject.istio.io/templates"
PROXY_CONFIG = "proxy.istio.io/config"
PROXY_RESOURCES = (
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyMemoryLimit",
)
_BOOLS = frozenset(
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
)


def refused(
    annotations: Mapping[str, str], release: tuple[int, ...] | None = None
) -> tuple[tuple[str, str, str], ...]:
    """(annotation, value, what is wrong) for each that istiod of a release such as (1, 26)
    refuses, sorted by name; None: not known, the newest is assumed."""
    out = []
    for name in sorted(annotations.keys() & CHECKS.keys()):
        since, until = RELEASES.get(name, ALWAYS)
        problem = CHECKS[name](annotations[name])
        if problem and since <= (release or NEWEST) < until:
            out.append((name, clean(annotations[name], 100), problem))
    return tuple(out)


def unknown_templates(annotations: Mapping[str, str], config: InjectorConfig) -> tuple[str, ...]:
    """Templates that the pod asks for and the injector does not have, fit to be shown; none
    asked: the defaults."""
    asked = annotations.get(TEMPLATES)
    names = config.default_templates if asked is None else tuple(map(str.strip, asked.split(",")))
    return tuple(clean(name, 63) or "''" for name in names if name not in config.templates)


def bad_quantities(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Resource annotations that are no Kubernetes quantity, or one below zero: the rendered pod
    would be invalid."""
    return tuple(n for n in PROXY_RESOURCES if n in annotations and not _fit(annotations[n]))


def _fit(value: str) -> bool:
    found = quantity(value)
    return found is not None and found >= 0


def quantity(value: object) -> float | None:
    """A Kubernetes quantity as a number; None when it is none (apimachinery's resource.Quantity:
    a number with either an exponent or a suffix)."""
    return _quantity(str(value))


@lru_cache(maxsize=1024)
def _quantity(text: str) -> float | None:
    found = _QUANTITY.fullmatch(text)
    return None if found is None else float(found[1]) * _SUFFIX[found[2] or ""]


_QUANTITY = pattern(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3}(?!\w))?)([numkMGTPE]|[KMGTPE]i)?", re.ASCII
)
_SUFFIX = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "P": 1e15, "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
    "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def _mode(value: str) -> str:
    return "" if value in ("REDIRECT", "TPROXY", "NONE") else "use REDIRECT, TPROXY or NONE"


def _port(value: str) -> str:
    text = value.strip()
    good = text.isascii() and text.isdigit() and int(text) < 65536
    return "" if good else "not a port number"


def _ports(value: str) -> str:
    text = value.strip()
    bad = [one for one in text.split(",") if _port(one)] if text else []
    return f"{clean(bad[0], 40)!r} is no port number" if bad else ""


def _ports_or_all(value: str) -> str:
    return "" if value == "*" else _ports(value)


def _uint32(value: str) -> str:
    good = value.isascii() and value.isdigit() and int(value) < 2**32
    return "" if good else "not a whole number"


def _bool(value: str) -> str:
    return "" if value in _BOOLS else "not true or false"


def _cidrs(value: str) -> str:
    for one in value.split(",") if value else ():
        if not _cidr(one):
            return f"{clean(one, 60)!r} is no CIDR (a/b)"
    return ""


def _cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    try:
        limit = ipaddress.ip_address(address).max_prefixlen
    except ValueError:
        return False
    plain = bits.isascii() and bits.isdigit() and (bits == "0" or not bits.startswith("0"))
    return bool(slash) and plain and int(bits) <= limit


def _cidrs_or_all(value: str) -> str:
    return "" if value == "*" else _cidrs(value)


def _interfaces(value: str) -> str:
    for one in map(str.strip, value.split(",")) if value else ():
        if len(one) > 15 or not _INTERFACE.fullmatch(one):
            return f"{clean(one, 40)!r} is no name of an interface"
    return ""


def _amount(value: str) -> str:
    return "" if quantity(value) is not None else "not a quantity such as 100m or 128Mi"


def _json(value: str) -> str:
    try:
        json.loads(value)
    except ValueError:
        return "not valid JSON"
    return ""


_INTERFACE = pattern(r"[a-zA-Z][a-zA-Z0-9_.-]*", re.ASCII)
NEWEST, ALWAYS = (99,), ((0,), (100,))
RELEASES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "sidecar.istio.io/enableCoreDump": ((0,), (1, 25)),
    "traffic.sidecar.istio.io/excludeInterfaces": ((1, 30), (100,)),
    "traffic.sidecar.istio.io/kubevirtInterfaces": ((1, 30), (100,)),
    "istio.io/reroute-virtual-interfaces": ((1, 30), (100,)),
}
"""Since and until which release an annotation is looked at; ALWAYS where it is not here. Resources
are since 1.27.6, 1.28.4 and 1.29; until then the API server refused what is no quantity."""
CHECKS: Mapping[str, Callable[[str], str]] = {
    "sidecar.istio.io/interceptionMode": _mode,
    "status.sidecar.istio.io/port": _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _uint32,
    "readiness.status.sidecar.istio.io/periodSeconds": _uint32,
    "readiness.status.sidecar.istio.io/failureThreshold": _uint32,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _cidrs_or_all,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _cidrs,
    "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
    "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _bool,
    "sidecar.istio.io/enableCoreDump": _bool,
    "traffic.sidecar.istio.io/excludeInterfaces": _interfaces,
    "traffic.sidecar.istio.io/kubevirtInterfaces": _interfaces,
    "istio.io/reroute-virtual-interfaces": _interfaces,
    "sidecar.istio.io/userVolume": _json,
    "sidecar.istio.io/userVolumeMount": _json,
    **dict.fromkeys(PROXY_RESOURCES, _amount),
    PROXY_CONFIG: proxy_config_value.wrong,
}
