"""Does the lab still prove a fair sample of what it promises, in a few minutes?

Run by `.ci/run`: it starts a lab of its own (so that one which is up is not disturbed), proves
faults of every family, and takes the lab down. Where the machine cannot run a lab, or its
programs are not built, it says so, and what to do, and that is no failure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from tests.lab import build, layout
from tests.lab.controlplane import check_tools
from tests.lab.processes import LabError, run

NAME = "mdci"
SECONDS = 420
# What is kept of that for taking the lab down.
DOWN = 25
# In this order, so that each family was looked at however slow the machine is.
FAULTS = (
    "client-tls-off-server-strict",
    "deny-policy-matched",
    "security-policy-refuses-init",
    "no-ready-endpoint",
    "permissive-plaintext-client",
    "mtls-forced-to-disabled-http-server",
    "path-does-not-match",
    "namespace-not-enabled",
    "sidecar-scope-that-holds-the-host",
)


def why_not() -> str:
    """Why no lab can run here; empty where one can."""
    absent = build.missing()
    if absent:
        return f"not built ({', '.join(absent)}); to build it: make lab-build ({build.COST})"
    try:
        check_tools()
        run(["ip", "netns", "add", f"{NAME}-try"])
        run(["ip", "netns", "del", f"{NAME}-try"])
    except LabError as error:
        return str(error)
    return ""


def lab(*words: str, seconds: float) -> int:
    """One command of the lab, in its own name, ended after so many seconds."""
    environment = {**os.environ, "MESHDOCTOR_LAB_NAME": NAME}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", *words],
        cwd=layout.CHECKOUT,
        env=environment,
        start_new_session=True,
    )
    try:
        return process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        print(f"lab: `{' '.join(words[:2])}` did not end within {seconds:.0f} s", flush=True)
        return 1
    finally:
        # With all that it started itself; what the lab runs for longer has sessions of its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main() -> int:
    """Run it, or say why not."""
    reason = why_not()
    if reason:
        print(f"LAB SKIPPED: {reason}")
        print("  The lab proves diagnoses on a real Istio mesh: make lab-build lab-test")
        return 0
    end = time.monotonic() + SECONDS
    lab("down", seconds=60)
    try:
        if lab("up", seconds=180):
            return 1
        left = end - time.monotonic() - DOWN
        return lab("test", "--only", *FAULTS, "--until", f"{left:.0f}", seconds=left + 120)
    finally:
        lab("down", seconds=120)


if __name__ == "__main__":
    sys.exit(main())
