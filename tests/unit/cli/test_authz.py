"""Does the command `authz` judge plain manifests and bundles, and exit by its verdict?"""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from meshdoctor.cli.authz import authz
from tests.unit.probes.authz_world import CART, PAY, SHOP, mesh, pod, policy, service

ALLOW_CART = policy("{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]}]}")
ALLOW_PATH = policy("{rules: [{to: [{operation: {paths: [/orders]}}]}]}", "paths")
FROM_TO = ("--from", "shop/cart", "--to", "shop/pay:80")


def run(tmp_path: Path, *arguments: str, objects: tuple[str, ...] = SHOP) -> tuple[int, str]:
    """Exit status and output of `authz` on a folder of manifests."""
    text = "\n---\n".join(dedent(one) for one in objects)
    (tmp_path / "objects.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(authz, [*arguments, "--bundle", str(tmp_path)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_allowed(tmp_path: Path) -> None:
    code, text = run(tmp_path, *FROM_TO, "-r", "GET /orders", objects=(*SHOP, ALLOW_CART))
    assert code == 0
    assert text.endswith("ALLOW\n")
    assert "AuthorizationPolicy/shop/p rule 0: matches" in text


def test_denied_with_the_nearest_miss(tmp_path: Path) -> None:
    code, text = run(tmp_path, *FROM_TO, "-r", "GET /x", objects=(*SHOP, ALLOW_PATH))
    assert code == 1
    assert "to[0].paths wants [/orders], seen: /x" in text
    assert "rbac_access_denied_matched_policy[none]" in text


def test_unknown_when_the_request_is_not_given(tmp_path: Path) -> None:
    code, text = run(tmp_path, *FROM_TO, objects=(*SHOP, ALLOW_PATH))
    assert code == 3
    assert "needs: to[0].paths" in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--plaintext",), 1),
        (("--principal", "spiffe://cluster.local/ns/shop/sa/cart"), 0),
        (("--principal", "cluster.local/ns/x/sa/y"), 1),
    ],
)
def test_the_caller_may_be_stated(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    objects = (*SHOP, ALLOW_CART)
    got, _ = run(tmp_path, "--to", "shop/pay:80", "-r", "GET /", *arguments, objects=objects)
    assert got == code


def test_an_address_may_be_stated(tmp_path: Path) -> None:
    only = policy("{rules: [{from: [{source: {ipBlocks: [203.0.113.0/24]}}]}]}")
    arguments = ("--to", "shop/pay:80", "-r", "GET /", "--client-ip")
    assert run(tmp_path, *arguments, "203.0.113.9", objects=(*SHOP, only))[0] == 0
    assert run(tmp_path, *arguments, "198.51.100.1", objects=(*SHOP, only))[0] == 1


def test_json(tmp_path: Path) -> None:
    code, text = run(tmp_path, *FROM_TO, "-r", "GET /x", "-o", "json", objects=(*SHOP, ALLOW_PATH))
    body = json.loads(text)
    assert (code, body["schema"], body["decision"]) == (1, "meshdoctor.authz/v1", "deny")
    proxy = body["proxies"][0]
    assert proxy["proxy"] == "sidecar of shop/pay"
    assert proxy["nearest"][0]["fields"][0]["wanted"] == ["/orders"]


def test_no_proxy_enforces_nothing(tmp_path: Path) -> None:
    objects = (
        mesh(),
        pod("cart", "shop", CART),
        pod("pay", "shop", PAY, proxy=""),
        service("pay", "shop"),
        policy("{}"),
    )
    code, text = run(tmp_path, *FROM_TO, "-r", "GET /", objects=objects)
    assert code == 0
    assert "no proxy stands before the server" in text


def test_a_token_is_never_printed(tmp_path: Path) -> None:
    has = policy("{rules: [{when: [{key: 'request.headers[authorization]', values: [x]}]}]}")
    secret = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln"
    for form in ("text", "json"):
        code, text = run(
            tmp_path,
            *FROM_TO,
            "-r",
            "GET /",
            "-H",
            f"authorization: {secret}",
            "-o",
            form,
            objects=(*SHOP, has),
        )
        assert code == 1
        assert "eyJ" not in text


def test_usage(tmp_path: Path) -> None:
    both = ("--to", "shop/pay:80", "--plaintext", "--principal", "x")
    assert run(tmp_path, *both)[0] == 2
    from meshdoctor.engine.scope import ScopeError

    with pytest.raises(ScopeError):
        run(tmp_path, "--from", "shop/cart")
