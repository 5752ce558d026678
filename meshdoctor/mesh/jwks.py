"""Which signing keys does a proxy hold for a token issuer?

Reads `istioctl proxy-config listener -o json`: the jwt_authn filter's inline key sets. Keys that
istiod could not fetch are replaced by a public-only placeholder of istiod's own
(pilot/pkg/model/jwks_resolver.go; older releases: key id `abc`, modulus
`Error-IstiodFailedToFetchJwksUri-`).
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from meshdoctor.mesh.jwt_tokens import key_ids

FAKE = "Error-IstiodFailedToFetchJwksUri-"
MAX_DEPTH = 60


class Keys(Struct, frozen=True, kw_only=True):
    """The keys of one issuer in a listener; `placeholder`: istiod never fetched them."""

    issuer: str
    kids: tuple[str, ...]
    placeholder: bool
    remote: bool = False


def keys_in(text: str) -> tuple[Keys, ...] | None:
    """Every provider's keys, each once; None when the text is no JSON.

    Empty means that no listener of the proxy verifies tokens.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = {one.issuer: one for one in (_keys(p) for p in _providers(data, 0))}
    return tuple(found[issuer] for issuer in sorted(found))


def _providers(data: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(data, dict):
        if "issuer" in data and any(k in data for k in _LOCAL + _REMOTE):
            yield data
            return
        for value in data.values():
            yield from _providers(value, depth + 1)
    elif isinstance(data, list):
        for value in data:
            yield from _providers(value, depth + 1)


_LOCAL, _REMOTE = ("localJwks", "local_jwks"), ("remoteJwks", "remote_jwks")


def _keys(provider: dict[str, Any]) -> Keys:
    local: dict[str, Any] = next(
        (provider[k] for k in _LOCAL if isinstance(provider.get(k), dict)), {}
    )
    text = str(local.get("inlineString", local.get("inline_string", "")))
    return Keys(
        issuer=str(provider.get("issuer", "")),
        kids=key_ids(text) or (),
        placeholder=_is_placeholder(text),
        remote=any(k in provider for k in _REMOTE),
    )


def names_placeholder(text: str) -> bool:
    """Whether a text, such as a proxy's log at level debug, holds older releases' placeholder."""
    return any(mark in text for mark in _MARKS)


_MARKS = frozenset(
    {
        FAKE,
        base64.b64encode(FAKE.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(FAKE.encode()).decode().rstrip("="),
    }
)


def _is_placeholder(text: str) -> bool:
    if names_placeholder(text):
        return True
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return bool(text) and isinstance(keys, list) and not keys
