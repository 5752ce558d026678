"""Which certificates does an invented mesh have? Keys and signatures follow from names, so that a
bundle built twice is the same; no private key is ever written."""

import base64
import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _key(name: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()) % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _serial(name: str) -> int:
    return int.from_bytes(hashlib.sha256(b"serial" + name.encode()).digest()[:15])


class Authority:
    """A self-signed root, as istiod makes one."""

    def __init__(self, name: str, start: datetime, years: int) -> None:
        self.name = name
        self._key = _key(name)
        self.subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        self.not_after = start + timedelta(days=365 * years)
        usage = x509.KeyUsage(*(i in (5, 6) for i in range(9)))
        self._cert = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.subject)
            .public_key(self._key.public_key())
            .serial_number(_serial(name))
            .not_valid_before(start)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        )

    @property
    def pem(self) -> str:
        return self._cert.public_bytes(serialization.Encoding.PEM).decode()

    def leaf(self, identity: str, start: datetime, hours: int = 24) -> str:
        """A workload certificate for a SPIFFE identity, followed by nothing: the root signs it."""
        name = f"{self.name} {identity}"
        key = _key(name)
        cert = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(_serial(f"{name} {start}"))
            .not_valid_before(start)
            .not_valid_after(start + timedelta(hours=hours))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]),
                critical=True,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)
        )
        return cert.public_bytes(serialization.Encoding.PEM).decode()


def b64(text: str) -> str:
    """Base64 of a PEM text, as Envoy and webhook configurations carry it."""
    return base64.b64encode(text.encode()).decode()
