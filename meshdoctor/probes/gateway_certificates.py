"""What is wrong with the certificates of a gateway's servers? Shared reading; not a probe."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.gateway_tls import TlsServer
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.istio import Gateway, K8sGateway, ReferenceGrant
from meshdoctor.model.kubernetes import Secret
from meshdoctor.ports import EvidenceError, NotRecordedError
from meshdoctor.probes.view import View, attempt


class Found(Struct, frozen=True, kw_only=True):
    """What was found wrong with certificates; the first of each kind."""

    server: str = ""
    secret: tuple[str, str] = ("", "")
    missing: bool | Unavailable = False
    missing_why: str = ""
    elsewhere: str = ""
    refused: bool | Unavailable = False
    grant: str = ""
    cert_state: str = ""
    cert_end: datetime | None = None
    uncovered: str = ""
    cert_names: str = ""
    ca_missing: bool | Unavailable = False
    ca_why: str = ""
    ca_name: str = ""


def certificates_of(
    view: View,
    servers: Iterable[TlsServer],
    gateway: Gateway | K8sGateway,
    home: str,
    *,
    k8s: bool,
) -> Found:
    """The first fault of any server's certificate: refused, missing, wrong, without CA."""
    unread: Found | None = None
    for server in servers:
        for where in server.credentials:
            try:
                found = _one(view, server, where, gateway, home, k8s=k8s)
            except EvidenceError as error:
                unread = unread or _unread(view, server, where, gateway, error.unavailable)
                continue
            if found is not None:
                return found
    return unread or Found()


def _unread(
    view: View,
    server: TlsServer,
    where: tuple[str, str],
    gateway: Gateway | K8sGateway,
    why: Unavailable,
) -> Found:
    """A Secret that nobody could look at: whose it would be, should a log miss it."""
    own = attempt(lambda: view.object("Secret", Secret, gateway.namespace, where[1]))
    return Found(
        server=server.name,
        secret=where,
        missing=why,
        missing_why="it could not be looked at here;",
        elsewhere=own.ref if isinstance(own, Secret) and own.namespace != where[0] else "",
        refused=why,
        ca_missing=why,
    )


def _one(
    view: View,
    server: TlsServer,
    where: tuple[str, str],
    gateway: Gateway | K8sGateway,
    home: str,
    *,
    k8s: bool,
) -> Found | None:
    if where[0] != home:
        grants = view.objects("ReferenceGrant", ReferenceGrant, where[0]) if k8s else ()
        if not k8s or not gt.granted(home, where, grants):
            grant = grants[0].ref if grants else ""
            return Found(server=server.name, secret=where, refused=True, grant=grant)
    secret = view.object("Secret", Secret, *where)
    if secret is None:
        _recorded(view, where[0])
        own = view.object("Secret", Secret, gateway.namespace, where[1])
        return Found(
            server=server.name,
            secret=where,
            missing=True,
            missing_why="it does not exist",
            elsewhere=own.ref if own is not None and own.namespace != where[0] else "",
        )
    lacking = gt.lacking_keys(secret)
    if lacking:
        return Found(server=server.name, secret=where, missing=True, missing_why=lacking)
    return _wrong(view, server, where, secret)


def _recorded(view: View, namespace: str) -> None:
    """Raises NotRecordedError when the source holds no Secret at all: then the absence of one says
    nothing. A namespace whose Secrets may not be listed was asked for this one by name."""
    for space in (namespace, view.istio_namespace):
        try:
            if view.objects("Secret", Secret, space):
                return
        except EvidenceError:
            return
    raise NotRecordedError(f"Secrets of {namespace}", "none is recorded")


def _wrong(view: View, server: TlsServer, where: tuple[str, str], secret: Secret) -> Found | None:
    """What is wrong with a certificate that is there."""
    if server.mode in gt.MUTUAL:
        ca_secret = view.object("Secret", Secret, where[0], where[1] + gt.CA_SUFFIX)
        lacking = gt.lacking_ca(secret, ca_secret)
        if lacking:
            taken = ca_secret or secret
            return Found(
                server=server.name,
                secret=(taken.namespace, taken.name),
                ca_missing=True,
                ca_why=lacking,
                ca_name=where[1] + gt.CA_SUFFIX,
            )
    chain = gt.serving_chain(secret)
    leaf = chain.leaf
    if leaf is None:
        return None
    asked = bare_host(view.request.host)
    state, host = leaf.state(view.now), gt.uncovered(server, chain, asked)
    if state == "valid" and not host:
        return None
    return Found(
        server=server.name,
        secret=where,
        cert_state="" if state == "valid" else state,
        cert_end=leaf.not_after,
        uncovered=host,
        cert_names=", ".join(leaf.dns or (leaf.common_name,)),
    )
