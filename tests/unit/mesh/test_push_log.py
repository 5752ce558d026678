"""What istiod's log says of its latest pushes."""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.mesh.istiod_log import read
from meshdoctor.mesh.push_log import Lately, lately

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)


def settled(at: str, waited: str = "100.1ms") -> str:
    return (
        f"2026-11-18T{at}Z\tinfo\tads\tPush debounce stable[7] 1 for config "
        f"VirtualService/shop/pay: 100.3ms since last change, {waited} since last push, full=true"
    )


def sent(at: str, asked: str = "") -> str:
    return (
        f"2026-11-18T{at}Z\tinfo\tdelta\tCDS: PUSH{asked} for node:pay-1.shop resources:5 "
        "removed:0 size:991B"
    )


def said(*lines: str) -> Lately:
    return lately(read(["\n".join(lines)]).said, NOW)


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ((), 0.0),
        ((settled("09:29:00.0"), sent("09:29:00.1"), sent("09:29:03.5")), 3.5),
        ((settled("09:19:00.0"), sent("09:19:03.5")), 0.0),  # long ago
        ((settled("09:29:00.0"), sent("09:29:02.0", " request")), 0.0),  # a proxy asked for it
        ((settled("09:29:00.0"), sent("09:29:20.0")), 0.0),  # a proxy's own change, no push
        # The queue was empty before the second push, then it was not.
        (
            (
                settled("09:29:00.0"),
                sent("09:29:00.2"),
                settled("09:29:01.0"),
                sent("09:29:01.3"),
            ),
            0.3,
        ),
        (
            (
                settled("09:29:00.0"),
                sent("09:29:00.9"),
                settled("09:29:01.0"),
                sent("09:29:01.3"),
            ),
            1.3,
        ),
        # Endpoints alone: their deliveries are not told.
        ((settled("09:29:00.0"), settled("09:29:01.0"), sent("09:29:01.1")), 0.1),
        # The log of a second istiod follows.
        (
            (
                settled("09:29:05.0"),
                sent("09:29:05.1"),
                settled("09:29:00.0"),
                sent("09:29:00.2"),
            ),
            0.2,
        ),
    ],
)
def test_the_longest_push(lines: tuple[str, ...], seconds: float) -> None:
    assert said(*lines).longest == timedelta(seconds=seconds)


def test_waits_for_changes_to_settle() -> None:
    found = said(
        settled("09:10:00.0", "1ms"),
        settled("09:28:00.0", "10.01s"),
        settled("09:28:11.0", "10.03s"),
        settled("09:29:00.0", "0.1s"),
    )
    assert (found.pushes, found.settling) == (3, timedelta(seconds=10.01))


def test_what_most_pushes_are_about() -> None:
    other = settled("09:29:02.0").replace("VirtualService/shop/pay", "Secret/shop/tls and 3 more")
    found = said(settled("09:29:00.0"), settled("09:29:01.0"), other, settled("09:10:00.0"))
    assert found.about == ("VirtualService/shop/pay", 2)
    assert said().about == ("", 0)
    assert said(settled("09:29:00.0").replace("VirtualService/shop/pay", "endpoint")).about[1] == 0
