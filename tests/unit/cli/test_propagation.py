"""`meshdoctor propagation` on a small recorded mesh."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meshdoctor.cli.propagation import parse_reference, propagation
from meshdoctor.report import propagation_json as text

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: istiod-1, namespace: istio-system, labels: {app: istiod}}
spec: {containers: [{name: discovery}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-1, namespace: shop, labels: {app: pay}, creationTimestamp: "2026-08-01T00:00:00Z"}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: pay
  namespace: shop
  creationTimestamp: "2026-08-01T00:00:00Z"
  managedFields: [{manager: kubectl-edit, operation: Update, time: "2026-08-22T03:10:00Z"}]
spec: {hosts: [pay], http: [{route: [{destination: {host: pay}}]}]}
"""  # noqa: E501
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def bundle(folder: Path, sent: str = "2026-08-22T03:10:01.5Z", **rds: str) -> Path:
    resource = {"sent": "a", "acked": "a", "sentTime": sent, **rds}
    (folder / "istioctl").mkdir()
    (folder / "objects.yaml").write_text(OBJECTS)
    (folder / "bundle.yaml").write_text("observed_at: 2026-08-22T03:12:00Z\n")
    (folder / "istioctl" / "proxy-status.json").write_text(
        json.dumps({"istiod-1": [{"proxy": "pay-1.shop", "resources": {RDS: resource}}]})
    )
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(propagation, list(arguments))


def test_a_change_that_arrived(tmp_path: Path) -> None:
    found = run("-b", str(bundle(tmp_path)), "--object", "virtualservices/shop/pay", "-o", "json")
    data = json.loads(found.stdout)
    assert data["schema"] == text.SCHEMA and data["states"] == {"has it": 1}
    assert (data["took_seconds"], data["changed_by"], data["slow"]) == (1.0, "kubectl-edit", False)
    assert data["took"]["within_seconds"] == 0.5  # managedFields date to the second
    assert found.exit_code == 3  # istiod's metrics were not recorded


def test_a_change_that_was_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path, lastError="Invalid regex '/a(b'", acked="")
    found = run("-b", str(path), "--object", "VirtualService/shop/pay")
    assert found.exit_code == 1 and "refused" in found.stdout and "SLOW" in found.stdout
    assert "MD3201" in found.stdout


def test_a_change_that_took_long(tmp_path: Path) -> None:
    path = bundle(tmp_path, sent="2026-08-22T03:10:20Z")
    found = run("-b", str(path), "--object", "VirtualService/shop/pay")
    assert found.exit_code == 1 and "19.5 s is more than 10 s" in found.stdout


METRICS = """\
pilot_proxy_convergence_time_bucket{{le="0.1"}} 8
pilot_proxy_convergence_time_bucket{{le="30"}} {slow}
pilot_proxy_convergence_time_bucket{{le="+Inf"}} {slow}
pilot_proxy_convergence_time_sum 1
pilot_proxy_convergence_time_count {slow}
"""


@pytest.mark.parametrize("how", ["other", "metrics", "hour", "restart"])
def test_dates_that_later_changes_have_moved(tmp_path: Path, how: str) -> None:
    """Long after the change, the last push says nothing about the first."""
    sent = "2026-08-22T04:10:20Z" if how == "hour" else "2026-08-22T03:10:20Z"
    path = bundle(tmp_path, sent=sent)
    if how == "other":
        other = (
            OBJECTS.split("---")[3].replace("name: pay", "name: other").replace("10:00", "10:19")
        )
        (path / "objects.yaml").write_text(f"{OBJECTS}---{other}")
    if how == "metrics":
        (path / "metrics").mkdir()
        (path / "metrics" / "istio-system_istiod-1.prom").write_text(METRICS.format(slow=8))
    if how == "restart":
        status = (
            "{phase: Running, containerStatuses: [{name: istio-proxy, "
            'state: {running: {startedAt: "2026-08-22T03:10:19Z"}}}]}'
        )
        before, after = OBJECTS.split("status: {phase: Running}\n---\napiVersion: networking")
        text_ = f"{before}status: {status}\n---\napiVersion: networking{after}"
        (path / "objects.yaml").write_text(text_)
    found = run("-b", str(path), "--object", "VirtualService/shop/pay")
    assert "not told: " in found.stdout and "SLOW" not in found.stdout


def test_everything(tmp_path: Path) -> None:
    found = run("-b", str(bundle(tmp_path)))
    assert "all configuration: 1 of 1 proxies are in step" in found.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--object", "pay"),
        ("--object", "Nonsense/shop/pay"),
        ("--object", "VirtualService/shop/none"),
        ("--watch",),
        ("--next-change",),
    ],
)
def test_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("-b", str(bundle(tmp_path)), *arguments).exit_code == 2


@pytest.mark.parametrize("kind", ["VirtualService", "virtualservice", "virtualservices"])
def test_references(kind: str) -> None:
    assert parse_reference(f"{kind}/shop/pay") == ("VirtualService", "shop", "pay")
    assert parse_reference("") == ("", "", "")
