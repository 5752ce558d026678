"""What will the client's proxy speak to a host outside the mesh, and does that fit its port?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.client_tls import ISTIO_MUTUAL
from meshdoctor.mesh.edge_path import entry_of
from meshdoctor.mesh.edge_tls import Judged
from meshdoctor.mesh.egress import judge, routed_as_http
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import ClientTls, VirtualService
from meshdoctor.model.kubernetes import Secret
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import edge_objects
from meshdoctor.probes.view import View, probe


class EgressTls(Struct, frozen=True, kw_only=True):
    """TLS origination towards an external host; everything is false or empty for other edges."""

    external: Annotated[Fact[bool], "the host is outside the mesh, by a ServiceEntry"]
    proxied: Annotated[Fact[bool], "the client has a proxy"]
    originates: Annotated[Fact[bool], "the rule makes the proxy speak TLS"]
    twice: Annotated[Fact[bool], "and the port's protocol says that the application does too"]
    plain_to_tls: Annotated[Fact[bool], "plain HTTP goes to port 443"]
    takes_tls: Annotated[Fact[bool], "the port is declared TLS, and the proxy originates none"]
    tls_to_plain: Annotated[Fact[bool], "TLS goes to port 80"]
    unready: Annotated[
        Fact[str],
        "a protocol in which TLS follows a plain exchange, where the proxy originates TLS; empty: "
        "none",
    ]
    credential_ignored: Annotated[Fact[bool], "credentialName without workloadSelector: no TLS"]
    no_client_cert: Annotated[Fact[bool], "MUTUAL without certificate and key: no TLS"]
    sni_differs: Annotated[Fact[bool], "the rule's SNI is another name than the host"]
    sni: Annotated[Fact[str], "the rule's SNI; empty: the Host header"]
    verified: Annotated[Fact[bool], "the server's certificate is verified"]
    roots: Annotated[Fact[str], "the rule's caCertificates or credential; empty: the system's"]
    credential: Annotated[Fact[Ref], "the Secret that the rule names; empty: none"]
    credential_lacks: Annotated[Fact[str], "what is wrong with it, in words; empty: nothing seen"]
    mode: Annotated[Fact[str], "the rule's tls mode"]
    rule: Annotated[Fact[Ref], "the DestinationRule; empty: none"]
    rule_name: Annotated[Fact[str], "its name"]
    rule_namespace: Annotated[Fact[str], "its namespace"]
    entry: Annotated[Fact[Ref], "the ServiceEntry"]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    protocol: Annotated[Fact[str], "the protocol of its port"]
    port: Annotated[Fact[int], "the port called"]
    target: Annotated[Fact[int], "the port dialled"]
    host: Annotated[Fact[str], "the host called"]
    client_namespace: Annotated[Fact[str], "namespace of the client"]
    client_target: Annotated[Fact[str], "the client as kubectl and istioctl take it, kind/name"]


@probe("egress-tls", subject=SubjectKind.EDGE, reads=(*edge_objects.READS, "Secret"))
def egress_tls(view: View, edge: EdgeSubject) -> EgressTls:
    """What will the client's proxy speak to a host outside the mesh?"""
    given = edge_objects.given(view, edge)
    judged = edge_objects.judged(view, edge)
    found = judge(entry_of(given), edge.port, judged.ruling, judged.host)
    ruling = judged.ruling
    tls = ruling.tls if found is not None else None
    on = bool(judged.client_proxy)
    own = edge.client.namespace if edge.client is not None else ""
    named = tls.credential_name if tls is not None else ""
    secret = f"Secret/{own}/{named}" if own and named else ""
    return EgressTls(
        external=found is not None,
        proxied=on,
        originates=found is not None and found.originates,
        twice=found is not None and found.twice and not _as_http(view, judged),
        plain_to_tls=found is not None and found.plain_to_tls,
        takes_tls=found is not None and found.takes_tls,
        tls_to_plain=found is not None and found.tls_to_plain,
        unready=found.unready if found is not None else "",
        credential_ignored=found is not None and found.credential_ignored,
        no_client_cert=found is not None and found.no_client,
        sni_differs=found is not None and found.sni_differs,
        sni=clean(found.sni) if found is not None else "",
        verified=found is not None and found.originates and not found.unverified,
        roots=_roots(tls),
        credential=Ref(secret),
        credential_lacks=_lacks(view, secret) if secret else "",
        mode=ruling.mode,
        rule=Ref(ruling.source if found is not None else ""),
        rule_name=ruling.rule.name if ruling.rule is not None and found is not None else "",
        rule_namespace=ruling.rule.namespace if ruling.rule is not None and found else "",
        entry=Ref(found.entry.ref if found is not None else ""),
        entry_name=found.entry.name if found is not None else "",
        entry_namespace=found.entry.namespace if found is not None else "",
        protocol=clean(found.protocol) if found is not None else "",
        port=found.port if found is not None else edge.port,
        target=found.target if found is not None else 0,
        host=clean(judged.host),
        client_namespace=edge.client.namespace if edge.client is not None else "",
        client_target=judged.client_target,
    )


def _roots(tls: ClientTls | None) -> str:
    if tls is None:
        return ""
    if tls.mode == ISTIO_MUTUAL:
        return "the mesh's own root (ISTIO_MUTUAL)"
    return clean(tls.ca_certificates or tls.credential_name)


def _lacks(view: View, secret: str) -> str:
    """The proxy asks for two secrets: the client's certificate, and the CA of the server."""
    _, namespace, name = secret.split("/")
    try:
        found = view.object("Secret", Secret, namespace, name)
        ca = view.object("Secret", Secret, namespace, name + gt.CA_SUFFIX)
    except EvidenceError:
        return ""
    if found is None:
        return "It does not exist."
    lacking = gt.lacking_ca(found, ca)
    return f"It has no CA certificate: {lacking}." if lacking else ""


def _as_http(view: View, judged: Judged) -> bool:
    routes = view.objects("VirtualService", VirtualService)
    return routed_as_http(routes, judged.host, gateway=judged.client_proxy == "router")
