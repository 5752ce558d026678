"""Which parts of a text are secrets?

Private keys, tokens, passwords in URLs and in `name=value` pairs, credentials in headers. Each is
replaced by what `token` gives for it, so that one secret reads the same wherever it stands.
Nothing here decides by length or randomness alone: hashes, trace ids and certificates stay.
"""

import base64
import binascii
import re
from collections.abc import Callable

Token = Callable[[str], str]
MASK = "[redacted]"
_LONG = 4096
TOKEN = re.compile(r"^redacted-[a-z]+-\d+$")

SECRET_NAME = re.compile(
    r"(?:^|[-_./\[ ])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|authorization"
    r"|proxy-authorization|cookie|client[-_]?secret|access[-_]?key(?:[-_]?id)?"
    r"|secret[-_]?access[-_]?key|session[-_]?token|private[-_]?key|signing[-_]?key|credentials?"
    r"|client[-_]key[-_]data|x-amz-security-token|x-forwarded-access-token|auth)\]?$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES = (
    r"(?:[a-z0-9_-]{0,40}[-_])?(?:pass(?:word|wd|phrase)|pwd|api[-_]?key|access[-_]?key(?:[-_]?id)?"
    r"|private[-_]?key|client[-_]?key[-_]?data)|[a-z0-9_-]{0,40}(?:secret|token|password)"
    r"|signature|x-amz-signature|x-amz-credential|sessionid|jsessionid"
)
_QUERY_NAMES = r"sig|credential|auth|code|assertion|key|session|sid|state|ticket"
_PEM = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----.*?"
    r"(?:-----END (?P=kind)-----|\Z)",
    re.DOTALL,
)
_BASE64_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/_=-]{16,}(?:\\n|\n)?")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]*){0,4}")
_URL = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]{1,20}://)(?P<secret>[^\s/@\"'<>]+)@", re.IGNORECASE)
_SCHEME = re.compile(
    r"(?P<head>\b(?:bearer|basic|digest|negotiate|apikey)[ :]+)"
    r"(?=[A-Za-z0-9._~+/=-]*(?:[0-9=+/]|(?-i:[a-z][A-Z])))(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<head>\b(?:(?:proxy-)?authorization|(?:set-)?cookie)"
    r"(?:[\"']?\s*[:=]\s*[\"']?|[\"']\s*,\s*[\"']))(?P<secret>[^\r\n\"']+)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    rf"(?P<head>[\"'\\](?:{_NAMES})\\?[\"']\s*[:=]\s*\\?[\"'])(?P<secret>[^\"'\\\r\n]+)",
    re.IGNORECASE,
)
_PAIR = re.compile(
    rf"(?P<head>(?:(?:^|[\s?&;,{{(\[\"'-])(?:{_NAMES})|[?&](?:{_QUERY_NAMES}))=)"
    rf"(?P<secret>[^\s&;,\"'<>)}}\]]+)",
    re.IGNORECASE,
)
_COLON = re.compile(
    r"(?P<head>(?:^|[\s;,{])(?:password|passwd|passphrase|client[-_]?secret|api[-_]?key):\s+)"
    r"(?P<secret>[^\s;,\"'}]{3,})",
    re.IGNORECASE | re.MULTILINE,
)
_YAML = re.compile(
    r"(?P<head>^[ \t]*(?:- )?(?:id-token|refresh-token|access-token|token|secret|client-key-data)"
    r":[ \t]+)(?P<secret>\S+)(?=[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_JWK = re.compile(r"(?P<head>\\?\"(?:k|d|p|q|dp|dq|qi)\\?\"\s*:\s*\\?\")(?P<secret>[^\"\\]+)")
_KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_-]{16,}|xox[abposr]-[A-Za-z0-9-]{10,}|k8s-aws-v1\.[A-Za-z0-9_-]{10,}"
    r"|sk_live_[A-Za-z0-9]{10,}|AIza[A-Za-z0-9_-]{30,})"
)
_WORDS = ("passw", "passp", "pwd", "secret", "token", "key", "signature", "x-amz", "sessionid")
_QUERY = tuple(f"{sign}{name}=" for sign in "?&" for name in _QUERY_NAMES.split("|"))
_PATTERNS: tuple[tuple[tuple[str, ...], "re.Pattern[str]"], ...] = (
    (("private key",), _PEM),
    (("ls0tls1crudjti",), _BASE64_PEM),
    (("authoriz", "cookie"), _HEADER),
    (("eyj",), _JWT),
    (("akia", "asia", "gh", "glpat", "xox", "k8s-aws", "sk_live", "aiza"), _KNOWN),
    (("kty",), _JWK),
    (("://",), _URL),
    (("bearer", "basic", "digest", "negotiate", "apikey"), _SCHEME),
    (_WORDS, _QUOTED),
    ((*_WORDS, *_QUERY), _PAIR),
    (_WORDS, _COLON),
    (_WORDS, _YAML),
)
_ANY_SIGN = re.compile("|".join(sorted({re.escape(s) for signs, _ in _PATTERNS for s in signs})))
_NAME = re.compile(r"[a-z0-9./-]*")
_IN_NAMES = ("glpat-", "xox", "k8s-aws-v1.")
"""Tokens that a name may be: every other pattern needs a capital, a blank, a quote or one of :=_"""
_HARMLESS = frozenset({"-", "null", "none", "true", "false", "nil", MASK})


def mask(text: str, token: Token = lambda _: MASK) -> str:
    """The text with every secret in it replaced by its token."""
    if _NAME.fullmatch(text) and not any(sign in text for sign in _IN_NAMES):
        return text
    if len(text) > _LONG and "PRIVATE" not in text:
        return "".join(_mask(line, token) for line in text.splitlines(keepends=True))
    return _mask(text, token)


def _mask(text: str, token: Token) -> str:
    lower = text.lower()
    if not _ANY_SIGN.search(lower):
        return text
    for signs, pattern in _PATTERNS:
        if any(sign in lower for sign in signs):
            text = pattern.sub(lambda m: _replaced(m, token), text)
    return text


def _replaced(match: "re.Match[str]", token: Token) -> str:
    groups = match.groupdict()
    secret = groups.get("secret")
    if secret is None:
        return match[0] if match.re is _BASE64_PEM and not _is_key(match[0]) else token(match[0])
    head = groups["head"]
    tail = match[0][len(head) + len(secret) :]
    if secret.lower() in _HARMLESS or MASK in secret or TOKEN.match(secret):
        return match[0]
    return head + token(secret) + tail


def _is_key(text: str) -> bool:
    raw = text.strip().replace("\\n", "")
    try:
        plain = base64.b64decode(raw + "=" * (-len(raw) % 4), validate=False)
    except (binascii.Error, ValueError):
        return True
    return b"PRIVATE KEY" in plain


def is_secret_name(name: str) -> bool:
    """Whether a field, header, key or variable of that name usually holds a secret."""
    return bool(SECRET_NAME.search(_CAMEL.sub("_", name)))
