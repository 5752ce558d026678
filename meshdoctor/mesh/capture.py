"""Does a pod's traffic pass through its sidecar, on which ports and towards which addresses?

Mirrors the arguments that the injection template gives istio-iptables (manifests/charts/
istio-control/istio-discovery/files/injection-template.yaml; tools/istio-iptables, 1.18 to
1.32-dev). What istio-init or istio-validation was really told wins over the annotations, which
the CNI plugin reads. Traffic of the proxy's own user and group is never redirected: `-u`, 1337 or
what OpenShift gave istio-proxy (1.20).
"""

import ipaddress

from msgspec import Struct

from meshdoctor.mesh.workloads import app_containers, is_sidecar
from meshdoctor.model.kubernetes import Pod

PROXY_UID = 1337
_UID = "-u"
NEVER_INBOUND = frozenset({15090, 15021, 15020})
_PREFIX = "traffic.sidecar.istio.io/"
_REDIRECTORS = ("istio-init", "istio-validation")
_FLAGS = {
    "-i": "includeOutboundIPRanges",
    "-x": "excludeOutboundIPRanges",
    "-b": "includeInboundPorts",
    "-d": "excludeInboundPorts",
    "-o": "excludeOutboundPorts",
    "-q": "includeOutboundPorts",
    "-m": "interceptionMode",
}


_FIELDS = (("run_as_user", "runAsUser"), ("run_as_group", "runAsGroup"))


class Bypass(Struct, frozen=True, kw_only=True):
    """What keeps a connection away from the proxy. `by` is the annotation or field, "" none."""

    by: str = ""
    value: str = ""

    def __bool__(self) -> bool:
        return bool(self.by)


def settings(pod: Pod) -> dict[str, str]:
    """The redirection settings in force, by their annotation's short name."""
    found = {
        key.removeprefix(_PREFIX): value
        for key, value in pod.annotations.items()
        if key.startswith(_PREFIX)
    }
    mode = pod.annotations.get("sidecar.istio.io/interceptionMode")
    if mode is not None:
        found["interceptionMode"] = mode
    for container in pod.spec.init_containers:
        if container.name in _REDIRECTORS:
            found |= _told(container.args or container.command)
    return found


def _told(args: tuple[str, ...]) -> dict[str, str]:
    out = {}
    for flag, value in zip(args, args[1:], strict=False):
        if flag in _FLAGS and not (value.startswith("-") and value in _FLAGS):
            out[_FLAGS[flag]] = value
    return out


def proxy_users(pod: Pod) -> frozenset[int]:
    """Users, and by the same numbers groups, whose traffic is taken for the proxy's own."""
    for container in pod.spec.init_containers:
        if container.name in _REDIRECTORS:
            args = container.args or container.command
            told = dict(zip(args, args[1:], strict=False)).get(_UID, "")
            return _ports(told) or frozenset({PROXY_UID})
    return frozenset({PROXY_UID})


def runs_as_proxy(pod: Pod) -> tuple[str, str, int]:
    """(container, field, number) of an application container that runs as the proxy's user or
    group; ("", "", 0): none does."""
    users = proxy_users(pod)
    whole = pod.spec.security_context
    for container in app_containers(pod):
        own = container.security_context
        for field, name in _FIELDS:
            told = getattr(own, field, None)
            number = getattr(whole, field, None) if told is None else told
            if number in users:
                return container.name, name, number
    return "", "", 0


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _ports(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in _list(text) if part.isdigit())


def _within(address: str, ranges: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    for text in _list(ranges):
        if text == "*":
            return True
        try:
            if ip in ipaddress.ip_network(text, strict=False):
                return True
        except ValueError:
            continue
    return False


def _general(pod: Pod, told: dict[str, str]) -> Bypass:
    if told.get("interceptionMode") == "NONE":
        return Bypass(by="sidecar.istio.io/interceptionMode", value="NONE")
    if pod.spec.host_network:
        return Bypass(by="hostNetwork", value="true")
    return Bypass()


def outbound_bypass(pod: Pod, addresses: tuple[str, ...], port: int) -> Bypass:
    """What keeps a pod's calls to these addresses and port away from its sidecar.

    `addresses` are those that may be called, the service's cluster IP first; a range must hold
    all of them. Empty for a pod without sidecar: there is nothing to bypass.
    """
    if not is_sidecar(pod):
        return Bypass()
    return excluded(pod, addresses, port) or _proxy_user(pod)


def excluded(pod: Pod, addresses: tuple[str, ...], port: int) -> Bypass:
    """The same by the settings of the redirection alone, whoever calls."""
    told = settings(pod)
    general = _general(pod, told)
    if general:
        return general
    if port and port in _ports(told.get("excludeOutboundPorts", "")):
        return Bypass(by=_PREFIX + "excludeOutboundPorts", value=told["excludeOutboundPorts"])
    ranges = told.get("excludeOutboundIPRanges", "")
    if addresses and ranges and all(_within(one, ranges) for one in addresses):
        return Bypass(by=_PREFIX + "excludeOutboundIPRanges", value=ranges)
    wanted = told.get("includeOutboundIPRanges", "*")
    named = _ports(told.get("includeOutboundPorts", ""))
    captured = port in named or any(_within(one, wanted) for one in addresses)
    if addresses and wanted != "*" and not captured:
        return Bypass(by=_PREFIX + "includeOutboundIPRanges", value=wanted or '""')
    return Bypass()


def excludes_some(pod: Pod) -> bool:
    """Whether some of the pod's calls are not redirected; which, depends on where they go."""
    told = settings(pod)
    return told.get("includeOutboundIPRanges", "*") != "*" or any(
        told.get(name) for name in ("excludeOutboundPorts", "excludeOutboundIPRanges")
    )


def _proxy_user(pod: Pod) -> Bypass:
    """An application that runs as the proxy's user is taken for the proxy."""
    container, field, number = runs_as_proxy(pod)
    return Bypass(by=f"securityContext.{field}", value=str(number)) if container else Bypass()


def inbound_bypass(pod: Pod, port: int) -> Bypass:
    """What keeps calls to a workload port away from the pod's sidecar; empty: it is captured."""
    if not is_sidecar(pod):
        return Bypass()
    told = settings(pod)
    general = _general(pod, told)
    if general:
        return general
    if port in NEVER_INBOUND:
        return Bypass(by="a port of the proxy itself", value=str(port))
    wanted = told.get("includeInboundPorts", "*")
    if wanted != "*" and port not in _ports(wanted):
        return Bypass(by=_PREFIX + "includeInboundPorts", value=wanted or '""')
    excluded = told.get("excludeInboundPorts", "")
    if wanted == "*" and port in _ports(excluded):
        return Bypass(by=_PREFIX + "excludeInboundPorts", value=excluded)
    return Bypass()


def redirect_missing(pod: Pod) -> bool:
    """Whether nothing set up or checked the redirection of a pod that has a sidecar.

    istio-init does it; with the CNI plugin istio-validation checks it.
    """
    for container in pod.spec.init_containers:
        if container.name in _REDIRECTORS:
            return False
    if pod.spec.host_network or not is_sidecar(pod):
        return False
    return settings(pod).get("interceptionMode") != "NONE"
