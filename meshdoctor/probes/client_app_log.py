"""Does the client's application say that it cannot resolve the name?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.dead_calls import name_errors, no_answer, of_resolver
from meshdoctor.mesh.proxy_setup import allocates_addresses, answers_dns
from meshdoctor.mesh.services import host_matches
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.cluster_dns_reads import resolvers
from meshdoctor.probes.view import View, attempt, probe

MOST_RESOLVERS = 2


class ClientAppLog(Struct, frozen=True, kw_only=True):
    """Lines of the client's application containers that name this service."""

    name_errors: Annotated[Fact[int], "lines that say its name could not be resolved", OBSERVED]
    text: Annotated[Fact[str], "the last of them", OBSERVED]
    entry: Annotated[
        Fact[Ref],
        "a ServiceEntry of the host with endpoints or addresses of its own, where the client's "
        "proxy answers no DNS; empty: none",
    ]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    resolver: Annotated[
        Fact[Ref], "CoreDNS's workload, where it says that no resolver answered; empty: it does not"
    ]
    resolver_said: Annotated[
        Fact[str], "what CoreDNS says of that name, as the end of a sentence", OBSERVED
    ]


@probe(
    "client-app-log",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "ServiceEntry",
        "StatefulSet",
        "log",
    ),
    costly=True,
)
def client_app_log(view: View, edge: EdgeSubject) -> ClientAppLog:
    """Does the client's application say that it cannot resolve the name?"""
    if edge.client is None:
        raise NotAskedError("log of the client's application", "no client is named")
    pod = reading.workload(view, edge.client).pod
    names = [edge.host.split(".")[0] if edge.service is not None else edge.host]
    found: list[str] = []
    for text in container_logs.read(view, pod, app_containers(pod)) if pod is not None else ():
        found += name_errors(text, names)
    entry = _entry(view, edge, pod) if found and pod is not None else None
    silent = bool(found) and no_answer(found[-1])
    return ClientAppLog(
        name_errors=len(found),
        text=clean(found[-1], 200) if found else "",
        entry=Ref(entry.ref if entry is not None else ""),
        entry_name=entry.name if entry is not None else "",
        entry_namespace=entry.namespace if entry is not None else "",
        resolver=attempt(lambda: _resolver(view)) if silent else Ref(""),
        resolver_said=attempt(lambda: _said(view, edge.host)) if silent else "",
    )


def _entry(view: View, edge: EdgeSubject, pod: Pod) -> ServiceEntry | None:
    """An entry whose calls go to what it lists itself: nobody else need know its host. None where
    the client's proxy answers for it: it has addresses, or is given one."""
    if edge.service is not None:
        return None
    mesh = reading.mesh_config(view)
    answers = answers_dns(pod, mesh)
    if answers and allocates_addresses(pod, mesh):
        return None
    return next(
        (
            one
            for one in view.objects("ServiceEntry", ServiceEntry)
            if any(host_matches(h, edge.host) for h in one.spec.hosts)
            and (not one.spec.addresses and one.spec.endpoints if answers else _lists(one))
        ),
        None,
    )


def _lists(entry: ServiceEntry) -> bool:
    return bool(entry.spec.endpoints or entry.spec.addresses)


def _resolver(view: View) -> Ref:
    pods = resolvers(view)
    return Ref(owner_of(pods[0]).ref if pods else "")


def _said(view: View, host: str) -> str:
    for pod in resolvers(view)[:MOST_RESOLVERS]:
        for text in container_logs.readable(view, pod, pod.spec.containers):
            line = of_resolver(text, host)
            if line:
                return f"; {pod.name} says: {clean(line, 200)}"
    return ""
