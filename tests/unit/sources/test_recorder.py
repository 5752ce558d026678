"""Does a recorded run replay as it was?"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from meshdoctor.model.evidence import Reason, SetAside
from meshdoctor.model.kinds import KINDS
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.subjects import Request
from meshdoctor.ports import (
    Answer,
    EvidenceError,
    ForbiddenError,
    NotRecordedError,
    Source,
    SourceError,
    UnparsableError,
)
from meshdoctor.sources.open import finish_recording, open_recorded, recording
from tests.unit.sources.test_recorded import POD, POLICY, write


@dataclass
class Scope:
    from_: str = "shop/cart"
    to: str = "shop/pay:8080"
    request: Request = Request(method="GET", path="/x", headers=(("a", "1"), ("a", "2")))


FILES = {
    "bundle.yaml": "observed_at: 2026-03-01T04:05:06Z\n",
    "objects.yaml": f"{POD}---{POLICY}---\nkind: Pod\napiVersion: v1\nmetadata: {{name: bad, "
    "namespace: shop}\n",
    "logs/shop_cart-1_istio-proxy.log": "line\n",
    "logs/shop_cart-1_app.previous.log": "died\n",
    "istioctl/proxy-status.txt": "NAME  CLUSTER\n",
    "istioctl/proxy-config-secret_cart-1.shop.json": '{"dynamicActiveSecrets":[]}',
    "istioctl/debug-syncz_istiod-1.istio-system.json": "[]",
    "istioctl/authz-check_cart-1.shop.txt": "ACTION\n",
    "istioctl/version.json": '{"clientVersion":{"version":"1.30.3"}}',
    "istioctl/analyze.json": "[]",
    "metrics/shop_cart-1.prom": "up 1\n",
    "errors.json": '[{"read": "list Secret *", "reason": "forbidden", "detail": "no"}]',
}


def everything(source: Source) -> list[object]:
    """Every kind of read, with what it gives."""
    got: list[object] = [source.now()]
    for kind in KINDS:
        got.append(attempt(lambda k=kind.name: objects(source.list(k, None))))
        got.append(attempt(lambda k=kind.name: source.get(k, "shop", "cart-1")))
    for read in (
        source.proxy_status,
        source.analyze,
        source.version,
        lambda: source.log("shop", "cart-1", "istio-proxy"),
        lambda: source.log("shop", "cart-1", "app", previous=True),
        lambda: source.log("shop", "cart-1", "app"),
        lambda: source.proxy_config("secret", "shop", "cart-1"),
        lambda: source.proxy_config("route", "shop", "cart-1"),
        lambda: source.debug("syncz", "istio-system", "istiod-1"),
        lambda: source.authz_check("shop", "cart-1"),
        lambda: source.metrics("shop", "cart-1"),
        lambda: source.metrics("shop", "cart-2"),
    ):
        got.append(attempt(lambda r=read: (r().text, r().command)))
    return got


def objects(answer: Answer) -> tuple[tuple[Object, ...], list[str]]:
    return answer.objects, [f"{a.where} {a.ref}" for a in answer.set_aside]


def attempt(read: object) -> object:
    try:
        return read()  # type: ignore[operator]
    except EvidenceError as error:
        return error.unavailable.reason, error.unavailable.detail


@pytest.mark.parametrize("name", ["out", "out.tgz"])
def test_a_replay_gives_what_was_read(tmp_path: Path, name: str) -> None:
    source = open_recorded(write(tmp_path / "in", FILES))
    target = tmp_path / name
    recorder = recording(source, target)
    first = everything(recorder)
    finish_recording(recorder, Scope())
    replay = open_recorded(target)
    assert everything(replay) == first == everything(source)
    said = replay.defaults()
    assert (said.from_, said.to, said.method, said.path) == (
        "shop/cart",
        "shop/pay:8080",
        "GET",
        "/x",
    )
    assert said.headers == (("a", "1"), ("a", "2"))
    assert (target.stat().st_mode & 0o077) == 0


def test_a_replay_is_as_blind_as_the_run(tmp_path: Path) -> None:
    source = open_recorded(write(tmp_path / "in", FILES))
    recorder = recording(source, tmp_path / "out")
    recorder.list("Pod", "shop")
    with pytest.raises(ForbiddenError):
        recorder.list("Secret", None)
    finish_recording(recorder, Scope())
    replay = open_recorded(tmp_path / "out")
    assert [o.name for o in replay.list("Pod", "shop").objects] == ["cart-1"]
    assert replay.get("Pod", "shop", "cart-9") is None
    with pytest.raises(UnparsableError):
        replay.get("Pod", "shop", "bad")
    with pytest.raises(ForbiddenError, match="no"):
        replay.get("Secret", "shop", "x")
    for read in (
        lambda: replay.list("Pod", None),
        lambda: replay.list("PeerAuthentication", "shop"),
        replay.proxy_status,
    ):
        with pytest.raises(NotRecordedError):
            read()
    assert [u.reason for u in replay.failed_reads()] == [Reason.FORBIDDEN]


def test_a_recording_of_a_recording_is_the_same(tmp_path: Path) -> None:
    source = open_recorded(write(tmp_path / "in", FILES))
    for before, after in ((source, "one"), (None, "two")):
        again = recording(before or open_recorded(tmp_path / "one"), tmp_path / after)
        everything(again)
        finish_recording(again, Scope())
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.json")}
        for n in ("one", "two")
    )
    assert one == two


def test_nothing_is_written_over(tmp_path: Path) -> None:
    source = open_recorded(write(tmp_path / "in", FILES))
    (tmp_path / "x.tgz").write_text("evidence")
    for target in (tmp_path / "in", tmp_path / "x.tgz"):
        with pytest.raises(SourceError, match="exists already") as caught:
            recording(source, target)
        assert caught.value.exit_code == 2


def test_set_aside_rows_are_kept_once(tmp_path: Path) -> None:
    source = open_recorded(write(tmp_path / "in", FILES))
    recorder = recording(source, tmp_path / "out")
    recorder.list("Pod", "shop")
    recorder.list("Pod", None)
    finish_recording(recorder, Scope())
    replay = open_recorded(tmp_path / "out")
    assert replay.list("Pod", "shop").set_aside == (
        SetAside(where="objects.yaml:11", ref="Pod/shop/bad", problem="no spec"),
    )
