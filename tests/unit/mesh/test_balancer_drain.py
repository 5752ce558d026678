"""When did connections break, and when were the pods of a gateway replaced?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.balancer_drain import broken, replaced, soon_after, stays
from meshdoctor.model.kubernetes import Event, Pod

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("config", "grace", "seconds"),
    [
        ("", None, 5),
        ("terminationDrainDuration: 240s", 300, 240),
        ("terminationDrainDuration: 240s", None, 30),
        ('proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"}', 600, 600),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_stays(config: str, grace: int | None, seconds: int, noted: bool) -> None:
    notes = {"proxy.istio.io/config": config} if noted else {}
    env = [] if noted else [{"name": "PROXY_CONFIG", "value": config}]
    spec: dict[str, Any] = {"containers": [{"name": "istio-proxy", "env": env}]}
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    assert (
        stays(msgspec.convert({"metadata": {"annotations": notes}, "spec": spec}, Pod)) == seconds
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("2026-11-18T09:12:01Z ERROR GET https://a.example/: Connection reset by peer", True),
        ("2026-11-18 09:12:01,120 WARN a.example: connection refused", True),
        ("[2026-11-18T09:12:01.5Z] curl: (28) a.example timed out", True),
        ("2026-11-18T09:12:01Z INFO GET https://a.example/ 200", False),
        ("2026-11-18T09:12:01Z ERROR GET https://b.example/: Connection reset by peer", False),
        ("ERROR GET https://a.example/: Connection reset by peer", False),
    ],
)
def test_broken(line: str, found: bool) -> None:
    assert bool(broken(f"{line}\n", {"a.example"})) is found
    assert len(broken(f"{line}\n", ())) == int(found or "b.example" in line)


def test_soon_after_a_replacement() -> None:
    born = msgspec.convert({"metadata": {"creationTimestamp": NOW}}, Pod)
    ended = {
        "reason": "Killing",
        "involvedObject": {"kind": "Pod", "name": "gw-7f-x"},
        "lastTimestamp": NOW - timedelta(hours=2),
    }
    told = [msgspec.convert(ended, Event), msgspec.convert({**ended, "reason": "Pulled"}, Event)]
    moments = replaced([born], told, "gw")
    assert moments == (NOW - timedelta(hours=2), NOW)
    assert replaced([born], told, "other") == (NOW,)
    near = [NOW - timedelta(minutes=118), NOW + timedelta(minutes=4), NOW - timedelta(seconds=5)]
    far = [NOW - timedelta(minutes=30), NOW + timedelta(minutes=6)]
    assert soon_after((*near, *far), moments) == 3
