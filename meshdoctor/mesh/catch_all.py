"""Which services does a DestinationRule for (nearly) every host break?

A rule with tls for `*`, `*.local` or the like takes the place of auto mTLS for everything that it
matches: the Kubernetes API, databases, services without sidecars.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import client_tls
from meshdoctor.mesh.edge_path import Given
from meshdoctor.mesh.edge_tls import judge
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import DestinationRule
from meshdoctor.model.kubernetes import Pod, Service

CATCH_ALL = frozenset({"*", "*.local", "*.cluster.local", "*.svc.cluster.local"})


def is_catch_all(rule: DestinationRule) -> bool:
    """Whether a rule sets tls for (nearly) every host."""
    policy = rule.spec.traffic_policy
    return rule.spec.host.lower() in CATCH_ALL and policy is not None and policy.tls is not None


class Victim(Struct, frozen=True, kw_only=True):
    """A service port that the rule breaks; `port` is the service port."""

    service: Service
    port: int
    symptom: str


def victims(
    rule: DestinationRule,
    base: Given,
    clients: Iterable[WorkloadPods],
    services: Iterable[tuple[Service, WorkloadPods | None, tuple[Pod, ...]]],
) -> tuple[Victim, ...]:
    """Services that a client with a sidecar cannot reach because of this rule.

    `clients`: one workload with a sidecar is tried, the first that the rule is meant for.
    """
    client = client_of(rule, clients, base.root)
    if client is None:
        return ()
    found = []
    for service, server, pods in services:
        if _control_plane(service):
            continue
        for port in service.spec.ports:
            given = replace(
                base,
                client=client,
                server=server,
                service=service,
                service_pods=pods,
                port=port.port,
            )
            symptom = _broken(rule, given)
            if symptom:
                found.append(Victim(service=service, port=port.port, symptom=symptom))
                break
    return tuple(found)


def client_of(
    rule: DestinationRule, clients: Iterable[WorkloadPods], root: str
) -> WorkloadPods | None:
    """The first workload whose proxy the rule is meant for."""
    home = rule.namespace
    return next((c for c in clients if home in (root, c.subject.namespace)), None)


def _control_plane(service: Service) -> bool:
    """Istio's and Kubernetes' own components: proxies do not call them through clusters."""
    return service.spec.selector.get("app") == "istiod" or service.namespace == "kube-system"


def _broken(rule: DestinationRule, given: Given) -> str:
    """What is seen when this rule breaks the edge; "" when it does not, or another rule does."""
    judged = judge(given)
    if judged.ruling.rule is None or judged.ruling.rule.ref != rule.ref:
        return ""
    if given.server is None:
        # no pods of ours behind it: the Kubernetes API, or addresses kept by hand
        return (
            "nobody there ends mutual TLS" if judged.ruling.mode == client_tls.ISTIO_MUTUAL else ""
        )
    if not judged.applies or judged.outcome.works or not judged.works_without_rule:
        return ""
    return judged.outcome.symptom
