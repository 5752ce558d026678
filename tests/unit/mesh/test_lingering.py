"""Which pods stay for their proxy's sake once they are deleted?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.lingering import lingers, waits_for
from meshdoctor.model.kubernetes import Pod

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0}}
RUNS: dict[str, Any] = {"running": {}}


@pytest.mark.parametrize(
    ("asked", "app", "proxy", "found"),
    [
        (20, ENDED, RUNS, True),
        (0.5, ENDED, RUNS, False),
        (20, RUNS, RUNS, False),
        (20, ENDED, ENDED, False),
        (20, None, RUNS, False),
        (None, ENDED, RUNS, False),
    ],
)
def test_lingers(
    asked: float | None, app: dict[str, Any] | None, proxy: dict[str, Any], found: bool
) -> None:
    states = {"istio-proxy": proxy, **({"app": app} if app is not None else {})}
    statuses = [{"name": name, "state": state} for name, state in states.items()]
    meta: dict[str, Any] = {"deletionGracePeriodSeconds": 3600}
    if asked is not None:
        until = NOW - timedelta(minutes=asked) + timedelta(hours=1)
        meta["deletionTimestamp"] = until.isoformat()
    given = {"metadata": meta, "status": {"containerStatuses": statuses}}
    assert lingers(msgspec.convert(given, Pod, strict=False), NOW) is found


def test_only_the_end_of_the_log_counts() -> None:
    waits = "info There are still 3 active connections\n"
    assert waits_for(waits) and not waits_for("")
    assert not waits_for(waits + "info listener drained\n" * 60)
