"""Which endpoints does a proxy hold for a cluster, and are they usable?

Reads `istioctl proxy-config endpoint` as table or JSON, same columns in 1.18 to 1.32-dev. EDS
healthy is not usable: an ejected endpoint says FAILED under OUTLIER CHECK (trap T49).
"""

import msgspec
from msgspec import Struct

from meshdoctor.mesh.text import strip_ansi
from meshdoctor.model.kubernetes import Partial
from meshdoctor.model.patterns import pattern
from meshdoctor.model.ready import decoder
from meshdoctor.ports import UnparsableError

_ROW = pattern(r"^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*$")


class _Socket(Partial, frozen=True):
    address: str = ""
    port_value: int = 0


class _Address(Partial, frozen=True):
    socket_address: _Socket = _Socket()


class _Health(Partial, frozen=True):
    eds_health_status: str = ""
    failed_outlier_check: bool = False


class _Host(Partial, frozen=True):
    address: _Address = _Address()
    health_status: _Health = _Health()


class _Cluster(Partial, frozen=True):
    name: str = ""
    host_statuses: tuple[_Host, ...] = ()


class ProxyEndpoint(Struct, frozen=True, kw_only=True):
    """One endpoint in one cluster of one proxy."""

    address: str
    port: int
    cluster: str
    healthy: bool
    ejected: bool


def parse(text: str) -> tuple[ProxyEndpoint, ...]:
    """Every endpoint; empty when the proxy holds none. Raises UnparsableError on other text.

    >>> parse('''ENDPOINT          STATUS      OUTLIER CHECK     CLUSTER
    ... 10.0.0.1:8080     HEALTHY     FAILED            outbound|80||pay.shop.svc.cluster.local
    ... ''')[0].ejected
    True
    """
    body = strip_ansi(text).strip()
    if body.startswith(("[", "{")):
        return _json(body)
    lines = body.splitlines()
    if lines and not lines[0].startswith("ENDPOINT"):
        raise UnparsableError("proxy-config endpoint", lines[0][:80])
    return tuple(one for line in lines[1:] if (one := _row(line)) is not None)


def _row(line: str) -> ProxyEndpoint | None:
    found = _ROW.match(line)
    if found is None:
        return None
    address, _, port = found[1].rpartition(":")
    return ProxyEndpoint(
        address=address.strip("[]"),
        port=int(port) if port.isdigit() else 0,
        cluster=found[4],
        healthy=found[2] == "HEALTHY",
        ejected=found[3] == "FAILED",
    )


def _json(body: str) -> tuple[ProxyEndpoint, ...]:
    try:
        if body.startswith("["):
            clusters = decoder(tuple[_Cluster, ...]).decode(body)
        else:
            clusters = (
                decoder(dict[str, tuple[_Cluster, ...]]).decode(body).get("clusterStatuses", ())
            )
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnparsableError("proxy-config endpoint", str(error)[:120]) from error
    return tuple(
        ProxyEndpoint(
            address=host.address.socket_address.address,
            port=host.address.socket_address.port_value,
            cluster=cluster.name,
            healthy=host.health_status.eds_health_status in ("HEALTHY", "UNKNOWN", ""),
            ejected=host.health_status.failed_outlier_check,
        )
        for cluster in clusters
        for host in cluster.host_statuses
    )


def of_service(found: tuple[ProxyEndpoint, ...], host: str, port: int) -> tuple[ProxyEndpoint, ...]:
    """Endpoints of the clusters of one service port (0: any), all subsets."""
    wanted = ("outbound", str(port) if port else "", host)
    return tuple(one for one in found if _is(one.cluster.split("|", 3), *wanted))


def _is(parts: list[str], direction: str, port: str, host: str) -> bool:
    if len(parts) != 4 or parts[0] != direction or parts[3] != host:
        return False
    return not port or parts[1] == port
