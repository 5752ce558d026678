"""What is wrong with the certificates of two peers, given what each proxy holds?

Either side may be known by a table alone (serials and dates) or by its certificates. The server
checks the client's trust domain against trustDomain, trustDomainAliases and
caCertificates.trustDomains (pilot/pkg/security/authn/utils TrustDomainsForValidation); the client
checks the server's identity against a rule's subjectAltNames, else the endpoints' accounts.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.certificates import Bundle, compare
from meshdoctor.mesh.proxy_secrets import IDENTITY, ROOT, ProxySecret, identity, roots, undelivered
from meshdoctor.model.istio import MeshConfig

CLIENT, SERVER = "client", "server"


class Peers(Struct, frozen=True, kw_only=True):
    """The secrets of both proxies; `words` is the TLS error that the client logged."""

    client: tuple[ProxySecret, ...]
    server: tuple[ProxySecret, ...]

    def of(self, side: str) -> tuple[ProxySecret, ...]:
        return self.client if side == CLIENT else self.server

    @property
    def roots_differ(self) -> bool:
        """Whether the two trust bundles have no root in common."""
        return compare(roots(self.client), roots(self.server)) == "differ"

    def side_in_state(self, state: str, now: datetime) -> str:
        """The side whose workload certificate is `expired` or `early`; "" for neither."""
        for side in (SERVER, CLIENT):
            own = identity(self.of(side))
            if own is not None and own.active and own.state(now) == state:
                return side
        return ""

    def side_undelivered(self) -> str:
        """The side to which its certificate or the root was never delivered; "" for neither."""
        for side in (SERVER, CLIENT):
            if {IDENTITY, ROOT} & set(undelivered(self.of(side))):
                return side
        return ""

    def others_undelivered(self) -> tuple[str, ...]:
        """Secrets that the client's proxy waits for and that are not its own identity or root."""
        return tuple(one for one in undelivered(self.client) if one not in (IDENTITY, ROOT))

    def stale_side(self, current: Bundle) -> str:
        """The side that trusts none of the roots that the mesh hands out now; "" when neither, or
        both, or no root is known."""
        serials = frozenset(c.serial for c in current.certificates)
        stale = [
            side
            for side in (CLIENT, SERVER)
            if roots(self.of(side)) and serials and not roots(self.of(side)) & serials
        ]
        return stale[0] if len(stale) == 1 else ""

    def side_of_foreign_domain(self, accepted: Iterable[str]) -> tuple[str, str]:
        """(side, trust domain) of a workload certificate outside the accepted trust domains."""
        known = frozenset(accepted)
        for side in (CLIENT, SERVER):
            own = identity(self.of(side))
            if own is not None and own.trust_domain and own.trust_domain not in known:
                return (side, own.trust_domain)
        return ("", "")

    def spiffe(self, side: str) -> str:
        """The identity in a side's certificate; "" when only a table is known."""
        own = identity(self.of(side))
        return own.certificate.spiffe if own is not None and own.certificate is not None else ""


def accepted_domains(mesh: MeshConfig) -> tuple[str, ...]:
    """The trust domains whose workloads a server of this mesh accepts, sorted."""
    more = (domain for ca in mesh.ca_certificates for domain in ca.trust_domains)
    return tuple(sorted({mesh.trust_domain, *mesh.trust_domain_aliases, *more} - {""}))


def san_missing(wanted: Iterable[str], spiffe: str) -> bool:
    """Whether a rule's exact subjectAltNames leave out an identity; an empty list asks nothing."""
    names = tuple(wanted)
    return bool(names) and bool(spiffe) and spiffe not in names
