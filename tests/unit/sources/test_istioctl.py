"""Does istioctl run under our rules, whatever it does?"""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from meshdoctor.ports import (
    DeadlineError,
    ForbiddenError,
    MissingError,
    ToolMissingError,
    UnparsableError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.istioctl import IstioctlRunner, scrubbed


def tool(path: Path, script: str, **options: str) -> IstioctlRunner:
    """A runner whose istioctl is a shell script."""
    binary = path / "istioctl"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return IstioctlRunner(Deadline(30), binary=str(binary), **options)


def test_output_is_plain_text(tmp_path: Path) -> None:
    runner = tool(tmp_path, r"printf '\033[31mNAME\033[0m  \033]0;x\007CLUSTER\n'")
    text = runner.run(("proxy-status",))
    assert text.text == "NAME  CLUSTER\n"
    assert text.command == "istioctl proxy-status"


def test_it_is_pointed_at_the_same_cluster(tmp_path: Path) -> None:
    runner = tool(
        tmp_path,
        'echo "$@"',
        context="lab",
        kubeconfig="/k",
        istio_namespace="mesh",
        revision="canary",
    )
    said = runner.run(("proxy-status", "-o", "json")).text.split()
    assert said[:3] == ["proxy-status", "-o", "json"]
    assert said[3:] == [
        *("--context", "lab", "--kubeconfig", "/k", "--istioNamespace", "mesh"),
        *("--revision", "canary"),
    ]
    assert "--revision" not in runner.run(("proxy-config", "secret", "a.b")).text


@pytest.mark.parametrize(
    "words",
    [
        ("install",),
        ("experimental", "wait"),
        ("proxy-config", "log", "a.b", "--level"),
        ("proxy-config", "secret", "-h"),
        ("proxy-config", "secret", "a.b;reboot"),
        ("proxy-config", "secret", "--context=prod"),
        ("admin", "log"),
        (),
    ],
)
def test_only_reads_are_run(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not a"):
        tool(tmp_path, "echo no").run(words)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ('echo "Error: pods is forbidden: User x" >&2; exit 1', ForbiddenError),
        ('echo "Error: unknown command \\"x\\"" >&2; exit 64', ToolMissingError),
        ('echo "Error: dial tcp: i/o timeout" >&2; exit 1', UnreachableError),
        ('echo "Error: context deadline exceeded" >&2; exit 1', DeadlineError),
        ('echo "Error: pods \\"a\\" not found" >&2; exit 1', MissingError),
        ('echo "strange" >&2; exit 1', UnreachableError),
        ("exit 0", UnparsableError),
        ("kill -9 $$", UnreachableError),
    ],
)
def test_failures_say_why(tmp_path: Path, script: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        tool(tmp_path, script).run(("proxy-status",))


def test_analyze_may_find_nothing_or_something(tmp_path: Path) -> None:
    assert tool(tmp_path, "exit 0").run(("analyze", "-A")).text == ""
    assert tool(tmp_path, "echo '[]'; exit 79").run(("analyze", "-A")).text == "[]\n"
    with pytest.raises(UnreachableError):
        tool(tmp_path, "exit 1").run(("analyze", "-A"))


def test_the_whole_process_group_is_killed(tmp_path: Path) -> None:
    runner = tool(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; sleep 60")
    start = time.monotonic()
    with pytest.raises(DeadlineError, match="was killed"):
        runner.run(("proxy-status",), seconds=0.5)
    assert time.monotonic() - start < 5
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshdoctor.ports import TooLargeError
    from meshdoctor.sources import istioctl

    monkeypatch.setattr(istioctl, "LIMIT", 1 << 20)
    with pytest.raises(TooLargeError):
        tool(tmp_path, "yes").run(("proxy-status",))
    noise = "yes >&2 & sleep 0.3; kill $!; echo done"
    assert tool(tmp_path, noise).run(("proxy-status",)).text == "done\n"


def test_the_environment_is_scrubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTIOCTL_REVISION", "other")
    monkeypatch.setenv("DB_PASSWORD", "x")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    seen = tool(tmp_path, "env").run(("proxy-status",)).text
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert not {"ISTIOCTL_REVISION", "DB_PASSWORD"} & names
    assert {"AWS_PROFILE", "PATH", "ISTIOCONFIG"} <= names
    assert scrubbed({"LD_PRELOAD": "x"}).keys() == {"TERM", "ISTIOCONFIG"}
    config = scrubbed({})["ISTIOCONFIG"]
    assert Path(config).is_file()
    assert os.access(config, os.R_OK)


def test_the_version_is_asked_once(tmp_path: Path) -> None:
    said = json.dumps({"clientVersion": {"version": "1.30.3"}})
    runner = tool(tmp_path, f"echo x >> {tmp_path}/calls; echo '{said}'")
    assert (runner.version(), runner.version()) == ("1.30.3", "1.30.3")
    assert (tmp_path / "calls").read_text() == "x\n"
    assert tool(tmp_path, "echo garbage").version() == ""


def test_no_istioctl_is_a_state_not_a_failure() -> None:
    runner = IstioctlRunner(Deadline(5), binary="no-such-istioctl")
    assert not runner.found
    with pytest.raises(ToolMissingError) as caught:
        runner.run(("proxy-status",))
    assert "https://istio.io" in caught.value.unavailable.remedy
