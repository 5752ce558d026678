"""Which single mistake keeps the nearest ALLOW rule from matching?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import authz_no_identity as no_identity
from meshdoctor.mesh.access_log import AccessLog, address
from meshdoctor.mesh.authz_call import Call
from meshdoctor.mesh.authz_evidence import of_line
from meshdoctor.mesh.authz_fields import Claims, Scene
from meshdoctor.mesh.authz_hints import (
    Hint,
    Setting,
    certain,
    hint,
    mended_claim,
    nearest,
    path_detail,
    telling,
)
from meshdoctor.mesh.authz_rules import Clause
from meshdoctor.mesh.authz_verdict import Decision, Miss
from meshdoctor.mesh.edge_evidence import PASSTHROUGH as PASSED
from meshdoctor.mesh.mtls import PASSTHROUGH, PLAINTEXT, POLICY_DISABLES, RULE
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import edge_objects
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation, is_gateway, pod_ips, read_log
from meshdoctor.probes.authz_hops import TOKEN_NOT_TOLD, situation
from meshdoctor.probes.authz_verdict import contradicted, name_of, namespace_of
from meshdoctor.probes.view import View, probe

OWN = "the calling pod's own; who called that pod is not seen here"
BETWEEN = "that of a load balancer, node or proxy in between"


class AuthzMiss(Struct, frozen=True, kw_only=True):
    """The nearest ALLOW rule and the field that it misses for, or the not... field of the DENY that
    decides, or a DENY that misses for its port. Where several rules are equally near, a mistake
    counts before a mere difference. The bools say what kind of miss it is; only `no_token` is of
    any of those rules. Without such a rule every bool is false."""

    applies: Annotated[Fact[bool], "there is such a rule, and its field is known"]
    policy: Annotated[Fact[Ref], "policy of the nearest rule"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[int], "the rule; -1: none"]
    field: Annotated[Fact[str], "the field that would have had to match"]
    wanted: Annotated[Fact[str], "what it wants"]
    seen: Annotated[Fact[str], "what the request has"]
    seen_said: Annotated[Fact[str], "whose address that is, where it is one"]
    single: Annotated[Fact[bool], "that field alone keeps the rule from matching"]
    mended: Annotated[Fact[str], "the spelling that would match, or what differs"]
    plaintext: Annotated[Fact[bool], "an identity is wanted and the caller has none"]
    plaintext_why: Annotated[Fact[str], "why it has none; empty: it has one, or none is wanted"]
    plaintext_mend: Annotated[Fact[str], "what would give it one, or do without"]
    plaintext_by: Annotated[
        Fact[Ref], "what has the caller's own sidecar send plaintext; empty: it has none"
    ]
    principal_format: Annotated[Fact[bool], "a principal that is not td/ns/NS/sa/SA"]
    trust_domain: Annotated[Fact[bool], "the identity but for its trust domain"]
    hop: Annotated[Fact[bool], "an identity that is not the gateway's, which is the peer"]
    service_account: Annotated[Fact[bool], "another service account than the caller's"]
    source_namespace: Annotated[Fact[bool], "another namespace than the caller's"]
    path: Annotated[Fact[bool], "the path"]
    method: Annotated[Fact[bool], "the method"]
    host: Annotated[Fact[bool], "the host"]
    port: Annotated[Fact[bool], "the service's port in place of the workload's"]
    source_ip: Annotated[Fact[bool], "ipBlocks: the direct peer's address"]
    remote_ip: Annotated[Fact[bool], "remoteIpBlocks: the client's address"]
    header: Annotated[Fact[bool], "a request header"]
    no_token: Annotated[Fact[bool], "a token's content, and no verified token is there"]
    claim: Annotated[Fact[bool], "a claim that is there under another spelling"]
    unknown_key: Annotated[Fact[bool], "a rule left out for a condition istiod does not know"]
    http_on_tcp: Annotated[Fact[bool], "every rule left out for HTTP fields on a TCP chain"]
    skipped: Annotated[Fact[str], "why istiod left the rule out"]
    skipped_policy: Annotated[Fact[Ref], "the policy of that rule"]
    skipped_name: Annotated[Fact[str], "its name"]
    skipped_namespace: Annotated[Fact[str], "its namespace"]
    skipped_rule: Annotated[Fact[int], "that rule; -1: none"]
    target_port: Annotated[Fact[int], "the workload's port"]


@probe("authz-miss", subject=SubjectKind.EDGE, reads=READS)
def authz_miss(view: View, edge: EdgeSubject) -> AuthzMiss:
    """Which single mistake keeps the nearest ALLOW rule from matching?"""
    found = situation(view, edge)
    judge = found.judge
    setting = _setting(found, judge)
    misses = _misses(judge)
    near = nearest(misses) or _exempted(judge, setting) or _wrong_ports(judge, setting)
    return _facts(view, found, misses, _hints(near, setting), setting)


def _hints(near: tuple[Miss, ...], setting: Setting) -> list[tuple[Miss, Clause, Hint]]:
    """The mistakes in these rules. A rule that misses in several fields was not meant for this
    request, unless one of them is a mistake for sure."""
    return [
        (one, clause, hint(_positive(clause), setting))
        for one in near
        for clause in one.clauses
        if len(one.clauses) == 1 or telling(_positive(clause), setting)
    ]


def _misses(judge: Hop | None) -> tuple[Miss, ...]:
    """The ALLOW rules that miss, when that is why the request is denied."""
    if judge is None or contradicted(judge):
        return ()
    verdict = judge.verdict
    denied = verdict.decision is Decision.DENY and verdict.layer == "ALLOW"
    return verdict.misses if denied else ()


def _exempted(judge: Hop | None, setting: Setting) -> tuple[Miss, ...]:
    """The not... fields of the DENY rule that decides, where a mistake in them, and not what they
    say, keeps the request from being left out."""
    if judge is None or contradicted(judge) or judge.verdict.layer != "DENY":
        return ()
    rule = judge.verdict.rule_result
    clauses = tuple(
        clause
        for clause in (rule.clauses if rule is not None else ())
        if clause.negative and clause.holds and certain(_positive(clause), setting)
    )
    if not clauses or rule is None:
        return ()
    return (Miss(policy=judge.verdict.policy, rule=rule.index, clauses=clauses, unknown=()),)


def _wrong_ports(judge: Hop | None, setting: Setting) -> tuple[Miss, ...]:
    """DENY rules that would match, but for the service's port in place of the workload's. One
    whose notPorts hold the workload's port leaves it out on purpose."""
    if judge is None or judge.verdict.decision is not Decision.ALLOW:
        return ()
    return tuple(
        Miss(policy=policy.ref, rule=rule.index, clauses=rule.misses, unknown=())
        for policy in judge.verdict.of("DENY")
        for rule in policy.rules
        if len(rule.misses) == 1 and not rule.unknown and not rule.misses[0].negative
        if hint(rule.misses[0], setting) is Hint.PORT
    )


def _positive(clause: Clause) -> Clause:
    """A not... field that hits is read as a list that the request misses."""
    return replace(clause, negative=False) if clause.negative else clause


def _setting(found: Situation, judge: Hop | None) -> Setting:
    ports = found.service.spec.ports if found.service is not None else ()
    peer = found.client.pod if found.client is not None else None
    gateway = peer is not None and proxy_type(peer) in ("router", "waypoint")
    if judge is None:
        return Setting(scene=Scene(call=Call(), claims=Claims(), settings=found.settings))
    scene = Scene(call=judge.inputs.call, claims=judge.verdict.jwt.claims, settings=found.settings)
    own = {p.port for p in ports} - {found.workload_port}
    return Setting(
        scene=scene,
        peer_is_gateway=gateway and judge.kind != "gateway",
        service_ports=frozenset(own),
    )


def _facts(
    view: View,
    found: Situation,
    misses: tuple[Miss, ...],
    hints: list[tuple[Miss, Clause, Hint]],
    setting: Setting,
) -> AuthzMiss:
    lead = _lead(hints)
    # What is said of the miss is said of this one field, so no other is named.
    named = {lead[2]} if lead else set()
    miss, clause = (lead[0], lead[1]) if lead else (None, None)
    skipped = next((m for m in misses if "unknown attribute" in m.skipped), None)
    http = [m for m in misses if "HTTP only" in m.skipped]
    left_out = skipped or (http[0] if http else None)
    policy = miss.policy if miss is not None else (misses[0].policy if misses else "")
    skipped_ref = left_out.policy if left_out is not None else ""
    how = _arrival(view, found, policy) if Hint.PLAINTEXT in named else None
    return AuthzMiss(
        applies=bool(hints),
        policy=Ref(policy),
        policy_name=name_of(policy),
        policy_namespace=namespace_of(policy),
        rule=miss.rule if miss is not None else -1,
        field=clean(f"{clause.where}.{clause.field}", 120) if clause is not None else "",
        wanted=clean(", ".join(clause.wanted), 200) if clause is not None else "",
        seen=clean(clause.seen, 200) or "nothing" if clause is not None else "",
        seen_said=OWN if clause is not None and clause.seen in pod_ips(found.client) else BETWEEN,
        single=miss is not None and miss.single is not None,
        mended=_mended(clause, setting),
        plaintext=how is not None,
        plaintext_why=no_identity.why(how) if how is not None else "",
        plaintext_mend=no_identity.mend(how) if how is not None else "",
        plaintext_by=Ref(how.by if how is not None else ""),
        principal_format=Hint.PRINCIPAL_FORMAT in named,
        trust_domain=Hint.TRUST_DOMAIN in named,
        hop=Hint.HOP in named,
        service_account=Hint.SERVICE_ACCOUNT in named,
        source_namespace=Hint.NAMESPACE in named,
        path=Hint.PATH in named,
        method=Hint.METHOD in named,
        host=Hint.HOST in named,
        port=Hint.PORT in named,
        source_ip=Hint.SOURCE_IP in named,
        remote_ip=Hint.REMOTE_IP in named,
        header=Hint.HEADER in named,
        no_token=any(one is Hint.NO_TOKEN for _, _, one in hints) or _not_told(found),
        claim=Hint.CLAIM in named,
        unknown_key=skipped is not None,
        http_on_tcp=bool(http) and len(http) == len(misses),
        skipped=clean(left_out.skipped, 200) if left_out is not None else "",
        skipped_policy=Ref(skipped_ref),
        skipped_name=name_of(skipped_ref),
        skipped_namespace=namespace_of(skipped_ref),
        skipped_rule=left_out.rule if left_out is not None else -1,
        target_port=found.workload_port,
    )


def _arrival(view: View, found: Situation, policy: str) -> no_identity.Arrival:
    """How the caller whom this policy does not know came to the judge."""
    judge = found.judge
    if judge is None:
        return no_identity.Arrival()
    sent, by = _sent(view, found) if judge.kind == "sidecar" else ("", "")
    spec = next((one.spec for one in judge.inputs.policies if one.ref == policy), None)
    refused = (line for line in judge.lines if line.is_tcp and of_line(line) is not None)
    foreign = (line.server_name for line in refused if line.server_name_kind == "foreign")
    return no_identity.Arrival(
        gateway=judge.kind == "gateway",
        wide=spec is not None
        and not ((spec.selector and spec.selector.wanted) or spec.target_ref or spec.target_refs),
        own_tls=clean(next(foreign, ""), 120),
        passed_on=found.client is not None and is_gateway(found.client),
        sent=sent,
        by=by,
    )


def _sent(view: View, found: Situation) -> tuple[str, str]:
    """Why the caller's own sidecar sent plaintext to a sidecar, and the object that makes it so;
    "" where there is no such sidecar, or it is not known."""
    client, edge = found.client, found.edge
    if client is None or client.pod is None or proxy_type(client.pod) != "sidecar":
        return "", ""
    space = client.subject.namespace
    entries = view.objects("ServiceEntry", ServiceEntry, space)
    own = next((e for e in entries if edge.host and edge.host in e.spec.hosts), None)
    if own is not None and edge.service is not None:
        return no_identity.ENTRY, own.ref
    judged = edge_objects.judged(view, edge)
    speech = judged.outcome.client
    if not judged.applies:
        return "", ""
    if speech.says != PLAINTEXT or speech.reason == PASSTHROUGH:
        return (no_identity.PAST, client.subject.ref) if _went_past(view, found) else ("", "")
    by = {RULE: judged.ruling.source, POLICY_DISABLES: judged.cluster_policy.source}
    return speech.reason, by.get(speech.reason, "") or client.subject.ref


def _went_past(view: View, found: Situation) -> bool:
    """Whether the caller's proxy logged calls of the server's pods that it knew no host for."""
    log = read_log(view, found.client) if found.client is not None else None
    lines = log.lines if isinstance(log, AccessLog) else ()
    pods = pod_ips(found.server)
    return any(
        line.upstream_cluster == PASSED and address(line.upstream_host)[0] in pods for line in lines
    )


def _not_told(found: Situation) -> Fact[bool]:
    judge = found.judge
    return TOKEN_NOT_TOLD if judge is not None and judge.token_not_told else False


def _lead(hints: list[tuple[Miss, Clause, Hint]]) -> tuple[Miss, Clause, Hint] | None:
    """The mistake to name first: one that a spelling mends before one that is only different."""
    weak = (Hint.OTHER, Hint.SERVICE_ACCOUNT, Hint.NAMESPACE)
    strong = [one for one in hints if one[2] not in weak]
    return next(iter(strong or hints), None)


def _mended(clause: Clause | None, setting: Setting) -> str:
    if clause is None:
        return ""
    if clause.kind == "path":
        return path_detail(clause, setting.scene)
    return clean(mended_claim(clause, setting.scene.claims.values or {}), 200)
