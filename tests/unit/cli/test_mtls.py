"""`meshdoctor mtls` on recorded objects."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meshdoctor.cli.mtls import mtls
from meshdoctor.engine.scope import ScopeError
from tests.unit.probes.test_edge_tls import BOTH, STRICT, pod, rule


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


MESH = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: ""}
"""


def run(folder: Path, objects: str, *arguments: str) -> Result:
    (folder / "bundle.yaml").write_text("observed_at: 2026-11-18T09:30:00Z\n")
    (folder / "objects.yaml").write_text(MESH + objects)
    ends = () if "--from" in arguments else ("--from", "web/cart-1", "--to", "shop/pay")
    return CliRunner().invoke(mtls, ["-b", str(folder), *ends, *arguments])


MORE = BOTH.replace(
    "targetPort: 8080}]", "targetPort: 8080}, {name: tcp-db, port: 5432, targetPort: 5432}]"
)


def test_every_port_of_the_service(bundle: Path) -> None:
    told = run(bundle, MORE + STRICT, "-o", "json")
    assert told.exit_code == 0, told.output
    ports = json.loads(told.output)["ports"]
    assert [(p["port"], p["workload_port"], p["protocol"]) for p in ports] == [
        (80, 8080, "HTTP"),
        (5432, 5432, "TCP"),
    ]
    assert {p["client_side"]["speaks"] for p in ports} == {"mutual TLS"}
    assert ports[0]["server_side"]["peer_authentication"] == "PeerAuthentication/shop/default"


def test_a_failure_in_words(bundle: Path) -> None:
    told = run(bundle, BOTH + STRICT + rule("shop", "DISABLE"))
    assert told.exit_code == 1
    assert "plaintext: DestinationRule/shop/pay-shop, tls mode DISABLE (top)" in told.output
    assert "mutual TLS only: STRICT, PeerAuthentication/shop/default (namespace)" in told.output
    assert "FAILS: the server's proxy takes mutual TLS only" in told.output


def test_the_host_that_the_caller_uses(bundle: Path) -> None:
    told = run(bundle, BOTH + STRICT, "--host", "10.0.1.2")
    assert told.exit_code == 1 and "PassthroughCluster" in told.output


def test_a_port_that_bypasses_the_proxy(bundle: Path) -> None:
    notes = '{traffic.sidecar.istio.io/excludeInboundPorts: "8080"}'
    into = pod("web", "cart", "10.0.1.1") + pod("shop", "pay", "10.0.1.2", notes=notes)
    service = BOTH[BOTH.index("\n---\napiVersion: v1\nkind: Service") :]
    told = run(bundle, into + service + STRICT)
    assert told.exit_code == 1 and "excludeInboundPorts (8080)" in told.output


def test_both_sides_must_be_named(bundle: Path) -> None:
    told = run(bundle, BOTH, "--from", "web/cart-1")
    assert isinstance(told.exception, ScopeError)
