"""Does AWS know the workload's application under its own role?"""

from datetime import timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import aws_role as role
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs
from meshdoctor.probes.eks_reads import service_account
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import View, probe

YOUNG = timedelta(hours=1)


class AwsRole(Struct, frozen=True, kw_only=True):
    """Of a workload whose service account has a role of AWS; empty facts for every other."""

    workload: Annotated[Fact[Ref], "the workload"]
    resource: Annotated[Fact[str], "its kind as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    account: Annotated[Fact[Ref], "its service account"]
    own: Annotated[Fact[str], "the role of the account; empty: none"]
    known: Annotated[
        Fact[bool], "the application's log is read: of whom is asked, or of young pods"
    ]
    denied: Annotated[Fact[int], "log lines in which AWS denies another role", OBSERVED]
    other: Annotated[Fact[str], "that role", OBSERVED]
    sts_failures: Annotated[Fact[int], "calls to STS that did not get through", OBSERVED]
    said: Annotated[Fact[str], "the first of them, else the first denial; empty: none", OBSERVED]


@probe(
    "aws-role",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Deployment", "Job", "Pod", "ServiceAccount", "StatefulSet", "log"),
    costly=True,
)
def aws_role(view: View, subject: WorkloadSubject) -> AwsRole:
    """Does AWS know the workload's application under its own role?"""
    found = workload(view, subject)
    pod = found.sidecars[-1] if found.sidecars else None
    account = service_account(view, pod) if pod is not None else None
    own = role.own_role(account)
    known = bool(own) and pod is not None and (view.namespaces is not None or _young(view, pod))
    seen = role.read(_says(view, pod), own) if known and pod is not None else role.Fallback()
    return AwsRole(
        workload=Ref(subject.ref),
        resource=subject.owner.lower(),
        name=subject.name,
        namespace=subject.namespace,
        account=Ref(account.ref if account is not None else ""),
        own=clean(own, 64),
        known=known,
        denied=len(seen.denied),
        other=clean(seen.role, 64),
        sts_failures=len(seen.sts_failures),
        said=clean(next(iter((*seen.sts_failures, *seen.denied)), ""), 300),
    )


def _young(view: View, pod: Pod) -> bool:
    """Whether the log may still tell how the pod started; of a whole mesh no other is read."""
    started = pod.status.start_time
    return started is not None and view.now - started < YOUNG


def _says(view: View, pod: Pod) -> str:
    """What the application's containers say; raises when none of their logs can be read."""
    return "\n".join(container_logs.read(view, pod, app_containers(pod)))
