"""Does `meshdoctor propagation --watch` measure what really happened?

An object is changed. The truth is the API server's audit log (when the change was stored) and the
logs of the proxies (when Envoy accepted what came of it, in milliseconds). The time that is told
must be within half a second of it: for a change that is waited for, for one that was made before
the command was started, and afterwards, without a watch. Then what the command says of proxies
that hang, are cut off or refuse, and of an istiod that waits (`propagation:` in faults/).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.lab import baseline, layout, netns, prove
from tests.lab.api import Api, ApiError, Object
from tests.lab.faults import Fault, load
from tests.lab.processes import LabError, run

MOST_OFF = 0.5
_ACCEPTED = re.compile(r"^(\S+)Z\t.*[Dd]elta config for \S*?([A-Z]\w+) accepted with")
_TYPES = {"RDS": "RouteConfiguration", "CDS": "Cluster", "LDS": "Listener"}


@dataclass(frozen=True)
class Case:
    """One object that is changed again and again. `type` is what every proxy concerned gets."""

    kind: str
    collection: str
    type: str
    body: str

    @property
    def reference(self) -> str:
        return f"{self.kind}/shop/lab-watch"


_NET, _SEC = "/apis/networking.istio.io/v1", "/apis/security.istio.io/v1"
CASES = (
    Case(
        "VirtualService",
        f"{_NET}/namespaces/shop/virtualservices",
        "RDS",
        '{"hosts": ["catalog.shop.svc.cluster.local"], "http": [{"timeout": "%ds", "route":'
        ' [{"destination": {"host": "catalog.shop.svc.cluster.local"}}]}]}',
    ),
    Case(
        "DestinationRule",
        f"{_NET}/namespaces/shop/destinationrules",
        "CDS",
        '{"host": "catalog.shop.svc.cluster.local",'
        ' "trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": "%ds"}}}}',
    ),
    Case(
        "AuthorizationPolicy",
        f"{_SEC}/namespaces/shop/authorizationpolicies",
        "LDS",
        '{"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/nowhere%d"]}}]}]}',
    ),
)


def api_version(case: Case) -> str:
    """The version that a collection is served in."""
    return case.collection.removeprefix("/apis/").split("/namespaces")[0]


def write(api: Api, case: Case, number: int) -> None:
    """Create or change the object."""
    spec = json.loads(case.body.replace("%d", str(number)))
    place = f"{case.collection}/lab-watch"
    if api.find(place) is None:
        meta = {"name": "lab-watch", "namespace": "shop"}
        body = {"apiVersion": api_version(case), "kind": case.kind, "metadata": meta}
        api.call("POST", case.collection, {**body, "spec": spec})
    else:
        api.merge(place, {"spec": spec})


def stored(case: Case) -> float:
    """When the API server answered the last write of the object, by its audit log."""
    plural = case.collection.rsplit("/", 1)[-1]
    for line in reversed(layout.AUDIT.read_text().splitlines()[-2000:]):
        event = json.loads(line)
        what = event.get("objectRef") or {}
        written = event["verb"] in ("create", "update", "patch")
        if written and what.get("resource") == plural and _name(what) == "lab-watch":
            return when(event["stageTimestamp"])
    raise LabError("the audit log holds no such write; was the lab started by an older checkout?")


def _name(what: Object) -> str:
    # A create names nothing in its path; only these tests create in that collection.
    return str(what.get("name") or "lab-watch")


def when(text: str) -> float:
    """Seconds of a timestamp with up to nine digits after the point."""
    return datetime.fromisoformat(text.rstrip("Z")[:26]).replace(tzinfo=UTC).timestamp()


def proxies() -> list[tuple[Path, str]]:
    """Log and network namespace of every pod with a proxy."""
    found = []
    for folder in sorted(layout.PODS.glob("*/istio-proxy.raw")):
        namespace, pod = folder.parent.name.split("_", 1)
        found.append((folder, layout.pod_namespace(namespace, pod)))
    return found


def set_level(level: str) -> None:
    """How much the proxies say about what they accept."""
    for _, place in proxies():
        url = f"http://127.0.0.1:15000/logging?config={level}"
        run(netns.inside(place, ["curl", "-s", "-X", "POST", "--max-time", "5", url]), check=False)


def accepted(case: Case, since: float) -> dict[str, float]:
    """When each proxy first accepted the case's type after a moment, by its own log."""
    found: dict[str, float] = {}
    for path, place in proxies():
        with path.open(errors="replace") as log:
            for line in log:
                match = _ACCEPTED.match(line)
                if match and match[2] == _TYPES[case.type] and when(match[1]) > since:
                    found[place] = when(match[1])
                    break
    return found


class Command:
    """One run of the tool; its progress goes to a terminal of its own."""

    def __init__(self, *options: str) -> None:
        own, theirs = pty.openpty()
        argv = [sys.executable, "-m", "meshdoctor", "propagation", "-o", "json", *options]
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            netns.inside(layout.CONTROL, ["env", "-C", str(layout.CHECKOUT), *argv]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        self.shown = ""
        self._reader = threading.Thread(target=self._read, args=(own,), daemon=True)
        self._reader.start()

    def _read(self, terminal: int) -> None:
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                return
            self.shown += data.decode(errors="replace")

    def wait_shown(self, text: str) -> None:
        """Until the progress line says so."""
        end = time.monotonic() + 60
        while text not in self.shown:
            if time.monotonic() > end or self._process.poll() is not None:
                raise LabError(f"{text!r} was not shown: {self.shown[-300:]!r}")
            time.sleep(0.01)

    def done(self) -> Object:
        """Its answer; the exit status is added."""
        text, _ = self._process.communicate(timeout=120)
        if not text.startswith("{"):
            raise LabError(f"no answer (exit {self._process.returncode}): {self.shown[-300:]!r}")
        answer: Object = json.loads(text)
        seconds = time.monotonic() - self._begun
        return {**answer, "exit": self._process.returncode, "seconds": seconds}


def next_change(api: Api, case: Case, number: int) -> Object:
    """Wait for the change, then make it."""
    command = Command("--object", case.reference, "--watch", "--next-change")
    command.wait_shown("waiting for the next change")
    time.sleep(0.5 + number % 7 / 10)
    write(api, case, number)
    return command.done()


def after_change(api: Api, case: Case, number: int) -> Object:
    """Make the change, then follow it."""
    time.sleep(number % 10 / 10)
    write(api, case, number)
    return Command("--object", case.reference, "--watch").done()


def afterwards(api: Api, case: Case, number: int) -> Object:
    """Make the change, and ask later how long it took."""
    time.sleep(number % 10 / 10)
    write(api, case, number)
    time.sleep(2)
    return Command("--object", case.reference).done()


def judged(api: Api, fault: Fault, number: int) -> tuple[bool, str]:
    """What the command says of a fault of the control plane, against what its file says."""
    wanted = fault.propagation
    if wanted.get("change"):
        case = CASES[1]
        good, text, answer = measured(api, "next-change", case, number)
    else:
        good, text = True, ""
        answer = Command("--object", wanted["object"]).done()
    wrong = []
    states = wanted.get("state") or []
    states = states if isinstance(states, list) else [states]
    if states and not any(answer["states"].get(state) for state in states):
        wrong.append(f"no proxy is {' or '.join(states)}: {answer['states']}")
    if "slow" in wanted and answer["slow"] is not wanted["slow"]:
        wrong.append(f"slow: {answer['slow']}")
    if answer["exit"] != wanted["exit"]:
        wrong.append(f"exit {answer['exit']}")
    named = [finding["code"] for finding in answer["findings"]]
    if named[:1] != [wanted["cause"]]:
        wrong.append(f"causes {named}")
    if not good:
        wrong.append("not measured")
    told = f"{answer['states']}, causes {named}, in {answer['seconds']:.1f} s"
    return not wrong, "; ".join([*wrong, told, text]).rstrip("; ")


def faults(api: Api, before: baseline.State, number: Iterator[int]) -> list[bool]:
    """Every fault whose file says what the command must say of it."""
    results = []
    for fault in load():
        if not fault.propagation:
            continue
        since = baseline.timestamp()
        try:
            for step in fault.inject:
                prove.do(api, step)
            if fault.settle:
                time.sleep(fault.settle)
            if fault.propagation.get("change"):
                prepare(api, CASES[1], next(number))
                set_level("debug")
            good, text = judged(api, fault, next(number))
        except (LabError, subprocess.TimeoutExpired) as error:
            good, text = False, str(error)
        finally:
            prove.undo(api, fault.inject)
            baseline.settle(api, before, since)
        results.append(good)
        print(f"{'ok  ' if good else 'FAIL'} {fault.name}: {text}", flush=True)
    return results


WAYS = {"next-change": next_change, "watch": after_change, "afterwards": afterwards}


def numbers() -> Iterator[int]:
    """Numbers that no earlier run used: a change must be one."""
    return itertools.count(int(time.time()) % 100_000)


def prepare(api: Api, case: Case, number: int) -> None:
    """The object must be there before it can be changed."""
    if api.find(f"{case.collection}/lab-watch") is None:
        write(api, case, number)
        time.sleep(3)


def measured(api: Api, way: str, case: Case, number: int) -> tuple[bool, str, Object]:
    """One change measured, and what is to be said about it."""
    answer = WAYS[way](api, case, number)
    time.sleep(0.3)
    start = stored(case)
    found = accepted(case, start - 0.05)
    told = answer["took_seconds"]
    if not found:
        return False, f"no proxy logged that it accepted {case.type}", answer
    truth = max(found.values()) - start
    if told is None:
        return False, f"took {truth:.3f} s, not told: {answer['not_told_because']}", answer
    off, within = told - truth, answer["took"]["within_seconds"]
    text = f"took {truth:.3f} s, told {told:.3f} s (±{within:.2f}), off by {off:+.3f} s"
    text += f", {len(found)} proxies, exit {answer['exit']}"
    return abs(off) <= MOST_OFF, text, answer


def changes(api: Api, way: str, tries: int, number: Iterator[int]) -> list[bool]:
    """Measure changes of several kinds in turn."""
    results = []
    for turn in range(tries):
        case = CASES[turn % len(CASES)]
        try:
            prepare(api, case, next(number))
            good, text, _ = measured(api, way, case, next(number))
        except (LabError, subprocess.TimeoutExpired) as error:
            good, text = False, str(error)
        results.append(good)
        print(f"{'ok  ' if good else 'FAIL'} {way} {case.kind}: {text}", flush=True)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Change objects in every way and compare."""
    parser = argparse.ArgumentParser(prog="tests.lab watch")
    parser.add_argument("ways", nargs="*", choices=(*WAYS, "faults"), help="[default: all]")
    parser.add_argument("--tries", type=int, default=10)
    chosen = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(layout.CHECKOUT)
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    api = Api()
    before = baseline.load_or_remember(api)
    number = numbers()
    results: list[bool] = []
    try:
        for way in chosen.ways or (*WAYS, "faults"):
            if way == "faults":
                results += faults(api, before, number)
                continue
            set_level("debug")
            results += changes(api, way, chosen.tries, number)
    finally:
        set_level("warning")
        for case in CASES:
            try:
                api.call("DELETE", f"{case.collection}/lab-watch")
            except ApiError as error:
                if error.code != 404:
                    raise
        baseline.settle(api, before, baseline.timestamp())
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
