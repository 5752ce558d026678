"""What does istiod say of the token that it does not accept?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.signing import names_former_account, token_refusal
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import ProxySubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes.istiod_said import sightings
from meshdoctor.probes.view import View, probe


class ProxyTokenRefusal(Struct, frozen=True, kw_only=True):
    """Lines of the istiods whose logs can be read, about the address of the pod. Not looked for
    where its proxy is ready: its token was accepted."""

    reason: Annotated[Fact[str], "the API server's reason; empty: none is told", OBSERVED]
    said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    account: Annotated[
        Fact[Ref], "the ServiceAccount, when the token is of a former one of that name; else empty"
    ]


@probe("proxy-token-refusal", subject=SubjectKind.PROXY, reads=("Pod", "log"))
def proxy_token_refusal(view: View, proxy: ProxySubject) -> ProxyTokenRefusal:
    """What does istiod say of the token that it does not accept?"""
    pod = view.object("Pod", Pod, proxy.namespace, proxy.pod)
    if pod is None:
        raise MissingError(f"pod {proxy.namespace}/{proxy.pod}")
    status = pod.container_status(PROXY)
    waits = status is not None and not status.ready
    reason = token_refusal(sightings(view), pod.status.pod_ip) if waits else ""
    name = pod.spec.service_account_name or "default"
    former = names_former_account(reason)
    return ProxyTokenRefusal(
        reason=reason,
        said=f"; istiod says why: {reason}" if reason else "",
        account=Ref(f"ServiceAccount/{proxy.namespace}/{name}" if former else ""),
    )
