"""How do the lines of a process become a container's log?

Programs write plain lines to a file; kwok serves files of CRI lines. The file is opened for
append by its program, so that it may be truncated at any time.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass
class _Feed:
    raw: Path
    target: Path
    offset: int = 0


class LogPump(threading.Thread):
    """Copies new lines of all known logs, several times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="log pump")
        self._feeds: dict[Path, _Feed] = {}
        self._lock = threading.Lock()

    def add(self, raw: Path, target: Path) -> None:
        """Follow one file from its start."""
        target.touch()
        with self._lock:
            self._feeds[raw] = _Feed(raw, target)

    def remove(self, folder: Path) -> None:
        """Forget the files of one folder."""
        with self._lock:
            for raw in [raw for raw in self._feeds if raw.parent == folder]:
                del self._feeds[raw]

    def run(self) -> None:
        """Copy for ever."""
        while True:
            with self._lock:
                feeds = list(self._feeds.values())
            for feed in feeds:
                with contextlib.suppress(OSError):
                    _copy(feed)
            threading.Event().wait(0.15)


def _copy(feed: _Feed) -> None:
    size = feed.raw.stat().st_size
    if size < feed.offset:
        feed.offset = 0
    if size == feed.offset:
        return
    with feed.raw.open("rb") as handle:
        handle.seek(feed.offset)
        data = handle.read(4 << 20)
    end = data.rfind(b"\n") + 1
    if not end:
        return
    feed.offset += end
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
    lines = data[:end].splitlines()
    with feed.target.open("ab") as out:
        out.write(b"".join(now + b" stdout F " + line + b"\n" for line in lines))
