"""Which processes did the lab start, and how does each end?

A process is known by its pid *and* its start time, so that a pid used again by a stranger is
never signalled. Nothing is ever ended by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.lab import layout


class LabError(Exception):
    """The lab cannot go on; the message says what happened and what to do."""


def run(
    argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end and return its output."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)[:200]} did not end within {timeout} s") from error
    except OSError as error:
        raise LabError(f"cannot run {argv[0]}: {error}") from error
    if check and done.returncode:
        raise LabError(
            f"{' '.join(argv)[:300]} exited {done.returncode}: {done.stderr.strip()[-800:]}"
        )
    return done


def start_time(pid: int) -> str | None:
    """The kernel's start time of a living process; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields[19]


def children(pid: int) -> list[int]:
    """Children of every task of a process: pilot-agent starts Envoy from a side thread."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def tree(pid: int) -> list[tuple[int, str]]:
    """A process and all below it, each with its start time."""
    begun = start_time(pid)
    if begun is None:
        return []
    below: list[tuple[int, str]] = []
    for child in children(pid):
        below += tree(child)
    return [(pid, begun), *below]


def _alive(known: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(pid, begun) for pid, begun in known if start_time(pid) == begun]


def end(known: Sequence[tuple[int, str]], grace: float = 2.0) -> None:
    """End processes that were started by us: ask first, insist after the grace."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in _alive(known):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            for pid, _ in known:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not _alive(known):
                return
            time.sleep(0.02)


def start(
    name: str,
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    owner: int | None = None,
) -> int:
    """Start a process that outlives us; remember it under its name."""
    target = log or layout.LOGS / f"{name}.log"
    target.parent.mkdir(parents=True, exist_ok=True)
    layout.PIDS.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if owner is not None:
            os.fchown(descriptor, owner, owner)
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    except OSError as error:
        raise LabError(f"cannot start {name}: {error}") from error
    finally:
        os.close(descriptor)
    record = {"pid": process.pid, "start": start_time(process.pid)}
    (layout.PIDS / f"{name}.json").write_text(json.dumps(record))
    # The record is what we go by; the object would only warn when it is collected.
    process.returncode = 0
    return process.pid


def known(name: str) -> tuple[int, str] | None:
    """Pid and start time of a process started under this name, if it still runs."""
    try:
        record = json.loads((layout.PIDS / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    pid, begun = int(record["pid"]), str(record["start"])
    return (pid, begun) if start_time(pid) == begun else None


def exit_code(name: str) -> int:
    """How the process of this name ended, a signal as a shell counts it; 1 where nobody knows."""
    try:
        record = json.loads((layout.PIDS / f"{name}.json").read_text())
        found, status = os.waitpid(int(record["pid"]), os.WNOHANG)
    except (OSError, ValueError):
        return 1
    if not found:
        return 1
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def names() -> list[str]:
    """Names under which processes were started and not yet stopped."""
    return sorted(path.stem for path in layout.PIDS.glob("*.json"))


def tell(name: str, number: signal.Signals) -> None:
    """Send a signal to the process of this name and all below it."""
    found = known(name)
    for pid, begun in tree(found[0]) if found else ():
        if start_time(pid) == begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def stop(name: str, grace: float = 2.0) -> None:
    """End the process of this name with all below it, and forget it."""
    found = known(name)
    if found:
        end(tree(found[0]), grace)
    (layout.PIDS / f"{name}.json").unlink(missing_ok=True)
