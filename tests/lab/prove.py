"""Is each fault named, cured and verified on a live mesh?

For each: inject, see the symptom happen, diagnose, compare with the truth, run the fix as it was
printed, see the symptom gone, run the verify command, diagnose again, compare the recorded bundle
with the live run, put everything back.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import yaml

from tests.lab import baseline, istio, layout, netns, podspec, printed, processes, table
from tests.lab.api import Api, Object, key_of
from tests.lab.controlplane import kubectl
from tests.lab.faults import Fault, Step, load, outsider
from tests.lab.processes import LabError, run

RUNS = layout.STATE / "runs"


def pod_of(api: Api, workload: str) -> Object:
    """The newest pod of a workload, by its app label or its name."""
    namespace, name = workload.split("/")
    found = [
        item
        for item in api.items(f"/api/v1/namespaces/{namespace}/pods")
        if not item["metadata"].get("deletionTimestamp")
        and (
            item["metadata"]["name"].startswith(f"{name}-")
            or (item["metadata"].get("labels") or {}).get("app") == name
        )
    ]
    if not found:
        raise LabError(f"{workload} has no pod")
    return max(found, key=lambda item: item["metadata"]["creationTimestamp"])


def _user_of(pod: Object) -> int:
    """The user that the application runs as."""
    app = pod["spec"]["containers"][0].get("securityContext") or {}
    return int(app.get("runAsUser") or layout.APP_UID)


def call(api: Api, client: str, spec: Step) -> Object:
    """Make one call from a workload's pod, as its application's user, or from the node."""
    if client == layout.NODE:
        place, uid = layout.CONTROL, layout.APP_UID
    else:
        pod = pod_of(api, client)
        place = podspec.network(pod)
        uid = int(spec.get("uid") or _user_of(pod))
    if "pod" in spec:
        address = pod_of(api, spec["pod"])["status"].get("podIP", "")
        spec = {**spec, "url": spec["url"].replace("POD", address)}
    argv = [sys.executable, str(layout.HERE / "caller.py"), json.dumps(spec)]
    done = run(netns.inside(place, netns.as_user(uid, argv)), timeout=30, check=False)
    found: Object = json.loads(done.stdout or "{}") or {"code": 0, "error": done.stderr[-200:]}
    return found


def matches(answer: Object, wanted: Step) -> bool:
    """Whether an answer is as a fault file says."""
    checks = []
    if "code" in wanted:
        codes = wanted["code"] if isinstance(wanted["code"], list) else [wanted["code"]]
        checks.append(answer.get("code") in codes)
    if "error" in wanted:
        words = wanted["error"] if isinstance(wanted["error"], list) else [wanted["error"]]
        checks.append(answer.get("error") in words)
    if "body" in wanted:
        checks.append(wanted["body"] in str(answer.get("body")))
    if "slow" in wanted:
        checks.append(float(answer.get("seconds") or 0) >= float(wanted["slow"]))
    return bool(checks) and all(checks)


def seen(api: Api, fault: Fault, wanted: Step) -> tuple[bool, str]:
    """Look once: is what is wanted to be seen?"""
    if "run" in wanted:
        code, output = printed.execute(printed.Command(tuple(wanted["run"])))
        if "contains" in wanted:
            return wanted["contains"] in output, str(wanted["contains"])
        if "lacks" in wanted:
            return wanted["lacks"] not in output and code == 0, f"no {wanted['lacks']}"
        return code == int(wanted.get("exit") or 0), f"exit {code}"
    spec = fault.call
    answer = call(api, spec.get("from") or fault.client, spec)
    text = str(answer.get("code") or "") or str(answer.get("error"))
    if "slow" in wanted:
        text += f" after {answer.get('seconds')} s"
    return matches(answer, wanted), text


def wait_seen(api: Api, fault: Fault, wanted: Step, seconds: float) -> str:
    """Wait until it is seen three times in a row; returns how it looked."""
    deadline = time.monotonic() + seconds
    row, text = 0, ""
    while row < (1 if "run" in wanted else 3):
        try:
            good, text = seen(api, fault, wanted)
        except LabError as error:
            good, text = False, str(error)
        row = row + 1 if good else 0
        if time.monotonic() > deadline:
            raise LabError(f"wanted {wanted}, last seen: {text}")
        if not good:
            baseline.close_connections()
            time.sleep(0.5)
    return text


def wait_gone(api: Api, fault: Fault) -> None:
    """Wait until the symptom is not to be seen any more."""
    deadline = time.monotonic() + 20
    while seen(api, fault, fault.shows)[0]:
        if time.monotonic() > deadline:
            raise LabError(f"{fault.shows} is still to be seen")
        time.sleep(0.5)


def do(api: Api, step: Step) -> None:
    """One step of making or mending a fault."""
    ((kind, value),) = with_addresses(api, step).items()
    if kind in ("apply", "create", "declare"):
        items = value if isinstance(value, list) else [value]
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        # Tools that deploy do not validate.
        flags = {"apply": ["--server-side", "--force-conflicts"], "declare": ["--validate=warn"]}
        verb = "create" if kind == "create" else "apply"
        kubectl(verb, *flags.get(kind, []), "-f", "-", stdin=json.dumps(listed))
    elif kind == "kubectl":
        kubectl(*value)
    elif kind == "refused":
        refused(value)
    elif kind == "istioctl":
        istio.istioctl(*value)
    elif kind in ("restart", "renew"):
        namespace, name = value.split("/")
        kubectl("-n", namespace, "rollout", "restart", f"deployment/{name}")
        if kind == "restart":
            istio.rollout(namespace)
        else:
            time.sleep(2)
    elif kind == "rollout":
        istio.rollout(value)
    elif kind == "revision":
        istio.install_revision(value)
    elif kind == "wait":
        time.sleep(float(value))
    elif kind in ("freeze", "thaw"):
        for name in proxies_of(api, value):
            processes.tell(name, signal.SIGSTOP if kind == "freeze" else signal.SIGCONT)
    elif kind == "mesh":
        change_mesh(api, value)
    elif kind == "inside":
        place = layout.pod_namespace(*key_of(pod_of(api, value["pod"])))
        run(netns.inside(place, value["run"]))
    elif kind == "outside":
        do(api, {"apply": outsider(value["host"], value["args"])})
        istio.rollout("legacy")
    else:
        raise LabError(f"unknown step {kind}")


def refused(argv: Sequence[str]) -> None:
    """A change that somebody tries and the API server refuses."""
    try:
        kubectl(*argv)
    except LabError:
        return
    raise LabError(f"not refused: {shlex.join(argv)}")


def change_mesh(api: Api, wanted: Step) -> None:
    """Set keys of meshConfig, as a person edits them, and wait until istiod has read them."""
    place = "/api/v1/namespaces/istio-system/configmaps/istio"
    config = yaml.safe_load(api.call("GET", place)["data"]["mesh"])
    api.merge(place, {"data": {"mesh": yaml.safe_dump({**config, **wanted})}})
    time.sleep(3)


def with_addresses(api: Api, step: Step) -> Step:
    """A step with `%ADDRESS namespace/workload%` replaced by the address of that pod."""

    def address(found: re.Match[str]) -> str:
        return str(pod_of(api, found[1])["status"]["podIP"])

    filled: Step = json.loads(re.sub(r"%ADDRESS ([^%]+)%", address, json.dumps(step)))
    return filled


def proxies_of(api: Api, workload: str) -> list[str]:
    """The proxy's process of a workload's newest pod, or a program of the control plane."""
    if "/" not in workload:
        return [known for known in processes.names() if known == workload]
    namespace, name = key_of(pod_of(api, workload))
    wanted = f"{namespace}_{name}_istio-proxy"
    return [known for known in processes.names() if known == wanted]


def undo(api: Api, steps: Sequence[Step]) -> None:
    """What the baseline does not keep: thaw what is frozen, restore CRDs, replace pods in whose
    network something was done."""
    if any("crd" in step.get("kubectl", []) for step in steps):
        istio.restore_crds()
    for step in steps:
        if "freeze" in step:
            do(api, {"thaw": step["freeze"]})
    for workload in sorted({step["inside"]["pod"] for step in steps if "inside" in step}):
        with contextlib.suppress(LabError):
            namespace, name = key_of(pod_of(api, workload))
            api.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}")


class Diagnosis:
    """One run of the tool and what it said."""

    def __init__(self, fault: Fault, label: str, options: Sequence[str]) -> None:
        self.folder = RUNS / fault.name
        self.noticed = fault.noticed
        self.report = self.folder / f"{label}.json"
        self.bundle = self.folder / f"{label}-bundle"
        argv = [sys.executable, "-m", "meshdoctor", "diagnose", *options]
        argv += ["-o", f"json={self.report}", "--quiet"]
        begun = time.monotonic()
        done = run(
            netns.inside(layout.CONTROL, ["env", "-C", str(layout.CHECKOUT), *argv]),
            timeout=120,
            check=False,
        )
        self.seconds = time.monotonic() - begun
        self.exit = done.returncode
        (self.folder / f"{label}.txt").write_text(
            f"$ {shlex.join(argv)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        if not self.report.exists():
            raise LabError(f"no report (exit {done.returncode}): {done.stderr.strip()[-300:]}")
        self.data: Object = json.loads(self.report.read_text())

    @property
    def main(self) -> list[Object]:
        """Ranked findings that are confirmed; advice only where the fault is about it."""
        groups = ("main", "also_noticed") if self.noticed else ("main",)
        return [
            item
            for item in self.data["findings"]
            if item["group"] in groups
            and item["verdict"] == "confirmed"
            # Every fault of the lab is young.
            and not (item["group"] == "also_noticed" and item["code"] == "MD3211")
        ]

    def difference(self, other: Diagnosis) -> str:
        """Where two runs came to different reports; empty where they did not."""
        return first_difference(_lasting(self.data), _lasting(other.data))


def _lasting(report: Object) -> Object:
    """A report without what a recording cannot share with the run that made it: how long each
    step took, and where the evidence came from."""
    return {key: value for key, value in report.items() if key not in ("timings", "source")}


def first_difference(one: object, other: object, place: str = "") -> str:
    """Where two reports differ first; empty where they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            found = first_difference(one.get(key), other.get(key), f"{place}/{key}")
            if found:
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list):
        for index, (left, right) in enumerate(zip_longest(one, other)):
            found = first_difference(left, right, f"{place}/{index}")
            if found:
                return found
        return ""
    return "" if one == other else f"{place}: {str(one)[:120]!r} live, {str(other)[:120]!r} offline"


def diagnose(fault: Fault, label: str, *options: str) -> Diagnosis:
    """Ask about a fault as a person would."""
    return Diagnosis(fault, label, [*fault.question, *options])


def recorded(fault: Fault, folder: Path) -> Diagnosis:
    """Diagnose and record; where recording fails, the diagnosis alone is still worth its row."""
    try:
        return diagnose(fault, "first", "--record", str(folder / "bundle"))
    except LabError:
        return diagnose(fault, "first")


def prove(api: Api, fault: Fault, before: baseline.State, first_only: bool = False) -> table.Row:
    """The whole story of one fault, or only what is named first."""
    row = table.Row(fault)
    begun = time.monotonic()
    moment = baseline.timestamp()
    folder = RUNS / fault.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for step in fault.inject:
            do(api, step)
        if fault.settle:
            time.sleep(fault.settle)
        if fault.shows:
            row.symptom = wait_seen(api, fault, fault.shows, 25)
        # Access logs come up to a second late.
        time.sleep(1.5)
        first = diagnose(fault, "first") if first_only else recorded(fault, folder)
        row.diagnosed = first.seconds
        row.judge(first.main, first.exit)
        if not first_only:
            compare_offline(fault, first, folder / "bundle", row)
        if not fault.healthy and not first_only:
            mend(api, fault, first.main, row, before, moment)
    except LabError as error:
        row.problems.append(str(error))
    try:
        undo(api, fault.inject)
        notes = baseline.settle(api, before, moment)
        (folder / "restored.txt").write_text("\n".join(notes))
    except LabError as error:
        row.problems.append(f"restoring: {error}")
    row.seconds = time.monotonic() - begun
    return row


def compare_offline(fault: Fault, live: Diagnosis, bundle: Path, row: table.Row) -> None:
    """Note whether the recorded evidence leads to the same findings."""
    row.offline = False
    if not bundle.exists():
        row.problems.append("nothing was recorded")
        return
    replay = Diagnosis(fault, "offline", [*fault.question, "--bundle", str(bundle)])
    difference = live.difference(replay)
    row.offline = not difference
    if difference:
        row.problems.append(f"offline differs at {difference}")


def mend(
    api: Api,
    fault: Fault,
    findings: list[Object],
    row: table.Row,
    before: baseline.State,
    moment: str,
) -> None:
    """Run the fix, see the symptom go, verify, diagnose again."""
    if not findings or findings[0]["code"] not in (fault.cause, *fault.or_cause):
        return
    top = findings[0]
    try:
        printed.run_fix(top["fix"])
        row.fix = "yes"
    except LabError as error:
        if not top["by_hand"]:
            row.problems.append(f"fix: {error}")
            row.fix = "no"
            return
    if top["by_hand"] and not (row.fix == "yes" and gone(api, fault)):
        row.fix = "by hand"
        by_hand(api, fault, before, moment)
    for step in fault.after_fix:
        do(api, step)
    baseline.kick_replicasets(api)
    istio.rollout(seconds=60)
    baseline.close_connections()
    try:
        wait_seen(api, fault, fault.cured, 30)
    except LabError as error:
        row.fix = "no"
        row.problems.append(f"still there: {error}")
        return

    def refresh() -> None:
        # What was logged before the repair, or while connections drained, says nothing about it.
        baseline.forget(api)
        for _ in range(3):
            seen(api, fault, fault.cured)
        time.sleep(1.5)

    row.verify, complaint = printed.verified(top["verify"], refresh)
    if complaint:
        row.problems.append(f"verify: {complaint}")
    again = diagnose(fault, "again")
    # Where the cure is that a policy refuses again, the refusal is what is found.
    left = [item["code"] for item in again.main]
    refused = fault.cured.get("code") == 403
    row.clean = fault.cause not in left if refused else not left
    if not row.clean:
        row.problems.append(f"again: {left}")


def gone(api: Api, fault: Fault) -> bool:
    """Whether a printed fix helped, where the report leaves room for a person's decision."""
    baseline.kick_replicasets(api)
    try:
        istio.rollout(seconds=20)
        baseline.close_connections()
        wait_seen(api, fault, fault.cured, 6)
    except LabError:
        return False
    return True


def by_hand(api: Api, fault: Fault, before: baseline.State, moment: str) -> None:
    """Do what a person would do: as the fault file says, or take the change back."""
    for step in fault.by_hand:
        do(api, step)
    if not fault.by_hand:
        until = baseline.timestamp()
        baseline.restore(api, before)
        baseline.renew_pods(api, moment, until)


def healthy(api: Api) -> table.Row:
    """The baseline itself: the whole mesh must be found healthy."""
    fault = Fault(
        name="baseline-mesh",
        path=Path("baseline"),
        healthy=True,
        scope=("--deadline", "60"),
        summary="the whole healthy mesh",
    )
    row = table.Row(fault)
    begun = time.monotonic()
    folder = RUNS / fault.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        first = recorded(fault, folder)
        row.diagnosed = first.seconds
        row.judge(first.main, first.exit)
        compare_offline(fault, first, folder / "bundle", row)
    except LabError as error:
        row.problems.append(str(error))
    row.seconds = time.monotonic() - begun
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Prove all faults, or those named."""
    parser = argparse.ArgumentParser(prog="tests.lab test")
    parser.add_argument("names", nargs="*", help="faults by name, code or file")
    parser.add_argument("--only", nargs="+", default=[], help="these faults, in this order")
    parser.add_argument("--symptoms", action="store_true", help="only see that they happen")
    parser.add_argument("--first", action="store_true", help="only see what is named first")
    parser.add_argument("--until", type=float, default=3600, help="start no fault after SECONDS")
    parser.add_argument("--table", action="store_true", help="write the table into README.md")
    chosen = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(layout.CHECKOUT)
    os.environ["PYTHONFAULTHANDLER"] = "1"
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    api = Api()
    RUNS.mkdir(parents=True, exist_ok=True)
    before = baseline.load_or_remember(api)
    rows: list[table.Row] = []
    begun = time.monotonic()
    if not chosen.symptoms and not chosen.names:
        rows.append(healthy(api))
        print(rows[-1].line(), flush=True)
    faults = load(chosen.names)
    if chosen.only:
        known_by_name = {fault.name: fault for fault in faults}
        faults = [known_by_name[name] for name in chosen.only]
    for index, fault in enumerate(faults):
        if time.monotonic() - begun > chosen.until:
            left = [one.name for one in faults[index:]]
            print(f"no time left for {len(left)}: {', '.join(left)}"[:400], flush=True)
            break
        if chosen.symptoms:
            row = symptom_only(api, fault, before)
        else:
            row = prove(api, fault, before, chosen.first)
        rows.append(row)
        print(row.line(chosen.symptoms or chosen.first), flush=True)
        for problem in row.problems:
            print(f"      {problem}"[:400], flush=True)
    if not chosen.symptoms and not chosen.first:
        known = table.save(rows, RUNS / "table.json")
        if chosen.table:
            table.write_readme(known)
    passed = sum(
        row.passed or ((chosen.symptoms or chosen.first) and not row.problems) for row in rows
    )
    print(f"{passed} passed, {len(rows) - passed} failed in {time.monotonic() - begun:.0f} s")
    return 0 if passed == len(rows) else 1


def symptom_only(api: Api, fault: Fault, before: baseline.State) -> table.Row:
    """Whether the fault can be made and shows, and the mesh heals when all is put back."""
    row, usual = table.Row(fault), False
    begun, moment = time.monotonic(), baseline.timestamp()
    try:
        # An outsider is refused by a strict server without any fault: some causes only say why
        # an exception that somebody made for it does not help.
        usual = bool(fault.call) and seen(api, fault, fault.shows)[0]
        for step in fault.inject:
            do(api, step)
        if fault.shows:
            row.symptom = wait_seen(api, fault, fault.shows, 25)
    except LabError as error:
        row.problems.append(str(error))
    try:
        undo(api, fault.inject)
        baseline.settle(api, before, moment)
        if fault.call and not usual:
            wait_gone(api, fault)
    except LabError as error:
        row.problems.append(f"restoring: {error}")
    row.seconds = time.monotonic() - begun
    return row


if __name__ == "__main__":
    sys.exit(main())
