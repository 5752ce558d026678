"""How long a change took, and how exactly that is known."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.propagation_time import Arrival, Began, first_update, took

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def arrival(after: float, by: float, taken: float | None = None, pod: str = "a") -> Arrival:
    dated = None if taken is None else at(taken)
    return Arrival(namespace="shop", pod=pod, after=at(after), by=at(by), taken=dated)


def close(one: timedelta, seconds: float) -> bool:
    return abs(one.total_seconds() - seconds) < 0.001


def test_a_change_that_was_seen_and_proxies_that_date_it() -> None:
    found = took(Began(at=AT), [arrival(0, 0.6, 0.41, "b"), arrival(0, 0.6, 0.32)])
    assert found is not None and found.last == "shop/b" and (found.proxies, found.dated) == (2, 2)
    assert close(found.best, 0.41) and close(found.half, 0.32) and close(found.within, 0)


def test_between_two_looks() -> None:
    found = took(Began(at=AT), [arrival(0.2, 0.6)])
    assert found is not None and close(found.best, 0.4) and close(found.within, 0.2)


def test_a_clock_that_is_off_is_not_believed() -> None:
    found = took(Began(at=AT), [arrival(0.2, 0.6, 7.0), arrival(0.2, 0.6, -7.0)])
    assert found is not None and close(found.best, 0.6)


def test_a_change_dated_to_the_second() -> None:
    second = Began(at=AT, grain=timedelta(seconds=1))
    quick = took(second, [arrival(0, 9, 0.4), arrival(0, 9, 0.5)])
    assert quick is not None and close(quick.best, 0.3) and close(quick.within, 0.2)
    late = took(second, [arrival(0, 9, 5.0)])
    assert late is not None and close(late.best, 4.5) and close(late.within, 0.5)


def test_nothing_arrived() -> None:
    assert took(Began(at=AT), []) is None


def test_the_first_update_after_the_change() -> None:
    began, dates = Began(at=AT), [at(-60), at(0.3), at(0.5), at(40)]
    assert first_update(dates, began, at(60)) == at(0.5)  # one update of several resources
    assert first_update(dates, began, at(0.4)) == at(0.3)
    assert first_update([at(-60)], began, at(60)) is None


spans = st.tuples(st.floats(0, 50), st.floats(0, 5), st.none() | st.floats(-60, 60))


@given(st.lists(spans, min_size=1, max_size=9), st.floats(0, 1))
def test_the_best_guess_lies_within_its_bounds(
    found: list[tuple[float, float, float | None]], grain: float
) -> None:
    began = Began(at=AT, grain=timedelta(seconds=grain))
    time = took(began, [arrival(a, a + b, c) for a, b, c in found])
    assert time is not None
    assert timedelta(0) <= time.low <= time.best <= time.high
    assert time.half <= time.best + timedelta(seconds=3)
