"""Which limits do a container's programs run under, and did the kernel end one for its memory?

Control groups of version 1, as the machine has them; elsewhere a container runs without limits.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab import layout
from tests.lab.api import Object

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9}


def amount(text: object) -> float:
    """A quantity of Kubernetes in bytes or cores."""
    found = re.fullmatch(r"([\d.]+)(m|[KMGT]i|[kMG])?", str(text))
    if found is None:
        return 0.0
    return float(found[1]) * (0.001 if found[2] == "m" else _UNITS.get(found[2] or "", 1))


def _place(kind: str, name: str) -> Path:
    return _ROOT / kind / layout.CONTROL / name


def limited(name: str, container: Object, argv: Sequence[str]) -> list[str]:
    """The argument list that runs a program under its container's limits."""
    limits = (container.get("resources") or {}).get("limits") or {}
    memory, cpu = amount(limits.get("memory", "")), amount(limits.get("cpu", ""))
    files: list[str] = []
    for kind, file, value in (
        ("memory", "memory.limit_in_bytes", round(memory)),
        ("cpu", "cpu.cfs_quota_us", round(cpu * _PERIOD)),
    ):
        place = _place(kind, name)
        if not value or not (_ROOT / kind / "cgroup.procs").exists():
            continue
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(str(value))
            files.append(str(place / "cgroup.procs"))
    enter = "".join(f"echo $$ > {file}; " for file in files)
    return ["sh", "-c", f'{enter}exec "$@"', "sh", *argv] if files else list(argv)


def memory_kills(name: str) -> int:
    """How often the kernel ended a program of this container for want of memory."""
    try:
        text = (_place("memory", name) / "memory.oom_control").read_text()
    except OSError:
        return 0
    found = re.search(r"oom_kill (\d+)", text)
    return int(found[1]) if found else 0


def forget(name: str) -> None:
    """Take a container's control groups away; its programs have ended."""
    for kind in ("memory", "cpu"):
        with contextlib.suppress(OSError):
            _place(kind, name).rmdir()
