"""Which service does a host name mean, which pods stand behind it, on which port?

Host resolution mirrors pkg/config/host and pilot/pkg/model ResolveShortnameToFQDN: a name without
a dot takes the namespace of the object that wrote it; `svc.ns` stays literal.
"""

from collections.abc import Iterable, Mapping

from meshdoctor.mesh.selectors import ByLabels
from meshdoctor.model.kubernetes import Pod, Service, ServicePort
from meshdoctor.model.snapshot import selects

CLUSTER_DOMAIN = "cluster.local"


def fqdn(service: Service, domain: str = CLUSTER_DOMAIN) -> str:
    """`name.namespace.svc.domain`."""
    return f"{service.name}.{service.namespace}.svc.{domain}"


def resolve_short_name(host: str, namespace: str, domain: str = CLUSTER_DOMAIN) -> str:
    """What istiod makes of a host written in an object of `namespace`:
    only a name without any dot is completed; wildcards stay."""
    if not host or "." in host or host.startswith("*"):
        return host
    return f"{host}.{namespace}.svc.{domain}"


def named_by_client(
    host: str, client_namespace: str, domain: str = CLUSTER_DOMAIN
) -> tuple[str, str] | None:
    """(namespace, service) that a *client's DNS* means by a host: `svc`, `svc.ns`, `svc.ns.svc`,
    or the full name; None when it cannot be a cluster service."""
    host = host.rstrip(".").lower()
    parts = host.split(".")
    if len(parts) == 1:
        return (client_namespace, parts[0])
    if len(parts) == 2:
        return (parts[1], parts[0])
    if parts[2] == "svc" and (len(parts) == 3 or ".".join(parts[3:]) == domain):
        return (parts[1], parts[0])
    return None


def host_matches(pattern: str, host: str) -> bool:
    """Whether a host pattern (exact, `*`, or `*.suffix`) covers a host; case-insensitive."""
    pattern, host = pattern.lower(), host.lower()
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern[1:])
    return pattern == host


def selected_pods(service: Service, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Pods of the service's namespace that its selector selects; none without a selector."""
    if not service.spec.selector:
        return ()
    wanted, namespace = service.spec.selector, service.namespace
    return tuple(
        pod
        for pod in pods
        if selects(wanted, pod.metadata.labels)
        and pod.metadata.namespace == namespace
        and pod.status.phase not in ("Succeeded", "Failed")
    )


class PodsByLabels:
    """What many services select among the pods of one namespace: `of` gives what `selected_pods`
    gives, without looking at every pod for each service."""

    def __init__(self, pods: Iterable[Pod], namespace: str) -> None:
        self._namespace = namespace
        self._pods = ByLabels(
            (pod.metadata.labels, pod)
            for pod in pods
            if pod.metadata.namespace == namespace
            and pod.status.phase not in ("Succeeded", "Failed")
        )

    def of(self, service: Service) -> tuple[Pod, ...]:
        """Pods that the service selects; none without a selector."""
        wanted = service.spec.selector
        if not wanted or service.metadata.namespace != self._namespace:
            return ()
        return self._pods.selected(wanted)


def port_of(service: Service, number: int) -> ServicePort | None:
    """The service port of that number."""
    return next((p for p in service.spec.ports if p.port == number), None)


def target_port(port: ServicePort, pod: Pod | None) -> int:
    """The workload port behind a service port; 0 when a named port is absent in the pod.

    targetPort absent or 0 means the service port itself.
    """
    target = port.target_port
    if isinstance(target, int):
        return target or port.port
    if target.isdigit():
        return int(target)
    if pod is None:
        return 0
    for container in pod.all_containers:
        for declared in container.ports:
            if declared.name == target:
                return declared.container_port
    return 0


def services_of(pod_labels: Mapping[str, str], services: Iterable[Service]) -> tuple[Service, ...]:
    """Services of one namespace that select these labels."""
    return tuple(s for s in services if s.spec.selector and selects(s.spec.selector, pod_labels))
