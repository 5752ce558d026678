"""Why does a caller show a proxy no identity, and what would mend that?

A gateway's listener asks its callers for a certificate of the mesh only where its server has tls
mode ISTIO_MUTUAL, whoever calls. TLS of the application's own is passed through unread.
"""

from msgspec import Struct


class Arrival(Struct, frozen=True, kw_only=True):
    """How a caller without identity came to the judging proxy.

    `gateway`: the judge is one. `wide`: the policy has neither selector nor targetRefs. `own_tls`:
    the name in the TLS that the caller itself spoke, not read by the judge; "" for none.
    `passed_on`: a gateway handed the call on.
    """

    gateway: bool = False
    wide: bool = False
    own_tls: str = ""
    passed_on: bool = False


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
    return "its connection is not mutual TLS"


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
    return (
        "give the caller a sidecar (or fix what keeps mutual TLS off this edge), or allow it by "
        "ipBlocks or a token instead"
    )
