"""What istiod's log says of an API server that does not answer."""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.mesh.istiod_log import read, unanswered_for

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)


def silent(at: str) -> str:
    return (
        f'2026-11-18T{at}Z\terror\tklog\tfailed to list *v1.Pod: Get "https://10.0.0.1:443/api/v1/'
        'pods": dial tcp 10.0.0.1:443: i/o timeout'
    )


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([], 0),
        (["09:29:30"], 0),
        (["09:27:30", "09:28:30", "09:29:30"], 120),
        (["09:20:00", "09:29:00", "09:29:40"], 40),  # it was answered in between
        (["09:20:00", "09:21:00", "09:28:00"], 0),  # it is answered again
    ],
)
def test_for_how_long_the_api_has_not_answered(times: list[str], seconds: int) -> None:
    said = read(["\n".join(map(silent, times))]).said
    assert unanswered_for(said, NOW) == timedelta(seconds=seconds)
    assert all(one.get("api") == "https://10.0.0.1:443" for one in said)


def test_a_cache_that_is_waited_for() -> None:
    line = (
        "2026-11-18T09:29:00Z\tinfo\twaiting for sync...\t"
        "name=ConfigMap_istio attempt=1900 time=3m10.8s"
    )
    (said,) = read([line]).said
    assert (said.kind, said.get("what"), said.get("time")) == (
        "sync_waiting",
        "ConfigMap_istio",
        "3m10.8s",
    )
