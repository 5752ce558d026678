"""Why does a rule miss: is there one mistake that, mended, makes it match?

A miss is named only when the mended value matches the request at hand; else it is merely a rule
that was not meant for this caller.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from meshdoctor.mesh import authz_match as m
from meshdoctor.mesh.authz_fields import Scene
from meshdoctor.mesh.authz_path import normalised
from meshdoctor.mesh.authz_rules import IDENTITY, Clause
from meshdoctor.mesh.authz_verdict import Miss

TOKEN = frozenset({"request-principal", "audiences", "presenter", "claim"})


class Hint(StrEnum):
    """The mistake behind one missed field."""

    PLAINTEXT = "plaintext"
    PRINCIPAL_FORMAT = "principal-format"
    TRUST_DOMAIN = "trust-domain"
    HOP = "hop"
    SERVICE_ACCOUNT = "service-account"
    NAMESPACE = "namespace"
    PATH = "path"
    METHOD = "method"
    HOST = "host"
    PORT = "port"
    SOURCE_IP = "source-ip"
    REMOTE_IP = "remote-ip"
    HEADER = "header"
    NO_TOKEN = "no-token"
    CLAIM = "claim"
    OTHER = "other"


class Setting(Struct, frozen=True, kw_only=True):
    """What a hint needs beside the clause: is the peer a gateway, which are the service ports."""

    scene: Scene
    peer_is_gateway: bool = False
    service_ports: frozenset[int] = frozenset()


def hint(clause: Clause, setting: Setting) -> Hint:
    """The mistake behind a positive clause that does not hold."""
    kind, seen = clause.kind, clause.seen
    if kind in IDENTITY:
        return _identity(clause, setting)
    if kind in TOKEN:
        claims = setting.scene.claims.values
        if claims is not None and not claims:
            return Hint.NO_TOKEN
        return Hint.CLAIM if mended_claim(clause, claims or {}) else Hint.OTHER
    simple = {
        "method": Hint.METHOD,
        "path": Hint.PATH,
        "host": Hint.HOST,
        "header": Hint.HEADER,
    }
    if kind in ("source-ip", "remote-ip") and seen:
        which = Hint.SOURCE_IP if kind == "source-ip" else Hint.REMOTE_IP
        return which if _hidden_client(clause, setting.scene) else Hint.OTHER
    if kind == "port" and seen:
        asked = {m.port_number(v) for v in clause.wanted}
        return Hint.PORT if asked & setting.service_ports else Hint.OTHER
    return simple.get(kind, Hint.OTHER)


_INTERNAL = tuple(
    m.network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


def internal(ip: str) -> bool:
    """Whether an address belongs to a private network: a pod, a node or a load balancer."""
    return any(m.cidr(str(block), ip) for block in _INTERNAL)


def _hidden_client(clause: Clause, scene: Scene) -> bool:
    """Whether the proxy compares a hop's address where the client's would match, or where public
    addresses are wanted and an internal one is seen."""
    forwarded = scene.call.header("x-forwarded-for") or ""
    known = (*(part.strip() for part in forwarded.split(",")), scene.call.remote_ip or "")
    if any(
        m.cidr(block, ip) for block in clause.wanted for ip in known if ip and ip != clause.seen
    ):
        return True
    blocks = [m.network(block) for block in clause.wanted]
    public = any(b is not None and not internal(str(b.network_address)) for b in blocks)
    return public and internal(clause.seen)


def certain(clause: Clause, setting: Setting) -> bool:
    """Whether the miss is a mistake for sure, not a rule that does what it says."""
    found = hint(clause, setting)
    if found is Hint.PATH:
        return bool(path_detail(clause, setting.scene))
    if found is Hint.HOST:
        return any(m.host(wanted, clause.seen.partition(":")[0]) for wanted in clause.wanted)
    return found in (
        Hint.PRINCIPAL_FORMAT,
        Hint.TRUST_DOMAIN,
        Hint.SOURCE_IP,
        Hint.REMOTE_IP,
        Hint.PORT,
        Hint.CLAIM,
    )


def telling(clause: Clause, setting: Setting) -> bool:
    """Whether a miss says something of the caller even beside others in its rule: a mistake for
    sure, or an identity or token that nobody could present here."""
    found = hint(clause, setting)
    return certain(clause, setting) or found in (Hint.PLAINTEXT, Hint.NO_TOKEN, Hint.HOP)


def _identity(clause: Clause, setting: Setting) -> Hint:
    seen = clause.seen
    if not seen:
        return Hint.PLAINTEXT
    if clause.negative:
        return Hint.OTHER
    if clause.kind == "namespace":
        return Hint.HOP if setting.peer_is_gateway else Hint.NAMESPACE
    if clause.kind == "trust-domain":
        return Hint.TRUST_DOMAIN
    if clause.kind == "principal":
        if any(mended_principal(v, seen) for v in clause.wanted):
            return Hint.PRINCIPAL_FORMAT
        if any(_same_but_domain(v, seen) for v in clause.wanted):
            return Hint.TRUST_DOMAIN
    return Hint.HOP if setting.peer_is_gateway else Hint.SERVICE_ACCOUNT


def mended_principal(value: str, identity: str) -> bool:
    """Whether a malformed principal, written properly, would match this identity."""
    if m.principal(value, identity):
        return False
    bare = value.removeprefix("spiffe://")
    domain, namespace, account = m.split_identity(identity)
    candidates = {bare, bare.lstrip("/"), f"{domain}/{bare.lstrip('/')}", bare.rstrip("/")}
    if "/" not in bare and bare:
        candidates |= {f"{domain}/ns/{namespace}/sa/{bare}"}
    parts = bare.split("/")
    if len(parts) == 2:
        candidates.add(f"{domain}/ns/{parts[0]}/sa/{parts[1]}")
    if re.fullmatch(r"system:serviceaccount:[^:]+:[^:]+", bare):
        _, _, space, name = bare.split(":")
        candidates.add(f"{domain}/ns/{space}/sa/{name}")
    inner = "*" in bare.strip("*")
    if inner:
        regex = ".*".join(re.escape(part) for part in bare.split("*"))
        if re.fullmatch(regex, identity):
            return True
    return bare != identity and identity in candidates or (bare != value and identity == bare)


def _same_but_domain(value: str, identity: str) -> bool:
    wanted, seen = value.partition("/"), identity.partition("/")
    return bool(wanted[2]) and wanted[2] == seen[2] and wanted[0] != seen[0]


def mended_claim(clause: Clause, claims: Mapping[str, Any]) -> str:
    """The key or value that would have matched, in words; "" when no spelling does."""
    if clause.kind == "claim":
        return _mended_key(clause, claims)
    if clause.kind == "request-principal":
        return _mended_request_principal(clause, claims)
    return ""


_LIST = "a claim that is a list: a text is one value, but for scope and permission"


def _mended_key(clause: Clause, claims: Mapping[str, Any]) -> str:
    keys = m.claim_keys(clause.field.removeprefix("request.auth.claims")) or ()
    if not keys or clause.negative:
        return ""
    spellings = [tuple(keys[0].split("."))] if len(keys) == 1 and "." in keys[0] else []
    if len(keys) == 1 and "/" in keys[0] and keys[0] not in claims:
        spellings.append(tuple(keys[0].split("/")))
    spellings.append((".".join(keys),))
    for path in spellings:
        if path != keys and _any(clause.wanted, m.claim_at(claims, path)):
            return "request.auth.claims" + "".join(f"[{key}]" for key in path)
    value = m.claim_at(claims, keys)
    if value is None:
        folded = {str(k).lower(): k for k in claims}
        other = folded.get(keys[0].lower()) if len(keys) == 1 else None
        if other is not None and other != keys[0] and _any(clause.wanted, claims[other]):
            return f"request.auth.claims[{other}]"
        return ""
    if isinstance(value, str) and any(w in value.split() for w in clause.wanted):
        return f"{_LIST}, or since 1.28 spaceDelimitedClaims: [{keys[-1]}] in the jwtRules"
    if isinstance(value, str) and any(w in value.replace(",", " ").split() for w in clause.wanted):
        return _LIST
    if isinstance(value, bool | int | float):
        text = str(value).lower()
        return "a claim that is text, not a number or boolean" if text in clause.wanted else ""
    if isinstance(value, Mapping):
        inner = next((k for k, v in value.items() if _any(clause.wanted, v)), "")
        brackets = "".join(f"[{k}]" for k in (*keys, inner))
        return f"request.auth.claims{brackets}" if inner else ""
    return ""


def _any(wanted: tuple[str, ...], value: Any) -> bool:
    return any(m.claim(w, value) for w in wanted)


def _mended_request_principal(clause: Clause, claims: Mapping[str, Any]) -> str:
    iss, sub = claims.get("iss"), claims.get("sub")
    if not isinstance(iss, str):
        return ""
    if not isinstance(sub, str):
        return "a token with a sub claim"
    for wanted in clause.wanted:
        for trial in (
            f"{wanted}/*",
            f"{wanted}/{sub}",
            wanted.replace("//", "/"),
            f"{iss}/{wanted}",
        ):
            if trial != wanted and m.request_principal(trial, iss, sub):
                return trial
        if wanted.rstrip("/*").rstrip("/") == iss.rstrip("/"):
            return f"{iss}/*"
        if "/" in sub and m.generic(wanted, f"{iss}/{sub}"):
            return "request.auth.claims[iss] and [sub] (a principal is split at its last slash)"
    return ""


def path_detail(clause: Clause, scene: Scene) -> str:
    """What differs between the nearest path pattern and the path, in words; "" when all does."""
    seen = clause.seen
    raw = scene.call.path or ""
    for wanted in clause.wanted:
        bare = wanted.rstrip("*")
        if wanted.rstrip("/") == seen.rstrip("/"):
            return "a trailing slash"
        if (
            wanted.lower() == seen.lower()
            or seen.lower().startswith(bare.lower())
            and "*" in wanted
        ):
            return "upper and lower case"
        if "?" in wanted and wanted.partition("?")[0] == seen:
            return "a query, which paths exclude"
        if m.path(wanted, normalised(raw, "DECODE_AND_MERGE_SLASHES")):
            return "double or encoded slashes, which pathNormalization keeps"
        if wanted.endswith("/*") and seen == wanted[:-2]:
            return "the bare prefix, which `/*` leaves out"
        if "*" not in wanted and seen.startswith(wanted.rstrip("/") + "/"):
            return "a longer path: the pattern has no `*`"
        if "*" in wanted.strip("*"):
            return "a `*` in the middle, which is no wildcard"
    return ""


def nearest(misses: tuple[Miss, ...]) -> tuple[Miss, ...]:
    """The rules with the fewest missing fields; rules that istiod leaves out come last."""
    real = [one for one in misses if not one.skipped and one.clauses]
    if not real:
        return ()
    fewest = min(len(one.clauses) for one in real)
    return tuple(one for one in real if len(one.clauses) == fewest)
