"""Short hands to write authorization cases: policies from YAML, a call, a verdict."""

import base64
import json
from datetime import UTC, datetime
from typing import Any, cast

import yaml
from msgspec.structs import replace

from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_verdict import Verdict
from meshdoctor.model.decode import convert
from meshdoctor.model.istio import AuthorizationPolicy, RequestAuthentication

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
CART = "cluster.local/ns/shop/sa/cart"
CALL = Call(
    principal=CART,
    direct_ip="10.0.0.7",
    remote_ip="10.0.0.7",
    destination_ip="10.0.0.9",
    port=8080,
    sni="",
    http=True,
    method="GET",
    path="/orders/7?verbose=1",
    host="pay.shop:8080",
    headers=(("user-agent", "curl/8"), ("x-tenant", "blue")),
    headers_known=True,
)
TCP = replace(CALL, http=False, method=None, path=None, host=None, headers=())
JUDGE = Judge(namespace="shop", labels={"app": "pay"})
SETTINGS = Settings(release=(1, 31))


def policy(
    spec: str | dict[str, Any],
    name: str = "p",
    namespace: str = "shop",
    annotations: dict[str, str] | None = None,
) -> AuthorizationPolicy:
    """One AuthorizationPolicy; its spec as YAML text or data."""
    return cast(
        AuthorizationPolicy, _object("AuthorizationPolicy", spec, name, namespace, annotations)
    )


def request_auth(
    spec: str | dict[str, Any], name: str = "ra", namespace: str = "shop"
) -> RequestAuthentication:
    """One RequestAuthentication."""
    return cast(
        RequestAuthentication, _object("RequestAuthentication", spec, name, namespace, None)
    )


def _object(
    kind: str,
    spec: str | dict[str, Any],
    name: str,
    namespace: str,
    annotations: dict[str, str] | None,
) -> object:
    data = yaml.safe_load(spec) if isinstance(spec, str) else spec
    return convert(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": annotations or {},
            },
            "spec": data,
        },
        "test",
    )


def verdict(
    *policies: AuthorizationPolicy,
    call: Call = CALL,
    judge: Judge = JUDGE,
    settings: Settings = SETTINGS,
    auth: tuple[RequestAuthentication, ...] = (),
) -> Verdict:
    """The verdict on a call."""
    return decide(
        Inputs(
            policies=policies,
            authentications=auth,
            judge=judge,
            call=call,
            settings=settings,
            now=NOW,
        )
    )


def token(claims: dict[str, Any], alg: str = "RS256", kid: str = "k1") -> str:
    """A token with these claims and a signature that nobody made."""
    parts = [_b64({"alg": alg, "kid": kid}), _b64(claims)]
    return ".".join([*parts, "c2ln" if alg != "none" else ""])


def _b64(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def with_token(text: str, call: Call = CALL) -> Call:
    """The call with a bearer token."""
    return replace(call, headers=(*call.headers, ("authorization", f"Bearer {text}")))
