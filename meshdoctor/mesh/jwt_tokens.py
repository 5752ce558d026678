"""Which tokens does a request carry, and what do they claim?

Mirrors Envoy's jwt_authn extractor (locations, prefixes, the run of token characters) and
jwt_verify (sections, base64url, times with 60 s of clock skew, audiences). Signatures are never
checked here; a token without one (`alg: none`) is refused as malformed, as Envoy does. Of a token
nothing but its claims is kept.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from meshdoctor.mesh.authz_call import Call
from meshdoctor.model.istio import JwtRule
from meshdoctor.model.patterns import pattern

CLOCK_SKEW = 60
MAX_TOKEN = 65536
_TOKEN = pattern(r"[A-Za-z0-9_\-.]+")
ALGORITHMS = frozenset(
    {f"{family}{bits}" for family in ("ES", "HS", "RS", "PS") for bits in (256, 384, 512)}
    | {"EdDSA"}
)
BAD_FORM = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
BAD_HEADER = "Jwt header is an invalid Base64url encoded"
BAD_HEADER_JSON = "Jwt header is an invalid JSON"
BAD_ALGORITHM = "Jwt header [alg] is not supported"
BAD_PAYLOAD = "Jwt payload is an invalid Base64url encoded"
BAD_PAYLOAD_JSON = "Jwt payload is an invalid JSON"
UNKNOWN_ISSUER = "Jwt issuer is not configured"
EXPIRED = "Jwt is expired"
EARLY = "Jwt not yet valid"
BAD_AUDIENCE = "Audiences in Jwt are not allowed"
NO_KEY = "Jwks doesn't have key to match kid or alg from Jwt"


class Token(Struct, frozen=True, kw_only=True):
    """A token found: `place` says where, `text` is the token itself (never shown)."""

    place: str
    header: str
    text: str


class Parsed(Struct, frozen=True, kw_only=True):
    """What a token says, or the text that Envoy answers when it cannot be read."""

    claims: Mapping[str, Any]
    kid: str = ""
    algorithm: str = ""
    error: str = ""


def tokens_of(call: Call, rule: JwtRule) -> tuple[Token, ...] | None:
    """Tokens at the rule's locations; None when the request's headers are not known."""
    found: list[Token] = []
    headers, params = _looks(rule)
    for name, prefix in headers:
        value = call.header(name)
        if value is None:
            if not call.headers_known:
                return None
            continue
        text = _from_header(value, prefix)
        if text is not None:
            found.append(Token(place=f"header {name.lower()}", header=name.lower(), text=text))
    if params and call.path is None:
        return None
    query = dict(parse_qsl((call.path or "").partition("?")[2], keep_blank_values=True))
    found += [Token(place=f"parameter {p}", header="", text=query[p]) for p in params if p in query]
    if rule.from_cookies:
        cookies = _cookies(call)
        if cookies is None:
            return None
        found += [
            Token(place=f"cookie {c}", header="", text=cookies[c])
            for c in rule.from_cookies
            if cookies.get(c)
        ]
    return tuple(found)


def _looks(rule: JwtRule) -> tuple[list[tuple[str, str]], list[str]]:
    """The (header, prefix) and the parameters in which a rule looks. One that names no place at all
    looks where OAuth 2.0 puts tokens."""
    if rule.from_headers or rule.from_params or rule.from_cookies:
        return [(h.name, h.prefix) for h in rule.from_headers], list(rule.from_params)
    return [("authorization", "Bearer ")], ["access_token"]


def places(rule: JwtRule) -> tuple[str, ...]:
    """Where a rule looks for tokens, in words."""
    headers, params = _looks(rule)
    return (
        *(f"header {n.lower()}" + (f" after {p.strip()!r}" if p else "") for n, p in headers),
        *(f"parameter {name}" for name in params),
        *(f"cookie {name}" for name in rule.from_cookies),
    )


def _from_header(value: str, prefix: str) -> str | None:
    if not prefix:
        return value
    at = value.find(prefix)
    if at < 0:
        return None
    rest = value[at + len(prefix) :]
    run = _TOKEN.search(rest)
    return run.group(0) if run else value


def _cookies(call: Call) -> dict[str, str] | None:
    value = call.header("cookie")
    if value is None:
        return {} if call.headers_known else None
    pairs = (part.strip().partition("=") for part in re.split(r"[;,]", value))
    return {name: text.strip('"') for name, _, text in pairs if name}


def parse(text: str) -> Parsed:
    """A token's header and claims, or why Envoy refuses to read it."""
    sections = text.split(".")
    if len(sections) != 3 or not all(sections) or len(text) > MAX_TOKEN:
        return Parsed(claims={}, error=BAD_FORM)
    header = _section(sections[0])
    if not isinstance(header, dict):
        return Parsed(claims={}, error=BAD_HEADER if header is None else BAD_HEADER_JSON)
    algorithm, kid = str(header.get("alg", "")), str(header.get("kid", ""))
    if algorithm not in ALGORITHMS:
        return Parsed(claims={}, kid=kid, algorithm=algorithm, error=BAD_ALGORITHM)
    claims = _section(sections[1])
    if not isinstance(claims, dict):
        error = BAD_PAYLOAD if claims is None else BAD_PAYLOAD_JSON
        return Parsed(claims={}, kid=kid, algorithm=algorithm, error=error)
    return Parsed(claims=claims, kid=kid, algorithm=algorithm)


def _section(text: str) -> Any:
    """Decoded JSON of one section; None for bad base64url, "" for bad JSON."""
    if not re.fullmatch(r"[A-Za-z0-9_\-]+", text):
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return ""


def time_error(claims: Mapping[str, Any], now: datetime) -> str:
    """Envoy's text for a token outside its times; "" inside, or without exp and nbf."""
    seconds = now.timestamp()
    early, late = claims.get("nbf"), claims.get("exp")
    if isinstance(early, int | float) and seconds + CLOCK_SKEW < early:
        return EARLY
    if isinstance(late, int | float) and late and seconds > late + CLOCK_SKEW:
        return EXPIRED
    return ""


def audience_allowed(claims: Mapping[str, Any], wanted: tuple[str, ...]) -> bool:
    """Whether one audience is wanted; scheme and a trailing slash do not count."""
    if not wanted:
        return True
    said = claims.get("aud")
    mine = said if isinstance(said, list) else [said]
    allowed = {_plain(one) for one in wanted}
    return any(isinstance(one, str) and _plain(one) in allowed for one in mine)


def _plain(audience: str) -> str:
    bare = audience.removeprefix("https://").removeprefix("http://")
    return bare.removesuffix("/")


def key_ids(jwks: str) -> tuple[str, ...] | None:
    """The key ids of an inline key set; None when it cannot be read. A key without id is ""."""
    try:
        keys = json.loads(jwks)["keys"]
        return tuple(str(key.get("kid", "")) for key in keys)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
