"""Which annotations of a pod would istiod refuse to inject with?

Stage C of the injection decision. Mirrors pkg/kube/inject/validate.go validateAnnotations and
inject.go selectTemplates (same list in 1.18 to 1.32-dev); one bad value fails the pod's creation.
"""

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache

import yaml

from meshdoctor.mesh.injector_config import InjectorConfig
from meshdoctor.mesh.text import clean

TEMPLATES = "inject.istio.io/templates"
PROXY_CONFIG = "proxy.istio.io/config"
PROXY_RESOURCES = (
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyMemoryLimit",
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLS = frozenset(
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
)


def refused(annotations: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """(annotation, value, what is wrong) for each that istiod refuses, sorted by name."""
    out = []
    for name in sorted(annotations.keys() & CHECKS.keys()):
        problem = CHECKS[name](annotations[name])
        if problem:
            out.append((name, clean(annotations[name], 100), problem))
    return tuple(out)


def unknown_templates(annotations: Mapping[str, str], config: InjectorConfig) -> tuple[str, ...]:
    """Templates that the pod asks for and the injector does not have; none asked: the defaults."""
    asked = annotations.get(TEMPLATES)
    names = asked.split(",") if asked else list(config.default_templates)
    return tuple(clean(name.strip(), 63) for name in names if name.strip() not in config.templates)


def bad_quantities(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Resource annotations that are no Kubernetes quantity: the rendered pod would be invalid."""
    return tuple(
        n for n in PROXY_RESOURCES if n in annotations and quantity(annotations[n]) is None
    )


def quantity(value: object) -> float | None:
    """A Kubernetes quantity as a number; None when it is none."""
    return _quantity(str(value).strip())


@lru_cache(maxsize=1024)
def _quantity(text: str) -> float | None:
    digits = text.rstrip("numkMGTPEi")
    suffix = text[len(digits) :]
    if digits and suffix and digits[-1] in "eE":
        return None
    try:
        return None if digits != digits.strip() else float(digits) * _SUFFIX[suffix]
    except (KeyError, ValueError):
        return None


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


@lru_cache(maxsize=256)
def _proxy_config(value: str) -> str:
    try:
        data = yaml.load(value, Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError:
        return "not valid YAML"
    return "" if data is None or isinstance(data, dict) else "not a mapping"


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
    PROXY_CONFIG: _proxy_config,
}
