"""How are many jobs done by one thread while what they read travels?

Judging is work for one thread: several only wait for each other. So a job that asks for what was
not read yet is put aside, others go on, and it begins again when a thread of its own has made the
read; what was found before is remembered (`Evidence.once`). Results come in the order of the jobs.
"""

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from meshdoctor.engine.evidence import Awaited, Evidence

J = TypeVar("J")
R = TypeVar("R")
AHEAD = 5000
"""So many jobs may be done before the first that still waits: their results fill the memory."""


def in_rounds(
    work: Callable[[J], R], jobs: Sequence[J], evidence: Evidence, readers: int
) -> Generator[tuple[J, R], None, None]:
    """Each job with its result. `readers`: how many reads travel side by side."""
    rounds = _Rounds(work, jobs, evidence, readers)
    try:
        yield from rounds.run()
    finally:
        rounds.pool.shutdown(wait=False, cancel_futures=True)


class _Rounds(Generic[J, R]):
    def __init__(
        self, work: Callable[[J], R], jobs: Sequence[J], evidence: Evidence, readers: int
    ) -> None:
        self.pool = ThreadPoolExecutor(readers, thread_name_prefix="read")
        self._work = work
        self._jobs = jobs
        self._evidence = evidence
        self._most = 4 * readers
        self._results: dict[int, R] = {}
        self._waiting: dict[Hashable, list[int]] = {}
        self._made: SimpleQueue[Hashable] = SimpleQueue()

    def run(self) -> Iterator[tuple[J, R]]:
        """The jobs in order, each as soon as those before it are done."""
        begun = 0
        for number, job in enumerate(self._jobs):
            while number not in self._results:
                if self._waiting:
                    self._resume(wait=False)
                free = len(self._waiting) < self._most and begun - number < AHEAD
                if begun < len(self._jobs) and free:
                    self._attempt(begun)
                    begun += 1
                elif number not in self._results:
                    self._resume(wait=True)
            yield job, self._results.pop(number)

    def _attempt(self, number: int) -> None:
        try:
            with self._evidence.postponing():
                self._results[number] = self._work(self._jobs[number])
        except Awaited as awaited:
            if awaited.key not in self._waiting:
                self._waiting[awaited.key] = []
                self.pool.submit(self._read, awaited)
            self._waiting[awaited.key].append(number)

    def _read(self, awaited: Awaited) -> None:
        with suppress(Exception):  # remembered, and raised again for whoever asked
            self._evidence.once(awaited.key, awaited.read)
        self._made.put(awaited.key)

    def _resume(self, *, wait: bool) -> None:
        """Begin again what waited for reads that are made by now, or for the next one to be."""
        with suppress(Empty):
            while True:
                key = self._made.get(block=wait)
                wait = False
                for number in self._waiting.pop(key):
                    self._attempt(number)
