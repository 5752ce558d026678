"""What does the judging proxy know of one request, and who judges it?

Every attribute is known, or None: nothing here is guessed. Three-valued logic lives beside it.
"""

from collections.abc import Iterable

from msgspec import Struct, field

from meshdoctor.mesh.addresses import is_address
from meshdoctor.model.istio import ExtensionProvider

Truth = bool | None


def all_of(values: Iterable[Truth]) -> Truth:
    """AND: false wins, else unknown wins."""
    unknown = False
    for value in values:
        if value is False:
            return False
        unknown = unknown or value is None
    return None if unknown else True


def any_of(values: Iterable[Truth]) -> Truth:
    """OR: true wins, else unknown wins; of nothing it is False."""
    unknown = False
    for value in values:
        if value is True:
            return True
        unknown = unknown or value is None
    return None if unknown else False


def negated(value: Truth) -> Truth:
    """NOT: unknown stays unknown."""
    return None if value is None else not value


class Call(Struct, frozen=True, kw_only=True):
    """One request as the judging proxy sees it.

    `principal` "" is a peer without identity (plaintext, or TLS without an Istio certificate).
    `port` is the workload's own port. `http` tells the filter chain: HTTP, or TCP. Header names
    are lower-case; `headers_known` says that what is not listed was not sent.
    """

    principal: str | None = None
    direct_ip: str | None = None
    remote_ip: str | None = None
    destination_ip: str | None = None
    port: int | None = None
    sni: str | None = None
    http: bool | None = None
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    headers_known: bool = False

    def header(self, name: str) -> str | None:
        """The header's value, several joined by a comma; "" is a present, empty header.

        None means absent when `headers_known`, else not known: ask `header_truth`.
        """
        found = [value for key, value in self.headers if key == name.lower()]
        return ",".join(found) if found else None


class Judge(Struct, frozen=True, kw_only=True):
    """The proxy whose policies decide: `kind` is sidecar, gateway, waypoint or ztunnel.

    `services` are those a waypoint serves for this request: (namespace, name, kind) with kind
    Service or ServiceEntry.
    """

    namespace: str
    labels: dict[str, str] = field(default_factory=dict)
    kind: str = "sidecar"
    services: tuple[tuple[str, str, str], ...] = ()

    @property
    def gateway_name(self) -> str:
        """The Gateway API gateway that a pod belongs to; "" when it is none."""
        return self.labels.get("gateway.networking.k8s.io/gateway-name", "")


class Settings(Struct, frozen=True, kw_only=True):
    """What the mesh config and istiod's environment say that policies depend on.

    `release` is (major, minor) of istiod; None when not known: the newest rules are then used.
    `known_hosts` are hosts of istiod's registry; None when not known.
    """

    root_namespace: str = "istio-system"
    trust_domains: tuple[str, ...] = ("cluster.local",)
    normalization: str = "DEFAULT"
    providers: tuple[ExtensionProvider, ...] = ()
    multiple_providers: bool = False
    selector_on_gateways: bool = True
    release: tuple[int, int] | None = None
    known_hosts: frozenset[str] | None = None

    def since(self, minor: int) -> bool:
        """Whether istiod is 1.`minor` or newer; an unknown release counts as the newest."""
        return self.release is None or self.release >= (1, minor)


def last_forwarded(value: str | None, skip: int) -> str | None:
    """The address in X-Forwarded-For, `skip` from the right; None when there are not so many, or
    when it is no plain address (Envoy then keeps the peer's)."""
    parts = [p.strip() for p in (value or "").split(",") if p.strip()]
    index = len(parts) - 1 - skip
    return parts[index] if 0 <= index < len(parts) and is_address(parts[index]) else None


def remote_address(
    *, direct_ip: str | None, forwarded: str | None, edge: bool, hops: int, proxied_ip: str = ""
) -> str | None:
    """The client address that `remoteIpBlocks` see (Envoy's mutateRequestHeaders).

    `edge`: gateways use the peer's own address, or the `hops`-th address from the right of
    X-Forwarded-For when numTrustedProxies is set; sidecars and waypoints take the last one.
    `proxied_ip` is the source that a PROXY protocol header announced.
    """
    peer = proxied_ip or direct_ip
    if edge:
        return (last_forwarded(forwarded, hops - 1) if hops > 0 else None) or peer
    return last_forwarded(forwarded, 0) or peer
