"""Why does a proxy get no certificate, in its agent's own words?

gRPC codes as pilot-agent logs them (security/pkg/nodeagent/caclient, cache/secretcache.go; 1.20 to
1.32-dev): Unavailable with a dial error means nobody was reached, Unauthenticated that istiod did
not believe the token, a handshake error that the proxy does not trust istiod's own certificate.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.log_lines import Said, of
from meshdoctor.model.patterns import pattern

FAILURES = ("warm_failed", "warm_root_failed", "sign_failed", "csr_failed", "create_failed")
_UNREACHABLE = (
    "i/o timeout",
    "connection refused",
    "no such host",
    "deadline exceeded",
    "no route to host",
    "code = unavailable",
    "name resolver error",
    "produced zero addresses",
)
_LOOKUP = pattern(
    r"lookup (?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)[a-z0-9.-]* on "
    r"\[?(?P<server>[0-9a-f.:]+)\]?:53: .{0,100}"
    r"(?P<why>no such host|i/o timeout|connection refused|server misbehaving)"
)


class Lookup(Struct, frozen=True):
    """A lookup that failed."""

    name: str
    namespace: str
    server: str
    answered: bool

    @property
    def on_node(self) -> bool:
        """Whether a resolver on the pod's own node was asked."""
        return self.server.startswith("169.254.")


class Signing(Struct, frozen=True, kw_only=True):
    """What one agent's log says about its certificate and its connection to istiod."""

    unreachable: int
    rejected: int
    refused: int
    untrusted: int
    expired: int
    foreign_sds: bool
    text: str
    first: datetime | None
    last: datetime | None
    recovered: bool

    @property
    def failures(self) -> int:
        return self.unreachable + self.rejected + self.refused


def cause_of(text: str) -> str:
    """`untrusted`, `rejected`, `refused`, `unreachable`, or "" when the text says none.

    >>> cause_of("rpc error: code = Unavailable desc = dial tcp 10.0.0.1:15012: i/o timeout")
    'unreachable'
    """
    low = text.lower()
    if "x509" in low or any(mark in low for mark in ("unknown authority", "handshake failed")):
        return "untrusted"
    if "unauthenticated" in low or "authenticate failure" in low:
        return "rejected"
    if "csr signing error" in low or "permissiondenied" in low or "invalidargument" in low:
        return "refused"
    return "unreachable" if any(mark in low for mark in _UNREACHABLE) else ""


def failed_lookup(text: str) -> Lookup | None:
    """The name that a resolver did not know, or that nobody resolved; None: that is not told.

    >>> failed_lookup("dial tcp: lookup istiod.istio-system.svc on 169.254.25.10:53: no such host")
    Lookup(name='istiod', namespace='istio-system', server='169.254.25.10', answered=True)
    """
    found = _LOOKUP.search(text)
    if found is None:
        return None
    answered = found["why"] == "no such host"
    return Lookup(found["name"], found["namespace"], found["server"], answered)


def token_refusal(said: Iterable[Said], address: str) -> str:
    """Why istiod last refused the token of a pod, as the API server told it; "" when it did not
    say. A line without an address (before 1.9) may be about any pod, so one with it goes first.

    security/pkg/server/ca/authenticate/kubeauth and security/pkg/k8s/tokenreview.
    """
    told = [one for one in of(said, "token_refused") if one.get("reason")]
    mine = [one for one in told if address and one.get("peer").strip("[]") == address]
    loose = [one for one in told if not one.get("peer")]
    return (mine or loose)[-1].get("reason") if mine or loose else ""


def names_former_account(reason: str) -> bool:
    """Whether a token is refused because its account was deleted and made again."""
    return "does not match claim" in reason


def _ended(text: str) -> bool:
    """Whether the certificate that was shown is out of date; a `remote error` is about its own."""
    low = text.lower()
    return "certificate has expired" in low and "remote error" not in low


def _whole(one: Said) -> str:
    """The line's words, with the end of a long one: what failed is said last."""
    return f"{one.text} {one.get('reason')}"


def _telling(kind: str, one: Said) -> str:
    """The line's own words where they tell the kind, else its end."""
    return one.text if cause_of(one.text) == kind else one.get("reason")


def judge(said: Iterable[Said]) -> Signing:
    """The signing story of one agent log. `recovered`: a certificate was made, or istiod was
    reached, after the last failure."""
    lines = tuple(said)
    bad: list[tuple[str, Said]] = []
    for one in lines:
        if one.kind in FAILURES:
            bad.append((cause_of(_whole(one)), one))
        elif one.kind in ("xds_closed", "xds_connect_failed"):
            kind = cause_of(_whole(one))
            bad.append((kind if kind == "untrusted" else "", one))
    known = [(kind, one) for kind, one in bad if kind]
    times = [one.at for _, one in known if one.at is not None]
    good = [one.at for one in of(lines, "certificate_made", "xds_connected") if one.at is not None]
    kinds = [kind for kind, _ in known]
    return Signing(
        unreachable=kinds.count("unreachable"),
        rejected=kinds.count("rejected"),
        refused=kinds.count("refused"),
        untrusted=kinds.count("untrusted"),
        expired=sum(_ended(_whole(one)) for kind, one in known if kind == "untrusted"),
        foreign_sds=any(one.kind == "foreign_sds" for one in lines),
        text=_telling(*known[-1]) if known else "",
        first=min(times, default=None),
        last=max(times, default=None),
        recovered=bool(times and good and max(good) > max(times)),
    )
