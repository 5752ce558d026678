"""How do calls end to the hosts of a ServiceEntry that shares them with another one?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import entries
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import proxy_logs
from meshdoctor.probes.view import View, probe


class ConfigEntryCalls(Struct, frozen=True, kw_only=True):
    """Of a ServiceEntry whose host another one of its namespace has too, with other ports; empty
    for other objects."""

    other: Annotated[Fact[Ref], "that other ServiceEntry; empty: none"]
    host: Annotated[Fact[str], "the host that both have"]
    ports: Annotated[Fact[str], "the ports that only this one has"]
    lost: Annotated[Fact[int], "calls of the host on these ports that no proxy serves", OBSERVED]
    pod: Annotated[Fact[str], "a pod whose proxy did not serve one, as pod.namespace", OBSERVED]


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
    """How do calls end to a host that two ServiceEntries of one namespace have?"""
    entry = None
    if config.config_kind == "ServiceEntry":
        entry = view.object("ServiceEntry", ServiceEntry, config.namespace, config.name)
    split = entries.split(entry, shared.known_hosts(view)) if entry is not None else None
    if split is None:
        return ConfigEntryCalls(other=Ref(""), host="", ports="", lost=0, pod="")
    logs = proxy_logs.of_callers(view)
    host = split.host.lower()

    def of(log: AccessLog) -> tuple[Line, ...]:
        here = (line for line in log.lines if line.local_port in split.ports)
        return tuple(line for line in here if ev.unserved(line, host))

    lost = len(logs.lines(of))
    most = max(logs.pods, key=lambda one: len(of(one.log))).pod if lost else None
    return ConfigEntryCalls(
        other=Ref(split.other.ref),
        host=split.host,
        ports=", ".join(map(str, sorted(split.ports))),
        lost=logs.seen(lost),
        pod=f"{most.name}.{most.namespace}" if most is not None else "",
    )
