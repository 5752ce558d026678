"""Can a secret get into a bundle, or into a fact?"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshdoctor.mesh.jwt_tokens import parse
from meshdoctor.mesh.secrets import mask
from meshdoctor.mesh.text import clean
from meshdoctor.model.kinds import KINDS
from meshdoctor.ports import EvidenceError
from meshdoctor.sources.open import finish_recording, open_recorded, recording
from meshdoctor.sources.redact import Redactor
from tests.unit.sources.test_recorded import write
from tests.unit.sources.test_recorder import Scope

WORD = st.text(
    "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=16, max_size=40
)


def segment(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def jwt(signature: str, claims: dict[str, Any] | None = None) -> str:
    head = segment({"alg": "RS256", "typ": "JWT", "kid": "k1"})
    return f"{head}.{segment(claims or {'iss': 'me', 'sub': signature})}.{signature}"


def pem(secret: str, kind: str = "RSA PRIVATE KEY") -> str:
    return f"-----BEGIN {kind}-----\n{secret}\n-----END {kind}-----\n"


@given(WORD)
def test_masked_text_holds_no_secret(secret: str) -> None:
    for text in (
        pem(secret),
        pem(secret, "EC PRIVATE KEY").replace("\n", "\\n"),
        pem(secret)[:60],
        base64.b64encode(pem(secret * 2).encode()).decode(),
        f"calling with Authorization: Bearer {secret}",
        f"'authorization', 'Basic {secret}1'",
        f'{{"authorization": "Bearer {secret}"}}',
        f"Cookie: a=1; session={secret}",
        f"jwt {jwt(secret)} refused",
        f"GET https://user:{secret}@db.example.com/x",
        f"postgres://app:{secret}@pg:5432/shop",
        f"GET /cb?code={secret}&state=1",
        f"/x?access_token={secret}",
        f"connecting password={secret} host=x",
        f'{{"clientSecret": "{secret}", "a": 1}}',
        f"  token: {secret}\n  name: x",
        f"client-key-data: {secret}",
        f"--db-password={secret}",
        f"AWS_SECRET_ACCESS_KEY={secret}",
        f'{{\\"password\\": \\"{secret}\\"}}',
        f'{{"keys":[{{"kty":"oct","k":"{secret}"}}]}}',
    ):
        assert secret not in mask(text), text
        assert secret not in clean(text), text


@pytest.mark.parametrize(
    "text",
    [
        '[2026-03-01T05:00:00.123Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_'
        'started{connection_termination} - "-" 0 95 1 - "-" "curl/8" "5c3f-1" "pay:8080" '
        '"10.0.0.7:8080" outbound|8080||pay.shop.svc.cluster.local 10.0.0.3:1 10.1.1.1:8080 - -',
        "By=spiffe://cluster.local/ns/shop/sa/pay;Hash=aa;URI=spiffe://cluster.local/ns/a/sa/b",
        "jwt_authn_access_denied{Jwt_is_missing}",
        "rbac_access_denied_matched_policy[ns[shop]-policy[deny]-rule[0]]",
        "error\tca\tfailed to authenticate caller: token review failed; Basic authentication off",
        "failed to fetch token: Post https://kubernetes.default.svc/api: timeout",
        "secretName: gateway-tls, credentialName: web-cert",
        "rpc error: code=14 desc=connection refused",
        "orders.customerservices STALE",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "accessLogFormat: '%REQ(AUTHORIZATION)% %REQ(COOKIE)%'",
        "https://issuer.example.com/realms/a@b",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "token", ["glpat-abcdefghij0123456789", "xoxb-0123456789-abcdef", "k8s-aws-v1.aabbccddee0"]
)
def test_a_token_that_reads_like_a_name_is_no_name(token: str) -> None:
    assert token not in mask(token)
    assert token not in mask(f"shop/{token}")


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789./-", max_size=60))
def test_a_name_needs_no_search(text: str) -> None:
    assert mask(text) == mask(f"{text} ")[:-1]


def test_one_secret_is_one_token() -> None:
    redactor = Redactor()
    first = redactor.text("password=hunter22 x")
    assert first == redactor.text("password=hunter22 x") == "password=redacted-text-1 x"
    assert redactor.field("apiKey", "hunter22") == "redacted-text-1"
    assert redactor.text("password=other123") == "password=redacted-text-2"
    assert Redactor().text(first) == first


def test_a_request_keeps_the_claims_that_policies_speak_of() -> None:
    claims = {
        "iss": "https://me",
        "aud": ["a"],
        "exp": 1795000000,
        "sub": "jane",
        "email": "jane@example.com",
        "realm_access": {"roles": ["admin"]},
        "nested": {"groups": ["g"], "phone": "555"},
    }
    token = jwt("SIGNATUREsignature0", claims)
    shown = Redactor().header("authorization", f"Bearer {token}")
    assert shown.startswith("Bearer eyA")
    got = parse(shown.removeprefix("Bearer "))
    assert not got.error
    assert (got.kid, got.algorithm) == ("k1", "RS256")
    assert got.claims["iss"] == "https://me"
    assert got.claims["realm_access"] == {"roles": ["admin"]}
    assert got.claims["nested"]["groups"] == ["g"]
    for secret in ("jane", "555", "SIGNATURE", token.split(".")[1]):
        assert secret not in str(got.claims) + shown
    again = Redactor().header("authorization", shown)
    assert parse(again.removeprefix("Bearer ")).claims["iss"] == "https://me"
    assert Redactor().header("authorization", "Basic abc") == "redacted-text-1"
    assert Redactor().header("x-request-id", "abc") == "abc"


def planted(secret: str) -> dict[str, str]:
    """A bundle that holds the secret wherever somebody might leave one."""
    token = jwt(secret)
    kubeconfig = f"users:\n- name: a\n  user:\n    token: {secret}\n    client-key-data: {secret}\n"
    container = {
        "name": "app",
        "args": ["--password", secret, f"--api-key={secret}", f"postgres://u:{secret}@h/d"],
        "command": ["sh", "-c", f"export TOKEN={secret}; run"],
        "env": [
            {"name": "DB", "value": secret},
            {"name": "ISTIO_META_AUTH_TOKEN", "value": secret},
            {"name": "PROXY_CONFIG", "value": f"tracing: {{password: {secret}}}"},
        ],
        "livenessProbe": {
            "httpGet": {"path": "/", "httpHeaders": [{"name": "Authorization", "value": secret}]}
        },
    }
    meta = {"name": "x", "namespace": "shop"}
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": secret,
        "example.com/token": secret,
        "example.com/note": f"use https://u:{secret}@host",
        "example.com/jwt": token,
    }
    spec = {"containers": [container]}
    workload = {"template": {"metadata": {"annotations": annotations}, "spec": spec}}
    objects: list[dict[str, Any]] = [
        {"kind": "Pod", "metadata": {**meta, "annotations": annotations}, "spec": spec},
        {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta, "spec": workload},
        {"kind": "ConfigMap", "metadata": meta, "data": {"app.conf": secret, "kc": kubeconfig}},
        {
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": f"defaultConfig:\n  password: {secret}\n", "key": pem(secret)},
        },
        {"kind": "Secret", "metadata": meta, "data": {"a": secret, "tls.key": pem(secret)}},
        {"kind": "Secret", "metadata": {**meta, "name": "b"}, "stringData": {"a": secret}},
        {"kind": "Event", "metadata": meta, "message": f"pull failed: https://u:{secret}@reg/x"},
        {
            "kind": "VirtualService",
            "apiVersion": "networking.istio.io/v1",
            "metadata": meta,
            "spec": {"http": [{"headers": {"request": {"set": {"Authorization": secret}}}}]},
        },
        {
            "kind": "RequestAuthentication",
            "apiVersion": "security.istio.io/v1",
            "metadata": meta,
            "spec": {"jwtRules": [{"issuer": "i", "jwks": f'{{"kty":"oct","k":"{secret}"}}'}]},
        },
        {
            "kind": "AuthorizationPolicy",
            "apiVersion": "security.istio.io/v1",
            "metadata": meta,
            "spec": {
                "rules": [
                    {"when": [{"key": "request.headers[x-api-key]", "values": [secret, "*"]}]}
                ]
            },
        },
        {
            "kind": "EnvoyFilter",
            "apiVersion": "networking.istio.io/v1alpha3",
            "metadata": meta,
            "spec": {
                "configPatches": [
                    {"patch": {"value": {"header": {"key": "authorization", "value": secret}}}}
                ]
            },
        },
        {
            "kind": "ProxyConfig",
            "apiVersion": "networking.istio.io/v1beta1",
            "metadata": meta,
            "spec": {"environmentVariables": {"PASSWORD": secret}},
        },
        {
            "kind": "ServiceEntry",
            "apiVersion": "networking.istio.io/v1",
            "metadata": {**meta, "annotations": annotations},
            "spec": {"hosts": ["a"]},
        },
    ]
    text = f"Authorization: Bearer {secret}\ntoken {token}\nx?access_token={secret}\n{pem(secret)}"
    dump = {
        "bootstrap": {"node": {"metadata": {"ANNOTATIONS": annotations}}},
        "headers": [{"header": {"key": "cookie", "value": secret}}],
        "inline": pem(secret),
    }
    request = {"headers": {"authorization": f"Bearer {token}", "cookie": secret, "x-token": secret}}
    request["path"] = f"/x?token={secret}"  # type: ignore[assignment]
    return {
        "bundle.yaml": json.dumps({"observed_at": "2026-03-01T04:05:06Z", "request": request}),
        "objects.yaml": json.dumps(
            {
                "kind": "List",
                "apiVersion": "v1",
                "items": [{"apiVersion": "v1", **one} for one in objects],
            }
        ),
        "logs/shop_x_app.log": text,
        "istioctl/proxy-config-bootstrap_x.shop.json": json.dumps(dump),
        "istioctl/proxy-status.txt": f"NAME\n{text}",
        "istioctl/analyze.txt": text,
        "metrics/shop_x.prom": f'x{{url="https://u:{secret}@h"}} 1\n',
        "errors.json": json.dumps(
            [{"read": "list Node *", "reason": "forbidden", "detail": f"token={secret}"}]
        ),
    }


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(secret=WORD)
def test_planted_secrets_are_in_no_file_of_a_bundle(
    tmp_path_factory: pytest.TempPathFactory, secret: str
) -> None:
    secret = f"zQ7{secret}"  # begins like no word that a bundle holds anyway
    root = tmp_path_factory.mktemp("planted")
    source = open_recorded(write(root / "in", planted(secret)))
    recorder = recording(source, root / "out")
    for kind in KINDS:
        attempt(recorder.list, kind.name, None)
    attempt(recorder.log, "shop", "x", "app")
    attempt(recorder.proxy_config, "bootstrap", "shop", "x")
    attempt(recorder.metrics, "shop", "x")
    attempt(recorder.proxy_status)
    attempt(recorder.analyze)
    scope = Scope(request=None)  # type: ignore[arg-type]
    finish_recording(recorder, scope)
    for path in (root / "out").rglob("*"):
        if path.is_file():
            assert secret not in path.read_text(), path
            assert secret[:14] not in path.read_text(), path
    replay = open_recorded(root / "out")
    assert len(replay.list("Pod", None).objects) == 1
    assert replay.defaults().headers[0][1].startswith("Bearer ey")


def attempt(read: Any, *args: Any) -> None:
    try:
        read(*args)
    except EvidenceError:
        return


def test_what_judgement_needs_is_kept(tmp_path: Path) -> None:
    env = [
        {"name": "PILOT_ENABLE_X", "value": "true"},
        {"name": "TRUST_DOMAIN", "value": "cluster.local"},
        {"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"},
        {"name": "NETWORK_POLICY_ENFORCING_MODE", "value": "strict"},
        {"name": "PORT", "value": "8080"},
    ]
    got = Redactor().object({"kind": "Pod", "spec": {"containers": [{"name": "a", "env": env}]}})
    values = [one["value"] for one in got["spec"]["containers"][0]["env"]]
    assert values == ["true", "cluster.local", "Kubernetes", "strict", "redacted-env-1"]
    maps = {"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {}}
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    maps["data"] = {"ca.crt": certificate, "other": "x"}
    kept = Redactor().object(maps)["data"]
    assert kept == {"ca.crt": certificate, "other": "redacted-config-1"}
    maps |= {"metadata": {"name": "cilium-config"}, "data": {"enable-bpf-masquerade": "true"}}
    assert Redactor().object(maps)["data"] == maps["data"]
    tls = {"kind": "Gateway", "tls": {"credentialName": "web", "privateKey": "/etc/key.pem"}}
    assert Redactor().object(tls) == tls


@pytest.mark.parametrize(
    ("applied", "kept"),
    [
        ('{"kind":"AuthorizationPolicy","spec":{"targetRefs":[{"name":"w"}]}}', True),
        ('{"kind":"Deployment","spec":{"targetRefs":[{"name":"w"}]}}', False),
        ("{", False),
    ],
)
def test_what_was_applied_of_a_policy_stays(applied: str, kept: bool) -> None:
    """It tells which fields an old CRD dropped."""
    note = "kubectl.kubernetes.io/last-applied-configuration"
    policy = {"kind": "AuthorizationPolicy", "metadata": {"annotations": {note: applied}}}
    found = Redactor().data(policy)["metadata"]["annotations"]
    assert (found == {note: applied}) is kept and (kept or not found)
