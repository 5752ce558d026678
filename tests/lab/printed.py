"""How is a command of a report run exactly as it was printed?

Without a shell: lines, `&&` and here-documents are understood, everything else a shell would do
(pipes, redirections, substitution) means that the command cannot be run as printed here.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab import layout, netns
from tests.lab.processes import LabError, run

PROGRAMS = frozenset({"kubectl", "istioctl"})


class NotRunnableError(LabError):
    """The printed text is not a command that can be run as it is."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments and what it reads."""

    argv: tuple[str, ...]
    stdin: str | None = None


def parse(text: str) -> list[Command]:
    """The commands of a printed text, in order."""
    found: list[Command] = []
    lines = text.strip().splitlines()
    while lines:
        line = lines.pop(0).strip()
        while line.endswith("\\") and lines:
            line = line[:-1] + " " + lines.pop(0).strip()
        if not line or line.startswith("#"):
            continue
        stdin = None
        match = re.search(r"<<\s*'?(\w+)'?\s*$", line)
        if match:
            body: list[str] = []
            while lines and lines[0].strip() != match[1]:
                body.append(lines.pop(0))
            if not lines:
                raise NotRunnableError(f"here-document without an end: {line}")
            lines.pop(0)
            stdin, line = "\n".join(body) + "\n", line[: match.start()]
        found += _split(line, stdin)
    if not found:
        raise NotRunnableError("nothing is printed")
    return found


def _split(line: str, stdin: str | None) -> list[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise NotRunnableError(f"{error}: {line}") from error
    commands: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", ";"):
            commands.append([])
        elif re.fullmatch(r"[();<>|&]+", word):
            raise NotRunnableError(f"needs a shell or a value ({word}): {line}")
        else:
            commands[-1].append(word)
    for command in commands:
        if not command or command[0] not in PROGRAMS:
            raise NotRunnableError(f"not a kubectl or istioctl command: {line}")
        if command[:1] == ["kubectl"] and "edit" in command:
            raise NotRunnableError(f"needs an editor: {line}")
    return [Command(tuple(command), stdin) for command in commands]


def execute(command: Command, timeout: float = 60) -> tuple[int, str]:
    """Run one printed command as the lab's administrator; exit code and all output."""
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    if not os.environ["PATH"].startswith(f"{layout.BIN}:"):
        os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    done = run(
        netns.inside(layout.CONTROL, list(command.argv)),
        stdin=command.stdin,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def run_fix(text: str) -> None:
    """Run a printed fix; the first command that fails ends it."""
    for command in parse(text):
        code, output = execute(command)
        if code:
            raise LabError(f"{shlex.join(command.argv)} exited {code}: {output.strip()[-300:]}")


def verified(
    promise: Mapping[str, Any], refresh: Callable[[], None], seconds: float = 15
) -> tuple[str, str]:
    """Run a printed verify command until it shows what was promised; refresh before each try.

    Returns a verdict and a complaint: `yes`; `prose` where every command ran well but the report
    leaves the judgement to a reader; `no` with the complaint.
    """
    text, shows, lacks = promise["run"], promise.get("shows", []), promise.get("lacks", [])
    commands = parse(text)
    deadline = time.monotonic() + seconds
    while True:
        refresh()
        outputs = [execute(command) for command in commands]
        output = "\n".join(text for _, text in outputs)
        ran = all(code == 0 for code, _ in outputs)
        if ran and not shows and not lacks:
            return "prose", ""
        absent = [word for word in shows if word not in output]
        there = [word for word in lacks if word in output]
        if ran and not absent and not there:
            return "yes", ""
        if time.monotonic() > deadline:
            wrong = f"lacks {absent}, shows {there}" if ran else "fails"
            return "no", f"{text!r} {wrong}: {output.strip()[-200:]!r}"
        time.sleep(1)
