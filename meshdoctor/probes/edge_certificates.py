"""Do the certificates of both ends of an edge fit each other?"""

from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from msgspec import Struct

from meshdoctor.mesh import ca
from meshdoctor.mesh.certificates import Bundle
from meshdoctor.mesh.peer_certificates import CLIENT, SERVER, Peers, accepted_domains, san_missing
from meshdoctor.mesh.proxy_secrets import ProxySecret, asked_for_by, identity, parse, roots
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, principal, proxy_type
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import DestinationRule
from meshdoctor.model.kubernetes import ConfigMap, Secret
from meshdoctor.model.subjects import EdgeSubject, SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import edge_objects, edge_symptom, reading
from meshdoctor.probes.view import View, attempt, probe

T = TypeVar("T")
_RENEWED = timedelta(days=2)
"""Workload certificates last a day: after two, each is of the newest root."""


class EdgeCertificates(Struct, frozen=True, kw_only=True):
    """Certificates of client and server proxies, looked at only when `suspect`."""

    suspect: Annotated[
        Fact[bool],
        "both ends have proxies, and the client logged a certificate error or its log cannot tell, "
        "or a rule names a certificate and calls were closed",
    ]
    word: Annotated[Fact[str], "the client's TLS error, as in client-log; empty: none", OBSERVED]
    verify: Annotated[Fact[str], "san, root, expired, early; empty: not told", OBSERVED]
    failures: Annotated[Fact[int], "lines with a certificate error at the client", OBSERVED]
    beyond: Annotated[
        Fact[str], "an address of another cluster that such lines called; empty: none", OBSERVED
    ]
    roots_differ: Annotated[Fact[bool], "the two trust no root in common", OBSERVED]
    roots_equal: Annotated[Fact[bool], "both trust the same roots; false when not known"]
    client_roots: Annotated[Fact[str], "serial numbers of the roots the client trusts", OBSERVED]
    server_roots: Annotated[Fact[str], "serial numbers of the roots the server trusts", OBSERVED]
    older: Annotated[
        Fact[bool], "one pod, not both, is older than the mesh's root, or that one came just now"
    ]
    stale: Annotated[Fact[Ref], "the workload that trusts an old root; empty: not known"]
    stale_kind: Annotated[Fact[str], "its kind, in lower case"]
    stale_name: Annotated[Fact[str], "its name"]
    stale_namespace: Annotated[Fact[str], "its namespace"]
    expired: Annotated[Fact[bool], "a workload certificate has ended", OBSERVED]
    expired_at: Annotated[Fact[datetime], "when it ended", OBSERVED]
    early: Annotated[Fact[bool], "a workload certificate is not yet valid", OBSERVED]
    undelivered: Annotated[Fact[bool], "a proxy never got its certificate or root", OBSERVED]
    waits_for: Annotated[
        Fact[str], "secrets that the client's proxy waits for, its own aside; empty: none", OBSERVED
    ]
    waits_by: Annotated[Fact[Ref], "the DestinationRule that names them; empty: none seen"]
    waits_by_name: Annotated[Fact[str], "its name"]
    waits_by_namespace: Annotated[Fact[str], "its namespace"]
    guilty: Annotated[Fact[Ref], "the workload whose certificate expired, is early or is absent"]
    guilty_kind: Annotated[Fact[str], "its kind, in lower case"]
    guilty_name: Annotated[Fact[str], "its name"]
    guilty_namespace: Annotated[Fact[str], "its namespace"]
    guilty_pod: Annotated[Fact[str], "its pod that was looked at"]
    guilty_node: Annotated[Fact[Ref], "the node of that pod"]
    foreign_domain: Annotated[Fact[str], "a trust domain that the mesh does not accept", OBSERVED]
    foreign: Annotated[Fact[Ref], "the workload that presents it"]
    accepted: Annotated[Fact[str], "the trust domains that the mesh accepts"]
    lone_domain: Annotated[
        Fact[bool], "the mesh has a trust domain of its own name, and accepts no other"
    ]
    sans_miss: Annotated[Fact[bool], "the rule's subjectAltNames leave out the server's identity"]
    sans: Annotated[Fact[str], "those subjectAltNames"]
    identity: Annotated[Fact[str], "the server's identity, from its certificate or its account"]
    account: Annotated[Fact[str], "the identity that the server's service account gives it"]
    rule: Annotated[Fact[Ref], "the DestinationRule with those names; empty: none"]
    rule_name: Annotated[Fact[str], "its name"]
    rule_namespace: Annotated[Fact[str], "its namespace"]
    ca_secret: Annotated[Fact[Ref], "the Secret that istiod signs with"]
    root_map: Annotated[Fact[Ref], "ConfigMap istio-ca-root-cert of istiod's namespace"]
    mesh_config: Annotated[Fact[Ref], "the mesh config"]
    client_workload: Annotated[Fact[Ref], "the client"]
    server_workload: Annotated[Fact[Ref], "the server"]
    client_target: Annotated[Fact[str], "the client as kubectl takes it, kind/name"]
    client_pod: Annotated[Fact[str], "the client pod that was looked at"]
    client_namespace: Annotated[Fact[str], "its namespace"]
    server_pod: Annotated[Fact[str], "the server pod that was looked at"]
    server_namespace: Annotated[Fact[str], "its namespace"]


class _Ends(Struct, frozen=True, kw_only=True):
    client: WorkloadPods | None
    server: WorkloadPods | None
    suspect: bool
    word: str
    verify: str
    failures: int
    closed: bool

    def of(self, side: str) -> WorkloadPods | None:
        return self.server if side == SERVER else self.client if side else None


@probe(
    "edge-certificates",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "Secret", "Telemetry", "log", "proxy-config"),
    costly=True,
)
def edge_certificates(view: View, edge: EdgeSubject) -> EdgeCertificates:
    """Do the certificates of both ends of an edge fit each other?"""
    ends = _ends(view, edge)
    if not ends.suspect:
        return _facts(view, edge, ends, Peers(client=(), server=()), _NOT_LOOKED)
    client = attempt(lambda: _secrets(view, ends.client))
    server = attempt(lambda: _secrets(view, ends.server))
    peers = Peers(
        client=() if isinstance(client, Unavailable) else client,
        server=() if isinstance(server, Unavailable) else server,
    )
    missing = next((one for one in (client, server) if isinstance(one, Unavailable)), None)
    return _facts(view, edge, ends, peers, missing)


_NOT_LOOKED = Unavailable(
    reason=Reason.NOT_ASKED, what="certificates of both proxies", detail="nothing points to them"
)


def _ends(view: View, edge: EdgeSubject) -> _Ends:
    client, server = (_workload(view, one) for one in (edge.client, edge.server))
    word, verify, failures, silent = "", "", 0, True
    if client is not None:
        word, verify, failures, silent = edge_symptom.logged(view, edge, client, server)
    both = _proxied(client) and _proxied(server)
    closed = client is not None and both and _closed(view, edge, client, server)
    return _Ends(
        client=client,
        server=server,
        suspect=both
        and (
            bool(word)
            or closed
            or (silent and not edge_symptom.arrived(view, edge, client, server))
        ),
        word=word,
        verify=verify,
        failures=failures,
        closed=closed,
    )


def _closed(
    view: View, edge: EdgeSubject, client: WorkloadPods, server: WorkloadPods | None
) -> bool:
    """Whether a rule gives the client's proxy a certificate of its own, and its connections were
    closed. A secret that never came is not named in each release's log: Envoy 1.40 opens the
    connection, ends it itself and writes UC without a reason (NotReadySslSocket)."""
    given = edge_objects.judged(view, edge).ruling.tls
    if given is None or not (
        given.client_certificate or given.ca_certificates or given.credential_name
    ):
        return False
    return edge_symptom.closed(view, edge, client, server)


def _workload(view: View, subject: WorkloadSubject | None) -> WorkloadPods | None:
    return reading.workload(view, subject) if subject is not None else None


def _proxied(workload: WorkloadPods | None) -> bool:
    pod = workload.pod if workload is not None else None
    return pod is not None and proxy_type(pod) in ("sidecar", "router", "waypoint")


NO_SECRET = "no_secret"


def _asker(view: View, names: tuple[str, ...]) -> DestinationRule | None:
    """A DestinationRule that names one of these secrets."""
    every = view.objects("DestinationRule", DestinationRule) if names else ()
    return next((r for r in every if any(asked_for_by(name, r) for name in names)), None)


def _ref_of(rule: DestinationRule | None) -> Ref:
    return Ref(rule.ref if rule is not None else "")


def _secrets(view: View, workload: WorkloadPods | None) -> tuple[ProxySecret, ...]:
    pod = workload.pod if workload is not None else None
    if pod is None:
        return ()
    return view.memo(
        ("proxy-secrets", pod.namespace, pod.name),
        lambda v: parse(reading.proxy_config(v, "secret", pod)),
    )


def _facts(
    view: View, edge: EdgeSubject, ends: _Ends, known: Peers, missing: Unavailable | None
) -> EdgeCertificates:
    now, mesh = view.now, reading.mesh_config(view)

    def told(value: T) -> T | Unavailable:
        """What one side shows stands; nothing is known of a side that could not be read."""
        return value if value or missing is None else missing

    worded = _side_by_words(ends, "alert_expired", "expired")
    expired = known.side_in_state("expired", now) or worded
    early = known.side_in_state("early", now) or (SERVER if ends.verify == "early" else "")
    waits = ends.word == NO_SECRET or ends.closed
    others = known.others_undelivered() if waits else ()
    absent = known.side_undelivered() or (CLIENT if ends.word == NO_SECRET and not others else "")
    asker = _asker(view, others)
    guilty = ends.of(expired or early or absent)
    root = _root(view)
    stale_side = known.stale_side(root)
    plugged = _plugged(view)
    made = _made(root, plugged)
    older = _older(ends, made)
    stale = ends.of(stale_side or (older[0] if len(older) == 1 else ""))
    foreign_side, foreign_domain = known.side_of_foreign_domain(accepted_domains(mesh))
    if not foreign_domain and missing is not None:
        foreign_side, foreign_domain = _started_for(ends, accepted_domains(mesh))
    ruling = edge_objects.judged(view, edge).ruling
    sans = ruling.tls.subject_alt_names if ruling.tls is not None else ()
    account = _account(ends.server, mesh.trust_domain)
    spiffe = known.spiffe(SERVER) or account
    own = identity(known.of(expired)) if expired else None
    return EdgeCertificates(
        suspect=ends.suspect,
        word=ends.word,
        verify=ends.verify,
        failures=ends.failures,
        beyond=attempt(lambda: _beyond(view, edge, ends)),
        roots_differ=told(known.roots_differ or bool(stale_side)),
        roots_equal=bool(roots(known.client)) and roots(known.client) == roots(known.server),
        client_roots=told(", ".join(sorted(roots(known.client)))),
        server_roots=told(", ".join(sorted(roots(known.server)))),
        older=_between(older, made, now),
        stale=_ref(stale),
        stale_kind=_kind(stale),
        stale_name=stale.subject.name if stale else "",
        stale_namespace=stale.subject.namespace if stale else "",
        expired=told(bool(expired)),
        expired_at=own.not_after if own is not None and own.not_after else _NO_DATE,
        early=told(bool(early)),
        undelivered=told(bool(absent)),
        waits_for=clean(", ".join(others), 200),
        waits_by=_ref_of(asker),
        waits_by_name=asker.name if asker is not None else "",
        waits_by_namespace=asker.namespace if asker is not None else "",
        guilty=_ref(guilty),
        guilty_kind=_kind(guilty),
        guilty_name=guilty.subject.name if guilty else "",
        guilty_namespace=guilty.subject.namespace if guilty else "",
        guilty_pod=_pod(guilty),
        guilty_node=_node(guilty),
        foreign_domain=told(clean(foreign_domain)),
        foreign=_ref(ends.of(foreign_side)),
        lone_domain=accepted_domains(mesh) not in ((), ("cluster.local",))
        and len(accepted_domains(mesh)) == 1,
        accepted=clean(", ".join(accepted_domains(mesh))),
        sans_miss=ruling.mode == "ISTIO_MUTUAL" and san_missing(sans, spiffe),
        sans=clean(", ".join(sans)),
        identity=clean(spiffe),
        account=clean(account),
        rule=Ref(ruling.source if sans else ""),
        rule_name=ruling.rule.name if ruling.rule and sans else "",
        rule_namespace=ruling.rule.namespace if ruling.rule and sans else "",
        ca_secret=Ref(f"Secret/{view.istio_namespace}/{ca.PLUGGED if plugged else ca.OWN}"),
        root_map=Ref(f"ConfigMap/{view.istio_namespace}/{ca.ROOT_MAP}"),
        mesh_config=Ref(reading.mesh_config_ref(view)),
        client_workload=_ref(ends.client),
        server_workload=_ref(ends.server),
        client_target=ends.client.target if ends.client else "",
        client_pod=_pod(ends.client),
        client_namespace=ends.client.subject.namespace if ends.client else "",
        server_pod=_pod(ends.server),
        server_namespace=ends.server.subject.namespace if ends.server else "",
    )


def _beyond(view: View, edge: EdgeSubject, ends: _Ends) -> str:
    """Only for a service of the mesh: what a ServiceEntry names lies outside anyway."""
    if ends.client is None or not ends.word or edge.service is None:
        return ""
    return clean(next(iter(edge_symptom.beyond(view, edge, ends.client, ends.server)), ""), 60)


_NO_DATE = Unavailable(reason=Reason.NOT_FOUND, what="end of an expired certificate")


def _side_by_words(ends: _Ends, alert: str, verify: str) -> str:
    """An alert tells of the client's certificate, a failed verification of the server's."""
    if ends.verify == verify:
        return SERVER
    return "client" if ends.word == alert else ""


_REFUSED = {"alert_bad_certificate": CLIENT, "verify_failed": SERVER}


def _started_for(ends: _Ends, accepted: tuple[str, ...]) -> tuple[str, str]:
    """(side, trust domain) where no certificate is seen: of the side whose certificate the other
    one refused, for no reason that is told, and whose proxy was started for another domain."""
    side = _REFUSED.get(ends.word, "") if ends.verify in ("", "san") else ""
    workload = ends.of(side)
    pod = workload.pod if workload is not None else None
    domain = ca.domain_of(pod) if pod is not None else ""
    return (side, domain) if domain and domain not in accepted else ("", "")


def _made(root: Bundle, plugged: Secret | None) -> datetime | None:
    """When the mesh got its root: its oldest root was made then, or `cacerts` was plugged in, which
    replaces the root whatever its age (pilot/pkg/bootstrap/istio_ca.go)."""
    made = min((c.not_before for c in root.certificates), default=None)
    written = plugged.metadata.creation_timestamp if plugged is not None else None
    return max((one for one in (made, written) if one is not None), default=None)


def _older(ends: _Ends, made: datetime | None) -> tuple[str, ...]:
    """The sides whose pod started before the mesh got its root."""
    return tuple(
        side
        for side in (CLIENT, SERVER)
        if made is not None and (start := _started(ends.of(side))) is not None and start < made
    )


def _between(older: tuple[str, ...], made: datetime | None, now: datetime) -> bool:
    """Whether the two may hold certificates of either root: one pod alone is older than it, or both
    are and have not yet both renewed theirs."""
    fresh = made is not None and now - made < _RENEWED
    return len(older) == 1 or (len(older) == 2 and fresh)


def _started(workload: WorkloadPods | None) -> datetime | None:
    pod = workload.pod if workload is not None else None
    return pod.status.start_time if pod is not None else None


def _root(view: View) -> Bundle:
    try:
        found = view.object("ConfigMap", ConfigMap, view.istio_namespace, ca.ROOT_MAP)
    except EvidenceError:
        return Bundle(certificates=())
    return ca.root_bundle(found)


def _plugged(view: View) -> Secret | None:
    """Secret `cacerts`, when it is known to exist."""
    try:
        return view.object("Secret", Secret, view.istio_namespace, ca.PLUGGED)
    except EvidenceError:
        return None


def _account(workload: WorkloadPods | None, domain: str) -> str:
    if workload is None:
        return ""
    return f"spiffe://{principal(domain, workload.subject.namespace, workload.service_account)}"


def _ref(workload: WorkloadPods | None) -> Ref:
    return Ref(workload.subject.ref if workload is not None else "")


def _kind(workload: WorkloadPods | None) -> str:
    return workload.subject.owner.lower() if workload is not None else ""


def _pod(workload: WorkloadPods | None) -> str:
    return workload.pod.name if workload is not None and workload.pod is not None else ""


def _node(workload: WorkloadPods | None) -> Ref:
    pod = workload.pod if workload is not None else None
    return Ref(f"Node//{pod.spec.node_name}" if pod is not None and pod.spec.node_name else "")
