"""Which proxy refused requests of this edge, how often, and with which words?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import principal, proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import counted, situation
from meshdoctor.probes.reading import mesh_config
from meshdoctor.probes.view import View, probe
from meshdoctor.probes.waypoint_reading import waypoint_of

READS = (
    "AuthorizationPolicy",
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "DestinationRule",
    "Gateway",
    "Job",
    "K8sGateway",
    "Namespace",
    "PeerAuthentication",
    "Pod",
    "RequestAuthentication",
    "Service",
    "ServiceEntry",
    "Sidecar",
    "StatefulSet",
    "VirtualService",
    "log",
)


class AuthzDenial(Struct, frozen=True, kw_only=True):
    """What the judging proxy logged: the last one on the way that refused, else the server's."""

    judge: Annotated[Fact[str], "kind of the judging proxy: sidecar, gateway, waypoint or ztunnel"]
    judge_ref: Annotated[Fact[Ref], "its workload"]
    judge_namespace: Annotated[Fact[str], "its namespace"]
    judge_name: Annotated[Fact[str], "its workload's name"]
    judge_target: Annotated[Fact[str], "it as kubectl and istioctl take it, kind/name"]
    egress: Annotated[Fact[bool], "the judge is a gateway on the way out of the mesh"]
    outside: Annotated[Fact[bool], "a gateway lets the requests in: callers are many, outside"]
    refused: Annotated[Fact[int], "requests that a filter of the judge refused", OBSERVED]
    passed: Annotated[
        Fact[int], "requests that the judge let through, since its policies are as now", OBSERVED
    ]
    alike: Annotated[
        Fact[int], "of them those with the method and path of a refused request", OBSERVED
    ]
    allowed: Annotated[
        Fact[bool], "some were let through, and none was refused by a policy; false: not known"
    ]
    default: Annotated[Fact[int], "refused because no ALLOW rule matched", OBSERVED]
    matched: Annotated[Fact[int], "refused by a DENY rule that the log names", OBSERVED]
    bad_custom: Annotated[Fact[int], "refused by a CUSTOM policy that istiod broke", OBSERVED]
    shadow_custom: Annotated[Fact[int], "refused by a dry-run CUSTOM policy", OBSERVED]
    jwt: Annotated[Fact[int], "refused for their token", OBSERVED]
    jwt_text: Annotated[Fact[str], "why the token was refused, as logged; empty: none was"]
    ext_denied: Annotated[Fact[int], "refused by the external authorizer", OBSERVED]
    ext_error: Annotated[Fact[int], "refused because the authorizer failed", OBSERVED]
    too_large: Annotated[Fact[int], "refused because the body was too large", OBSERVED]
    other: Annotated[Fact[int], "refused by another filter", OBSERVED]
    tcp: Annotated[Fact[int], "connections, not requests, that policies closed", OBSERVED]
    plaintext: Annotated[Fact[int], "of the refused, those without mutual TLS", OBSERVED]
    text: Annotated[Fact[str], "the most frequent reason, as logged"]
    said: Annotated[Fact[str], "the same in brackets; empty: no log tells"]
    client: Annotated[Fact[Ref], "the client's workload"]
    policy: Annotated[Fact[Ref], "the policy that the log names"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[int], "the rule that the log names; -1: none"]
    code: Annotated[Fact[int], "status code of a refused request"]
    method: Annotated[Fact[str], "method of a refused request"]
    preflight: Annotated[
        Fact[str], "words that say so, where it is a CORS preflight; empty: it is none"
    ]
    path: Annotated[Fact[str], "path of a refused request"]
    host: Annotated[Fact[str], "authority of a refused request"]
    peer: Annotated[Fact[str], "client address that the judge saw"]
    ztunnel_default: Annotated[Fact[int], "ztunnel: allow policies exist, none allowed", OBSERVED]
    ztunnel_denied: Annotated[Fact[int], "ztunnel: explicitly denied", OBSERVED]
    ztunnel_anonymous: Annotated[Fact[int], "of them without a source identity", OBSERVED]
    ztunnel_waypoint: Annotated[Fact[int], "of them with a waypoint's identity", OBSERVED]
    identity: Annotated[Fact[str], "source identity of a connection that ztunnel refused"]


@probe("authz-denial", subject=SubjectKind.EDGE, reads=READS)
def authz_denial(view: View, edge: EdgeSubject) -> AuthzDenial:
    """Which proxy refused requests of this edge, and with which words?"""
    found = situation(view, edge)
    judge = found.judge
    return _facts(view, found, judge)


def _outside(found: Situation, judge: Hop | None) -> bool:
    """Whether the requests come in by a gateway: it judges them itself, or calls the judge."""
    pod = found.client.pod if found.client is not None else None
    by = pod is not None and proxy_type(pod) == "router"
    return found.server is not None and (by or (judge is not None and judge.kind == "gateway"))


def _facts(view: View, found: Situation, judge: Hop | None) -> AuthzDenial:
    summary = judge.summary if judge is not None else None
    denial = summary.denial if summary is not None else None
    line = summary.line if summary is not None else None
    subject = judge.workload.subject if judge is not None else None

    def count(kind: str) -> Fact[int]:
        return counted(found, judge, summary.count(kind) if summary is not None else 0)

    tcp = _connections(judge)
    default, denied, anonymous, waypoint, identity = _tunnels(view, found, judge)
    return AuthzDenial(
        judge=judge.kind if judge is not None else "",
        judge_ref=Ref(subject.ref if subject is not None else ""),
        judge_namespace=subject.namespace if subject is not None else "",
        judge_name=subject.name if subject is not None else "",
        judge_target=judge.workload.target if judge is not None else "",
        egress=judge is not None and judge.kind == "gateway" and found.server is None,
        outside=_outside(found, judge),
        refused=counted(found, judge, judge.refused if judge is not None else 0),
        passed=counted(found, judge, summary.passed if summary is not None else 0),
        alike=counted(found, judge, summary.alike if summary is not None else 0),
        allowed=summary is not None
        and bool(summary.passed)
        and not (summary.count(ev.DEFAULT) or summary.count(ev.MATCHED)),
        default=count(ev.DEFAULT),
        matched=count(ev.MATCHED),
        bad_custom=count(ev.BAD_CUSTOM),
        shadow_custom=count(ev.SHADOW_CUSTOM),
        jwt=count(ev.JWT),
        jwt_text=denial.text if denial is not None and denial.kind == ev.JWT else "",
        ext_denied=count(ev.EXT_DENIED),
        ext_error=count(ev.EXT_ERROR),
        too_large=count(ev.TOO_LARGE),
        other=count(ev.OTHER),
        tcp=counted(found, judge, tcp),
        plaintext=counted(found, judge, summary.plaintext if summary is not None else 0),
        text=denial.text if denial is not None else "",
        said=f" (logged: {denial.text})" if denial is not None and denial.text else "",
        client=Ref(found.client.subject.ref if found.client is not None else ""),
        policy=Ref(denial.ref if denial is not None else ""),
        policy_name=denial.policy if denial is not None else "",
        policy_namespace=denial.namespace if denial is not None else "",
        rule=denial.rule if denial is not None else -1,
        code=line.code if line is not None else 0,
        method=clean(line.method, 40) if line is not None else "",
        preflight=PREFLIGHT if _method(found, line) == "OPTIONS" else "",
        path=clean(line.path.partition("?")[0], 200) if line is not None else "",
        host=clean(line.authority, 200) if line is not None else "",
        peer=clean(line.peer_ip, 60) if line is not None else "",
        ztunnel_default=counted(found, judge, default),
        ztunnel_denied=counted(found, judge, denied),
        ztunnel_anonymous=counted(found, judge, anonymous),
        ztunnel_waypoint=counted(found, judge, waypoint),
        identity=identity,
    )


def _connections(judge: Hop | None) -> int:
    """Connections that were refused; those that say no more count where the verdict tells so."""
    if judge is None:
        return 0
    found = (ev.of_line(one) for one in judge.lines if one.is_tcp)
    unsure = judge.summary.count(ev.UNTOLD) > 0
    return sum(1 for one in found if one is not None and not (unsure and one.kind == ev.UNTOLD))


PREFLIGHT = " (it is a CORS preflight, which browsers send without token or cookie)"


def _method(found: Situation, line: Line | None) -> str:
    return line.method if line is not None else found.request.method.upper()


def _tunnels(view: View, found: Situation, judge: Hop | None) -> tuple[int, int, int, int, str]:
    tunnels = judge.tunnels if judge is not None else ()
    default = [one for one in tunnels if one.kind == "not_allowed"]
    denied = [one for one in tunnels if one.kind == "denied"]
    waypoint = ""
    if found.server is not None and default:
        gate = waypoint_of(view, found.server, found.service)
        if gate is not None:
            domain = mesh_config(view).trust_domain
            waypoint = principal(domain, gate.subject.namespace, gate.service_account)
    names = [one.source_identity.removeprefix("spiffe://") for one in default]
    return (
        len(default),
        len(denied),
        sum(1 for name in names if not name),
        sum(1 for name in names if waypoint and name == waypoint),
        clean(next((name for name in names if name), ""), 200),
    )
