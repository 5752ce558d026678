"""What one judging proxy on a request's way would say, and what it logged.

Not a probe: the shared reading of the authorization probes.
"""

from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import authz_evidence, ztunnel_log
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_call import Judge, Settings
from meshdoctor.mesh.authz_evidence import DEFAULT, MATCHED, Summary
from meshdoctor.mesh.authz_inference import NO_TOKEN, lacked_token
from meshdoctor.mesh.authz_request import Expected, call_of
from meshdoctor.mesh.authz_since import settled
from meshdoctor.mesh.authz_verdict import Decision, Verdict
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.workloads import (
    WorkloadPods,
    has_proxy,
    principal,
    proxy_type,
)
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, Request
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import authz_settings as reads
from meshdoctor.probes.proxy_logs import pod_log
from meshdoctor.probes.reading import mesh_config, mesh_config_map
from meshdoctor.probes.view import View, attempt

MOST_PODS = 3
NOTHING = Summary(counts=Counter())
REFUSALS = ("strict", "denied", "not_allowed")


class Hop(Struct, frozen=True, kw_only=True):
    """One judging proxy. `lines` are its access lines of this edge; `log` says why there are none
    when they could not be read. `kind` is sidecar, gateway, waypoint or ztunnel."""

    kind: str
    workload: WorkloadPods
    expected: Expected
    inputs: Inputs
    verdict: Verdict
    summary: Summary = NOTHING
    lines: tuple[Line, ...] = ()
    tunnels: tuple[ztunnel_log.Connection, ...] = ()
    log: Unavailable | None = None

    @property
    def refused(self) -> int:
        """Refusals that the proxy logged."""
        return self.summary.refused + sum(1 for t in self.tunnels if t.kind in REFUSALS)

    @property
    def pod(self) -> Pod | None:
        return self.workload.pod

    @property
    def token_not_told(self) -> bool:
        """Whether policies refused a request, and whether it had a token decides and is not known:
        nobody described the request, and the log does not tell."""
        rbac = self.summary.count(DEFAULT) + self.summary.count(MATCHED)
        unknown = self.verdict.decision is Decision.UNKNOWN
        return rbac > 0 and unknown and self.verdict.jwt.claims.values is None


class Situation(Struct, frozen=True, kw_only=True):
    """All hops of an edge in the order of the request; `judge` is the one that refuses.

    `removed` are headers that a hop takes away: a token that is not forwarded.
    """

    edge: EdgeSubject
    request: Request
    settings: Settings
    hops: tuple[Hop, ...]
    client: WorkloadPods | None
    server: WorkloadPods | None
    service: Service | None
    workload_port: int
    removed: frozenset[str] = frozenset()
    client_lines: tuple[Line, ...] = ()
    server_lines: tuple[Line, ...] = ()

    @property
    def judge(self) -> Hop | None:
        """The last proxy that logged a refusal, else the first that would refuse, else the last."""
        refusing = [hop for hop in self.hops if hop.refused]
        if refusing:
            return refusing[-1]
        denying = [hop for hop in self.hops if hop.verdict.decision is Decision.DENY]
        return denying[0] if denying else (self.hops[-1] if self.hops else None)


def is_gateway(found: WorkloadPods) -> bool:
    """Whether the workload's proxy is a gateway."""
    return found.pod is not None and proxy_type(found.pod) == "router"


def pod_ips(found: WorkloadPods | None) -> frozenset[str]:
    """Addresses of a workload's live pods."""
    pods = found.pods if found is not None else ()
    return frozenset(ip for pod in pods for ip in ips(pod))


def read_log(view: View, found: WorkloadPods) -> AccessLog | Unavailable:
    """The access lines of a workload's proxies together; Unavailable when no log can be read."""
    logs: list[AccessLog] = []
    failed: Unavailable | None = None
    for pod in [p for p in found.pods if has_proxy(p)][-MOST_PODS:]:
        try:
            logs.append(pod_log(view, pod.namespace, pod.name))
        except EvidenceError as error:
            failed = error.unavailable
    if not logs and failed is not None:
        return failed
    return AccessLog(
        lines=tuple(line for log in logs for line in log.lines),
        other=tuple(line for log in logs for line in log.other),
    )


def identity_of(view: View, who: WorkloadPods | None) -> str | None:
    """The principal of a workload with a sidecar; None where nobody is known."""
    if who is None:
        return None
    space = who.subject.namespace
    return principal(mesh_config(view).trust_domain, space, who.service_account)


def judged(
    view: View,
    base: Situation,
    found: WorkloadPods,
    judge: Judge,
    expected: Expected,
    lines: tuple[Line, ...],
    log: Unavailable | None,
) -> Hop:
    """A proxy's verdict of the request, and what its access lines of this edge tell."""
    asked = base.request
    lines = authz_evidence.relevant(lines, method=asked.method, path=asked.path, host=asked.host)
    summary = authz_evidence.summarise(lines)
    kept = tuple(pair for pair in asked.headers if pair[0].lower() not in base.removed)
    asked = replace(asked, headers=kept)
    inputs = Inputs(
        policies=reads.policies(view, judge),
        authentications=reads.authentications(view, judge),
        judge=judge,
        call=call_of(expected, asked, summary.line),
        settings=base.settings,
        now=view.now,
    )
    verdict = decide(inputs)
    if lacked_token(inputs, verdict, summary.denial):
        inputs = replace(inputs, claims=NO_TOKEN)
        verdict = decide(inputs)
    return Hop(
        kind=judge.kind,
        workload=found,
        expected=expected,
        inputs=inputs,
        verdict=verdict,
        summary=counted_since(view, inputs, verdict, summary, lines),
        lines=lines,
        log=log,
    )


def counted_since(
    view: View, inputs: Inputs, verdict: Verdict, summary: Summary, lines: tuple[Line, ...]
) -> Summary:
    """What a hop's lines say, where those count that its policies of now let pass."""
    layer = verdict.layer if verdict.decision is Decision.DENY else ""
    summary = authz_evidence.told(summary, layer)
    if not summary.passed:
        return summary
    config = attempt(lambda: mesh_config_map(view))
    known = None if isinstance(config, Unavailable) else config
    since = settled(summary.denial, inputs, verdict, known)
    return authz_evidence.counted_since(summary, lines, since)
