"""Which ports does a Sidecar have the proxy bind in the pod itself?

An egress listener with captureMode NONE listens at the port of each service that it imports, at
127.0.0.1 unless `bind` says otherwise (pilot/pkg/networking/core/listener.go
buildSidecarOutboundListeners, bindToPort; 1.6 to 1.32-dev); an application that wants the same port
on all addresses cannot have it.
"""

from collections.abc import Iterable

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.services import fqdn
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import Scope
from meshdoctor.model.istio import IstioEgressListener, Sidecar
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.patterns import pattern

NONE = "NONE"
_LOCAL = frozenset({"", "0.0.0.0", "127.0.0.1", "::", "::1"})
_TAKEN = pattern(r"[Aa]ddress already in use|EADDRINUSE|[Pp]ort \d{1,5} (?:is|was) already in use")


def binding(sidecar: Sidecar | None) -> tuple[IstioEgressListener, ...]:
    """The egress listeners that bind ports of the pod."""
    egress = sidecar.spec.egress if sidecar is not None else ()
    return tuple(one for one in egress if one.capture_mode == NONE and one.bind in _LOCAL)


def namespaces(listeners: Iterable[IstioEgressListener], own: str) -> frozenset[str]:
    """Whose services they import by name of the namespace; "*" is any."""
    found = {host.partition("/")[0] for one in listeners for host in one.hosts}
    return frozenset(own if one == "." else one for one in found - {"~"})


def bound(
    listeners: Iterable[IstioEgressListener], services: Iterable[Service], in_force: Scope
) -> frozenset[int]:
    """The ports that the proxy binds: those that listeners name, and of one that names none those
    of the services it imports."""
    known, found = tuple(listeners), set[int]()
    for one in known:
        if one.port is not None and one.port.number:
            found.add(one.port.number)
    if any(one.port is None or not one.port.number for one in known):
        for service in services:
            ports = [port.port for port in service.spec.ports]
            if in_force.imports(fqdn(service), service.namespace, ports):
                found.update(ports)
    return frozenset(found)


def taken(text: str, port: int) -> str:
    """The last line in which an application says that a port is in use; "": none.

    >>> taken("listen tcp 0.0.0.0:8080: bind: address already in use", 8080)
    'listen tcp 0.0.0.0:8080: bind: address already in use'
    >>> taken("listen tcp 0.0.0.0:8080: bind: address already in use", 808)
    ''
    """
    number = pattern(rf"(?<!\d){port}(?!\d)")
    found = [one for one in lines(text) if _TAKEN.search(one[:2000]) and number.search(one[:2000])]
    return clean(found[-1], 200) if found else ""
