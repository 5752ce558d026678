"""An authority of a fault's own: what it is and what it signs, as a Secret holds them."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
_ISTIOD = "istiod.istio-system.svc"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@lru_cache
def _root(name: str, ended: bool = False) -> Pair:
    """A root that signs certificates itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(_name(name), _name(name), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=-1 if ended else 3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert, key


@lru_cache
def _istiod(authority: str, ended: bool) -> Pair:
    """A certificate for istiod's own name."""
    root, signer = _root(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(root.subject, _name("istiod"), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=-1 if ended else 30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_ISTIOD)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return cert, key


def filled(text: str) -> str:
    """A text with `%CA NAME [ended]%`, `%CAKEY ...%`, `%ISTIOD NAME [ended]%` and `%ISTIODKEY ...%`
    written out."""
    return re.sub(r"%(CA|CAKEY|ISTIOD|ISTIODKEY) ([\w ]+)%", _written, text)


def _written(found: re.Match[str]) -> str:
    name, _, ended = found[2].partition(" ")
    made = _root if found[1].startswith("CA") else _istiod
    cert, key = made(name, bool(ended))
    data = cert.public_bytes(serialization.Encoding.PEM)
    if found[1].endswith("KEY"):
        data = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    return base64.b64encode(data).decode()
