"""What does the proxy's agent log about getting a certificate and about istiod's own?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import signing
from meshdoctor.mesh.log_lines import scan_lines
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import ProxySubject, SubjectKind
from meshdoctor.probes.proxy_logs import pod_log
from meshdoctor.probes.view import View, probe


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
    first: Annotated[Fact[datetime], "when the first was written", OBSERVED]
    last: Annotated[Fact[datetime], "when the last was written", OBSERVED]


@probe("proxy-signing-log", subject=SubjectKind.PROXY, reads=("log",), costly=True)
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
        first=found.first or none,
        last=found.last or none,
    )
