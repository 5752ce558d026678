"""What does the proxy's agent log about getting a certificate and about istiod's own?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import signing
from meshdoctor.mesh.log_lines import scan_lines
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import ProxySubject, SubjectKind
from meshdoctor.probes.cluster_dns_reads import node_resolvers, resolvers
from meshdoctor.probes.proxy_logs import pod_log
from meshdoctor.probes.view import View, attempt, probe


class ProxySigningLog(Struct, frozen=True, kw_only=True):
    """Lines of pilot-agent. All zero when it wrote of no failure."""

    unreachable: Annotated[Fact[int], "signing failed because the CA was not reached", OBSERVED]
    rejected: Annotated[Fact[int], "the CA did not accept the token (Unauthenticated)", OBSERVED]
    refused: Annotated[Fact[int], "the CA refused to sign", OBSERVED]
    failures: Annotated[Fact[int], "all of these", OBSERVED]
    untrusted: Annotated[
        Fact[int], "istiod's certificate was not accepted (x509) when connecting", OBSERVED
    ]
    expired: Annotated[Fact[int], "of these, because it is out of date", OBSERVED]
    recovered: Annotated[Fact[bool], "after the last failure it worked again", OBSERVED]
    foreign_sds: Annotated[Fact[bool], "certificates come over a mounted SDS socket", OBSERVED]
    text: Annotated[Fact[str], "the last such line", OBSERVED]
    resolver: Annotated[
        Fact[Ref],
        "what does not know istiod's name although its Service exists: the resolver on the node, "
        "or CoreDNS; empty: the failure is another",
    ]
    first: Annotated[Fact[datetime], "when the first was written", OBSERVED]
    last: Annotated[Fact[datetime], "when the last was written", OBSERVED]


@probe("proxy-signing-log", subject=SubjectKind.PROXY, reads=("Pod", "Service", "log"), costly=True)
def proxy_signing_log(view: View, proxy: ProxySubject) -> ProxySigningLog:
    """What does the proxy's agent log about getting a certificate?"""
    found = signing.judge(scan_lines(pod_log(view, proxy.namespace, proxy.pod).other))
    none = Unavailable(reason=Reason.NOT_FOUND, what="signing failures in the proxy's log")
    return ProxySigningLog(
        unreachable=found.unreachable,
        rejected=found.rejected,
        refused=found.refused,
        failures=found.failures,
        untrusted=found.untrusted,
        expired=found.expired,
        recovered=found.recovered,
        foreign_sds=found.foreign_sds,
        text=found.text,
        resolver=attempt(lambda: Ref(_resolver(view, found.text))),
        first=found.first or none,
        last=found.last or none,
    )


def _resolver(view: View, text: str) -> str:
    """A lookup that CoreDNS did not answer may not have reached it, so that is not its fault."""
    asked = signing.failed_lookup(text)
    if asked is None or not (asked.answered or asked.on_node):
        return ""
    if view.object("Service", Service, asked.namespace, asked.name) is None:
        return ""
    pods = node_resolvers(view) if asked.on_node else resolvers(view)
    return owner_of(pods[0]).ref if pods else ""
