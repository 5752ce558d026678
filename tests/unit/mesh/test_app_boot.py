"""Which refused connections of an application are those of its first moments?"""

from datetime import UTC, datetime

import pytest

from meshdoctor.mesh.app_boot import refused_early

READY = datetime(2026, 11, 18, 9, 0, 2, tzinfo=UTC)
EARLY = "2026-11-18T09:00:01.500Z connect ECONNREFUSED 10.0.0.7:80"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (EARLY, True),
        ("2026-11-18 09:00:01,500 java.net.ConnectException: Connection refused", True),
        ("2026-11-18T11:00:01+02:00 dial tcp 10.0.0.7:80: connect: connection refused", True),
        ("2026-11-18T09:00:01Z started", False),
        ("connect ECONNREFUSED 10.0.0.7:80", False),
        ("2026-11-18T09:00:04Z connect ECONNREFUSED 10.0.0.7:80", False),
        (f"{EARLY}\n2026-11-18T09:05:00Z connect ECONNREFUSED 10.0.0.7:80", False),
        ("", False),
    ],
)
def test_refused_before_the_proxy_was_ready(text: str, told: bool) -> None:
    assert bool(refused_early(text, READY)) is told
