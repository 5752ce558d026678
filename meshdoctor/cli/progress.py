"""How far along is a long run? One line on stderr, erased when done."""

import shutil
import sys
from types import TracebackType


def terminal_width() -> int:
    """Columns of the terminal, within reason (COLUMNS overrides)."""
    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 200))


class Line:
    """A Progress that rewrites one line; silent when not enabled."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._last = ""

    def __enter__(self) -> "Line":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write("")

    def step(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show a step; `total` 0 means that its length is not known."""
        share = f" {done * 100 // total}%" if total else ""
        self._write(f"meshdoctor: {text}{share} ..."[: terminal_width() - 1])

    def _write(self, text: str) -> None:
        if not self.enabled or text == self._last:
            return
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
        self._last = text
