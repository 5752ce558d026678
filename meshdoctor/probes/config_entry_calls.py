"""How do calls end to the hosts of a ServiceEntry that shares them with another one?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import entries
from meshdoctor.mesh.access_log import AccessLog, Line, address
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import proxy_logs
from meshdoctor.probes.view import View, attempt, probe


class ConfigEntryCalls(Struct, frozen=True, kw_only=True):
    """Of a ServiceEntry whose host another object has too; empty for other objects. All but `taken`
    concern another entry of its namespace, with other ports."""

    other: Annotated[Fact[Ref], "that other ServiceEntry; empty: none"]
    host: Annotated[Fact[str], "the host that both have"]
    ports: Annotated[Fact[str], "the ports that only this one has"]
    lost: Annotated[Fact[int], "calls of the host on these ports that no proxy serves", OBSERVED]
    pod: Annotated[Fact[str], "a pod whose proxy did not serve one, as pod.namespace", OBSERVED]
    taken: Annotated[
        Fact[int],
        "calls of its namespace that went to its endpoints, of a host that it takes over",
        OBSERVED,
    ]


_NONE = ConfigEntryCalls(other=Ref(""), host="", ports="", lost=0, pod="", taken=0)


@probe(
    "config-entry-calls",
    subject=SubjectKind.CONFIG,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "Service",
        "ServiceEntry",
        "StatefulSet",
        "Telemetry",
        "log",
    ),
    costly=True,
    kinds=("ServiceEntry",),
)
def config_entry_calls(view: View, config: ConfigSubject) -> ConfigEntryCalls:
    """How do calls end to a host that a ServiceEntry shares with another object?"""
    entry = None
    if config.config_kind == "ServiceEntry":
        entry = view.object("ServiceEntry", ServiceEntry, config.namespace, config.name)
    if entry is None:
        return _NONE
    split = entries.split(entry, shared.known_hosts(view))
    found = _NONE if split is None else _split(view, split)
    return replace(found, taken=attempt(lambda: _taken(view, entry)))


def _split(view: View, split: entries.Split) -> ConfigEntryCalls:
    logs = proxy_logs.of_callers(view)
    host = split.host.lower()

    def of(log: AccessLog) -> tuple[Line, ...]:
        here = (line for line in log.lines if line.local_port in split.ports)
        return tuple(line for line in here if ev.unserved(line, host))

    lost = len(logs.lines(of))
    most = max(logs.pods, key=lambda one: len(of(one.log))).pod if lost else None
    return replace(
        _NONE,
        other=Ref(split.other.ref),
        host=split.host,
        ports=", ".join(map(str, sorted(split.ports))),
        lost=logs.seen(lost),
        pod=f"{most.name}.{most.namespace}" if most is not None else "",
    )


def _taken(view: View, entry: ServiceEntry) -> Fact[int]:
    """Calls that pods of the entry's namespace made to the host and its endpoints got."""
    found = entries.collision(entry, shared.known_hosts(view), shared.client_namespaces(view))
    if found is None or not found.takes_over:
        return 0
    host, ends = found.host.lower(), {one.address for one in entry.spec.endpoints}
    logs = proxy_logs.of_callers(view)
    mine = [one for one in logs.pods if one.pod.namespace == entry.namespace]
    return logs.seen(
        sum(
            line.cluster_host.lower() == host and address(line.upstream_host)[0] in ends
            for one in mine
            for line in one.log.lines
        )
    )
