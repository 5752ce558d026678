"""Which tokens are drawn, and which RequestAuthentications read them?

Keys are made from fixed numbers, so that no key is stored. Signatures are real, but for the one
kind that is meant to be refused before its signature is looked at.
"""

from __future__ import annotations

import base64
import json
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.lab.differential.case import Object, meta
from tests.lab.differential.dice import Dice

ISSUERS = {"https://issuer-a.example.com/realm": 0x5EED0001, "issuer-b@example.com": 0x5EED0002}
A, B = ISSUERS
FAR_FUTURE, LONG_AGO = 4102444800, 1600000000
AUDIENCES = ("shop", "https://web.example.com/", "web.example.com", "api")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@cache
def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


@cache
def jwks(issuer: str) -> str:
    """The issuer's inline key set."""
    numbers = _key(ISSUERS[issuer]).public_key().public_numbers()
    key = {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "kid": f"key-{ISSUERS[issuer]}",
        "x": _b64(numbers.x.to_bytes(32, "big")),
        "y": _b64(numbers.y.to_bytes(32, "big")),
    }
    return json.dumps({"keys": [key]}, sort_keys=True)


def signed(claims: Object, issuer: str) -> str:
    """A token with these claims, signed with the issuer's key."""
    number = ISSUERS[issuer]
    header = {"alg": "ES256", "kid": f"key-{number}", "typ": "JWT"}
    text = ".".join(_b64(json.dumps(part, sort_keys=True).encode()) for part in (header, claims))
    r, s = decode_dss_signature(_key(number).sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def claims(dice: Dice) -> Object:
    """What a token says."""
    found: Object = {"iss": dice.one((A, A, B)), "sub": dice.one(("user-1", "user-2", "a/b"))}
    if dice.chance(92):
        found["exp"] = FAR_FUTURE if dice.chance(90) else LONG_AGO
    if dice.chance(10):
        found["nbf"] = LONG_AGO if dice.chance(60) else FAR_FUTURE - 1000
    if dice.chance(60):
        found["aud"] = dice.one(("shop", ["web.example.com", "shop"], "https://web.example.com"))
    if dice.chance(40):
        found["azp"] = dice.one(("app-1", "app-2"))
    if dice.chance(40):
        found["scope"] = dice.one(("read write", "read", "admin read write"))
    if dice.chance(50):
        found["groups"] = dice.one((["admin", "dev"], ["dev"], "dev", []))
    if dice.chance(40):
        found["realm"] = {"roles": ["r1", "r2"], "name": "blue", "deep": {"x": "y"}}
    if dice.chance(30):
        found["level"] = dice.one((5, True, "5", None, ["5", 5]))
    return found


def token(dice: Dice, said: Object) -> str:
    """The token; now and then one that cannot be read, or that nobody signed."""
    kind = dice.weighted({"good": 88, "broken": 4, "two": 3, "unsigned": 5})
    good = signed(said, said["iss"])
    head, body, _ = good.split(".")
    if kind == "broken":
        return f"{head}.{body[1:]}.AAAA"
    if kind == "two":
        return f"{head}.{body}"
    if kind == "unsigned":
        return f"{_b64(json.dumps({'alg': 'none'}).encode())}.{body}."
    return good


def rule(dice: Dice) -> Object:
    """One entry of jwtRules."""
    issuer = dice.one((A, A, B))
    found: Object = {"issuer": issuer, "jwks": jwks(issuer)}
    if dice.chance(35):
        found["audiences"] = dice.some(AUDIENCES, 2)
    if dice.chance(25):
        found["fromHeaders"] = [
            dice.one(
                (
                    {"name": "x-token"},
                    {"name": "X-Token", "prefix": "Tok "},
                    {"name": "authorization", "prefix": "Bearer "},
                )
            )
        ]
    if dice.chance(15):
        found["fromParams"] = dice.some(("token", "access_token"), 2)
    if dice.chance(15):
        found["fromCookies"] = [dice.one(("session", "tok"))]
    if dice.chance(40):
        found["forwardOriginalToken"] = True
    if dice.chance(25):
        claim = dice.one(("sub", "scope", "groups", "level", "realm.name"))
        found["outputClaimToHeaders"] = [{"header": "x-claim", "claim": claim}]
    if dice.chance(10):
        found["outputPayloadToHeader"] = "x-payload"
    return found


def authentication(dice: Dice, space: str, number: int, selector: Object) -> Object:
    """One RequestAuthentication of a server's namespace, or of the root's with a selector."""
    rules = [rule(dice)]
    if dice.chance(30):
        rules.append(rule(dice))
    if len({item["issuer"] for item in rules}) == 1:
        rules = rules[:1] if dice.chance(70) else rules
    return meta("RequestAuthentication", f"ra-{number}", space, {**selector, "jwtRules": rules})


def placed(dice: Dice, text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Where the request carries the token: headers to add, and a query to add to its path."""
    place = dice.weighted(
        {
            "bearer": 60,
            "lower": 3,
            "raw": 4,
            "x": 8,
            "x-tok": 8,
            "query": 7,
            "token": 5,
            "cookie": 8,
        }
    )
    match place:
        case "bearer":
            return (("authorization", f"Bearer {text}"),), ""
        case "lower":
            return (("authorization", f"bearer {text}"),), ""
        case "raw":
            return (("authorization", text),), ""
        case "x":
            return (("x-token", text),), ""
        case "x-tok":
            return (("x-token", f"Tok {text}"),), ""
        case "query":
            return (), f"access_token={text}"
        case "token":
            return (), f"token={text}"
    return (("cookie", f"a=b; {dice.one(('session', 'tok'))}={text}; c=d"),), ""
