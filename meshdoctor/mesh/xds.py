"""Which proxies hold the configuration that istiod last sent them, and which do not?

State derivation mirrors istiod's pilot/pkg/xds/statusgen.go (debugSyncStatus) and debug.go
(Syncz), read at 1.18 to 1.32-dev: an error of the last push is ERROR (istiod 1.23 and later only;
before, a refused push looks STALE), nothing sent is NOT SENT, sent = acknowledged is SYNCED, else
STALE. A proxy is known to the one istiod it is connected to: merge the answers of all of them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern


class State(StrEnum):
    """What one proxy has of one type. IGNORED: the proxy does not ask for the type."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    NOT_SENT = "NOT SENT"
    ERROR = "ERROR"
    IGNORED = "IGNORED"
    UNKNOWN = "UNKNOWN"


class TypeSync(Struct, frozen=True, kw_only=True, gc=False):
    """One type of one proxy. `sent` is when istiod last sent it (istiod 1.23 and later), `made` the
    second in which istiod put together what it sent (the nonce begins with it);
    `never_acknowledged` is known from nonces and old tables only; `error` is Envoy's refusal."""

    type: str
    state: State
    sent: datetime | None = None
    never_acknowledged: bool = False
    error: str = ""
    made: datetime | None = None


class ProxySync(Struct, frozen=True, kw_only=True, gc=False):
    """One connected proxy. `types` is empty when the layout shows no states (`subscribed` says
    what it asks for); `also_on` names other istiods that still list the proxy."""

    pod: str
    namespace: str
    cluster: str = ""
    istiod: str = ""
    version: str = ""
    kind: str = ""
    types: tuple[TypeSync, ...] = ()
    subscribed: tuple[str, ...] = ()
    also_on: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.pod}.{self.namespace}"

    def of(self, type_: str) -> TypeSync | None:
        """The state of one type (`CDS`, `LDS` ...); None when it is not shown."""
        return next((one for one in self.types if one.type == type_), None)


class SyncTable(Struct, frozen=True, kw_only=True):
    """What one or several istiods said. `shows_state` is False when no layout read shows states;
    `problems` are parts that could not be read (a wedged istiod, a broken record)."""

    proxies: Mapping[str, ProxySync] = field(default_factory=dict)
    istiods: tuple[str, ...] = ()
    shows_state: bool = True
    problems: tuple[str, ...] = ()

    def proxy(self, namespace: str, pod: str) -> ProxySync | None:
        """A proxy's row; None: none of the istiods that answered knows it."""
        return self.proxies.get(f"{pod}.{namespace}")


TYPES = ("CDS", "LDS", "EDS", "RDS", "ECDS")
_SHORT = {
    "Cluster": "CDS",
    "Listener": "LDS",
    "ClusterLoadAssignment": "EDS",
    "RouteConfiguration": "RDS",
    "TypedExtensionConfig": "ECDS",
    "Secret": "SDS",
    "NameTable": "NDS",
    "ProxyConfig": "PCDS",
    "Bootstrap": "BDS",
    "Address": "WDS",
    "Workload": "WDS",
    "Authorization": "WADS",
}
_RELEASE = pattern(r"^v?(\d+)\.(\d+)(?:\.(\d+))?")
SETTLED = timedelta(seconds=10)
"""A push on its way is no finding: the longest debounce that istiod's defaults allow."""


def short_type(type_url: str) -> str:
    """`CDS` for a type URL; an unknown one stays as it is."""
    return _SHORT.get(type_url.rpartition(".")[2], type_url)


def release(version: str) -> tuple[int, int, int]:
    """Major, minor, patch of a version text; zeros when it is none.

    >>> release("1.22.1"), release("1.30.0-alpha.5d9"), release("")
    ((1, 22, 1), (1, 30, 0), (0, 0, 0))
    """
    found = _RELEASE.match(version)
    if found is None:
        return (0, 0, 0)
    return (int(found[1]), int(found[2]), int(found[3] or 0))


def derive(sent: str, acked: str, error: str = "") -> tuple[State, bool]:
    """State and "never acknowledged" from nonces and the text of the last refusal."""
    if error:
        return State.ERROR, not acked
    if not sent:
        return State.NOT_SENT, False
    if sent == acked:
        return State.SYNCED, False
    return State.STALE, not acked


def split_id(proxy: str) -> tuple[str, str]:
    """(pod, namespace) of `pod.ns`: pod names may hold dots, namespaces never."""
    pod, _, namespace = proxy.rpartition(".")
    return (pod or namespace, namespace if pod else "")


def error_text(text: str) -> str:
    """Envoy's refusal, safe to show."""
    return clean(text, 300)


def is_false_alarm(proxy: ProxySync, one: TypeSync) -> bool:
    """Whether a state that looks wrong is known to mean nothing.

    - RDS STALE on 1.22.0 to 1.22.3 where every other type is in order: under delta xDS istiod
      records a push of no routes that a proxy which needs none does not acknowledge.
    - NOT SENT of EDS, RDS, ECDS and the rest: sent only to proxies that ask, and a proxy without
      EDS clusters, HTTP routes or extensions asks for none. Only CDS and LDS are always sent.
    """
    if one.state is State.STALE and one.type == "RDS":
        others = [t.state for t in proxy.types if t.type in ("CDS", "LDS", "EDS")]
        in_range = (1, 22, 0) <= release(proxy.version) <= (1, 22, 3)
        return in_range and all(s not in (State.STALE, State.ERROR) for s in others)
    return one.state is State.NOT_SENT and one.type not in ("CDS", "LDS")


def wrong_types(proxy: ProxySync, now: datetime | None = None) -> tuple[TypeSync, ...]:
    """Types that are ERROR, STALE or NOT SENT and should not be.

    With `now`, a push younger than ten seconds is still on its way; without the time of sending
    a state counts as it stands (STALE is a snapshot, take a second one before blaming anybody).
    """
    doubtful = [t for t in proxy.types if t.state not in _IN_ORDER]
    return tuple([t for t in doubtful if _is_wrong(proxy, t, now)]) if doubtful else ()


_IN_ORDER = frozenset({State.SYNCED, State.IGNORED, State.UNKNOWN})


def _is_wrong(proxy: ProxySync, one: TypeSync, now: datetime | None) -> bool:
    if one.state is State.ERROR:
        return True
    if one.state not in (State.STALE, State.NOT_SENT) or is_false_alarm(proxy, one):
        return False
    return now is None or one.sent is None or now - one.sent >= SETTLED


def out_of_step(table: SyncTable, now: datetime) -> dict[str, ProxySync]:
    """Proxies of which a type is wrong, by `pod.namespace`, in the table's order."""
    return {key: proxy for key, proxy in table.proxies.items() if wrong_types(proxy, now)}


def of_namespaces(table: SyncTable, namespaces: Iterable[str]) -> SyncTable:
    """The same table with the proxies of these namespaces only."""
    wanted = frozenset(namespaces)
    kept = {key: one for key, one in table.proxies.items() if one.namespace in wanted}
    return replace(table, proxies=kept)


def unanswered(table: SyncTable) -> dict[str, datetime]:
    """When the oldest push was sent that a proxy did not acknowledge, by `pod.namespace`. Only
    istiod 1.23 and later date pushes; what is not dated counts as none."""
    found: dict[str, datetime] = {}
    for key, proxy in table.proxies.items():
        late = [t.sent for t in proxy.types if t.state is _STALE and t.sent is not None]
        if late:
            found[key] = min(late)
    return found


_STALE = State.STALE


def merge(tables: Iterable[SyncTable]) -> SyncTable:
    """One table of what several istiods said.

    A proxy that moved is listed by its former istiod until that one notices: the row with the
    latest sending wins, then the one in better order.
    """
    proxies: dict[str, ProxySync] = {}
    istiods: dict[str, None] = {}
    problems: list[str] = []
    shows = False
    for table in tables:
        istiods.update(dict.fromkeys(table.istiods))
        problems += table.problems
        shows = shows or (table.shows_state and bool(table.proxies))
        for key, proxy in table.proxies.items():
            known = proxies.get(key)
            proxies[key] = proxy if known is None else _fresher(known, proxy)
    return SyncTable(
        proxies=proxies,
        istiods=tuple(istiods),
        shows_state=shows or not proxies,
        problems=tuple(problems),
    )


def _fresher(one: ProxySync, other: ProxySync) -> ProxySync:
    first, second = sorted((one, other), key=_freshness, reverse=True)
    stale = dict.fromkeys((*first.also_on, second.istiod, *second.also_on))
    also = tuple(name for name in stale if name and name != first.istiod)
    return ProxySync(
        pod=first.pod,
        namespace=first.namespace,
        cluster=first.cluster,
        istiod=first.istiod,
        version=first.version or second.version,
        kind=first.kind or second.kind,
        types=first.types or second.types,
        subscribed=first.subscribed or second.subscribed,
        also_on=also,
    )


def _freshness(proxy: ProxySync) -> tuple[float, int, str]:
    sent = max((t.sent.timestamp() for t in proxy.types if t.sent), default=0.0)
    good = sum(t.state is State.SYNCED for t in proxy.types)
    return (sent, good, proxy.istiod)
