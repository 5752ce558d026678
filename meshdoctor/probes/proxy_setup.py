"""Is this workload's own setup one that a sidecar can live with?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.annotations import PROXY_CONFIG, quantity
from meshdoctor.mesh.capture import runs_as_proxy
from meshdoctor.mesh.proxy_setup import (
    EXIT_ON_ZERO,
    ProxyConfig,
    app_stop_seconds,
    drain_seconds,
    holds_application,
    proxy_config,
    release,
    reserved_port,
    skewed,
)
from meshdoctor.mesh.template_patch import image_pin, proxy_config_patch, template_of
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_native_sidecar
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Container, Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.reading import WORKLOAD_READS, istiod_pods, workload
from meshdoctor.probes.view import View, attempt, probe

NO_POD = Pod()
HOLD = "holdApplicationUntilProxyStarts: true"
EXIT = f'proxyMetadata: {{{EXIT_ON_ZERO}: "true"}}'


class ProxySetup(Struct, frozen=True, kw_only=True):
    """Users, ports, lifecycles and versions, from a pod that speaks for the workload."""

    workload: Annotated[Fact[Ref], "the workload"]
    pod: Annotated[Fact[str], "a pod with a sidecar; empty: none has one"]
    sidecar: Annotated[Fact[bool], "its pods have a sidecar"]
    native: Annotated[Fact[bool], "the sidecar is a native one"]
    as_proxy: Annotated[
        Fact[str], "application container that runs as the proxy's user or group; empty: none"
    ]
    as_proxy_said: Annotated[Fact[str], "as which user or group; empty: none"]
    reserved_port: Annotated[Fact[int], "port of the application that the proxy needs; 0: none"]
    reserved_said: Annotated[Fact[str], "who declares it, in words; empty: nobody"]
    dns_policy: Annotated[Fact[str], "dnsPolicy of the pod"]
    holds: Annotated[Fact[bool], "the application waits for the proxy"]
    cpu_limit_millis: Annotated[Fact[int], "CPU limit of istio-proxy in millicores; 0: none"]
    drain_seconds: Annotated[Fact[int], "how long the proxy drains before it ends"]
    app_stop_seconds: Annotated[Fact[int], "how long the application's preStop sleeps; 0: none"]
    grace_seconds: Annotated[Fact[int], "terminationGracePeriodSeconds"]
    exits_on_zero: Annotated[Fact[bool], "EXIT_ON_ZERO_ACTIVE_CONNECTIONS is on"]
    proxy_release: Annotated[Fact[str], "release of the sidecar's image; empty: no release tag"]
    istiod_release: Annotated[Fact[str], "release of its istiod's image; empty: no release tag"]
    skewed: Annotated[Fact[bool], "more than two minors behind its istiod, or ahead of it"]
    revision: Annotated[Fact[str], "revision that injected the pod"]
    pinned: Annotated[
        Fact[str],
        "the sidecar's image, where the pod template itself asks for it; empty: it does not",
    ]
    unpin_patch: Annotated[Fact[str], "the patch that leaves it to the injector; empty: none is"]
    hold_patch: Annotated[
        Fact[str], "the merge patch that lets the application wait; empty: the annotation is unfit"
    ]
    exit_patch: Annotated[
        Fact[str],
        "the merge patch that lets the proxy wait for the last connection; empty: the same",
    ]


@probe(
    "proxy-setup",
    subject=SubjectKind.WORKLOAD,
    reads=WORKLOAD_READS,
)
def proxy_setup(view: View, subject: WorkloadSubject) -> ProxySetup:
    """Is this workload's own setup one that a sidecar can live with?"""
    found = workload(view, subject)
    pods = found.sidecars
    pod = pods[-1] if pods else NO_POD
    proxy = pod.container(PROXY)
    written, given, exits = _configs(pod, proxy)
    own = release(proxy.image) if proxy is not None else None
    revision = pod.annotations.get("istio.io/rev", "default")
    theirs = attempt(lambda: _istiod(view, revision))
    unseen = theirs if isinstance(theirs, Unavailable) else None
    newest = None if isinstance(theirs, Unavailable) else theirs
    port_by, port = reserved_port(pod.spec.containers) if pods else ("", 0)
    template = template_of(found.controller, pod)
    pinned, unpin = image_pin(template) if own is not None else ("", "")
    same = release(pinned) == own
    spared, field, number = runs_as_proxy(pod) if pods else ("", "", 0)
    limit = proxy.resources.limits.get("cpu") if proxy is not None else None
    return ProxySetup(
        workload=Ref(subject.ref),
        pod=pod.name,
        sidecar=bool(pods),
        native=is_native_sidecar(pod),
        as_proxy=spared,
        as_proxy_said=f"{field} {number}" if spared else "",
        reserved_port=port,
        reserved_said=f" (container {port_by} declares {port})" if port else "",
        dns_policy=pod.spec.dns_policy,
        holds=holds_application(pod) or written.holds or given.holds,
        cpu_limit_millis=round((quantity(limit) or 0.0) * 1000) if limit is not None else 0,
        drain_seconds=round(drain_seconds((written, given))),
        app_stop_seconds=round(app_stop_seconds(pod)),
        grace_seconds=pod.spec.termination_grace_period_seconds or 30,
        exits_on_zero=written.exits_on_zero or given.exits_on_zero or exits,
        proxy_release=_text(own),
        istiod_release=unseen or _text(newest),
        skewed=unseen or _skew(own, newest, bool(pods)),
        revision=revision if pods else "",
        pinned=clean(pinned) if same else "",
        unpin_patch=unpin if same else "",
        hold_patch=proxy_config_patch(template, HOLD),
        exit_patch=proxy_config_patch(template, EXIT),
    )


def _configs(pod: Pod, proxy: Container | None) -> tuple[ProxyConfig, ProxyConfig, bool]:
    """What annotation and PROXY_CONFIG say, and whether the variable of its own is set."""
    said = {"PROXY_CONFIG": "", EXIT_ON_ZERO: ""}
    for one in proxy.env if proxy is not None else ():
        if one.name in said:
            said[one.name] = one.value or ""
    variable = proxy_config(f"{EXIT_ON_ZERO}: {said[EXIT_ON_ZERO]}")
    written = proxy_config(pod.annotations.get(PROXY_CONFIG, ""))
    return written, proxy_config(said["PROXY_CONFIG"]), variable.exits_on_zero


def _istiod(view: View, revision: str) -> tuple[int, int] | None:
    """The newest release that runs as this revision; the only istiod speaks for a tag."""

    def build(v: View) -> tuple[int, int] | None:
        pods = istiod_pods(v)
        mine = [p for p in pods if p.labels.get("istio.io/rev", "default") == revision]
        containers = [p.container("discovery") for p in mine or pods]
        return max([r for c in containers if c and (r := release(c.image))], default=None)

    return view.memo(("istiod-newest", revision), build)


def _skew(
    own: tuple[int, int] | None, theirs: tuple[int, int] | None, sidecar: bool
) -> bool | Unavailable:
    if not sidecar:
        return False
    told = skewed(own, theirs)
    if told is None:
        return Unavailable(
            reason=Reason.NOT_FOUND,
            what="release of istio-proxy and istiod",
            detail="an image tag names no release",
            remedy="istioctl version",
        )
    return told


def _text(found: tuple[int, int] | None) -> str:
    return f"{found[0]}.{found[1]}" if found is not None else ""
