"""Certificates, and the secrets a proxy holds, in every layout istioctl prints."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshdoctor.mesh.certificates import compare, issued_by, parse, trusted
from meshdoctor.mesh.proxy_secrets import identity, roots, undelivered
from meshdoctor.mesh.proxy_secrets import parse as parse_secrets
from meshdoctor.ports import UnparsableError
from tests.unit.mesh.certs import DAY, NOW, Ca

OLD, NEW = Ca(), Ca()
SPIFFE = "spiffe://cluster.local/ns/shop/sa/pay"
LEAF = NEW.leaf(SPIFFE)


def test_leaf() -> None:
    leaf = parse(LEAF).leaf
    assert leaf is not None
    assert (leaf.spiffe, leaf.trust_domain, leaf.is_ca) == (SPIFFE, "cluster.local", False)
    assert (leaf.key, leaf.bits) == ("EC", 256)
    assert [leaf.state(NOW + d * DAY) for d in (-1, 0, 1)] == ["early", "valid", "expired"]


def test_roots_of_one_name_are_told_apart() -> None:
    old, new = parse(OLD.pem), parse(NEW.pem)
    leaf = parse(LEAF)
    assert old.leaf is not None and new.leaf is not None and leaf.leaf is not None
    assert old.leaf.subject == new.leaf.subject and old.leaf.self_signed
    assert not issued_by(leaf.leaf, old.leaf) and issued_by(leaf.leaf, new.leaf)
    assert not trusted(leaf.certificates, old.certificates)
    assert trusted(leaf.certificates, parse(OLD.pem + NEW.pem).certificates)
    assert not trusted((), new.certificates)
    assert compare(old.roots, new.roots) == "differ"
    assert compare(old.roots, old.roots | new.roots) == "overlap"
    assert compare(old.roots, old.roots) == "equal"
    assert compare(old.roots, frozenset()) == "unknown"


@pytest.mark.parametrize(
    ("names", "common", "host", "covered"),
    [
        (["a.example.com"], "", "A.example.com", True),
        (["*.example.com"], "", "a.example.com", True),
        (["*.example.com"], "", "a.b.example.com", False),
        (["*.example.com"], "", "example.com", False),
        (["a.example.com"], "b.example.com", "b.example.com", False),
        ([], "b.example.com", "b.example.com", True),
        ([], "", "b.example.com", False),
    ],
)
def test_hosts(names: list[str], common: str, host: str, covered: bool) -> None:
    leaf = parse(NEW.leaf(*names, common=common)).leaf
    assert leaf is not None and leaf.covers(host) is covered


def test_broken_blocks_are_counted() -> None:
    text = f"x\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{LEAF}junk"
    bundle = parse(text)
    assert (len(bundle.certificates), bundle.broken) == (1, 1)
    assert parse("").leaf is None


TABLE = """\
RESOURCE NAME              TYPE           STATUS      VALID CERT     SERIAL NUMBER                        NOT AFTER                NOT BEFORE
configmap://some/thing                    WARMING     false
default                    Cert Chain     ACTIVE      false          6fbee254c22900615cb1f74e3d2f1713     2023-05-16T01:32:52Z     2023-05-15T01:30:52Z
ROOTCA                     CA             ACTIVE      true           0193a543fe2b0d9cd4847675394dfc54     2033-05-02T03:41:33Z     2023-05-05T03:41:33Z
"""  # noqa: E501
SPIRE = """\
RESOURCE NAME     TYPE           STATUS     VALID CERT     SERIAL NUMBER     NOT AFTER                NOT BEFORE               TRUST DOMAIN
default           Cert Chain     ACTIVE     false          cd49              2024-10-27T22:44:37Z     2024-10-27T21:44:27Z     east.local
ROOTCA            CA             ACTIVE     true           529c              2034-10-23T13:23:05Z     2024-10-25T13:23:05Z     east.local
ROOTCA            CA             ACTIVE     true           6726              2034-10-23T13:23:05Z     2024-10-25T13:23:05Z     west.local
"""  # noqa: E501


def test_table() -> None:
    secrets = parse_secrets(TABLE)
    own = identity(secrets)
    assert own is not None and own.state(NOW) == "expired" and own.active
    assert roots(secrets) == {"193a543fe2b0d9cd4847675394dfc54"}
    assert undelivered(secrets) == ("configmap://some/thing",)


def test_table_with_trust_domains() -> None:
    secrets = parse_secrets(SPIRE)
    assert roots(secrets) == {"529c", "6726"}
    assert [s.trust_domain for s in secrets] == ["east.local", "east.local", "west.local"]


def dump(camel: bool) -> dict[str, Any]:
    def b64(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    def k(text: str) -> str:
        head, *rest = text.split("_")
        return head + "".join(w.title() for w in rest) if camel else text

    return {
        k("dynamic_active_secrets"): [
            {
                "name": "default",
                "secret": {
                    k("tls_certificate"): {
                        k("certificate_chain"): {k("inline_bytes"): b64(LEAF + NEW.pem)},
                        k("private_key"): {k("inline_bytes"): b64("[redacted]")},
                    }
                },
            },
            {
                "name": "ROOTCA",
                "secret": {
                    k("validation_context"): {
                        k("trusted_ca"): {k("inline_bytes"): b64(OLD.pem + NEW.pem)}
                    }
                },
            },
        ],
        k("dynamic_warming_secrets"): [{"name": "web", "secret": {"name": "web"}}, 5],
    }


@pytest.mark.parametrize("camel", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_json(camel: bool, wrapped: bool) -> None:
    data: Any = {"configs": [{"other": 1}, dump(camel)]} if wrapped else dump(camel)
    secrets = parse_secrets(json.dumps(data))
    own = identity(secrets)
    assert own is not None and own.certificate is not None
    assert (own.certificate.spiffe, own.state(NOW)) == (SPIFFE, "valid")
    assert len(roots(secrets)) == 2 and undelivered(secrets) == ("web",)


def test_none_and_nonsense() -> None:
    assert parse_secrets("No active or warming secrets found.\n") == ()
    assert identity(()) is None
    for text in ("", "Error: pod not found", '{"dynamicActiveSecrets": [', "[" * 100_000):
        with pytest.raises(UnparsableError):
            parse_secrets(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200))
def test_never_anything_but_unparsable(text: str) -> None:
    parse(f"-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----")
    for start in ("", TABLE, "{", '{"dynamicActiveSecrets":'):
        try:
            parse_secrets(start + text)
        except UnparsableError:
            continue
