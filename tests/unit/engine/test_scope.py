"""What --from and --to may say, and which namespaces that concerns."""

import pytest

from meshdoctor.engine.scope import Scope, ScopeError, Target, namespace_of, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop/cart", Target(namespace="shop", name="cart")),
        ("shop/pay:8080", Target(namespace="shop", name="pay", port=8080)),
        ("pay.shop:80", Target(namespace="", name="pay.shop", port=80)),
        ("api.example.com:443", Target(namespace="", name="api.example.com", port=443)),
        ("pay", Target(namespace="", name="pay")),
    ],
)
def test_targets(text: str, expected: Target) -> None:
    assert parse_target(text, "--to") == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "shop/", "/cart", "a/b/c", "a/b:99999", ":80"])
def test_bad_targets_say_what_is_expected(text: str) -> None:
    with pytest.raises(ScopeError, match="expected namespace/name"):
        parse_target(text, "--to")


@pytest.mark.parametrize(
    ("text", "namespace"),
    [
        ("shop/cart", "shop"),
        ("pay.shop", "shop"),
        ("pay.shop.svc", "shop"),
        ("pay.shop.svc.cluster.local:80", "shop"),
        ("pay", "home"),
        ("api.example.com", ""),
    ],
)
def test_the_namespace_a_target_concerns(text: str, namespace: str) -> None:
    assert namespace_of(parse_target(text, "--to"), "home") == namespace
    assert namespace_of(None, "home") == ""


def test_scopes_in_words() -> None:
    pair = Scope(from_=parse_target("a/b", ""), to=parse_target("c/d:1", ""))
    assert str(pair) == "a/b -> c/d:1"
    assert str(Scope(namespaces=("a", "b"))) == "namespace a, b"
    assert str(Scope()) == "whole mesh"
