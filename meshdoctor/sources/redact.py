"""What must not enter a bundle?

Private keys, tokens, passwords, values of environment variables that are not Istio's own,
contents of ConfigMaps that are not the mesh's, credentials in headers. Each secret becomes
`redacted-KIND-N`: the same secret is the same token everywhere in one bundle, and the token tells
nothing about it.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from meshdoctor.mesh.secrets import MASK, TOKEN, is_secret_name, mask
from meshdoctor.model.patterns import pattern

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWN_ENV = pattern(
    r"^(?:PILOT|ISTIO|PROXY|ISTIO_META|XDS|ENABLE|DISABLE|INJECTION|VALIDATION|POD|AWS_VPC|ENI_CONFIG|UNSAFE"
    r"|INBOUND|OUTBOUND|INTERCEPTION|CITADEL|SIDECAR|TERMINATION|WARM|NETWORK_POLICY)_"
    r"|^(?:TRUST_DOMAIN|REVISION|PLATFORM|CLOUD_PLATFORM|KUBECONFIG|NODE_NAME|NAMESPACE|NO_PROXY"
    r"|HTTP_PROXY|HTTPS_PROXY|LIMITS|GOMAXPROCS|GOMEMLIMIT|INSTANCE_IP|SERVICE_ACCOUNT|HOST_IP"
    r"|CLUSTER_ID|CA_ADDR|CA_PROVIDER|CA_ROOT_CA|CA_TRUSTED_NODE_ACCOUNTS|JWT_POLICY|JWT_RULE"
    r"|JWT_PATH|OUTPUT_CERTS|PROV_CERT|ROOT_CA_DIR|FILE_MOUNTED_CERTS|SHARED_MESH_CONFIG"
    r"|MESH_CONFIG|DNS_PROXY_ADDR|DNS_CAPTURE_BY_AGENT|ECC_SIGNATURE_ALGORITHM|BYPASS_[A-Z_]+"
    r"|EXIT_ON_ZERO_ACTIVE_CONNECTIONS|MINIMUM_DRAIN_DURATION|MINIMUM_IP_TARGET|MAX_ENI"
    r"|CREDENTIAL_FETCHER_TYPE|CREDENTIAL_IDENTITY_PROVIDER|AUTO_RELOAD_PLUGIN_CERTS|K8S_SIGNER"
    r"|LABELS_[A-Z_]+|RESOLVE_HOSTNAME_GATEWAYS|VERIFY_CERTIFICATE_AT_CLIENT)$"
)
_PLAIN_VALUE = pattern(
    r"^(?:true|false|\d{1,5}(?:\.\d{1,5})?[a-z]{0,3}|/[\w./{}$-]*|-?)$", re.IGNORECASE
)
_MESH_MAPS = pattern(
    r"^(?:istio|values|ztunnel|aws-auth$|amazon-vpc-cni$|cilium-config$|coredns$|kube-root-ca)"
)
_CERTIFICATES = pattern(r"\A(?:\s*-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\s*)+\Z")
_FLAG = pattern(r"^--?([A-Za-z0-9][\w.-]*)$")
_BEARER = pattern(
    r"^(bearer\s+)?(ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$", re.IGNORECASE
)
_ENV_MAPS = frozenset({"proxyMetadata", "proxy_metadata", "environmentVariables"})
_CLAIMS = frozenset(
    {"iss", "aud", "exp", "iat", "nbf", "azp", "typ", "scope", "scp", "client_id", "tid"}
)
_AUTHORITY = pattern(r"(?:^|[_:/.-])(?:roles?|groups?|permissions?|(?:realm|resource)_access)$")
_SMALL = 512

_secret_name = cache(is_secret_name)


class Redactor:
    """Tokens of one bundle, numbered in the order in which their secrets are met."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    def token(self, secret: str, kind: str = "text") -> str:
        """The token that stands for a secret."""
        found = self._tokens.get(secret)
        if found is None:
            found = self._tokens[secret] = f"redacted-{kind}-{len(self._tokens) + 1}"
        return found

    def text(self, text: str) -> str:
        """A text without its secrets."""
        if len(text) > _SMALL:
            return mask(text, self.token)
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = mask(text, self.token)
        return found

    def evidence(self, text: str) -> str:
        """istioctl's or istiod's output: JSON is searched by field, everything else as text."""
        if text.lstrip()[:1] in ("{", "["):
            try:
                data = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError):
                return self.text(text)
            return msgspec.json.encode(self.data(data)).decode()
        return self.text(text)

    # --- structured data

    def object(self, data: dict[str, Any]) -> dict[str, Any]:
        """One Kubernetes object."""
        if data.get("kind") == "ConfigMap":
            data = {**data, "data": self._config_map(data)}
        if data.get("kind") == "Secret":  # values are certificates by now: see model/decode
            return data
        clean = self.data(data)
        assert isinstance(clean, dict)
        return clean

    def data(self, value: Any, key: str = "") -> Any:
        """Any JSON data: secrets are found by field name, and by their own look."""
        if isinstance(value, str):
            return self.field(key, value)
        if isinstance(value, dict):
            return self._mapping(value, key)
        if isinstance(value, list | tuple):
            return self._list(value, key)
        return value

    def field(self, name: str, value: str) -> str:
        """The value of a field, header, label or annotation of that name."""
        if _secret_name(name) and not _harmless(value):
            return self.token(value)
        return self.text(value)

    def _mapping(self, value: dict[str, Any], key: str) -> dict[str, Any]:
        name = value.get("name", value.get("key"))
        if key == "env" and isinstance(name, str) and isinstance(value.get("value"), str):
            return {**value, "value": self._env(name, value["value"])}
        if key in _ENV_MAPS:
            return {k: self._env(k, v) if isinstance(v, str) else v for k, v in value.items()}
        clean = {k: self.data(v, k) for k, v in value.items() if k != LAST_APPLIED}
        applied = self._applied(value.get(LAST_APPLIED))
        if applied:
            clean[LAST_APPLIED] = applied
        if isinstance(name, str) and _secret_name(name):
            for part in ("value", "values", "stringMatch", "prefix", "rawValue", "raw_value"):
                if part in value:
                    clean[part] = self._under(name, value[part])
        return clean

    def _applied(self, text: Any) -> str:
        """What was applied, of policies alone: it tells which fields an old CRD dropped of them."""
        try:
            found = msgspec.json.decode(text) if isinstance(text, str) else None
        except (msgspec.DecodeError, RecursionError):
            return ""
        if not isinstance(found, dict) or found.get("kind") != "AuthorizationPolicy":
            return ""
        kept = {"kind": found["kind"], "spec": self.data(found.get("spec"))}
        return msgspec.json.encode(kept).decode()

    def _under(self, name: str, value: Any) -> Any:
        """A value beside the secret name that says what it is; a bare wildcard stays."""
        if isinstance(value, str):
            return value if value == "*" else self.field(name, value)
        if isinstance(value, list | tuple):
            return [self._under(name, one) for one in value]
        return self.data(value)

    def _list(self, value: Sequence[Any], key: str) -> list[Any]:
        clean: list[Any] = []
        secret_next = False
        for one in value:
            if isinstance(one, str):
                clean.append(self.token(one) if secret_next else self.text(one))
                flag = _FLAG.match(one)
                secret_next = bool(flag and _secret_name(flag[1]))
            else:
                clean.append(self.data(one, key))
                secret_next = False
        return clean

    def _env(self, name: str, value: str) -> str:
        if _PLAIN_VALUE.match(value) and (_OWN_ENV.match(name) or len(value) <= 1):
            return value
        if _OWN_ENV.match(name) and not _secret_name(name):
            return self.text(value)
        return self.token(value, "env")

    def _config_map(self, data: Mapping[str, Any]) -> dict[str, str]:
        meta = data.get("metadata") or {}
        entries = data.get("data") or {}
        ours = _MESH_MAPS.match(str(meta.get("name", "")))
        return {
            key: self.field(key, text)
            if ours
            else (text if _CERTIFICATES.match(text) else self.token(text, "config"))
            for key, text in entries.items()
        }

    # --- the request

    def header(self, name: str, value: str) -> str:
        """A header of the request: of a JWT, the claims that policies speak of are kept."""
        match = _BEARER.match(value)
        if match:
            claims = self._jwt(match[2])
            if claims:
                return f"{match[1] or ''}{claims}"
        return self.field(name, value)

    def _jwt(self, token: str) -> str:
        """The same token without its signature and without what names a person."""
        header, payload, _ = token.split(".")
        try:
            head, body = _section(header), _section(payload)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return ""
        if not isinstance(head, dict) or not isinstance(body, dict):
            return ""
        head = {key: head[key] for key in ("alg", "kid", "typ") if key in head}
        kept = {key: self._claim(key, value) for key, value in body.items() if key != "redacted"}
        return f"{_encode(head)}.{_encode({'redacted': True, **kept})}.redacted"

    def _claim(self, key: str, value: Any) -> Any:
        if key in _CLAIMS or _AUTHORITY.search(key):
            return value
        if isinstance(value, dict):
            return {inner: self._claim(inner, one) for inner, one in value.items()}
        if isinstance(value, str):
            return self.token(value, "claim")
        return value if isinstance(value, bool) else None


def _harmless(value: str) -> bool:
    return bool(_PLAIN_VALUE.match(value) or TOKEN.match(value)) or value in (MASK, "*")


def _section(text: str) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _encode(data: Any) -> str:
    """base64url of the JSON, with a space first, so that no scanner takes it for a live token."""
    raw = msgspec.json.encode(data)
    return base64.urlsafe_b64encode(b"{ " + raw[1:]).decode().rstrip("=")
