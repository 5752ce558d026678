"""Which reads do the propagation probes share? Each is made once per run.

Not a probe: it judges nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from meshdoctor.mesh import revisions
from meshdoctor.mesh.hosts import Catalogue, catalogue
from meshdoctor.mesh.istiod_log import IstiodLog, read
from meshdoctor.mesh.istiod_metrics import Delivery, delivery
from meshdoctor.mesh.metrics import parse as parse_metrics
from meshdoctor.mesh.routes import destinations, hosts
from meshdoctor.mesh.rules import host as rule_host
from meshdoctor.mesh.rules import never_chosen
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.services import resolve_short_name
from meshdoctor.mesh.sync_judgement import proxy_never_gets_ready
from meshdoctor.mesh.workloads import PROXY, proxy_type
from meshdoctor.mesh.xds import ProxySync, SyncTable, of_namespaces, out_of_step, unanswered
from meshdoctor.mesh.xds_status import parse as parse_status
from meshdoctor.model.istio import DestinationRule, ServiceEntry, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.ports import EvidenceError, NotRecordedError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View

MOST_ISTIODS = 6
MOST_SUSPECTS = 3
MOST_UNTOLD = 6
RECENT = timedelta(hours=2)


def sync_table(view: View) -> SyncTable:
    """Sync state of every proxy of the run's namespaces that any istiod knows."""
    return view.memo("sync-table", _sync_table)


def _sync_table(view: View) -> SyncTable:
    table = parse_status(view.proxy_status().text, view.now)
    if view.namespaces is None:
        return table
    return of_namespaces(table, view.namespaces)


class Sync(Struct, frozen=True, kw_only=True):
    """The same, the proxies that are out of step, by `pod.namespace` in the table's order, and
    since when proxies owe an answer."""

    table: SyncTable
    wrong: Mapping[str, ProxySync]
    waiting: Mapping[str, datetime]


def sync(view: View) -> Sync:
    """Sync state of every proxy, judged once per run."""
    return view.memo("sync", _sync)


def _sync(view: View) -> Sync:
    table = sync_table(view)
    return Sync(table=table, wrong=out_of_step(table, view.now), waiting=unanswered(table))


def running_revisions(view: View) -> frozenset[str]:
    """Revisions of which an istiod runs."""
    return view.memo("running-revisions", lambda v: revisions.running(reading.istiod_pods(v)))


def known_hosts(view: View) -> Catalogue:
    """Services of the run's scope and every ServiceEntry."""
    return view.memo("known-hosts", _known_hosts)


def _known_hosts(view: View) -> Catalogue:
    return catalogue(view.objects("Service", Service), view.objects("ServiceEntry", ServiceEntry))


def service_exists(view: View, namespace: str, name: str) -> bool:
    """Whether a service exists, also outside the run's scope."""
    return view.object("Service", Service, namespace, name) is not None


class ControlPlaneLog(Struct, frozen=True, kw_only=True):
    """Logs of istiod, and how many of its pods could not be read."""

    log: IstiodLog
    unread: int


def istiod_log(view: View) -> ControlPlaneLog:
    """What every istiod says; raises EvidenceError when none of their logs can be read."""
    return view.memo("istiod-log", _istiod_log)


def _istiod_log(view: View) -> ControlPlaneLog:
    texts: list[str] = []
    missing: EvidenceError | None = None
    pods = reading.istiod_pods(view)[:MOST_ISTIODS]
    for pod in pods:
        try:
            texts.append(view.log(pod.namespace, pod.name, "discovery").text)
        except EvidenceError as error:
            missing = error
    if not texts:
        raise missing or NotRecordedError("log of istiod", "no istiod pod was found")
    return ControlPlaneLog(log=read(texts), unread=len(pods) - len(texts))


def deliveries(view: View) -> tuple[Delivery, ...]:
    """Metrics of every istiod; raises EvidenceError when none can be read."""
    return view.memo("deliveries", _deliveries)


def _deliveries(view: View) -> tuple[Delivery, ...]:
    found: list[Delivery] = []
    missing: EvidenceError | None = None
    for pod in reading.istiod_pods(view)[:MOST_ISTIODS]:
        try:
            page = parse_metrics(view.metrics(pod.namespace, pod.name).text)
        except EvidenceError as error:
            missing = error
            continue
        found.append(delivery(pod.name, page))
    if not found:
        raise missing or NotRecordedError("metrics of istiod", "no istiod pod was found")
    return tuple(found)


def proxy_pods(view: View) -> tuple[Pod, ...]:
    """Every pod of the scope with an Istio proxy that should be running."""
    return view.memo("proxy-pods", _proxies).running


def unready_proxies(view: View) -> tuple[Pod, ...]:
    """Every pod of the scope with an istio-proxy that is not ready, whatever becomes of the pod."""
    return view.memo("proxy-pods", _proxies).unready


class _Proxies(Struct, frozen=True):
    running: tuple[Pod, ...]
    unready: tuple[Pod, ...]


def _proxies(view: View) -> _Proxies:
    running, unready = [], []
    for pod in view.objects("Pod", Pod):
        if is_client(pod):
            running.append(pod)
        status = pod.container_status(PROXY)
        if status is not None and not status.ready:
            unready.append(pod)
    return _Proxies(tuple(running), tuple(unready))


def suspect_logs(view: View) -> tuple[tuple[Pod, str], ...]:
    """Logs of a few proxies that may be in trouble, each with its pod; what cannot be read is
    left out. Where the table tells the states, those out of step, absent or not ready: one in step
    needs reading no more. Where it does not, any proxy may be one."""
    return view.memo("suspect-logs", _suspect_logs)


def _suspect_logs(view: View) -> tuple[tuple[Pod, str], ...]:
    wrong, told = _out_of_step(view)
    unready = unready_proxies(view)
    suspects = wrong | {f"{p.name}.{p.namespace}" for p in unready}
    waiting = (p for p in unready if proxy_never_gets_ready(p) and p.status.phase == "Pending")
    pods = (*proxy_pods(view), *waiting)
    first = [p for p in pods if f"{p.name}.{p.namespace}" in suspects]
    if told:
        return _read_logs(view, first[:MOST_SUSPECTS], MOST_SUSPECTS)
    rest = [p for p in pods if f"{p.name}.{p.namespace}" not in suspects]
    return _read_logs(view, (*first, *rest), MOST_UNTOLD)


def logs_elsewhere(view: View) -> tuple[tuple[str, str], ...]:
    """Logs of a few proxies that are out of step outside the run's namespaces, so far as the table
    names any, each with its `pod.namespace`: what they refuse, those within may refuse as well."""
    return view.memo("logs-elsewhere", _logs_elsewhere)


def _logs_elsewhere(view: View) -> tuple[tuple[str, str], ...]:
    if view.namespaces is None:
        return ()
    try:
        wrong = out_of_step(parse_status(view.proxy_status().text, view.now), view.now)
    except EvidenceError:
        return ()
    out: list[tuple[str, str]] = []
    for proxy in (p for p in wrong.values() if p.namespace not in view.namespaces):
        try:
            out.append((proxy.id, view.log(proxy.namespace, proxy.pod, PROXY).text))
        except EvidenceError:
            continue
        if len(out) == MOST_SUSPECTS:
            break
    return tuple(out)


def _out_of_step(view: View) -> tuple[set[str], bool]:
    """Proxies out of step, and whether the table tells the states at all."""
    try:
        found = sync(view)
    except EvidenceError:
        return set(), False
    return set(found.wrong), found.table.shows_state


def _read_logs(view: View, pods: Iterable[Pod], most: int) -> tuple[tuple[Pod, str], ...]:
    out: list[tuple[Pod, str]] = []
    for pod in pods:
        try:
            out.append((pod, view.log(pod.namespace, pod.name, PROXY).text))
        except EvidenceError:
            continue
        if len(out) == most:
            break
    return tuple(out)


class Timed(Protocol):
    @property
    def at(self) -> datetime | None: ...


def is_recent(said: Timed, now: datetime) -> bool:
    """Whether a line is not known to be older than two hours: what still goes wrong is said again
    with every push and every connection."""
    return said.at is None or now - said.at <= RECENT


def is_client(pod: Pod) -> bool:
    """Whether the pod runs with an Istio proxy."""
    return runs(pod) and pod.container(PROXY) is not None


def runs(pod: Pod) -> bool:
    """Whether the pod runs and shall go on."""
    return pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None


def client_namespaces(view: View) -> frozenset[str]:
    """Namespaces of the scope that have a proxy of their own."""
    return view.memo("client-namespaces", lambda v: frozenset(p.namespace for p in proxy_pods(v)))


def routes_by_host(view: View) -> Mapping[str, tuple[VirtualService, ...]]:
    """VirtualServices by each of their hosts, as istiod reads them, lower-case."""
    return view.memo("routes-by-host", _routes_by_host)


def _routes_by_host(view: View) -> Mapping[str, tuple[VirtualService, ...]]:
    found: dict[str, list[VirtualService]] = defaultdict(list)
    for route in view.objects("VirtualService", VirtualService):
        for host in hosts(route):
            found[host.lower()].append(route)
    return {host: tuple(some) for host, some in found.items()}


def subsets_by_host(view: View) -> Mapping[str, frozenset[str]]:
    """Subsets that get requests from some route, by destination host, lower-case."""
    return view.memo("subsets-by-host", _subsets_by_host)


def _subsets_by_host(view: View) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for route in view.objects("VirtualService", VirtualService):
        for one in destinations(route):
            if one.subset:
                found[resolve_short_name(one.host, route.namespace).lower()].add(one.subset)
    return {host: frozenset(some) for host, some in found.items()}


class Rules(Struct, frozen=True, kw_only=True):
    """DestinationRules that some proxy can choose, by exact host; wildcard ones apart."""

    exact: Mapping[str, tuple[DestinationRule, ...]]
    wildcards: tuple[DestinationRule, ...]

    def of(self, host: str) -> tuple[DestinationRule, ...]:
        """Rules that may cover a host."""
        return (*self.exact.get(host.lower(), ()), *self.wildcards)


def choosable_rules(view: View) -> Rules:
    """Every DestinationRule but those that lie where no proxy looks, or select nobody there."""
    return view.memo("choosable-rules", _choosable_rules)


def _choosable_rules(view: View) -> Rules:
    root, clients = reading.root_namespace(view), client_namespaces(view)
    exact: dict[str, list[DestinationRule]] = defaultdict(list)
    wild: list[DestinationRule] = []
    for rule in view.objects("DestinationRule", DestinationRule):
        if never_chosen(rule, root, clients) or _selects_nobody(view, rule):
            continue
        name = rule_host(rule)
        (wild if "*" in name else exact[name.lower()]).append(rule)
    return Rules(exact={h: tuple(r) for h, r in exact.items()}, wildcards=tuple(wild))


def _selects_nobody(view: View, rule: DestinationRule) -> bool:
    """Whether its workloadSelector matches no workload of its own namespace, the only one where it
    applies; not known of a namespace outside the scope."""
    selector, scope = rule.spec.workload_selector, view.namespaces
    if selector is None or (scope is not None and rule.namespace not in scope):
        return False
    here = reading.workloads_in(view, rule.namespace)
    return not any(workload_selected(selector, one.labels) for one in here)


def gateway_pods_known(view: View) -> tuple[Pod, ...]:
    """Every pod of the scope whose proxy is a gateway."""
    return view.memo(
        "gateway-pods", lambda v: tuple(p for p in v.objects("Pod", Pod) if is_gateway(p))
    )


def is_gateway(pod: Pod) -> bool:
    """Whether the pod's proxy is a gateway."""
    return proxy_type(pod) == "router"
