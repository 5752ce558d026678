"""How are the access logs of a workload's proxies read, and when does silence mean something?

Not a probe: `client-log`, `server-log` and others share it.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from meshdoctor.mesh.access_log import AccessLog, Line, parse
from meshdoctor.mesh.access_logging import CLIENT, Logging, in_force
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.edge_evidence import of_host
from meshdoctor.mesh.workloads import (
    PROXY,
    WorkloadPods,
    has_proxy,
    is_ready,
    owner_of,
    proxy_type,
)
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.istio import Telemetry
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View

PODS_READ = 8
READS = (*sorted((*reading.WORKLOAD_READS, "ConfigMap", "Service", "Telemetry")), "log")
"""What a probe reads that reads the logs of an edge's proxies."""
T = TypeVar("T")


class PodLines(Struct, frozen=True, kw_only=True):
    pod: Pod
    log: AccessLog


class ProxyLogs(Struct, frozen=True, kw_only=True):
    """What the proxies of one workload logged.

    `missing`: why absence proves nothing (a pod's log could not be read, or access logging is off
    or in a custom format); None when what is not in the logs did not happen in their window.
    """

    pods: tuple[PodLines, ...]
    missing: Unavailable | None

    def seen(self, value: T) -> T | Unavailable:
        """A value read from lines; an empty one is unavailable when absence proves nothing."""
        return value if value or self.missing is None else self.missing

    def lines(self, of: Callable[[AccessLog], tuple[Line, ...]]) -> tuple[Line, ...]:
        return tuple(line for one in self.pods for line in of(one.log))

    def pod_with(self, of: Callable[[AccessLog], tuple[Line, ...]]) -> str:
        """The pod that logged most of such lines; the first pod when none did."""
        if not self.pods:
            return ""
        return max(self.pods, key=lambda one: len(of(one.log))).pod.name


def pod_log(view: View, namespace: str, pod: str) -> AccessLog:
    """The parsed log of one istio-proxy container; read and parsed once per run."""
    return view.memo(
        ("access-log", namespace, pod), lambda v: parse(v.log(namespace, pod, PROXY).text)
    )


def asked(view: View, log: AccessLog) -> tuple[Line, ...]:
    """A gateway's lines of the host that the run is about; all lines where it names none."""
    host = bare_host(view.request.host)
    return of_host(log.lines, host)


def read(view: View, workload: WorkloadPods, mode: str) -> ProxyLogs:
    """Access logs of at most PODS_READ pods of a workload, newest first.

    `mode` is CLIENT or SERVER: which lines the caller wants to rely on. A workload without proxy
    writes no access log, and that is known. Raises EvidenceError when no pod's log can be read.
    """
    pods = [pod for pod in reversed(workload.pods) if has_proxy(pod)][:PODS_READ]
    return _read_all(view, pods, mode)


def _read_all(view: View, pods: Iterable[Pod], mode: str) -> ProxyLogs:
    """The logs of these pods' proxies; raises EvidenceError when none of them can be read."""
    found: list[PodLines] = []
    missing: EvidenceError | None = None
    for pod in pods:
        try:
            found.append(PodLines(pod=pod, log=pod_log(view, pod.namespace, pod.name)))
        except EvidenceError as error:
            missing = error
    if missing is not None and not found:
        raise missing
    return ProxyLogs(
        pods=tuple(found),
        missing=missing.unavailable if missing is not None else silence(view, found, mode),
    )


def silence(view: View, found: list[PodLines], mode: str) -> Unavailable | None:
    """Why logs without any access line prove nothing; None when they do."""
    if not found or any(one.log.lines for one in found):
        return None
    pod = found[0].pod
    what = f"access log of {pod.namespace}/{pod.name}"
    if any(one.log.unreadable for one in found):
        return Unavailable(
            reason=Reason.DISABLED,
            what=what,
            detail="its format is custom",
            remedy=FIX,
        )
    try:
        logging = logging_of(view, pod, mode)
    except EvidenceError as error:
        return error.unavailable
    if logging.on and not logging.custom and not logging.filtered:
        return None
    how = f"a custom format ({logging.source})" if logging.on else f"off in {logging.source}"
    return Unavailable(
        reason=Reason.DISABLED, what=what, detail=f"access logging is {how}", remedy=FIX
    )


FIX = "set meshConfig.accessLogFile: /dev/stdout, or a Telemetry with provider envoy"


MOST_LOGS = 60


def chosen(view: View) -> tuple[Pod, ...]:
    """The proxies whose access logs a run reads when nobody asks about a workload: one pod of a
    workload, at most MOST_LOGS, gateways first, then workloads with pods that are not ready.

    Raises EvidenceError when Pods may not be read.
    """
    return view.memo("chosen-logs", _chosen)


def _chosen(view: View) -> tuple[Pod, ...]:
    candidates: list[tuple[tuple[int, str, str], Pod]] = []
    for workload in reading.workloads(view).values():
        pods = workload.envoys
        if not pods:
            continue
        pod = workload.pod if workload.pod in pods else pods[-1]
        unready = len(workload.ready) < len(workload.pods) and not all(map(is_ready, pods))
        first = 0 if proxy_type(pods[-1]) == "router" else 1 if unready else 2
        candidates.append(((first, pod.namespace, pod.name), pod))
    return tuple(pod for _, pod in sorted(candidates, key=lambda c: c[0])[:MOST_LOGS])


def is_read(view: View, subject: WorkloadSubject) -> bool:
    """Whether this run reads the access logs of a workload: a run that names workloads or
    namespaces reads all of theirs, one over the whole mesh the chosen ones."""
    if view.namespaces is not None:
        return True
    return (subject.namespace, subject.name) in view.memo("chosen-workloads", _chosen_workloads)


def _chosen_workloads(view: View) -> frozenset[tuple[str, str]]:
    owners = [owner_of(pod) for pod in chosen(view)]
    return frozenset((one.namespace, one.name) for one in owners)


MOST_CALLERS = 24


def of_callers(view: View) -> ProxyLogs:
    """Access logs of the scope's sidecars and gateways, one pod of each of at most MOST_CALLERS
    workloads: for what has many clients and no one in particular. Raises EvidenceError when there
    are such pods and none of their logs can be read."""
    return view.memo("callers-logs", _of_callers)


def _of_callers(view: View) -> ProxyLogs:
    return _read_all(view, callers(view), CLIENT)


def callers(view: View) -> tuple[Pod, ...]:
    """The pods whose logs `of_callers` reads."""
    pods = (w.pod for w in reading.workloads(view).values() if w.pod is not None)
    clients = [pod for pod in pods if proxy_type(pod) in ("sidecar", "router")]
    return tuple(clients[:MOST_CALLERS])


def logging_of(view: View, pod: Pod, mode: str) -> Logging:
    """The access logging in force for a pod's proxy."""
    mesh = reading.mesh_config(view)
    spaces = sorted({mesh.root_namespace, pod.namespace})
    given = [t for ns in spaces for t in view.objects("Telemetry", Telemetry, ns)]
    return in_force(mesh, given, pod.namespace, pod.labels, mode)
