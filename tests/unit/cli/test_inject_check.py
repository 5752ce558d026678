"""`meshdoctor inject-check` on manifests and recorded workloads."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meshdoctor.cli.inject_check import inject_check
from tests.unit.world_injection import MESH, SHOP, pod

NEW = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {sidecar.istio.io/inject: 'false'}}
        spec: {containers: [{name: a, image: a}]}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "objects.yaml").write_text(MESH + SHOP + pod("2026-11-15T00:00:00Z", sidecar=True))
    return folder


def run(bundle: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(inject_check, [*arguments, "-b", str(bundle)], input=stdin)


def test_a_manifest_that_was_never_applied(bundle: Path) -> None:
    told = run(bundle, "-f", "-", "-n", "shop", "-o", "json", stdin=NEW)
    assert told.exit_code == 1, told.exception
    rows = {r["workload"]: r for r in json.loads(told.output)["workloads"]}
    assert rows["Job/shop/nightly"]["outcome"] == "refused"  # asked before istiod can decline
    assert rows["Job/shop/nightly"]["clause"] == "value-false"
    web = rows["Deployment/shop/web"]
    assert web["clause"] == "policy-enabled"
    assert web["webhook"] == "MutatingWebhookConfiguration//istio-sidecar-injector"
    assert web["refusals"] == [
        "caBundle of MutatingWebhookConfiguration//istio-sidecar-injector is not istiod's root "
        "(empty)"
    ]
    assert told.exit_code == 1


BOUNDS = """
---
apiVersion: v1
kind: LimitRange
metadata: {name: small, namespace: shop}
spec: {limits: [{type: Container, max: {cpu: 500m}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few, namespace: shop}
spec: {hard: {limits.cpu: "1"}}
"""
ASKS = "metadata: {labels: {app: web}, annotations: {sidecar.istio.io/proxyCPULimit: '2'}}"


def test_what_bounds_of_the_namespace_would_refuse(bundle: Path) -> None:
    web = NEW.split("---")[0].replace("metadata: {labels: {app: web}}", ASKS)
    bounded = bundle / "bounds.yaml"
    bounded.write_text(BOUNDS)
    told = run(bundle, "-f", "-", "-n", "shop", "-o", "json", stdin=web)
    row = json.loads(told.output)["workloads"][0]
    assert "LimitRange/shop/small: limit 2 of cpu of istio-proxy is above 500m" in row["refusals"]
    assert row["refusals"][-1].startswith("ResourceQuota/shop/few: 2 of limits.cpu wanted")
    bounded.unlink()
    told = run(bundle, "-f", "-", "-n", "shop", "-o", "json", stdin=web)
    assert not any("shop/" in text for text in json.loads(told.output)["workloads"][0]["refusals"])


def test_what_is_applied_is_not_changed_by_what_is_not(bundle: Path) -> None:
    told = run(bundle, "shop/cart")
    assert "Deployment/shop/cart" in told.output
    assert "have a sidecar" in told.output


def test_webhooks_that_are_passed_over_say_why(bundle: Path) -> None:
    told = run(bundle, "-f", "-", "-n", "other", stdin=NEW.split("---")[0])
    assert "would not be injected" in told.output
    assert "namespaceSelector wants istio-injection=enabled, it is absent" in told.output
    assert told.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), "", "name a workload"),
        (("shop/nope",), "", "there are: cart"),
        (("nope",), "", "expected NS/WORKLOAD"),
        (("-f", "-"), "kind: [", "-:"),
        (("-f", "-"), "apiVersion: v1\nkind: Service\nmetadata: {name: a}", "holds no Pod"),
    ],
)
def test_usage(bundle: Path, arguments: tuple[str, ...], stdin: str, message: str) -> None:
    told = run(bundle, *arguments, stdin=stdin)
    assert told.exit_code == 2
    assert message in told.output
