"""One row per documented matching rule of AuthorizationPolicy values."""

import pytest

from meshdoctor.mesh import authz_match as m
from meshdoctor.mesh.authz_call import all_of, any_of, last_forwarded, negated, remote_address
from meshdoctor.mesh.authz_path import normalised

CART = "cluster.local/ns/shop/sa/cart"


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("abc", "abc", True),
        ("abc", "ABC", False),
        ("abc", "abcd", False),
        ("*", "x", True),
        ("*", "", False),
        ("*bc", "abc", True),
        ("*bc", "bc", True),
        ("*bc", "bcd", False),
        ("ab*", "abc", True),
        ("ab*", "ab", True),
        ("ab*", "xab", False),
        ("a*c", "abc", False),
        ("a*c", "a*c", True),
        ("*b*", "abc", False),
        ("*b*", "ab*", True),
    ],
)
def test_generic(pattern: str, value: str, matches: bool) -> None:
    assert m.generic(pattern, value) is matches


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("pay.shop", "pay.shop", True),
        ("Pay.Shop", "pay.SHOP", True),
        ("pay.shop", "pay.shop:8080", False),
        ("pay.shop:*", "pay.shop:8080", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.example.com:443", False),
        ("*.example.com", "example.com", False),
        ("*", "", True),
    ],
)
def test_host(pattern: str, value: str, matches: bool) -> None:
    assert m.host(pattern, value) is matches


@pytest.mark.parametrize(
    ("pattern", "identity", "matches"),
    [
        (CART, CART, True),
        ("*", CART, True),
        ("*", "", False),
        (CART, "", False),
        ("spiffe://" + CART, CART, False),
        ("cluster.local/ns/shop/*", CART, True),
        ("*/sa/cart", CART, True),
        ("*/ns/shop/sa/cart", CART, True),
        ("cluster.local/ns/*/sa/cart", CART, False),
        ("cluster.local/ns/shop/sa/car", CART, False),
        ("cart", CART, False),
        ("*admin.example", "td/ns/a/sa/some-adminXexample", False),
    ],
)
def test_principal(pattern: str, identity: str, matches: bool) -> None:
    assert m.principal(pattern, identity) is matches


@pytest.mark.parametrize(
    ("pattern", "identity", "matches"),
    [
        ("shop", CART, True),
        ("sho", CART, False),
        ("sh*", CART, True),
        ("*op", CART, True),
        ("s*p", CART, True),
        ("*", CART, True),
        ("*", "", False),
        ("shop", "cluster.local/sa/cart", False),
        ("sh.p", CART, False),
    ],
)
def test_namespace(pattern: str, identity: str, matches: bool) -> None:
    assert m.namespace(pattern, identity) is matches


@pytest.mark.parametrize(
    ("pattern", "policy_namespace", "matches"),
    [
        ("cart", "shop", True),
        ("cart", "other", False),
        ("shop/cart", "other", True),
        ("shop/car", "other", False),
        ("shop/*", "shop", False),
        ("cart-2", "shop", False),
    ],
)
def test_service_account(pattern: str, policy_namespace: str, matches: bool) -> None:
    assert m.service_account(pattern, CART, policy_namespace) is matches
    assert m.service_account(pattern, "", policy_namespace) is False


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("cluster.local", True),
        ("cluster", False),
        ("*", True),
        ("*.local", True),
        ("cluster.*", True),
        ("*.loca", False),
        ("other", False),
    ],
)
def test_trust_domain(pattern: str, matches: bool) -> None:
    assert m.trust_domain(pattern, CART) is matches
    assert m.trust_domain(pattern, "") is False


@pytest.mark.parametrize(
    ("block", "ip", "matches"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("10.0.0.0/8", "2001:db8::1", False),
        ("nonsense", "10.0.0.1", False),
    ],
)
def test_cidr(block: str, ip: str, matches: bool) -> None:
    assert m.cidr(block, ip) is matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a", "/A", False),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/a", False),
        ("/a*", "/a", True),
        ("*/c", "/a/c", True),
        ("*", "/", True),
        ("/a/{*}", "/a/b", True),
        ("/a/{*}", "/a/b/c", False),
        ("/a/{*}", "/a/", False),
        ("/a/{*}/c", "/a/b/c", True),
        ("/a/{**}", "/a/b/c", True),
        ("/a/{**}", "/a/", True),
        ("/a/{**}", "/a", False),
        ("/{**}/c", "/a/b/c", True),
        ("/{*}/x/{**}", "/a/x/b/c", True),
        ("/a/{*}", "/a/b c", False),
    ],
)
def test_path(pattern: str, path: str, matches: bool) -> None:
    assert m.path(pattern, path) is matches


def test_templates_are_literal_before_1_22() -> None:
    assert m.path("/a/{*}", "/a/b", templates=False) is False
    assert m.path("/a/{*}", "/a/{*}", templates=False) is True


@pytest.mark.parametrize(
    ("target", "mode", "path"),
    [
        ("/a?x=1", "BASE", "/a"),
        ("/a?x=1", "NONE", "/a"),
        ("/a/../b", "BASE", "/b"),
        ("/a/../b", "NONE", "/a/../b"),
        ("/a/./b/.", "DEFAULT", "/a/b/"),
        ("/../a", "BASE", "/a"),
        ("/a\\b", "BASE", "/a/b"),
        ("/%61dmin", "BASE", "/admin"),
        ("/a%2fb", "BASE", "/a%2fb"),
        ("/a//b", "BASE", "/a//b"),
        ("/a//b", "MERGE_SLASHES", "/a/b"),
        ("/a%2Fb", "MERGE_SLASHES", "/a%2Fb"),
        ("/a%2Fb", "DECODE_AND_MERGE_SLASHES", "/a/b"),
        ("/a%5c%2f/b", "DECODE_AND_MERGE_SLASHES", "/a/b"),
        ("/a/..", "BASE", "/"),
        ("*", "BASE", "*"),
    ],
)
def test_normalised(target: str, mode: str, path: str) -> None:
    assert normalised(target, mode) == path


@pytest.mark.parametrize(
    ("pattern", "iss", "sub", "matches"),
    [
        ("*", "https://idp", "alice", True),
        ("*", "https://idp", None, False),
        ("https://idp/alice", "https://idp", "alice", True),
        ("https://idp/realm/alice", "https://idp/realm", "alice", True),
        ("https://idp/*", "https://idp", "bob", True),
        ("https://idp/al*", "https://idp", "alice", True),
        ("*/alice", "https://idp", "alice", True),
        ("*idp/alice", "https://idp", "alice", True),
        ("*alice", "https://idp", "alice", True),
        ("https:*", "https://idp", "x", True),
        ("https:*", "https:idp", "x", True),
        ("issuer", "issuer", "", True),
        ("issuer", "issuer", "x", False),
        ("https://idp/alice", "https://idp/", "alice", False),
    ],
)
def test_request_principal(pattern: str, iss: str, sub: str | None, matches: bool) -> None:
    assert m.request_principal(pattern, iss, sub) is matches


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("admin", "admin", True),
        ("admin", ["dev", "admin"], True),
        ("adm*", ["dev", "admin"], True),
        ("true", True, False),
        ("7", 7, False),
        ("admin", {"admin": 1}, False),
        ("admin", None, False),
        ("*", [], False),
    ],
)
def test_claim(pattern: str, value: object, matches: bool) -> None:
    assert m.claim(pattern, value) is matches


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[iss]", ("iss",)),
        ("[a][b]", ("a", "b")),
        ("[a.b]", ("a.b",)),
        ("[https://x/y]", ("https://x/y",)),
        ("[a]b", None),
        ("[a[b]]", ("a[b]",)),
        ("", None),
    ],
)
def test_claim_keys(text: str, keys: tuple[str, ...] | None) -> None:
    assert m.claim_keys(text) == keys


@pytest.mark.parametrize(
    ("value", "domains", "out"),
    [
        (CART, ("td1",), ("td1/ns/shop/sa/cart",)),
        ("td1/ns/a/sa/b", ("td1", "td2"), ("td1/ns/a/sa/b", "td2/ns/a/sa/b")),
        ("other/ns/a/sa/b", ("td1", "td2"), ("other/ns/a/sa/b",)),
        ("*/ns/a/sa/b", ("td1", "td2"), ("*/ns/a/sa/b",)),
        ("sa/b", ("td1",), ("sa/b",)),
        ("*-td/ns/a/sa/b", ("new-td", "td3"), ("*-td/ns/a/sa/b", "td3/ns/a/sa/b")),
        ("td9/ns/a/sa/b", ("td1", "td*"), ("td1/ns/a/sa/b", "td*/ns/a/sa/b")),
    ],
)
def test_trust_domain_aliases(value: str, domains: tuple[str, ...], out: tuple[str, ...]) -> None:
    assert m.expand_principals((value,), domains) == out


def test_trust_domains_expand_only_when_listed_exactly() -> None:
    assert m.expand_trust_domains(("td1", "x"), ("td1", "td2")) == ("td1", "td2", "x")
    assert m.expand_trust_domains(("td*",), ("td1", "td2")) == ("td*",)


@pytest.mark.parametrize(
    ("forwarded", "edge", "hops", "proxied", "ip"),
    [
        ("1.1.1.1", True, 0, "", "10.0.0.1"),
        (None, True, 0, "9.9.9.9", "9.9.9.9"),
        ("1.1.1.1, 2.2.2.2", True, 1, "", "2.2.2.2"),
        ("1.1.1.1, 2.2.2.2", True, 2, "", "1.1.1.1"),
        ("1.1.1.1", True, 2, "", "10.0.0.1"),
        ("1.1.1.1, 2.2.2.2", False, 0, "", "2.2.2.2"),
        (None, False, 0, "", "10.0.0.1"),
        # what is no address leaves the peer's own (seen in the lab)
        ("nonsense", False, 0, "", "10.0.0.1"),
        ("1.1.1.1, unknown", False, 0, "", "10.0.0.1"),
        ("nonsense", True, 1, "", "10.0.0.1"),
    ],
)
def test_remote_address(
    forwarded: str | None, edge: bool, hops: int, proxied: str, ip: str
) -> None:
    got = remote_address(
        direct_ip="10.0.0.1", forwarded=forwarded, edge=edge, hops=hops, proxied_ip=proxied
    )
    assert got == ip


def test_last_forwarded_of_nothing() -> None:
    assert last_forwarded(None, 0) is None
    assert last_forwarded("1.1.1.1", 1) is None


def test_three_valued_logic() -> None:
    assert all_of([True, None, False]) is False
    assert all_of([True, None]) is None
    assert all_of([]) is True
    assert any_of([False, None, True]) is True
    assert any_of([False, None]) is None
    assert any_of([]) is False
    assert negated(None) is None


@pytest.mark.parametrize(("text", "port"), [("80", 80), ("65536", None), ("-1", None), ("x", None)])
def test_port_number(text: str, port: int | None) -> None:
    assert m.port_number(text) == port


def test_split_identity() -> None:
    assert m.split_identity(CART) == ("cluster.local", "shop", "cart")
    assert m.split_identity("odd") == ("odd", "", "")
