"""What does istiod's log say of configuration that it cannot read or deliver?

Fragments of pilot/pkg/{xds,bootstrap,config/kube,serviceregistry}, pkg/kube/multicluster and
pkg/webhooks/validation, read at 1.20 to 1.32-dev; what proxies refuse is `nack` of `log_lines`.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct, field

from meshdoctor.mesh.access_log import address
from meshdoctor.mesh.log_lines import ISTIOD, Said, of, row, scan
from meshdoctor.model.patterns import pattern

_OWN = (
    row(
        "api_unreachable",
        "https://",
        # Of a remote cluster the API may have any name and port.
        r'(?:Get|Post|Put|Patch|Delete) "?(?P<api>https://(?:[\d.\[\]:a-f]+:(?:443|6443)|'
        r"[\w.\-\[\]:]+(?=/(?:apis?|version)\b)))/\S*: "
        r"(?P<reason>.*(?:i/o timeout|no such host|"
        r"refused|no route|deadline exceeded|handshake timeout|network is unreachable).*)",
    ),
    row(
        "credentials_refused",
        "the server has asked for the client to provide credentials",
        r"(?P<reason>the server has asked for the client to provide credentials.*)",
    ),
    row("list_refused", "ailed to list", r"ailed to list (?P<what>[^:]+): (?P<reason>.*)"),
    *(
        row(
            "write_refused",
            f'" cannot {verb} resource "',
            r'User "system:serviceaccount:(?P<namespace>[^:"]+):(?P<account>[^"]+)" cannot '
            r'(?P<verb>\w+) resource "(?P<plural>[^"]+)"(?: in API group "(?P<group>[^"]*)")?',
        )
        for verb in ("update", "patch", "create", "delete")
    ),
    row("kind_unknown", "no matches for kind", r'no matches for kind "(?P<what>[^"]+)"'),
    row("sync_failed", "ailed waiting for cache sync"),
    row(
        "waits",
        " is not ready",
        r"\bwarn\s+(?:ads\s+)?(?P<what>discovery|sidecar injector|[a-z]+(?: [a-z]+){0,2}) is not "
        r"ready(?:: .*)?$",
    ),
    row(
        "sync_waiting",
        "waiting for sync...",
        r"name=\"?(?P<what>[^\s\"]+).*time=\"?(?P<time>[^\s\"]+)",
    ),
    row("not_serving", "server is not ready to serve discovery information"),
    row(
        "too_large",
        "received message larger than max",
        r"larger than max \((?P<size>\d+) vs\. (?P<limit>\d+)\)",
    ),
    row(
        "write_timeout",
        "imeout writing",
        r"imeout writing[\s:]+(?:connection[=\" :]+)?(?P<connection>[\w.\-]+)",
    ),
    row(
        "invalid",
        "configuration is invalid: ",
        # istiod tries at every start whether validation refuses a Gateway without servers.
        r"(?P<reason>configuration is invalid: (?!gateway must have at least one server\b).*)",
    ),
    row("validation_open", "Not ready to switch validation to fail-closed"),
    row("validation_closed", "Endpoint successfully rejected invalid config"),
    row(
        "gateway_named",
        "Hostnames are not supported for gateways",
        r"gateway address (?P<address>[\w.\-]+) from",
    ),
    row(
        "kind_ignored",
        "ignoring",
        r"CRD (?P<resource>[\w.\-]+) (?:version|expected) .*\bignoring",
    ),
    row("kind_ignored", "pilot CRD filter", r"excluding (?P<resource>[\w.\-]+) due to pilot CRD"),
    row("kind_ignored", "Skipping CRD ", r"Skipping CRD (?P<gvk>[\w.\-]+/\w+/\w+) as it is not"),
    row(
        "not_deployed",
        " retry budget exceeded: ",
        r"error handling (?P<namespace>[\w.\-]+)/(?P<name>[\w.\-]+), and retry budget exceeded: .*"
        r"patch [\w./\-]+, Kind=(?P<what>\w+/[\w.\-]+/[\w.\-]+): (?P<reason>.*(?:is invalid|"
        r"forbidden|denied).*)\scontroller=gateway deployment",
    ),
    row("no_gateway", "no reachable E/W gateway", r"network (?P<network>\S+) has no"),
)
_REFUSED = pattern(r"forbidden|could not find the requested resource|no matches for kind")
_FORBIDDEN = pattern(
    r'User "system:serviceaccount:(?P<namespace>[^":]+):(?P<account>[^"]+)" cannot list resource '
    r'"(?P<plural>[^"]+)" in API group "(?P<group>[^"]*)"'
)
_NOT_SERVED = pattern(r"could not find the requested resource \(get (?P<resource>[\w.\-]+)\)")
_NAMED = pattern(r"[g-z]", re.IGNORECASE)
_REPEATS = timedelta(minutes=30)
_TRIES = timedelta(seconds=90)
_SETTLED = timedelta(minutes=1)
ROWS = (*_OWN, *ISTIOD)


class IstiodLog(Struct, frozen=True, kw_only=True):
    """What one or several istiods said, in order."""

    said: tuple[Said, ...] = field(default=())

    def kind(self, *kinds: str) -> tuple[Said, ...]:
        """Only lines of some kinds."""
        return of(self.said, *kinds)

    @property
    def unreadable_kinds(self) -> tuple[Said, ...]:
        """Kinds that istiod may not list or that the API does not serve."""
        return tuple(
            s
            for s in self.kind("list_refused", "kind_unknown")
            if s.kind == "kind_unknown" or _REFUSED.search(s.get("reason"))
        )

    def ignored(self, resource: str, group: str, kind: str) -> Said | None:
        """The last line that says that a kind is not read, although objects of it may exist: its
        CRD is too old or too new for this release (pkg/kube/kclient/crdwatcher.go), is left out by
        PILOT_IGNORE_RESOURCES, or does not serve the version wanted (crdclient).

        >>> said = read(["CRD tlsroutes.x.io version 1.4 is below minimum version 1.5, ignoring"])
        >>> said.ignored("tlsroutes", "x.io", "TLSRoute") is not None
        True
        """
        return next(
            (
                s
                for s in reversed(self.kind("kind_ignored"))
                if s.get("resource") == f"{resource}.{group}"
                or s.get("gvk").startswith(f"{group}/")
                and s.get("gvk").endswith(f"/{kind}")
            ),
            None,
        )

    def not_deployed(self, namespace: str, name: str) -> Said | None:
        """The last line that says that what istiod makes for a Gateway was refused
        (pilot/pkg/config/kube/gateway/deploymentcontroller.go)."""
        at = (namespace, name)
        said = reversed(self.kind("not_deployed"))
        return next((s for s in said if (s.get("namespace"), s.get("name")) == at), None)

    def dropped(self, pod: str, namespace: str, now: datetime) -> Said | None:
        """The end of a proxy's connection, when a minute and more has gone by since, and nothing
        tells of a new one (pilot/pkg/xds/ads.go).

        >>> from datetime import UTC
        >>> end = '2026-01-01T00:00:00Z\\tinfo\\tads\\tADS: "10.0.0.1:7" web-1.shop-3 terminated'
        >>> new = "2026-01-01T00:00:01Z\\tinfo\\tads\\tADS: new connection for node:web-1.shop-4"
        >>> now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
        >>> bool(read([end]).dropped("web-1", "shop", now))
        True
        >>> read([end, new]).dropped("web-1", "shop", now)
        """
        mine = [
            s
            for s in self.kind("terminated", "connected")
            if s.at is not None and proxy_of(s.get("connection")) == f"{pod}.{namespace}"
        ]
        last = max(mine, key=lambda s: str(s.at), default=None)
        if last is None or last.kind == "connected" or last.at is None:
            return None
        return last if now - last.at >= _SETTLED else None

    @property
    def nacks(self) -> tuple[Said, ...]:
        """Refusals by proxies."""
        return self.kind("nack")


class Unreadable(Struct, frozen=True, kw_only=True):
    """A kind that istiod cannot list: `plural.group`, and the account that may not; no account:
    the API does not serve it in the version that istiod wants."""

    resource: str
    namespace: str = ""
    account: str = ""


def unreadable(said: Said) -> Unreadable | None:
    """What a line of `unreadable_kinds` names (client-go's reflector, in words of the API server);
    None: nothing.

    >>> from meshdoctor.mesh.log_lines import scan
    >>> unreadable(scan("failed to list *v1.Gateway: the server could not find the requested "
    ...                 "resource (get gateways.networking.istio.io)", ROWS)[0]).resource
    'gateways.networking.istio.io'
    """
    reason = said.get("reason")
    found = _FORBIDDEN.search(reason)
    if found is not None:
        parts = [p for p in (found["plural"], found["group"]) if p]
        return Unreadable(
            resource=".".join(parts), namespace=found["namespace"], account=found["account"]
        )
    found = _NOT_SERVED.search(reason)
    return Unreadable(resource=found["resource"]) if found is not None else None


def still_forbidden(
    said: Iterable[Said], accounts: frozenset[tuple[str, str]], now: datetime
) -> frozenset[str]:
    """Kinds that one of istiod's own accounts asked for again and again, the last time lately: a
    reflector asks at least once a minute for as long as it is refused."""
    seen: dict[str, list[datetime]] = {}
    for one in said:
        found = unreadable(one)
        if found is None or one.at is None or (found.namespace, found.account) not in accounts:
            continue
        seen.setdefault(found.resource, []).append(one.at)
    return frozenset(r for r, at in seen.items() if len(set(at)) > 1 and now - max(at) <= _REPEATS)


def refused_writes(said: Iterable[Said], now: datetime) -> tuple[Said, ...]:
    """Writes that istiod's account was refused lately, of the resource that it tried last. In a
    remote cluster it only reads (istio-reader)."""
    mine = [
        s
        for s in said
        if s.kind == "write_refused"
        and "reader" not in s.get("account")
        and s.at is not None
        and now - s.at <= _REPEATS
    ]
    what = written(mine[-1]) if mine else ""
    return tuple(s for s in mine if written(s) == what)


def written(said: Said) -> str:
    """`plural.group` of a refused write."""
    return ".".join(p for p in (said.get("plural"), said.get("group")) if p)


def of_other_apis(said: Iterable[Said], own: Iterable[str]) -> tuple[Said, ...]:
    """Of calls without an answer those to another API than the cluster's own (a remote cluster's):
    `own` are its addresses as pods know them. None known: pods call it on port 443.

    >>> said = read(['Get "https://10.9.0.9:6443/api": dial tcp: i/o timeout']).said
    >>> len(of_other_apis(said, ())), len(of_other_apis(said, ["10.9.0.9"]))
    (1, 0)
    """
    mine = frozenset(own)
    return tuple(s for s in said if s.kind == "api_unreachable" and _is_other(s.get("api"), mine))


def _is_other(api: str, own: frozenset[str]) -> bool:
    """Pods know their own API by its address: what has a name is another's."""
    at = api.removeprefix("https://")
    host, port = address(at)
    if _NAMED.search(host or at):
        return True
    return (host or at) not in own if own else port != 443


def stays_open(said: Iterable[Said], now: datetime) -> bool:
    """Whether istiod tries in vain, for a minute and more, whether its validation refuses a wrong
    object: only then it lets it fail closed (pkg/webhooks/validation/controller)."""
    tried: list[Said] = []
    for one in said:
        if one.kind == "validation_closed":
            tried.clear()
        elif one.kind == "validation_open":
            tried.append(one)
    return failing(tried, now)


def is_loopback(api: str) -> bool:
    """Whether an API is called at a loopback address, which in a pod is that pod itself: a remote
    Secret made of a kubeconfig that was for the machine it lay on.

    >>> is_loopback("https://127.0.0.1:60535"), is_loopback("https://10.2.0.9:6443")
    (True, False)
    """
    host = api.removeprefix("https://").rpartition(":")[0]
    return host.startswith("127.") or host in ("localhost", "[::1]", "0.0.0.0")


def failing(said: Iterable[Said], now: datetime) -> bool:
    """Whether something failed for a minute and more, and of late: a reflector tries again as long
    as it fails, and says nothing once it succeeds."""
    times = sorted(s.at for s in said if s.at is not None)
    if not times or now - times[-1] > _REPEATS:
        return False
    streak = [t for t in times if times[-1] - t <= _REPEATS]
    return streak[-1] - streak[0] >= _SETTLED


def unanswered_for(said: Iterable[Said], now: datetime) -> timedelta:
    """How long calls of the Kubernetes API have got no answer, where they still get none: those
    that list and watch try again within a minute and a half, with a pause and a timeout of 30 s
    each. Zero: they are answered again."""
    times = sorted(s.at for s in said if s.kind == "api_unreachable" and s.at is not None)
    if not times or now - times[-1] > _TRIES:
        return timedelta(0)
    begun = times[-1]
    for at in reversed(times):
        if begun - at > _TRIES:
            break
        begun = at
    return times[-1] - begun


def read(texts: Iterable[str]) -> IstiodLog:
    """Lines that matter, of several logs."""
    return IstiodLog(said=tuple(one for text in texts for one in scan(text, ROWS)))


def proxy_of(connection: str) -> str:
    """`pod.ns` of a connection ID `pod.ns-17`, or of one that is the node's whole ID (to 1.6).

    >>> proxy_of("web-7jkw.shop-6"), proxy_of("odd")
    ('web-7jkw.shop', 'odd')
    >>> proxy_of("sidecar~10.1.0.4~web-7jkw.shop~shop.svc.cluster.local-6")
    'web-7jkw.shop'
    """
    node = connection.split("~")
    if len(node) == 4:
        return node[2]
    head, _, number = connection.rpartition("-")
    return head if head and number.isdigit() else connection


def identity_refused(said: Said) -> bool:
    """Whether a connection was refused for its identity: the certificate names another account."""
    return said.kind == "unauthorized_xds" and "no identities" in said.text
