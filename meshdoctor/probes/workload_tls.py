"""Do a workload's labels, redirection, probes and scrapes fit the mTLS mode in force?"""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import app_probes, capture, peer_authentication
from meshdoctor.mesh.app_probes import AppProbe
from meshdoctor.mesh.callers import is_scraper
from meshdoctor.mesh.edge_tls import is_ambient
from meshdoctor.mesh.peer_authentication import Ruling
from meshdoctor.mesh.proxy_setup import takes_certificates
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, is_sidecar, tls_mode_label
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event, Pod
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import MissingError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "PeerAuthentication",
    "Pod",
    "StatefulSet",
)
_SCRAPE, _PORT = "prometheus.io/scrape", "prometheus.io/port"
_MERGED = frozenset({15020, 15090})
_RESET = pattern(r"connection reset by peer|EOF", re.IGNORECASE)


Rulings = Callable[[int], Ruling]


class WorkloadTls(Struct, frozen=True, kw_only=True):
    """One workload, by the pod that speaks for it and counts over all its pods."""

    workload: Annotated[Fact[Ref], "the workload itself"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    target: Annotated[Fact[str], "the workload as kubectl takes it, kind/name"]
    pod: Annotated[Fact[str], "the pod that was judged"]
    label: Annotated[Fact[str], "label security.istio.io/tlsMode; empty: absent"]
    has_proxy: Annotated[Fact[bool], "the pod has an istio-proxy container"]
    sidecar: Annotated[Fact[bool], "its proxy is a sidecar"]
    ambient: Annotated[Fact[bool], "ztunnel carries its traffic"]
    mode: Annotated[Fact[str], "mode in force on ports without a rule of their own"]
    policy: Annotated[Fact[Ref], "the PeerAuthentication behind it; empty: Istio's default"]
    sidecar_pods: Annotated[Fact[int], "pods with a sidecar"]
    unredirected: Annotated[Fact[int], "of them pods whose redirection nothing set up or checked"]
    unredirected_pod: Annotated[Fact[Ref], "the first of those"]
    probe: Annotated[Fact[str], "a kubelet probe that STRICT refuses: container and kind"]
    probe_port: Annotated[Fact[int], "its port"]
    probe_path: Annotated[Fact[str], "its path"]
    probe_policy: Annotated[Fact[Ref], "the PeerAuthentication in force on that port"]
    rewrite_off: Annotated[Fact[bool], "the pod's annotation turns probe rewriting off"]
    scrape_port: Annotated[Fact[int], "annotated scrape port that STRICT refuses; 0: none"]
    scrape_policy: Annotated[Fact[Ref], "the PeerAuthentication in force on that port"]
    cert_scraper: Annotated[
        Fact[bool], "the mesh has a collector of metrics that takes certificates for itself"
    ]
    log_read: Annotated[
        Fact[bool], "this run reads its access logs: it is asked about, or among the first 60"
    ]


@probe("workload-tls", subject=SubjectKind.WORKLOAD, reads=READS)
def workload_tls(view: View, subject: WorkloadSubject) -> WorkloadTls:
    """Do labels, redirection, probes and scrapes fit the mTLS mode in force?"""
    found = reading.workload(view, subject)
    pod = found.pod
    if pod is None:
        raise MissingError(f"pods of {subject}", "the workload has none")
    policies = reading.peer_authentications(view, subject.namespace)

    def ruling(port: int) -> Ruling:
        return policies.effective(pod.labels, port)

    hit = next((p for p in app_probes.not_rewritten(pod) if _refused(pod, p, ruling)), None)
    scrape = _scrape_port(pod)
    strict_scrape = bool(scrape) and _strict(pod, scrape, ruling)
    log_read = proxy_logs.is_read(view, subject)
    return _facts(view, found, pod, ruling, hit, scrape if strict_scrape else 0, log_read)


def _cert_scraper(view: View) -> bool:
    pods = (one.pod for one in reading.workloads(view).values() if one.pod is not None)
    return any(takes_certificates(pod) and is_scraper(pod) for pod in pods)


def _strict(pod: Pod, port: int, ruling: Rulings) -> bool:
    return (
        is_sidecar(pod)
        and ruling(port).mode == peer_authentication.STRICT
        and not capture.inbound_bypass(pod, port)
    )


def _refused(pod: Pod, one: AppProbe, ruling: Rulings) -> bool:
    """A TCP probe is content once the sidecar accepts the connection: it never fails."""
    return one.scheme != "TCP" and one.port > 0 and _strict(pod, one.port, ruling)


def _scrape_port(pod: Pod) -> int:
    """The port that annotations have Prometheus scrape, when no metrics merging took it over."""
    if pod.annotations.get(_SCRAPE, "").lower() != "true":
        return 0
    text = pod.annotations.get(_PORT, "")
    port = int(text) if text.isdigit() else 0
    return 0 if port in _MERGED else port


def _facts(
    view: View,
    found: WorkloadPods,
    pod: Pod,
    ruling: Rulings,
    hit: AppProbe | None,
    scrape: int,
    log_read: bool,
) -> WorkloadTls:
    bare = [p for p in found.sidecars if capture.redirect_missing(p)]
    general = ruling(0)
    kind = found.proxy_type
    return WorkloadTls(
        workload=Ref(found.subject.ref),
        name=found.subject.name,
        namespace=found.subject.namespace,
        target=found.target,
        pod=pod.name,
        label=clean(tls_mode_label(pod)),
        has_proxy=kind != "",
        sidecar=kind == "sidecar",
        ambient=is_ambient(pod),
        mode=general.mode,
        policy=Ref(general.source),
        sidecar_pods=len(found.sidecars),
        unredirected=len(bare),
        unredirected_pod=Ref(bare[0].ref if bare else ""),
        probe=f"{hit.container} {hit.kind}" if hit else "",
        probe_port=hit.port if hit else 0,
        probe_path=clean(hit.path) if hit else "",
        probe_policy=Ref(ruling(hit.port).source if hit else ""),
        rewrite_off=app_probes.rewrite_off(pod),
        scrape_port=scrape,
        scrape_policy=Ref(ruling(scrape).source if scrape else ""),
        cert_scraper=view.memo("scrapers with certificates", _cert_scraper),
        log_read=log_read,
    )


class ProbeFailures(Struct, frozen=True, kw_only=True):
    """What the kubelet reports of a workload's probes."""

    failures: Annotated[Fact[int], "failed probes on ports that are not the agent's", OBSERVED]
    resets: Annotated[Fact[int], "of them because the connection was reset or closed", OBSERVED]
    message: Annotated[Fact[str], "the last message", OBSERVED]


@probe(
    "probe-failures",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Deployment", "Event", "Job", "Pod", "StatefulSet"),
)
def probe_failures(view: View, subject: WorkloadSubject) -> ProbeFailures:
    """What does the kubelet report of the workload's probes?"""
    pods = reading.workload(view, subject).pods
    told = view.memo(("unhealthy", subject.namespace), lambda v: _unhealthy(v, subject.namespace))
    if not told:
        return NO_FAILURES
    found = [e for name in dict.fromkeys(p.name for p in pods) for e in told.get(name, ())]
    found.sort(key=lambda e: (str(e.last_seen or ""), e.name))
    resets = [e for e in found if _RESET.search(e.message)]
    last = resets or found
    return ProbeFailures(
        failures=sum(max(e.count, 1) for e in found),
        resets=sum(max(e.count, 1) for e in resets),
        message=clean(last[-1].message) if last else "",
    )


NO_FAILURES = ProbeFailures(failures=0, resets=0, message="")


def _unhealthy(view: View, namespace: str) -> dict[str, list[Event]]:
    """Failed probes of the namespace on ports that are not the agent's, by pod."""
    out: dict[str, list[Event]] = defaultdict(list)
    for event in view.objects("Event", Event, namespace):
        if (
            event.reason == "Unhealthy"
            and event.involved_object.kind == "Pod"
            and ":15020/" not in event.message
            and ":15021/" not in event.message
        ):
            out[event.involved_object.name].append(event)
    return dict(out)
