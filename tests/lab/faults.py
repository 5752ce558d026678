"""What is a fault of the lab? One YAML document: how to make it, how it shows, its true cause.

fault: client-tls-off-server-strict    # unique
cause: MD1001                          # the true cause, or `healthy: true`
strength: observed                     # or derived, where no evidence can show it happening
from: shop/web                         # what a person would ask about
to: shop/pay:8080
inject:                                # steps, in order:
- apply: {...}                         #   one object, or several in a list; in any step
                                       #   %ADDRESS shop/pay% is the address of that pod
- declare: {...}                       #   the same by an apply that keeps what was applied
- kubectl: [-n, shop, ...]             #   any kubectl command; istioctl: the same
- refused: [-n, shop, ...]             #   one that the API server must refuse
- mesh: {extensionProviders: [...]}     #   keys of meshConfig, the others stay
- restart: shop/web                    #   new pods of a Deployment
- renew: shop/web                      #   new pods, without waiting until they are Ready
- rollout: istio-system                #   wait until a namespace's Deployments are complete
- revision: canary                     #   a second istiod beside the first
- freeze: shop/web                     #   its proxy (agent and Envoy) stands still; thaw: goes on
                                       #   (without a slash: a program of the control plane)
- inside: {pod: shop/web, run: [...]}  #   a program in the network of its pod (replaced later)
- outside: {host: a.example.com, args: [...]}  # a server that is none of the mesh (app.py), with
                                       #   a certificate of its own CA below tls/
call: {url: "http://pay.shop:8080/"}   # made from `from` (or `call.from`; lab-node: the node),
                                       # with method, headers, `size` bytes of body
                                       # `pod: shop/pay`: its address stands for POD in `url`
                                       # `trust: "%CERT NAME%"`: it verifies that certificate
                                       # `tunnel: HOST:PORT`: it asks for a tunnel to there
shows: {code: 503}                     # code, error, body, slow; or run + contains/lacks
cured: {code: 200}                     # the same once the fault is gone
noticed: true                          # advice: to be found under *also noticed*
propagation: {state: waiting}          # what `meshdoctor propagation` says of it (watch.py)
by_hand:                               # what a person would do where the printed fix is a
- kubectl: [...]                       #   decision; steps as above
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from tests.lab import authority, layout
from tests.lab.processes import LabError

Step = dict[str, Any]
KEYS = frozenset(
    {
        *("fault", "summary", "cause", "or_cause", "healthy", "strength", "from", "to", "scope"),
        *("inject", "settle", "call", "shows", "cured", "by_hand", "after_fix"),
        *("propagation", "noticed"),
    }
)
# The public half of a key nobody has: Envoy judges issuer, time and audience before signatures.
_MODULUS = (
    "1x1IoRQxnZ1prtqTxed4MfMMQ6lHJ1mEqMsUOjCn7dtMf5HXqpD2a4jnTq4OKYL1WwxniXUBlVCYz9qv"
    "JpPC6AX_0FBNSaaDBm_2eu6rrDxNTnrmssCxLCSeGftCzh_UChVDWdkwCghAw_A-e8hj_UP6-4HNgKGr"
    "ni0KX5ERpjYDe-DdHmGVScjJIeo-HdHRym9b4adILb6r1v3I8Ffbp3WMwT_Sbm_ZBhHUf9tMzGliaBb1"
    "_f3QVwld1WQqgRJia-KWt7WiHDfbDj5u22fvxyVRgM0ssytnvYE9rX4N2DeEQis4uIB0rZ6RfZZ_hycX"
    "7IjYIhIenXgNtdjerbJIzQ"
)
STEPS = frozenset(
    {
        *("apply", "create", "declare", "kubectl", "istioctl", "restart", "renew", "rollout"),
        *("wait", "freeze", "thaw", "inside", "outside", "refused", "revision", "mesh"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, or one healthy oddity, as its file says."""

    name: str
    path: Path
    cause: str = ""
    or_cause: tuple[str, ...] = ()
    healthy: bool = False
    noticed: bool = False
    strength: str = "observed"
    client: str = ""
    server: str = ""
    summary: str = ""
    inject: tuple[Step, ...] = ()
    call: Step = field(default_factory=dict)
    shows: Step = field(default_factory=dict)
    cured: Step = field(default_factory=lambda: {"code": 200})
    by_hand: tuple[Step, ...] = ()
    after_fix: tuple[Step, ...] = ()
    scope: tuple[str, ...] = ()
    settle: float = 0.0
    propagation: Step = field(default_factory=dict)

    @property
    def question(self) -> list[str]:
        """The options with which a person would ask about this fault."""
        if self.scope:
            return list(self.scope)
        return ["--from", self.client, "--to", self.server]


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _token(expires: int) -> str:
    header = {"alg": "RS256", "kid": "lab", "typ": "JWT"}
    claims = {"iss": "https://issuer.example.com", "sub": "lab", "aud": "shop", "exp": expires}
    return f"{_encoded(header)}.{_encoded(claims)}.AAAA"


@lru_cache
def _issuer() -> tuple[str, str]:
    """A key set with one key, `real`, and a token that is truly signed with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    point = {
        name: base64.urlsafe_b64encode(part.to_bytes(32, "big")).decode().rstrip("=")
        for name, part in (("x", numbers.x), ("y", numbers.y))
    }
    keys = {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "real", **point}]}
    claims = {
        "iss": "https://issuer.example.com",
        "sub": "lab",
        "aud": "shop",
        "exp": 4102444800,
        "groups": ["staff"],
        "realm_access": {"roles": ["buyer"]},
    }
    text = f"{_encoded({'alg': 'ES256', 'kid': 'real', 'typ': 'JWT'})}.{_encoded(claims)}"
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    return json.dumps(keys), f"{text}.{signature.decode().rstrip('=')}"


@lru_cache
def _pair(name: str, days: int) -> tuple[str, str]:
    """A certificate that nobody else signed and its key, as a Secret holds them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = cert.public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(public).decode(), base64.b64encode(private).decode()


def _filled(text: str) -> str:
    """A fault file with its tokens and keys written out."""

    def part(found: re.Match[str]) -> str:
        name = found[2] or "secure.example.com"
        return _pair(name, -1 if found[1].startswith("OLD") else 30)[found[1].endswith("KEY")]

    real, signed = _issuer()
    jwks = {"keys": [{"kty": "RSA", "kid": "lab", "alg": "RS256", "e": "AQAB", "n": _MODULUS}]}
    text = (
        authority.filled(text)
        .replace("%JWKS%", json.dumps(jwks))
        .replace("%KEYS%", real)
        .replace("%SIGNED%", signed)
        .replace("%TOKEN%", _token(4102444800))
        .replace("%EXPIRED%", _token(1700000000))
    )
    return re.sub(r"%((?:OLD)?(?:CERT|KEY))(?: ([\w.*-]+))?%", part, text)


def outsider(host: str, args: Sequence[str]) -> list[Step]:
    """A server outside of the mesh, with a certificate of its own CA for its host."""
    name, space = host.split(".")[0], "legacy"
    cert, key = _pair(host, 30)
    labels = {"app": name}
    program = ["--name=" + name, "--cert=tls/tls.crt", "--key=tls/tls.key", *args]
    pod = {
        "securityContext": {
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        },
        "containers": [
            {
                "name": name,
                "image": "lab/app:1",
                "args": program,
                "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            }
        ],
        "volumes": [{"name": "tls", "secret": {"secretName": name}}],
    }
    template = {
        "metadata": {"labels": labels, "annotations": {"lab.meshdoctor/names": host}},
        "spec": pod,
    }
    meta = {"name": name, "namespace": space}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": meta,
            "data": {"tls.crt": cert, "tls.key": key},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]


def _check(raw: Step, path: Path) -> None:
    name = raw.get("fault")
    unknown = set(raw) - KEYS
    if not name or unknown:
        raise LabError(f"{path.name}: {name}: unknown keys {sorted(unknown)}")
    if bool(raw.get("healthy")) == bool(raw.get("cause")):
        raise LabError(f"{path.name}: {name}: either a cause or healthy")
    for step in [*raw.get("inject", []), *raw.get("by_hand", []), *raw.get("after_fix", [])]:
        if len(step) != 1 or not set(step) <= STEPS:
            raise LabError(f"{path.name}: {name}: a step is one of {sorted(STEPS)}: {step}")


def load(wanted: Sequence[str] = ()) -> list[Fault]:
    """All faults by file and place, or those whose name or cause is wanted."""
    found: list[Fault] = []
    for path in sorted((layout.HERE / "faults").glob("*.yaml")):
        for raw in yaml.safe_load_all(_filled(path.read_text())):
            if not raw:
                continue
            _check(raw, path)
            found.append(
                Fault(
                    name=raw["fault"],
                    path=path,
                    cause=str(raw.get("cause") or ""),
                    or_cause=tuple(raw.get("or_cause") or ()),
                    healthy=bool(raw.get("healthy")),
                    noticed=bool(raw.get("noticed")),
                    strength=str(raw.get("strength") or "observed"),
                    client=str(raw.get("from") or ""),
                    server=str(raw.get("to") or ""),
                    summary=str(raw.get("summary") or ""),
                    inject=tuple(raw.get("inject") or ()),
                    call=raw.get("call") or {},
                    shows=raw.get("shows") or {},
                    cured=raw.get("cured") or {"code": 200},
                    by_hand=tuple(raw.get("by_hand") or ()),
                    after_fix=tuple(raw.get("after_fix") or ()),
                    scope=tuple(raw.get("scope") or ()),
                    settle=float(raw.get("settle") or 0),
                    propagation=raw.get("propagation") or {},
                )
            )
    names = [fault.name for fault in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise LabError(f"faults named twice: {sorted(twice)}")
    if wanted:
        found = [
            fault
            for fault in found
            if any(
                word in f"{fault.name} {fault.cause} {fault.path.stem}"
                or Path(word).name == fault.path.name
                for word in wanted
            )
        ]
    return found
