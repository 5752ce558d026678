"""Who comes at a fixed interval?"""

from datetime import UTC, datetime, timedelta

from meshdoctor.mesh.callers import at_intervals

T0 = datetime(2026, 11, 18, 9, 24, tzinfo=UTC)


def calls(*seconds: float, ip: str = "10.0.9.9") -> list[tuple[str, datetime | None]]:
    return [(ip, T0 + timedelta(seconds=s)) for s in seconds]


def test_health_checks_are_regular() -> None:
    assert at_intervals(calls(0, 10, 20.2, 30.1, 40))
    assert at_intervals(calls(0, 10, 20, 30) + calls(3, 18, 33, 48, ip="10.0.9.8"))


def test_users_are_not() -> None:
    assert not at_intervals(calls(0, 3, 4, 19, 31))
    assert not at_intervals(calls(0, 10, 20)), "too few to tell"
    assert not at_intervals(calls(0, 1, 2, 3, 4)), "a loop of curl"
    assert not at_intervals(calls(0, 10, 20, 30) + calls(1, 2, ip="10.0.1.1"))
    assert not at_intervals([])
    assert not at_intervals([*calls(0, 10, 20, 30), ("10.0.9.9", None)])
