"""The lab's command line: up, down, status, exec, call, test, bench."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import yaml

from tests.lab import build, controlplane, istio, layout, netns, processes
from tests.lab.api import Object
from tests.lab.processes import LabError

# Proxies of the baseline mesh: ten workloads with a sidecar or gateway but for two.
PROXIES = 9
# Commands that are programs of their own, run inside the control plane's network.
INNER = {
    "test": "prove",
    "bench": "bench",
    "environment": "environment",
    "readonly": "readonly",
    "differential": "differential",
    "watch": "watch",
}


def mesh_objects() -> list[Object]:
    """The baseline mesh as it is written in mesh/."""
    found: list[Object] = []
    for path in sorted((layout.HERE / "mesh").glob("*.yaml")):
        found += [item for item in yaml.safe_load_all(path.read_text()) if item]
    return found


def timed(what: str, work: Callable[[], object]) -> None:
    """Do a step and print how long it took."""
    begun = time.monotonic()
    work()
    print(f"  {what:<28} {time.monotonic() - begun:5.1f} s", flush=True)


def start_kubelet() -> None:
    """The lab's node, in the control plane's network but the host's mount namespace."""
    processes.start(
        "kubelet",
        [
            *("nsenter", f"--net=/run/netns/{layout.CONTROL}"),
            *(sys.executable, "-m", "tests.lab.kubelet"),
        ],
        cwd=layout.CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(layout.CHECKOUT)},
    )


def up() -> int:
    """Start everything, from nothing to healthy traffic."""
    controlplane.check_tools()
    if netns.exists(layout.CONTROL) or processes.names():
        print("the lab is up already, or was not taken down: run lab-down first")
        return 1
    begun = time.monotonic()
    controlplane.prepare()
    timed("control plane", controlplane.start)
    timed("istio's objects", istio.install)
    start_kubelet()
    timed("istiod", lambda: istio.rollout("istio-system"))
    timed("validation", istio.wait_validation)

    def mesh() -> None:
        istio.apply(mesh_objects())
        istio.rollout()

    timed("mesh", mesh)
    timed("proxies in step", lambda: istio.wait_synced(at_least=PROXIES))
    print(f"up in {time.monotonic() - begun:.1f} s; python -m tests.lab exec -- istioctl ps")
    return 0


def down() -> int:
    """End every process by its own pid, then take the namespaces away."""
    processes.stop("kubelet")
    for name in netns.all_names():
        left: list[tuple[int, str]] = []
        for pid in netns.pids(name):
            left += processes.tree(pid)
        if name != layout.CONTROL:
            processes.end(left, grace=0.5)
            netns.delete(name)
    for name in reversed(processes.names()):
        processes.stop(name)
    if netns.exists(layout.CONTROL):
        left = []
        for pid in netns.pids(layout.CONTROL):
            left += processes.tree(pid)
        processes.end(left)
        netns.delete(layout.CONTROL)
    for folder in (layout.PODS, layout.PIDS, layout.STATE / "etcd"):
        shutil.rmtree(folder, ignore_errors=True)
    (layout.STATE / "baseline.json").unlink(missing_ok=True)
    print("down")
    return 0


def status() -> int:
    """What is built, what runs, how much memory it takes."""
    absent = build.missing()
    print(f"built: {'no: ' + ', '.join(absent) if absent else build.cache_root()}")
    if not netns.exists(layout.CONTROL):
        print("down")
        return 1
    total = 0
    for name in processes.names():
        found = processes.known(name)
        if found is None:
            print(f"  {name:<44} gone")
            continue
        below = processes.tree(found[0]) if name != "kubelet" else [found]
        size = sum(_resident(pid) for pid, _ in below)
        total += size
        print(f"  {name:<44} pid {found[0]:<8} {size >> 20} MB")
    print(f"up: {len(netns.all_names())} namespaces, {total >> 20} MB")
    return 0


def _resident(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/statm").read_text().split()
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def execute(words: Sequence[str], reader: bool) -> NoReturn:
    """Run a command in the control plane's namespace with the lab's kubeconfig and programs."""
    if not words:
        raise LabError("nothing to run; usage: python -m tests.lab exec -- COMMAND")
    if not netns.exists(layout.CONTROL):
        raise LabError("the lab is down; run lab-up first")
    config = layout.READER_CONFIG if reader else layout.ADMIN_CONFIG
    os.environ["KUBECONFIG"] = str(config)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ.get('PATH', '')}"
    argv = netns.inside(layout.CONTROL, words)
    os.execvp(argv[0], argv)


def go_inside(command: str, words: Sequence[str]) -> int:
    """Run one of the lab's own programs in the control plane's network, lab up if need be."""
    begun_here = not netns.exists(layout.CONTROL)
    if begun_here and up():
        return 1
    argv = ["nsenter", f"--net=/run/netns/{layout.CONTROL}", sys.executable, "-m"]
    done = subprocess.run(
        [*argv, f"tests.lab.{INNER[command]}", *words],
        cwd=layout.CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(layout.CHECKOUT)},
        check=False,
    )
    if begun_here:
        down()
    return done.returncode


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch."""
    parser = argparse.ArgumentParser(prog="tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start the mesh"),
        ("down", "stop it"),
        ("status", "say what runs"),
    ):
        commands.add_parser(name, help=text)
    run_there = commands.add_parser("exec", help="run a command inside the lab")
    run_there.add_argument("--reader", action="store_true", help="as the read-only user")
    run_there.add_argument("words", nargs=argparse.REMAINDER)
    for name, text in (
        ("test", "prove diagnoses on the live mesh"),
        ("bench", "measure on a large mesh"),
        ("environment", "break the mesh's surroundings"),
        ("readonly", "prove by the audit log that a diagnosis only reads"),
        ("differential", "compare offline verdicts with the real proxies' answers"),
        ("watch", "compare measured propagation times with what really happened"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in INNER:
        return guarded(lambda: go_inside(words[0], words[1:]))
    chosen = parser.parse_args(words)
    match chosen.command:
        case "up":
            return guarded(up)
        case "down":
            return guarded(down)
        case "status":
            return guarded(status)
        case _:
            rest = chosen.words[1:] if chosen.words[:1] == ["--"] else chosen.words
            return guarded(lambda: execute(rest, chosen.reader))


def guarded(work: Callable[[], int]) -> int:
    """Do the work; a lab error is one line, not a traceback."""
    try:
        return work()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
