"""Does a PeerAuthentication do what it was written for?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence, policy_effect
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import SERVER
from meshdoctor.mesh.policy_effect import Effect
from meshdoctor.mesh.text import clean, pairs
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import EvidenceError, MissingError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

MOST_WORKLOADS = 20
READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "PeerAuthentication",
    "Pod",
    "Service",
    "StatefulSet",
)


class PolicyEffect(Struct, frozen=True, kw_only=True):
    """What becomes of the policy. Other kinds of configuration: `is_policy` false, the rest
    empty."""

    is_policy: Annotated[Fact[bool], "the object is a PeerAuthentication"]
    policy: Annotated[Fact[Ref], "the policy itself"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    mode: Annotated[Fact[str], "the mode it asks for"]
    scope: Annotated[Fact[str], "mesh, namespace or workload; empty: istiod ignores it"]
    root: Annotated[Fact[str], "the root namespace"]
    in_root: Annotated[Fact[bool], "it has a selector and stands in the root namespace"]
    selector: Annotated[Fact[str], "the labels it asks for"]
    selected: Annotated[Fact[int], "workloads that it selects"]
    workloads: Annotated[Fact[int], "workloads of its namespace"]
    older: Annotated[Fact[Ref], "the older policy that takes its place; empty: none"]
    older_name: Annotated[Fact[str], "its name"]
    older_mode: Annotated[Fact[str], "the mode of that one"]
    dead_port: Annotated[Fact[int], "a port key that is no workload port; 0: none"]
    dead_mode: Annotated[Fact[str], "the mode asked for under it"]
    meant_port: Annotated[Fact[int], "the workload port that the Service maps it to"]
    in_force: Annotated[
        Fact[str],
        "the mode really in force on that port, else on a workload that goes without this policy",
    ]
    service: Annotated[Fact[Ref], "the Service whose port was taken for it"]
    meant: Annotated[Fact[Ref], "the workload that a misspelt selector was meant for; empty: none"]
    why: Annotated[Fact[str], "why it selects nothing, at the end of a sentence; empty: not known"]
    wrong_label: Annotated[Fact[str], "the label whose value is misspelt"]
    right_value: Annotated[Fact[str], "the value that this workload has"]
    suffering: Annotated[Fact[Ref], "the first workload that goes without this policy"]
    pod: Annotated[Fact[str], "a pod of it"]


@probe("policy-effect", subject=SubjectKind.CONFIG, reads=READS, kinds=("PeerAuthentication",))
def policy_effect_probe(view: View, subject: ConfigSubject) -> PolicyEffect:
    """Does this PeerAuthentication do what it was written for?"""
    if subject.config_kind != "PeerAuthentication":
        return _facts(None, None, "")
    policy, found = _judged(view, subject)
    return _facts(policy, found, reading.root_namespace(view))


def _judged(view: View, subject: ConfigSubject) -> tuple[PeerAuthentication, Effect]:
    def build(v: View) -> tuple[PeerAuthentication, Effect]:
        name, space = subject.name, subject.namespace
        policy = v.object("PeerAuthentication", PeerAuthentication, space, name)
        if policy is None:
            raise MissingError(str(subject), "it is gone")
        policies = reading.peer_authentications(v, space)
        services = v.objects("Service", Service, space)
        workloads = reading.workloads_in(v, space)
        root = reading.root_namespace(v)
        return policy, policy_effect.effect(policy, policies, workloads, services, root)

    return view.memo(("policy-effect", subject), build)


def _facts(policy: PeerAuthentication | None, found: Effect | None, root: str) -> PolicyEffect:
    wanted = policy.spec.selector.wanted if policy is not None and policy.spec.selector else {}
    older = found.older if found is not None else None
    dead = found.dead if found is not None else policy_effect.DeadPort()
    meant = found.meant if found is not None else None
    first = found.suffering[0] if found is not None and found.suffering else None
    return PolicyEffect(
        is_policy=policy is not None,
        policy=Ref(policy.ref if policy else ""),
        name=policy.name if policy else "",
        namespace=policy.namespace if policy else "",
        mode=policy.spec.mtls.mode if policy else "",
        scope=found.scope if found else "",
        root=root,
        in_root=bool(policy is not None and wanted and policy.namespace == root),
        selector=pairs(wanted, 300),
        selected=len(found.selected) if found else 0,
        workloads=found.candidates if found else 0,
        older=Ref(older.ref if older else ""),
        older_name=older.name if older else "",
        older_mode=older.spec.mtls.mode if older else "",
        dead_port=dead.key,
        dead_mode=dead.mode,
        meant_port=dead.meant,
        in_force=found.in_force if found else "",
        service=Ref(dead.service.ref if dead.service else ""),
        meant=Ref(meant.workload.subject.ref if meant else ""),
        why=_why(policy, found, root) if policy is not None else "",
        wrong_label=clean(meant.label) if meant else "",
        right_value=clean(meant.has) if meant else "",
        suffering=Ref(first.subject.ref if first else ""),
        pod=first.pod.name if first and first.pod else "",
    )


def _why(policy: PeerAuthentication, found: Effect | None, root: str) -> str:
    if policy.namespace == root and policy.spec.selector is not None:
        return f": istiod ignores a selector in the root namespace ({root})"
    if found is None or found.meant is None:
        return ""
    return f", where {found.meant.workload.subject.ref} was probably meant"


class PolicySeen(Struct, frozen=True, kw_only=True):
    """What the logs of workloads show that go without the policy: on the port that a dead key was
    meant for, else on every port."""

    plaintext: Annotated[Fact[int], "calls accepted as plaintext there", OBSERVED]
    refused: Annotated[Fact[int], "plaintext connections refused there", OBSERVED]


@probe(
    "policy-seen",
    subject=SubjectKind.CONFIG,
    reads=(*READS, "Telemetry", "log"),
    costly=True,
    kinds=("PeerAuthentication",),
)
def policy_seen(view: View, subject: ConfigSubject) -> PolicySeen:
    """What do the logs show where the policy was meant to be in force?"""
    if subject.config_kind != "PeerAuthentication":
        return PolicySeen(plaintext=0, refused=0)
    _, found = _judged(view, subject)
    lines: list[Line] = []
    failed: EvidenceError | None = None
    for workload in found.suffering[:MOST_WORKLOADS]:
        try:
            logs = proxy_logs.read(view, workload, SERVER)
        except EvidenceError as error:
            failed = error
            continue
        lines += logs.lines(lambda log: log.lines)
    if failed is not None and not lines:
        raise failed
    port = found.dead.meant
    mine = [x for x in lines if port in (0, x.cluster_port, x.local_port)]
    return PolicySeen(
        plaintext=sum(
            1
            for x in mine
            if x.upstream_cluster.startswith("inbound|") and x.server_name_kind == "plaintext"
        ),
        refused=sum(
            1 for x in mine if edge_evidence.refused(x) and x.server_name_kind == "plaintext"
        ),
    )
