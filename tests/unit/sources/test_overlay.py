"""Does a proposed change read as if it were applied?"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.kubernetes import Pod
from meshdoctor.ports import SourceError
from meshdoctor.sources.open import open_recorded, with_overlay
from tests.unit.sources.test_recorded import POD, POLICY, write

NOW = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


def world(root: Path) -> Path:
    policy = POLICY.replace("shop}", "shop, uid: u1, creationTimestamp: 2025-01-01T00:00:00Z}")
    status = "status: {phase: Running}\n"
    settings = "observed_at: 2026-03-01T04:05:06Z\n"
    return write(root, {"bundle.yaml": settings, "objects.yaml": f"{POD}{status}---{policy}"})


def test_a_changed_object_keeps_its_age(tmp_path: Path) -> None:
    source = open_recorded(world(tmp_path / "in"))
    change = tmp_path / "change.yaml"
    change.write_text(f"{POLICY.replace('STRICT', 'DISABLE')}---{POD.replace('app', 'other')}")
    laid = with_overlay(source, change)
    found = laid.get("PeerAuthentication", "shop", "default")
    assert isinstance(found, PeerAuthentication)
    assert found.spec.mtls is not None
    assert found.spec.mtls.mode == "DISABLE"
    assert found.metadata.creation_timestamp == datetime(2025, 1, 1, tzinfo=UTC)
    assert found.metadata.uid == "u1"
    pod = laid.list("Pod", "shop").objects[0]
    assert isinstance(pod, Pod)
    assert (pod.status.phase, pod.spec.containers[0].name) == ("Running", "other")
    assert "as if" in laid.describe()
    assert laid.now() == NOW
    assert laid.log("shop", "cart-1", "app").text == ""


def test_a_new_object_is_as_old_as_now(tmp_path: Path) -> None:
    source = open_recorded(world(tmp_path / "in"))
    change = tmp_path / "change.yaml"
    change.write_text(POLICY.replace("default", "new"))
    laid = with_overlay(source, change)
    assert len(laid.list("PeerAuthentication", None).objects) == 2
    found = laid.get("PeerAuthentication", "shop", "new")
    assert found is not None
    assert found.metadata.creation_timestamp == NOW
    assert source.get("PeerAuthentication", "shop", "new") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n\t- b", "change.yaml:2"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a, namespace: b}", "no spec"),
        ("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}", "holds no object"),
        ("", "holds no object"),
    ],
)
def test_a_change_that_cannot_be_read(tmp_path: Path, text: str, says: str) -> None:
    source = open_recorded(world(tmp_path / "in"))
    change = tmp_path / "change.yaml"
    change.write_text(text)
    with pytest.raises(SourceError, match=says) as caught:
        with_overlay(source, change)
    assert caught.value.exit_code == 2
