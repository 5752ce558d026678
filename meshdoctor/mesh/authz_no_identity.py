"""Why does a caller show a proxy no identity, and what would mend that?

A gateway's listener asks its callers for a certificate of the mesh only where its server has tls
mode ISTIO_MUTUAL, whoever calls. TLS of the application's own is passed through unread.
"""

from msgspec import Struct

from meshdoctor.mesh import mtls

PAST, ENTRY = "past", "entry"
"""Beside the reasons of mtls.py: the call went past the Service, or to a ServiceEntry's endpoints
that are not known to take mutual TLS."""
_WHY = {
    PAST: "the call left past the Service, through PassthroughCluster, in plaintext",
    ENTRY: "{by} has the host for itself, and its endpoints are not known to take mutual TLS",
    mtls.BYPASS: "the call is kept away from its own sidecar",
    mtls.RULE: "{by} has its proxy send plaintext",
    mtls.AUTO_OFF: "auto mTLS is off, so its proxy sends plaintext",
    mtls.POLICY_DISABLES: "{by} turns mutual TLS off, so its proxy sends plaintext",
    mtls.HEADLESS: "one endpoint of that headless service has no sidecar, so all get plaintext",
}
_MEND = {
    PAST: "call the Service by its name, and not before the caller's proxy is ready "
    "(holdApplicationUntilProxyStarts)",
    ENTRY: "delete {by}, for the Service is known without it",
    mtls.BYPASS: "have the caller's sidecar capture the call (its annotations, its user)",
    mtls.RULE: "take tls out of {by}, or set ISTIO_MUTUAL there",
    mtls.AUTO_OFF: "set enableAutoMtls, or ISTIO_MUTUAL in a DestinationRule",
    mtls.POLICY_DISABLES: "take DISABLE out of {by}",
    mtls.HEADLESS: "give every endpoint a sidecar, or set ISTIO_MUTUAL in a DestinationRule",
}


class Arrival(Struct, frozen=True, kw_only=True):
    """How a caller without identity came to the judging proxy.

    `gateway`: the judge is one. `wide`: the policy has neither selector nor targetRefs. `own_tls`:
    the name in the TLS that the caller itself spoke, not read by the judge; "" for none.
    `passed_on`: a gateway handed the call on. `sent`: why the caller's own sidecar sent plaintext;
    "" for no sidecar, or a reason that is not known. `by`: the object that makes it so.
    """

    gateway: bool = False
    wide: bool = False
    own_tls: str = ""
    passed_on: bool = False
    sent: str = ""
    by: str = ""


def why(how: Arrival) -> str:
    """The reason, to follow "the caller presents no identity"."""
    if how.own_tls:
        return f"its TLS (for {how.own_tls}) is its own, passed through unread, and not the mesh's"
    if how.gateway and how.wide:
        return (
            "that is a gateway, whose callers show none, and the policy, without a selector, "
            "reaches it too"
        )
    if how.gateway:
        return "that is a gateway, whose callers show none"
    told = _WHY.get(how.sent, "its connection is not mutual TLS")
    return told.format(by=how.by)


def mend(how: Arrival) -> str:
    """What to do by hand."""
    if how.own_tls and how.passed_on:
        return (
            "end that TLS at the gateway (mode SIMPLE), whose own identity the server then sees, "
            "or allow by addresses or connection.sni instead"
        )
    if how.own_tls:
        return (
            "put the mesh's TLS around it (tls mode ISTIO_MUTUAL in the caller's DestinationRule "
            "and, at a gateway, in its server), or allow by addresses or connection.sni instead"
        )
    allow = (
        "no sidecar helps a caller from outside, so allow at the gateway by hosts, paths, "
        "addresses (remoteIpBlocks) or a token; callers of the mesh can show an identity to a "
        "server with tls mode ISTIO_MUTUAL"
    )
    if how.gateway and how.wide:
        return f"give the policy a selector of the workloads that it is meant for; {allow}"
    if how.gateway:
        return allow
    first = _MEND.get(
        how.sent, "give the caller a sidecar (or fix what keeps mutual TLS off this edge)"
    )
    return f"{first.format(by=how.by)}, or allow it by ipBlocks or a token instead"
