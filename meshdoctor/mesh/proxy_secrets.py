"""Which certificates does a proxy hold, and did they arrive?

Reads `istioctl proxy-config secret`: the table of every release (1.18 to 1.32-dev), its JSON
(camelCase) and Envoy's own config dump (snake_case). A secret that stays WARMING was asked for and
never delivered.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from meshdoctor.mesh.certificates import Certificate
from meshdoctor.mesh.certificates import parse as parse_pem
from meshdoctor.mesh.client_tls import tls_blocks
from meshdoctor.mesh.log_text import when
from meshdoctor.model.istio import DestinationRule
from meshdoctor.model.patterns import pattern
from meshdoctor.ports import UnparsableError

_ROW = pattern(
    r"^(?P<name>\S+)\s+(?P<type>Cert Chain|CA|Cert|Private Key|)\s*(?P<status>ACTIVE|WARMING)\s+"
    r"(?P<valid>true|false)(?:\s+(?P<serial>[0-9a-fA-F:]+)\s+(?P<after>\d{4}\S+)"
    r"\s+(?P<before>\d{4}\S+)(?:\s+(?P<domain>\S+))?)?\s*$"
)
IDENTITY, ROOT = "default", "ROOTCA"


class ProxySecret(Struct, frozen=True, kw_only=True):
    """One certificate of one secret (a root bundle has several rows of one name).

    `certificate` is None when only a table was printed, or nothing was delivered. `root` is the
    serial: what a table can tell two roots apart by.
    """

    name: str
    active: bool
    serial: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    trust_domain: str = ""
    certificate: Certificate | None = None

    def state(self, now: datetime) -> str:
        """`valid`, `expired`, `early`, or "" when no date is known."""
        if self.not_after is not None and now > self.not_after:
            return "expired"
        if self.not_before is not None and now < self.not_before:
            return "early"
        return "valid" if self.not_after is not None else ""


def parse(text: str) -> tuple[ProxySecret, ...]:
    """The secrets of one proxy; empty when it says that there are none.

    Raises UnparsableError when the text is no such output.

    >>> parse('''RESOURCE NAME  TYPE        STATUS  VALID CERT  SERIAL NUMBER  NOT AFTER  NOT BEFORE
    ... default  Cert Chain  ACTIVE  true  1b0a  2026-11-19T09:05:31Z  2026-11-18T09:03:31Z
    ... ROOTCA               WARMING  false''')[1].active
    False
    """
    if "No active or warming secrets found" in text:
        return ()
    if text.lstrip().startswith(("{", "[")):
        return tuple(_from_json(text))
    rows = [row for line in text.splitlines() if (row := _ROW.match(line.rstrip())) is not None]
    if not rows and "RESOURCE NAME" not in text:
        raise UnparsableError("istioctl proxy-config secret", "neither its table nor JSON")
    return tuple(
        ProxySecret(
            name=row["name"],
            active=row["status"] == "ACTIVE",
            serial=_serial(row["serial"] or ""),
            not_before=when(row["before"]) if row["before"] else None,
            not_after=when(row["after"]) if row["after"] else None,
            trust_domain=row["domain"] or "",
        )
        for row in rows
    )


def _serial(text: str) -> str:
    return text.replace(":", "").lower().lstrip("0")


def _from_json(text: str) -> Iterator[ProxySecret]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnparsableError("istioctl proxy-config secret", "JSON cut or broken") from error
    for dump in _dumps(data):
        for key, active in (
            ("dynamicActiveSecrets", True),
            ("dynamic_active_secrets", True),
            ("dynamicWarmingSecrets", False),
            ("dynamic_warming_secrets", False),
        ):
            for entry in _list(dump.get(key)):
                yield from _secrets(entry, active)


def _dumps(data: Any) -> Iterator[dict[str, Any]]:
    """The secret dumps in istioctl's answer, in Envoy's config dump, or in a list of them."""
    if isinstance(data, list):
        for one in data:
            yield from _dumps(one)
    elif isinstance(data, dict):
        yield data
        if isinstance(data.get("configs"), list):
            yield from _dumps(data["configs"])


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _secrets(entry: dict[str, Any], active: bool) -> Iterator[ProxySecret]:
    name = str(entry.get("name", ""))
    secret = entry.get("secret")
    pem = "".join(_pems(secret)) if isinstance(secret, dict) else ""
    certificates = parse_pem(pem).certificates
    if not certificates:
        yield ProxySecret(name=name, active=active and bool(pem))
        return
    shown = certificates if name == ROOT or "ca" in name.lower() else certificates[:1]
    for one in shown:
        yield ProxySecret(
            name=name,
            active=active,
            serial=one.serial,
            not_before=one.not_before,
            not_after=one.not_after,
            trust_domain=one.trust_domain,
            certificate=one,
        )


def _pems(value: Any) -> Iterator[str]:
    """Every PEM text below: inline bytes (base64) or strings, whatever the layout's key names."""
    if isinstance(value, dict):
        for key, inner in sorted(value.items()):
            if isinstance(inner, str):
                if key in ("inlineBytes", "inline_bytes"):
                    yield _decoded(inner)
                elif key in ("inlineString", "inline_string"):
                    yield inner
            else:
                yield from _pems(inner)
    elif isinstance(value, list):
        for one in value:
            yield from _pems(one)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def identity(secrets: Iterable[ProxySecret]) -> ProxySecret | None:
    """The workload certificate; None when the proxy asked for none."""
    return next((s for s in secrets if s.name == IDENTITY), None)


def roots(secrets: Iterable[ProxySecret]) -> frozenset[str]:
    """Serials of the roots that the proxy trusts; empty when none was delivered."""
    return frozenset(s.serial for s in secrets if s.name == ROOT and s.active and s.serial)


def asked_for_by(name: str, rule: DestinationRule) -> bool:
    """Whether a tls block of the rule names the files or the credential of this secret, as istiod
    calls it: `file-cert:CERTIFICATE~KEY`, `file-root:CA`, `kubernetes://NAME`
    (pilot/pkg/security/model SdsCertificateConfig)."""
    kind, _, rest = name.partition(":")
    paths = set(rest.split("~")) if kind in ("file-cert", "file-root") else set()
    credential = name.removeprefix("kubernetes://").removesuffix("-cacert")
    return any(
        paths & {tls.client_certificate, tls.private_key, tls.ca_certificates} - {""}
        or tls.credential_name == credential
        for tls in tls_blocks(rule)
    )


def undelivered(secrets: Iterable[ProxySecret]) -> tuple[str, ...]:
    """Names that are still WARMING."""
    return tuple(dict.fromkeys(s.name for s in secrets if not s.active))
