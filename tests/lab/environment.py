"""Does a diagnosis end in time and tell the truth when its surroundings are broken?

istiod gone or wedged, proxies frozen, an API server that answers 429 or 500 or breaks off,
istioctl missing, old, hanging or talking nonsense: each must end before its deadline in a report
that says what could not be seen, and never in "healthy".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import baseline, istio, layout, netns, processes
from tests.lab.api import Api, Object
from tests.lab.controlplane import kubectl, write_config
from tests.lab.processes import LabError, run

DEADLINE = 20
PAIR = ("--from", "shop/web", "--to", "shop/catalog:8080")
PROXY_PORT = 6444


@dataclass(frozen=True)
class Outcome:
    """How one diagnosis ended."""

    exit: int
    seconds: float
    report: Object | None
    error: str

    @property
    def admits(self) -> bool:
        """Whether it says that something could not be seen."""
        if self.report is None:
            return self.exit == 4 and bool(self.error.strip())
        return bool(self.report["partial"] or self.report["unseen"] or self.exit in (1, 3))


def diagnose(folder: Path, *options: str, path: str | None = None) -> Outcome:
    """One diagnosis with a deadline, ended by force well after it."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    words = [sys.executable, "-m", "meshdoctor", "diagnose", *options]
    words += ["--deadline", str(DEADLINE), "--quiet", "-o", f"json={report}"]
    there = ["env", "-C", str(layout.CHECKOUT)]
    if path is not None:
        there.append(f"PATH={path}")
    begun = time.monotonic()
    try:
        done = run(
            netns.inside(layout.CONTROL, [*there, *words]), timeout=DEADLINE + 30, check=False
        )
    except LabError as error:
        return Outcome(-1, time.monotonic() - begun, None, str(error))
    seconds = time.monotonic() - begun
    data = json.loads(report.read_text()) if report.exists() else None
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    return Outcome(done.returncode, seconds, data, done.stderr)


@contextmanager
def no_istiod() -> Iterator[tuple[str, ...]]:
    """istiod scaled to nothing."""
    kubectl("-n", "istio-system", "scale", "deployment", "istiod", "--replicas=0")
    istio.until("istiod gone", 30, lambda: not istio.istiod_pods())
    try:
        yield ()
    finally:
        kubectl("-n", "istio-system", "scale", "deployment", "istiod", "--replicas=1")
        istio.rollout("istio-system")
        istio.wait_synced(seconds=90, at_least=9)


def _frozen(names: Sequence[str]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for name in names:
        known = processes.known(name)
        if known:
            found += processes.tree(known[0])
    for pid, _ in found:
        os.kill(pid, signal.SIGSTOP)
    return found


def _thaw(found: Sequence[tuple[int, str]]) -> None:
    for pid, begun in found:
        if processes.start_time(pid) == begun:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def one_istiod_wedged() -> Iterator[tuple[str, ...]]:
    """Two istiods, one of which accepts connections and never answers."""
    kubectl("-n", "istio-system", "scale", "deployment", "istiod", "--replicas=2")
    istio.rollout("istio-system")
    stopped = _frozen([name for name in processes.names() if name.endswith("_discovery")][:1])
    try:
        yield ()
    finally:
        _thaw(stopped)
        kubectl("-n", "istio-system", "scale", "deployment", "istiod", "--replicas=1")
        istio.rollout("istio-system")
        istio.wait_synced(seconds=90, at_least=9)


@contextmanager
def frozen_proxies() -> Iterator[tuple[str, ...]]:
    """Agent and Envoy of caller and server stand still."""
    names = [
        name
        for name in processes.names()
        if name.startswith(("shop_web-", "shop_catalog-")) and name.endswith("_istio-proxy")
    ]
    stopped = _frozen(names)
    try:
        yield ()
    finally:
        _thaw(stopped)


def broken_api(mode: str) -> Callable[[], contextlib.AbstractContextManager[tuple[str, ...]]]:
    """An API server behind a proxy that spoils some answers."""

    @contextmanager
    def there() -> Iterator[tuple[str, ...]]:
        config = layout.STATE / "broken.kubeconfig"
        write_config(config, "lab-admin-token")
        config.write_text(config.read_text().replace(":6443", f":{PROXY_PORT}"))
        processes.start(
            "faultproxy",
            [sys.executable, "-m", "tests.lab.faultproxy", mode],
            cwd=layout.CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(layout.CHECKOUT)},
        )
        time.sleep(1.0)
        try:
            yield ("--kubeconfig", str(config))
        finally:
            processes.stop("faultproxy")

    return there


def odd_istioctl(
    text: str | None,
) -> Callable[[], contextlib.AbstractContextManager[tuple[str, ...]]]:
    """An istioctl that is a script of ours; None: a path where there is none."""

    @contextmanager
    def there() -> Iterator[tuple[str, ...]]:
        path = layout.STATE / "odd-istioctl"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(f"#!{sys.executable}\n{text}\n")
            path.chmod(0o755)
        try:
            yield ("--istioctl", str(path))
        finally:
            path.unlink(missing_ok=True)

    return there


OLD = """import sys
if "version" in sys.argv:
    print('{"clientVersion": {"version": "1.9.0"}}')
else:
    print("Error: unknown command", file=sys.stderr)
    sys.exit(64)
"""
HANGING = "import time\ntime.sleep(600)"
GARBAGE = "import os, sys\nos.write(1, os.urandom(4096))\nos.write(1, b'\\x1b[2J{\"a\": [[[')"


@dataclass(frozen=True)
class Case:
    """One broken surrounding. `quiet` ones leave enough to see, so that healthy may be true."""

    name: str
    make: Callable[[], contextlib.AbstractContextManager[tuple[str, ...]]]
    scope: tuple[str, ...] = ()
    quiet: bool = False


CASES = (
    Case("istiod stopped, whole mesh", no_istiod),
    Case("istiod stopped, one pair", no_istiod, PAIR, quiet=True),
    Case("one istiod of two wedged", one_istiod_wedged),
    Case("proxies frozen", frozen_proxies, PAIR),
    Case("API server answers 429", broken_api("429")),
    Case("API server answers 500 for policies", broken_api("500")),
    # A second try succeeds: all is seen in the end.
    Case("API server answers 500 now and then", broken_api("flaky"), quiet=True),
    Case("API server breaks off in mid-list", broken_api("cut")),
    Case("API server hangs in mid-list", broken_api("hang")),
    Case("istioctl missing", odd_istioctl(None), quiet=True),
    Case("istioctl too old", odd_istioctl(OLD), quiet=True),
    Case("istioctl hangs", odd_istioctl(HANGING), quiet=True),
    Case("istioctl prints garbage", odd_istioctl(GARBAGE), quiet=True),
)


def judge(case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with how it ended."""
    wrong: list[str] = []
    if outcome.exit not in (0, 1, 3, 4):
        wrong.append(f"exit {outcome.exit}: {outcome.error.strip()[-200:]}")
    if outcome.seconds > DEADLINE + 5:
        wrong.append(f"took {outcome.seconds:.1f} s with a deadline of {DEADLINE} s")
    if "Traceback" in outcome.error:
        wrong.append("a traceback")
    if not case.quiet and not outcome.admits:
        wrong.append("says nothing of what it could not see")
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Break each surrounding in turn and look how a diagnosis ends."""
    parser = argparse.ArgumentParser(prog="tests.lab environment")
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(layout.CHECKOUT)
    os.environ["PYTHONFAULTHANDLER"] = "1"
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    base = layout.STATE / "runs" / "environment"
    shutil.rmtree(base, ignore_errors=True)
    api = Api()
    baseline.load_or_remember(api)
    failed = 0
    cases = [
        case for case in CASES if not chosen.names or any(n in case.name for n in chosen.names)
    ]
    for case in cases:
        baseline.forget(api)
        time.sleep(4)
        try:
            with case.make() as options:
                outcome = diagnose(base / case.name.replace(" ", "-"), *case.scope, *options)
        except LabError as error:
            print(f"FAIL {case.name}: {error}", flush=True)
            failed += 1
            continue
        wrong = judge(case, outcome)
        failed += bool(wrong)
        unseen = len(outcome.report["unseen"]) if outcome.report else 0
        line = f"exit {outcome.exit} in {outcome.seconds:.1f} s, {unseen} unseen"
        print(f"{'FAIL' if wrong else 'ok  '} {case.name}: {line} {'; '.join(wrong)}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
