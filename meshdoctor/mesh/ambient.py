"""Is a pod enrolled in the ambient mesh, and should it be?

Mirrors cni/pkg/util/podutil.go PodShouldBeEnrolled and nodeagent/informers.go (1.22 to 1.32-dev):
the pod's label beats the namespace's, a sidecar, the host's network and an excluded namespace win
over both.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from enum import StrEnum

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.mesh.workloads import is_sidecar
from meshdoctor.model.kubernetes import NetworkPolicy, Pod

MODE = "istio.io/dataplane-mode"
REDIRECTION = "ambient.istio.io/redirection"
PROBE_SOURCE = "169.254.7.127"
CILIUM_CONFIG = ("kube-system", "cilium-config")


class Wanted(StrEnum):
    """What labels and fields say about enrolment."""

    YES = "yes"
    NOT_LABELLED = "not-labelled"
    VALUE = "value"
    POD_LABEL = "pod-label"
    SIDECAR = "sidecar"
    HOST_NETWORK = "host-network"
    EXCLUDED = "excluded"


def wanted(pod: Pod, namespace: Mapping[str, str], excluded: Iterable[str]) -> Wanted:
    """Whether istio-cni should enrol the pod, or the first thing that says no."""
    said = pod.labels.get(MODE)
    theirs = namespace.get(MODE)
    if said == "none" and theirs == "ambient":
        return Wanted.POD_LABEL
    mode = said if said is not None else theirs
    if mode is None or mode == "none":
        return Wanted.NOT_LABELLED
    if mode != "ambient":
        return Wanted.VALUE
    if is_sidecar(pod) or "sidecar.istio.io/status" in pod.annotations:
        return Wanted.SIDECAR
    if pod.spec.host_network:
        return Wanted.HOST_NETWORK
    return Wanted.EXCLUDED if pod.namespace in set(excluded) else Wanted.YES


def redirection(pod: Pod) -> str:
    """enabled, pending, or "" when istio-cni never touched the pod."""
    return pod.annotations.get(REDIRECTION, "")


def cilium_drops_probes(settings: Mapping[str, str]) -> bool:
    """Whether Cilium loses the answers to probes from a link-local address: its BPF masquerading
    rewrites them (istio/istio#52208), its BPF host routing knows no way there (#57911).

    `settings` are those of its ConfigMap; host routing comes with kube-proxy's replacement.
    """
    replaced = settings.get("kube-proxy-replacement", "") in ("true", "strict")
    legacy = settings.get("enable-host-legacy-routing", "") == "true"
    return settings.get("enable-bpf-masquerade", "") == "true" or (replaced and not legacy)


def probe_blocking_policy(policies: Iterable[NetworkPolicy], pod: Pod) -> NetworkPolicy | None:
    """A NetworkPolicy that drops kubelet probes of an ambient pod, which come from a link-local
    address there; None when one opens the way or none selects the pod."""
    chosen = [
        p
        for p in policies
        if p.namespace == pod.namespace
        and ("Ingress" in p.spec.policy_types or not p.spec.policy_types)
        and label_selected(p.spec.pod_selector, pod.labels)
    ]
    for policy in chosen:
        for rule in policy.spec.ingress:
            if not rule.from_ or any(
                peer.ip_block is not None and _covers(peer.ip_block.cidr) for peer in rule.from_
            ):
                return None
    return chosen[0] if chosen else None


def _covers(cidr: str) -> bool:
    try:
        return ipaddress.ip_address(PROBE_SOURCE) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False
