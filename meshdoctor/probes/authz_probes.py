"""Are a workload's own health probes or scrapes refused by its policies?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authz_call import Judge, Settings
from meshdoctor.mesh.authz_policies import Candidates
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, app_containers, is_ready
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import AuthorizationPolicy
from meshdoctor.model.kubernetes import Container
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.authz_hop import read_log
from meshdoctor.probes.authz_settings import policies, settings
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import View, attempt, known, probe

NOT_CAPTURED = ("15020", "15090")
AGENTS = ("kube-probe/", "Prometheus/", "prometheus/", "vm_promscrape", "GoogleHC/", "ELB-Health")
READS = (
    "AuthorizationPolicy",
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "Pod",
    "Service",
    "ServiceEntry",
    "StatefulSet",
)


class AuthzExposed(Struct, frozen=True, kw_only=True):
    """Whether policies can meet probes or scrapes of this workload at all."""

    policy: Annotated[Fact[Ref], "an enforced ALLOW or DENY that reaches the workload"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    exposed: Annotated[Fact[bool], "the kubelet or a scraper calls its ports through the proxy"]
    workload: Annotated[Fact[Ref], "the workload"]


class AuthzProbes(Struct, frozen=True, kw_only=True):
    """Refused requests of kubelets, load balancers and scrapers, from the workload's own log."""

    denied: Annotated[Fact[int], "probe or scrape requests that a policy refused", OBSERVED]
    agent: Annotated[Fact[str], "who sent them", OBSERVED]
    path: Annotated[Fact[str], "their path", OBSERVED]
    port: Annotated[Fact[int], "the workload's port", OBSERVED]
    text: Annotated[Fact[str], "the reason, as logged", OBSERVED]
    named: Annotated[Fact[Ref], "the policy that the log names"]


@probe("authz-exposed", subject=SubjectKind.WORKLOAD, reads=READS)
def authz_exposed(view: View, subject: WorkloadSubject) -> AuthzExposed:
    """Can policies meet the probes or scrapes of this workload?"""
    found = workload(view, subject)
    pod = found.pod
    policy = ""
    if pod is not None and found.proxy_type:
        enforced = _enforced(view, subject.namespace)
        judge = Judge(namespace=subject.namespace, labels=pod.labels)
        first = enforced.policies.first(judge, enforced.settings)
        policy = first.ref if first is not None else ""
    parts = policy.split("/")
    return AuthzExposed(
        policy=Ref(policy),
        policy_name=parts[-1],
        policy_namespace=parts[1] if len(parts) == 3 else "",
        exposed=bool(policy) and _exposed(found),
        workload=Ref(subject.ref),
    )


class _Enforced(Struct, frozen=True, kw_only=True):
    """ALLOW and DENY policies that can reach the proxies of one namespace."""

    policies: Candidates[AuthorizationPolicy]
    settings: Settings


def _enforced(view: View, namespace: str) -> _Enforced:
    def build(v: View) -> _Enforced:
        found = policies(v, Judge(namespace=namespace))
        kinds = (p for p in found if p.spec.action in ("ALLOW", "DENY"))
        return _Enforced(policies=Candidates(kinds), settings=settings(v))

    return known(view.memo(("enforced-policies", namespace), lambda v: attempt(lambda: build(v))))


def _exposed(found: WorkloadPods) -> bool:
    """Whether probes pass the proxy and pods suffer, or metrics are scraped through it.

    Rewritten probes arrive at port 15020, and Istio's own metrics ports are never captured: no
    policy touches those.
    """
    pod = found.pod
    if pod is None:
        return False
    scraped = pod.annotations.get("prometheus.io/scrape") == "true"
    if scraped and pod.annotations.get("prometheus.io/port", "") not in NOT_CAPTURED:
        return True
    if not any(map(_through_proxy, app_containers(pod))):
        return False
    return any(not is_ready(p) or any(s.restart_count for s in p.all_statuses) for p in found.pods)


def _through_proxy(container: Container) -> bool:
    probes = (container.liveness_probe, container.readiness_probe, container.startup_probe)
    for one in probes:
        if one is None:
            continue
        if one.http_get is not None and not one.http_get.path.startswith("/app-health/"):
            return True
        if one.grpc is not None:
            return True
    return False


@probe("authz-probes", subject=SubjectKind.WORKLOAD, reads=(*READS, "log"), costly=True)
def authz_probes(view: View, subject: WorkloadSubject) -> AuthzProbes:
    """Are this workload's probes or scrapes refused by its policies?"""
    log = read_log(view, workload(view, subject))
    if isinstance(log, Unavailable):
        error = EvidenceError(log.what, log.detail, log.remedy)
        error.unavailable = log
        raise error
    refused = [(one, d) for one in log.lines if (d := ev.of_line(one)) is not None and _ours(one)]
    line, denial = refused[-1] if refused else (None, None)
    return AuthzProbes(
        denied=len(refused),
        agent=clean(line.user_agent, 80) if line is not None else "",
        path=clean(line.path, 200) if line is not None else "",
        port=line.local_port if line is not None else 0,
        text=denial.text if denial is not None else "",
        named=Ref(denial.ref if denial is not None else ""),
    )


def _ours(line: Line) -> bool:
    return line.user_agent.startswith(AGENTS) and (line.is_inbound or not line.upstream_cluster)
