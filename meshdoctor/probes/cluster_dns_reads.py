"""Which pods are the cluster's resolvers? Not a probe: it judges nothing."""

from meshdoctor.model.kubernetes import Pod
from meshdoctor.probes.view import View

HOME, SERVICE, LABELS = "kube-system", "kube-dns", {"k8s-app": "kube-dns"}


def resolvers(view: View) -> tuple[Pod, ...]:
    """CoreDNS's pods."""
    pods = view.objects("Pod", Pod, HOME)
    return tuple(p for p in pods if LABELS.items() <= p.labels.items())


def node_resolvers(view: View) -> tuple[Pod, ...]:
    """Pods of NodeLocal DNSCache, as its own manifest and as Kubespray label them."""
    pods = view.objects("Pod", Pod, HOME)
    return tuple(p for p in pods if p.labels.get("k8s-app") in ("node-local-dns", "nodelocaldns"))
