"""Are writes of one object seen, by a watch or without the right to one?"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from meshdoctor.sources.follow import LiveFollowing
from tests.unit.sources.apiserver import Api, Reply, serving, status
from tests.unit.sources.test_live import SHOP, live, pod


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as running:
        yield running


def version(number: int) -> dict[str, Any]:
    found = pod("web")
    found["metadata"]["resourceVersion"] = str(number)
    return found


def events(*which: tuple[str, int]) -> Reply:
    lines = [json.dumps({"type": kind, "object": version(n)}) for kind, n in which]
    return Reply(text="\n".join(lines) + "\n")


def seen(api: Api, tmp_path: Path, number: int) -> list[tuple[str, bool]]:
    following = LiveFollowing(live(api, tmp_path))
    found = list(islice(following.changes("Pod", "shop", "web"), number + 1))
    assert found[0] is None  # nothing is missed from here on
    return [(c.object.metadata.resource_version, c.deleted) for c in found if c is not None]


LIST = Reply(body={"metadata": {"resourceVersion": "7"}, "items": []})


def test_every_write_is_seen_once(api: Api, tmp_path: Path) -> None:
    api.answers[f"{SHOP}/web"] = [Reply(body=version(1))]
    watched = events(("ADDED", 1), ("MODIFIED", 2), ("BOOKMARK", 3))
    api.answers[SHOP] = [LIST, watched, LIST, events(("MODIFIED", 3), ("DELETED", 4))]
    api.answers[f"{SHOP}/web"] += [Reply(body=version(1)), Reply(body=version(2))]
    assert seen(api, tmp_path, 3) == [("2", False), ("3", False), ("4", True)]
    watches = [query for _, path, query in api.seen if path == SHOP and "watch" in query]
    assert watches[0] == {
        "watch": "1",
        "resourceVersion": "7",
        "fieldSelector": "metadata.name=web",
    }


def test_what_was_written_while_no_watch_was_open(api: Api, tmp_path: Path) -> None:
    api.answers[f"{SHOP}/web"] = [Reply(body=version(1)), Reply(body=version(2))]
    api.answers[SHOP] = [LIST, events(("ERROR", 0))]
    assert seen(api, tmp_path, 1) == [("2", False)]


def test_without_the_right_to_watch(api: Api, tmp_path: Path) -> None:
    one, two = Reply(body=version(1)), Reply(body=version(2))
    gone = status(404, 'pods "web" not found')
    api.answers[f"{SHOP}/web"] = [one, one, two, gone]
    api.answers[SHOP] = [status(403, "pods is forbidden")]
    assert seen(api, tmp_path, 2) == [("2", False), ("2", True)]


def test_when_a_proxy_took_its_resources(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = live(api, tmp_path)
    asked: list[tuple[str, str, int, str]] = []

    def read(namespace: str, name: str, port: int, path: str) -> bytes:
        asked.append((namespace, name, port, path))
        dates = ("2026-11-24T20:20:20.879Z", "2026-11-24T20:14:53.717123456Z")
        return json.dumps({"configs": [{"last_updated": date} for date in dates]}).encode()

    monkeypatch.setattr(source, "read_pod", read)
    found = LiveFollowing(source).updates("shop", "web", ("RDS", "EDS"))
    assert [t.isoformat() for t in found] == [
        "2026-11-24T20:20:20.879000+00:00",
        "2026-11-24T20:14:53.717123+00:00",
    ]
    path = "/config_dump?resource=dynamic_route_configs&mask=last_updated"
    assert asked == [("shop", "web", 15000, path)]
