"""Does a diagnosis only read, and is the role that it asks for exactly enough?

A whole-mesh run and a pair are made as a user who has the generated ClusterRole and nothing else.
The API server's audit log of both holds no write but access reviews, token requests and
port-forwards. Then each rule is taken away in turn: the run must end in a report that says what
could not be seen, and never in "healthy".
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from meshdoctor.cli.rbac import rbac
from meshdoctor.probes.registry import PROBES
from tests.lab import baseline, layout
from tests.lab.api import Api, Object
from tests.lab.environment import PAIR, Outcome, diagnose
from tests.lab.istio import apply

USER = "meshdoctor"
READS = frozenset({"get", "list", "watch"})
# Writes by name only: none of them changes anything in the cluster.
ALLOWED = frozenset(
    {
        ("create", "selfsubjectaccessreviews", ""),
        ("create", "selfsubjectrulesreviews", ""),
        ("create", "serviceaccounts", "token"),
        ("create", "pods", "portforward"),
    }
)


def bind(role: Object) -> None:
    """Give the read-only user this role and no other."""
    binding: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "meshdoctor-lab"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role["metadata"]["name"],
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    apply([role, binding])


def audited(since: int) -> Counter[tuple[str, str, str]]:
    """What the read-only user asked of the API server, after this many bytes of its log."""
    found: Counter[tuple[str, str, str]] = Counter()
    with layout.AUDIT.open("rb") as handle:
        handle.seek(since)
        for line in handle:
            event = json.loads(line)
            if event.get("user", {}).get("username") != USER:
                continue
            target = event.get("objectRef") or {}
            found[(event["verb"], target.get("resource", ""), target.get("subresource", ""))] += 1
    return found


def without(role: Object, group: int, resource: str) -> Object:
    """The role with one resource taken away."""
    less = copy.deepcopy(role)
    rule = less["rules"][group]
    rule["resources"] = [name for name in rule["resources"] if name != resource]
    if not rule["resources"]:
        less["rules"].pop(group)
    return less


def main(argv: Sequence[str] | None = None) -> int:
    """Prove it on the lab's mesh."""
    parser = argparse.ArgumentParser(prog="tests.lab readonly")
    parser.add_argument("names", nargs="*", help="take away these resources only")
    parser.add_argument("--quick", action="store_true", help="do not take rules away")
    chosen = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(layout.CHECKOUT)
    os.environ["PYTHONFAULTHANDLER"] = "1"
    os.environ["KUBECONFIG"] = str(layout.READER_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    base = layout.STATE / "runs" / "readonly"
    shutil.rmtree(base, ignore_errors=True)
    api = Api()
    baseline.load_or_remember(api)
    time.sleep(5)
    role: Object = yaml.safe_load(rbac(PROBES))
    failed = 0
    bind(role)
    time.sleep(1)
    start = layout.AUDIT.stat().st_size
    for name, scope in (("whole mesh", ()), ("one pair", PAIR)):
        outcome = diagnose(base / name.replace(" ", "-"), *scope)
        unseen = outcome.report["unseen"] if outcome.report else ["no report"]
        good = outcome.exit == 0 and not unseen
        failed += not good
        print(
            f"{'ok  ' if good else 'FAIL'} exactly the generated role, {name}: "
            f"exit {outcome.exit} in {outcome.seconds:.1f} s, {len(unseen)} unseen {unseen[:2]}",
            flush=True,
        )
    time.sleep(1)
    asked = audited(start)
    writes = {key: count for key, count in asked.items() if key[0] not in READS}
    wrong = {key: count for key, count in writes.items() if key not in ALLOWED}
    failed += bool(wrong)
    print(
        f"{'FAIL' if wrong else 'ok  '} audit log: {sum(asked.values())} requests, "
        f"{sum(writes.values())} of them {sorted('/'.join(key) for key in writes)}; "
        f"forbidden writes: {wrong or 'none'}",
        flush=True,
    )
    if not chosen.quick:
        failed += take_away(api, role, base, chosen.names)
    print(f"{'all' if not failed else 'not all'} as promised, {failed} failed")
    return 1 if failed else 0


def served(api: Api, group: str) -> set[str]:
    """The resources of a group that this API server has."""
    if not group:
        return {item["name"] for item in api.get("/api/v1")["resources"]}
    found = api.find(f"/apis/{group}")
    names: set[str] = set()
    for version in (found or {}).get("versions") or []:
        listed = api.find(f"/apis/{version['groupVersion']}") or {}
        names |= {item["name"] for item in listed.get("resources") or []}
    return names


def names(outcome: Outcome, resource: str) -> bool:
    """Whether the report says that this resource could not be seen."""
    unseen = outcome.report["unseen"] if outcome.report else []
    told = json.dumps(unseen) if unseen else outcome.error
    return resource in told


def take_away(api: Api, role: Object, base: Path, only: Sequence[str]) -> int:
    """Remove each resource in turn; returns how often the report was not truthful."""
    failed = 0
    unserved = copy.deepcopy(role)
    absent: list[str] = []
    for index, rule in enumerate(role["rules"]):
        group = rule["apiGroups"][0]
        there = served(api, group)
        for resource in rule["resources"]:
            if resource not in there:
                absent.append(f"{resource}.{group}")
                unserved = without(unserved, find_rule(unserved, group, resource), resource)
            elif not only or resource in only:
                failed += not missed(role, index, resource, base)
    if absent and not only:
        bind(unserved)
        time.sleep(0.5)
        outcome = diagnose(base / "without-unserved")
        good = outcome.exit == 0 and outcome.report is not None and not outcome.report["unseen"]
        failed += not good
        print(
            f"{'ok  ' if good else 'FAIL'} without {len(absent)} kinds that this API server does "
            f"not serve, so that there is nothing to miss: exit {outcome.exit} "
            f"({', '.join(absent)})",
            flush=True,
        )
    bind(role)
    return failed


def find_rule(role: Object, group: str, resource: str) -> int:
    """Which rule of a role grants a resource."""
    return next(
        index
        for index, rule in enumerate(role["rules"])
        if group in rule["apiGroups"] and resource in rule["resources"]
    )


def missed(role: Object, index: int, resource: str, base: Path) -> bool:
    """Take one resource away: is the run truthful about it?"""
    group = role["rules"][index]["apiGroups"][0]
    name = f"{resource}.{group}" if group else resource
    bind(without(role, index, resource))
    time.sleep(0.5)
    outcome = diagnose(base / f"without-{name.replace('/', '-')}")
    wrong: list[str] = []
    if outcome.exit not in (3, 4):
        wrong.append(f"exit {outcome.exit} {outcome.error.strip()[-200:]}")
    if not names(outcome, resource):
        wrong.append("does not say that it could not be seen")
    unseen = len(outcome.report["unseen"]) if outcome.report else 0
    print(
        f"{'FAIL' if wrong else 'ok  '} without {name}: exit {outcome.exit} in "
        f"{outcome.seconds:.1f} s, {unseen} unseen {'; '.join(wrong)}",
        flush=True,
    )
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
