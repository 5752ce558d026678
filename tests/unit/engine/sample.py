"""A tiny probe and playbook, so that the engine is tested without any real knowledge."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from meshdoctor.engine.playbook import Playbook, load
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import Probe, View, attempt, probe


class PodFacts(Struct, frozen=True, kw_only=True):
    """What the sample probe says."""

    labelled: Annotated[Fact[bool], "whether the pod carries the label"]
    restarts: Annotated[Fact[int], "restarts of all containers", OBSERVED]
    pod: Annotated[Fact[Ref], "the pod that speaks for the workload"]


@probe("sample-pod", subject=SubjectKind.WORKLOAD, reads=("Pod",))
def sample_pod(view: View, subject: WorkloadSubject) -> PodFacts:
    """Is the pod labelled, and does it restart?"""
    found = workload(view, subject).pod
    if found is None:
        raise EvidenceError(f"pods of {subject}")
    return PodFacts(
        labelled=found.labels.get("bad") == "yes",
        restarts=sum(s.restart_count for s in found.all_statuses),
        pod=Ref(found.ref),
    )


class LogFacts(Struct, frozen=True, kw_only=True):
    """What the costly sample probe says."""

    errors: Annotated[Fact[int], "error lines in the log", OBSERVED]


@probe("sample-log", subject=SubjectKind.WORKLOAD, reads=("Pod", "log"), costly=True)
def sample_log(view: View, subject: WorkloadSubject) -> LogFacts:
    """How many error lines does the log hold?"""
    pods = view.objects("Pod", Pod, subject.namespace)
    text = attempt(lambda: view.log(subject.namespace, pods[0].name, "app").text.count("error"))
    return LogFacts(errors=text)


@probe("sample-broken", subject=SubjectKind.WORKLOAD, reads=())
def sample_broken(view: View, subject: WorkloadSubject) -> LogFacts:
    """Does a programming error end the run?"""
    raise ZeroDivisionError("a bug")


PROBES: dict[str, Probe] = {p.name: p for p in (sample_pod, sample_log, sample_broken)}

PLAYBOOK = """\
playbook: sample
title: A sample
subject: workload
steps:
  pod: {probe: sample-pod}
  log: {probe: sample-log}
tree:
- ask: Does the pod restart?
  when: pod.restarts > 0
  then:
  - ask: Is the label there?
    cause: MD9001
- ask: Does the log complain?
  cause: MD9002
causes:
- cause: MD9001
  name: label-breaks-pod
  title: The label breaks the pod
  severity: outage
  when: pod.labelled
  at_fault: [pod.pod, "'Namespace//{pod.pod}'"]
  explains: [MD9002]
  because: "{pod.pod} is labelled and restarted {pod.restarts} times."
  fix: kubectl label {pod.pod} bad-
  verify: {run: kubectl get pod, expect: no restarts}
  docs: https://example.com/
- cause: MD9002
  name: log-complains
  title: The log complains
  severity: degraded
  when: "pod.restarts > 0 && log.errors > 0"
  observed: "log.errors > 5"
  at_fault: [pod.pod]
  because: "{pod.pod} logged {log.errors} errors."
  fix: kubectl logs
  verify: {run: kubectl logs, expect: no errors}
  docs: https://example.com/
"""

TESTS = """\
healthy:
  pod: {labelled: false, restarts: 0, pod: Pod/shop/cart-1}
  log: {errors: 0}
cases:
- case: labelled and restarting
  facts: {pod: {labelled: true, restarts: 2}}
  expect: [MD9001 derived]
- case: labelled but quiet
  facts: {pod: {labelled: true}}
- case: restarts without the label
  facts: {pod: {restarts: 2}}
- case: complaining
  facts: {pod: {restarts: 1}, log: {errors: 2}}
  expect: [MD9002 derived]
- case: complaining loudly
  facts: {pod: {restarts: 1}, log: {errors: 9}}
  expect: [MD9002 observed]
- case: an error without a restart
  facts: {log: {errors: 9}}
- case: the log may not be read
  facts: {pod: {restarts: 1}, log: !unavailable forbidden}
  expect: [MD9002 undecided]
"""


def write(folder: Path, playbook: str = PLAYBOOK, tests: str = TESTS) -> Path:
    """Put the sample below `folder`; returns the playbook's path."""
    home = folder / "playbooks" / "sample"
    home.mkdir(parents=True, exist_ok=True)
    (home / "playbook.yaml").write_text(playbook, encoding="utf-8")
    (home / "tests.yaml").write_text(tests, encoding="utf-8")
    return home / "playbook.yaml"


def loaded(folder: Path, playbook: str = PLAYBOOK, tests: str = TESTS) -> Playbook:
    """The sample playbook, loaded."""
    return load(write(folder, playbook, tests), PROBES)
