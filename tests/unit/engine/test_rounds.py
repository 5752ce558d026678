"""Do jobs go on while reads travel, each read made once and every result in its place?"""

import threading
import time
from collections.abc import Callable

import pytest

from meshdoctor.engine.evidence import Evidence
from meshdoctor.engine.rounds import AHEAD, in_rounds
from meshdoctor.model.subjects import Request
from meshdoctor.ports import DeadlineError, EvidenceError
from tests.unit.world import FakeSource


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(FakeSource(), Request(), ("shop",))


class Reads:
    """Reads that take a while: which were made, by how many threads at most, and by whom."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.made: list[str] = []
        self.threads: set[str] = set()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def of(self, key: str) -> Callable[[], str]:
        def read() -> str:
            with self._lock:
                self.made.append(key)
                self.threads.add(threading.current_thread().name)
                self._now += 1
                self.most = max(self.most, self._now)
            time.sleep(self.seconds)
            with self._lock:
                self._now -= 1
            if key.startswith("bad"):
                raise DeadlineError(key, "too late")
            return key.upper()

        return read


def test_results_come_in_order_and_each_read_is_made_once(evidence: Evidence) -> None:
    reads = Reads(0.01)
    judged_by: set[str] = set()

    def work(number: int) -> str:
        judged_by.add(threading.current_thread().name)
        if number % 3:
            return str(number)
        return evidence.far(f"k{number % 4}", reads.of(f"k{number % 4}"))

    found = list(in_rounds(work, range(40), evidence, 4))
    assert [job for job, _ in found] == list(range(40))
    assert all(result == (str(n) if n % 3 else f"K{n % 4}") for n, result in found)
    assert sorted(reads.made) == ["k0", "k1", "k2", "k3"]
    assert judged_by == {threading.current_thread().name}
    assert threading.current_thread().name not in reads.threads


def test_reads_of_many_jobs_travel_side_by_side(evidence: Evidence) -> None:
    reads = Reads(0.05)

    def work(number: int) -> str:
        first = evidence.far(f"a{number}", reads.of(f"a{number}"))
        return first + evidence.far(f"b{number}", reads.of(f"b{number}"))

    found = dict(in_rounds(work, range(8), evidence, 8))
    assert found == {n: f"A{n}B{n}" for n in range(8)}
    assert reads.most > 4


def test_a_read_that_fails_is_the_jobs_to_judge(evidence: Evidence) -> None:
    reads = Reads()

    def work(number: int) -> str:
        try:
            return evidence.far("bad", reads.of("bad"))
        except EvidenceError as error:
            return error.unavailable.detail

    assert [result for _, result in in_rounds(work, range(3), evidence, 2)] == ["too late"] * 3
    assert reads.made == ["bad"]


def test_a_programming_error_ends_the_run(evidence: Evidence) -> None:
    def work(number: int) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(in_rounds(work, range(3), evidence, 2))


def test_what_a_memo_found_before_it_waited_is_no_half_answer(evidence: Evidence) -> None:
    reads = Reads()
    begun: list[int] = []

    def build() -> str:
        begun.append(1)
        return evidence.far("one", reads.of("one")) + evidence.far("two", reads.of("two"))

    found = [
        result for _, result in in_rounds(lambda n: evidence.once("m", build), "ab", evidence, 2)
    ]
    assert found == ["ONETWO"] * 2
    assert sorted(reads.made) == ["one", "two"] and len(begun) >= 3
    assert evidence.once("m", build) == "ONETWO"


def test_outside_of_a_round_a_read_is_made_at_once(evidence: Evidence) -> None:
    reads = Reads()
    rounds = in_rounds(lambda n: evidence.far("x", reads.of("x")), range(5), evidence, 2)
    next(rounds)
    assert evidence.far("y", reads.of("y")) == "Y"
    rounds.close()
    assert evidence.far("z", reads.of("z")) == "Z"


def test_results_that_wait_for_the_first_are_bounded(evidence: Evidence) -> None:
    gate = threading.Event()
    done: list[int] = []

    def first() -> str:
        gate.wait(5)
        return "late"

    def work(number: int) -> str:
        if number == 0:
            return evidence.far("first", first)
        done.append(number)
        if number == AHEAD - 1:
            gate.set()
        return ""

    rounds = in_rounds(work, range(AHEAD + 100), evidence, 2)
    assert next(rounds) == (0, "late")
    assert len(done) <= AHEAD
    assert len(list(rounds)) == AHEAD + 99
