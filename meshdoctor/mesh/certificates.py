"""What does a certificate say, do two sides trust the same roots, and is it in date?

Only public certificates come here. Dates are judged against a given `now`. A block that is no
certificate is counted, never fatal: people paste anything into Secrets.
"""

import re
import warnings
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_BLOCK = pattern(
    r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----.*?-----END (?:TRUSTED )?CERTIFICATE-----", re.S
)
MOST = 200


class Certificate(Struct, frozen=True, kw_only=True):
    """`serial` in hex without leading zeros, `fingerprint` SHA-256 in hex; names are bounded."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    uris: tuple[str, ...]
    dns: tuple[str, ...]
    common_name: str
    is_ca: bool
    key: str
    bits: int
    fingerprint: str
    pem: str

    @property
    def self_signed(self) -> bool:
        return self.subject == self.issuer

    @property
    def spiffe(self) -> str:
        """The SPIFFE identity; "" when it has none."""
        return next((uri for uri in self.uris if uri.startswith("spiffe://")), "")

    @property
    def trust_domain(self) -> str:
        return trust_domain(self.spiffe)

    def state(self, now: datetime) -> str:
        """`valid`, `expired`, or `early` (not yet valid)."""
        if now > self.not_after:
            return "expired"
        return "early" if now < self.not_before else "valid"

    def covers(self, host: str) -> bool:
        """Whether a TLS client accepts it for a host name (RFC 6125; the common name only when it
        has no DNS names)."""
        names = self.dns or ((self.common_name,) if self.common_name else ())
        return any(_name_matches(name, host) for name in names)


class Bundle(Struct, frozen=True, kw_only=True):
    """The certificates of a PEM text, in order; `broken` counts blocks that are none."""

    certificates: tuple[Certificate, ...]
    broken: int = 0

    @property
    def leaf(self) -> Certificate | None:
        """The first: the one that a server or client presents."""
        return self.certificates[0] if self.certificates else None

    @property
    def roots(self) -> frozenset[str]:
        """Fingerprints of all of them, for a trust bundle."""
        return frozenset(c.fingerprint for c in self.certificates)


@lru_cache(maxsize=4096)
def parse(text: str) -> Bundle:
    """All certificates in a PEM text; an empty bundle when it holds none. Never raises."""
    found: list[Certificate] = []
    broken = 0
    for block in _BLOCK.findall(text)[:MOST]:
        try:
            found.append(_certificate(block))
        except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError):
            broken += 1
    return Bundle(certificates=tuple(found), broken=broken)


def _certificate(block: str) -> Certificate:
    """What is odd in a certificate, such as a serial of zero, is no news for the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _read(block)


def _read(block: str) -> Certificate:
    raw = x509.load_pem_x509_certificate(block.replace("TRUSTED ", "").encode())
    subject, issuer = raw.subject.rfc4514_string(), raw.issuer.rfc4514_string()
    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    try:
        names = raw.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
        dns = tuple(names.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        pass
    try:
        is_ca = raw.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        is_ca = False
    common = [a.value for a in raw.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    key, bits = _key(raw)
    return Certificate(
        subject=clean(subject),
        issuer=clean(issuer),
        serial=f"{raw.serial_number:x}",
        not_before=raw.not_valid_before_utc,
        not_after=raw.not_valid_after_utc,
        uris=tuple(clean(uri) for uri in uris[:100]),
        dns=tuple(clean(name) for name in dns[:500]),
        common_name=clean(str(common[0])) if common else "",
        is_ca=is_ca,
        key=key,
        bits=bits,
        fingerprint=raw.fingerprint(hashes.SHA256()).hex(),
        pem=block,
    )


def _key(raw: x509.Certificate) -> tuple[str, int]:
    try:
        key = raw.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return ("", 0)
    if isinstance(key, rsa.RSAPublicKey):
        return ("RSA", key.key_size)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return ("EC", key.key_size)
    return (type(key).__name__.removeprefix("_").removesuffix("PublicKey"), 0)


def trust_domain(spiffe: str) -> str:
    """`td` of `spiffe://td/ns/NS/sa/SA`; "" for anything else."""
    return spiffe.removeprefix("spiffe://").split("/")[0] if spiffe.startswith("spiffe://") else ""


def _name_matches(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern.startswith("*."):
        head, dot, rest = host.partition(".")
        return bool(head and dot) and rest == pattern[2:]
    return pattern == host


@lru_cache(maxsize=4096)
def issued_by(child: Certificate, parent: Certificate) -> bool:
    """Whether `parent`'s key signed `child`; names alone say nothing: reinstalled CAs share one."""
    if child.issuer != parent.subject:
        return False
    try:
        x509.load_pem_x509_certificate(child.pem.encode()).verify_directly_issued_by(
            x509.load_pem_x509_certificate(parent.pem.encode())
        )
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def trusted(chain: Iterable[Certificate], roots: Iterable[Certificate]) -> bool:
    """Whether a chain (leaf first) ends at one of the roots, signatures checked, dates not."""
    given = tuple(chain)
    anchors = tuple(roots)
    if not given:
        return False
    current, rest = given[0], list(given[1:])
    for _ in range(len(given) + 1):
        if any(current.fingerprint == a.fingerprint or issued_by(current, a) for a in anchors):
            return True
        parent = next((c for c in rest if issued_by(current, c)), None)
        if parent is None:
            return False
        rest.remove(parent)
        current = parent
    return False


def compare(one: frozenset[str], other: frozenset[str]) -> str:
    """Two trust bundles by their roots' identities: `equal`, `overlap` (one holds some or all of
    the other's), `differ` (nothing in common), `unknown` (one is empty)."""
    if not one or not other:
        return "unknown"
    if one == other:
        return "equal"
    return "overlap" if one & other else "differ"
