"""How does work go on beside its caller, without ever keeping the program from ending?"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """`work()` in a thread of its own, begun at once; nobody waits for it when the program ends."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:  # raised again by `result`
            self._error = error

    def ended(self, seconds: float) -> bool:
        """Whether it is over; waits so long for it."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Its value or its error, as soon as it has ended."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]
