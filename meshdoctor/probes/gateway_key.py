"""Which Secret could a gateway's Envoy not load? Shared reads; not a probe.

Envoy's words name none. It is one over whose server no request came: the only such, else that of
the host asked about, else what the proxy still waits for.
"""

from collections.abc import Sequence

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.gateway_evidence import chosen, unserved_secrets
from meshdoctor.mesh.gateway_tls import TlsServer, credential
from meshdoctor.mesh.warming import warming_secrets
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Pod
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt


class Suspect(Struct, frozen=True):
    """`how`: what tells that it is this one."""

    namespace: str
    name: str
    how: str


def suspect(
    view: View, pod: Pod, servers: Sequence[TlsServer], lines: Sequence[Line]
) -> Suspect | Unavailable | None:
    """None: requests came over every server, or the proxy waits for none of them."""
    open_ = unserved_secrets(servers, lines)
    if len(open_) <= 1:
        how = "the only one of the gateway's servers over which no request came"
        return next((Suspect(*one, how) for one in open_), None)
    asked = chosen(servers, bare_host(view.request.host))
    own = [one for one in open_ if asked is not None and one in asked.credentials]
    if len(own) == 1:
        return Suspect(*own[0], "that of the host asked about, and no request came over it")
    waits = attempt(lambda: _waiting(view, pod))
    if isinstance(waits, Unavailable):
        return waits
    how = "one that the proxy still waits for (WARMING)"
    return next((Suspect(*one, how) for one in open_ if one in waits), None)


def _waiting(view: View, pod: Pod) -> frozenset[tuple[str, str]]:
    text = reading.proxy_config(view, "secret", pod)
    return frozenset(credential(name, pod.namespace) for name in warming_secrets(text))
