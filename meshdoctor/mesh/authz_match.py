"""Does one value of an AuthorizationPolicy field match what a proxy sees?

Mirrors pilot/pkg/security/authz/matcher (StringMatcherWithPrefix, HeaderMatcher, HostMatcher,
PathMatcher) and authz/model/generator.go, with Envoy's reading of what they generate: a safe
regular expression must match whole, `.+` wants at least one character. Checked on 1.20 to 1.31.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

SCHEME = "spiffe://"
_TEMPLATE_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+"
_TEMPLATE_TAIL = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=/]*"


def generic(pattern: str, value: str) -> bool:
    """`*` any non-empty text, one leading or one trailing `*`, else exact; case-sensitive."""
    if pattern == "*":
        return bool(value)
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == pattern


def host(pattern: str, authority: str) -> bool:
    """Hosts compare the whole `:authority`, port included, without regard to case."""
    return pattern == "*" or generic(pattern.lower(), authority.lower())


def header(pattern: str, value: str) -> bool:
    """A present header's value; `*` is mere presence, even of an empty value."""
    return pattern == "*" or generic(pattern, value)


def principal(pattern: str, identity: str) -> bool:
    """`identity` is `td/ns/NS/sa/SA`; "" (no identity) matches nothing, not even `*`."""
    if not identity:
        return False
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return identity.endswith(pattern[1:])
    return generic(pattern, identity)


def namespace(pattern: str, identity: str) -> bool:
    """Every `*` in a namespace pattern is a wildcard; the identity must hold `/ns/NS/`."""
    return bool(identity) and bool(_namespace_regex(pattern).fullmatch(SCHEME + identity))


@lru_cache(maxsize=4096)
def _namespace_regex(pattern: str) -> re.Pattern[str]:
    inner = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.compile(f".*/ns/{inner}/.*", re.DOTALL)


def service_account(pattern: str, identity: str, policy_namespace: str) -> bool:
    """`sa` or `ns/sa`, without wildcards; a bare name means the policy's own namespace."""
    if not identity:
        return False
    return bool(_account_regex(pattern, policy_namespace).fullmatch(SCHEME + identity))


@lru_cache(maxsize=4096)
def _account_regex(pattern: str, policy_namespace: str) -> re.Pattern[str]:
    ns, found, account = pattern.partition("/")
    if not found:
        ns, account = policy_namespace, pattern
    return re.compile(f"spiffe://.+/ns/{re.escape(ns)}/(.+/|)sa/{re.escape(account)}(/.+)?")


def trust_domain(pattern: str, identity: str) -> bool:
    """Exact, `*`, or one wildcard that does not cross a `/`."""
    if not identity:
        return False
    if pattern == "*":
        return True
    if "*" not in pattern:
        return identity.startswith(f"{pattern}/")
    before, _, after = pattern.partition("*")
    regex = f"{re.escape(before)}[^/]*{re.escape(after)}/.*"
    return bool(re.fullmatch(regex, identity, re.DOTALL))


def split_identity(identity: str) -> tuple[str, str, str]:
    """(trust domain, namespace, service account) of `td/ns/NS/sa/SA`; "" where absent."""
    parts = identity.split("/")
    if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa":
        return parts[0], parts[2], parts[4]
    return parts[0], "", ""


@lru_cache(maxsize=8192)
def network(block: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A CIDR or a single address as istiod reads it; None when it is neither."""
    try:
        return ipaddress.ip_network(block, strict=False)
    except ValueError:
        return None


def is_range(value: str) -> bool:
    """Whether a text is written as a block of addresses."""
    return "/" in value and network(value) is not None


@lru_cache(maxsize=8192)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def cidr(block: str, ip: str) -> bool:
    """Whether an address lies in a block; addresses of the other family never do."""
    wanted, seen = network(block), _address(ip)
    return wanted is not None and seen is not None and seen in wanted


def port_number(text: str) -> int | None:
    """A port as istiod parses it (unsigned decimal, at most 65535); None when it is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= 65535 else None


def is_template(pattern: str) -> bool:
    """Whether a path uses `{*}` or `{**}`."""
    return "{*}" in pattern or "{**}" in pattern


def path(pattern: str, value: str, *, templates: bool = True) -> bool:
    """A path pattern against a normalised path without query; templates exist since 1.22."""
    if templates and is_template(pattern):
        return bool(_template_regex(pattern).fullmatch(value))
    return generic(pattern, value)


@lru_cache(maxsize=4096)
def _template_regex(pattern: str) -> re.Pattern[str]:
    text = pattern.replace("{**}", "**").replace("{*}", "*")
    parts = re.split(r"(\*\*|\*)", text)
    regex = "".join(
        _TEMPLATE_TAIL if p == "**" else _TEMPLATE_SEGMENT if p == "*" else re.escape(p)
        for p in parts
    )
    return re.compile(regex)


def claim_at(claims: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The claim at a path of keys; None when a step is absent or is no object."""
    value: Any = claims
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def claim(pattern: str, value: Any) -> bool:
    """A string claim, or any string in a list claim; numbers and booleans match nothing."""
    if isinstance(value, str):
        return generic(pattern, value)
    if isinstance(value, list):
        return any(isinstance(one, str) and generic(pattern, one) for one in value)
    return False


def request_principal(pattern: str, issuer: Any, subject: Any) -> bool:
    """`iss/sub`, split at the last `/` because an issuer may be a URL; either half may be `*`."""
    iss = issuer if isinstance(issuer, str) else None
    sub = subject if isinstance(subject, str) else None
    if iss is None or sub is None:
        return False
    if pattern == "*":
        return bool(iss) and bool(sub)
    before, found, after = pattern.rpartition("/")
    if pattern.startswith("*"):
        if not found:
            return bool(iss) and sub.endswith(pattern[1:])
        return generic(before if before != "*" else "*", iss) and sub == after
    if pattern.endswith("*"):
        if not found:
            return iss.startswith(pattern[:-1]) and bool(sub)
        return iss == before and (bool(sub) if after == "*" else sub.startswith(after[:-1]))
    if not found:
        return iss == pattern and sub == ""
    return iss == before and sub == after


def bracketed(text: str) -> str | None:
    """`[name]` as `name`; None when the brackets are missing."""
    if text.startswith("[") and text.endswith("]") and len(text) >= 2:
        return text[1:-1]
    return None


def claim_keys(text: str) -> tuple[str, ...] | None:
    """`[a][b]` as keys; text that is not a run of brackets is one key; None when malformed."""
    keys = re.findall(r"\[([^\[\]]*)\]", text)
    if keys and "".join(f"[{key}]" for key in keys) == text:
        return tuple(keys)
    whole = bracketed(text)
    return (whole,) if whole is not None else None


def expand_principals(values: Iterable[str], domains: tuple[str, ...]) -> tuple[str, ...]:
    """Principals with the mesh's trust domain and aliases put in (trustdomain/bundle.go).

    Only five-part principals whose domain is not `*`; `cluster.local` stands for the mesh's own.
    """
    out: list[str] = []
    for value in values:
        parts = value.split("/")
        domain = parts[0]
        ours = domain == "cluster.local" or _listed(domain, domains)
        if len(parts) != 5 or domain == "*" or not ours:
            out.append(value)
            continue
        rest = "/".join(parts[1:])
        for alias in domains:
            kept = domain.startswith("*") and alias.endswith(domain[1:])
            new = value if kept else f"{alias}/{rest}"
            if new not in out:
                out.append(new)
    return tuple(out)


def expand_trust_domains(values: Iterable[str], domains: tuple[str, ...]) -> tuple[str, ...]:
    """trustDomains with aliases put in: any value that names the mesh's own means all of them."""
    out: list[str] = []
    for value in values:
        out += domains if value in domains else (value,)
    return tuple(dict.fromkeys(out))


def _listed(domain: str, domains: Iterable[str]) -> bool:
    return any(
        domain == one or one == "*" or _wild(domain, one) or _wild(one, domain) for one in domains
    )


def _wild(text: str, pattern: str) -> bool:
    if pattern.endswith("*") and text.startswith(pattern[:-1]):
        return True
    return pattern.startswith("*") and text.endswith(pattern[1:])
