"""Does a VirtualService send requests outside the mesh under a name that is foreign there?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.edge_evidence import most_common
from meshdoctor.mesh.outside_names import Outside, turned_down
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import VirtualService
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import proxy_logs
from meshdoctor.probes.outside_reading import kept_of
from meshdoctor.probes.view import View, probe


class ConfigOutside(Struct, frozen=True, kw_only=True):
    """Of a VirtualService that routes to a host outside and does not rewrite the Host header;
    every other object gives empty facts."""

    ref: Annotated[Fact[Ref], "the VirtualService; empty: it keeps no name, or is none"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[int], "its http rule that keeps the caller's Host header, from 1"]
    host: Annotated[Fact[str], "the host outside that this rule routes to"]
    refused: Annotated[
        Fact[int], "requests under another name that the server outside answered badly", OBSERVED
    ]
    answered: Annotated[Fact[int], "requests under another name that it answered well", OBSERVED]
    asked: Annotated[Fact[str], "the name that those carried which were answered badly", OBSERVED]
    code: Annotated[Fact[str], "the code of the answer", OBSERVED]


_NONE = ConfigOutside(
    ref=Ref(""), name="", namespace="", rule=0, host="", refused=0, answered=0, asked="", code=""
)


@probe(
    "config-outside",
    subject=SubjectKind.CONFIG,
    reads=("ConfigMap", "Pod", "Service", "ServiceEntry", "Telemetry", "VirtualService", "log"),
    costly=True,
    kinds=("VirtualService",),
)
def config_outside(view: View, config: ConfigSubject) -> ConfigOutside:
    """Does it send requests outside the mesh under a name that is foreign there?"""
    if config.config_kind != "VirtualService":
        return _NONE
    route = view.object("VirtualService", VirtualService, config.namespace, config.name)
    found = kept_of(view, route) if route is not None else ()
    if route is None or not found:
        return _NONE
    logs = proxy_logs.of_callers(view)
    each = [(one, _lines(logs, one)) for one in found]
    outside, lines = max(each, key=lambda pair: sum(map(turned_down, pair[1])))
    bad = [line for line in lines if turned_down(line)]
    good = sum(line.code < 400 for line in lines)
    return ConfigOutside(
        ref=Ref(route.ref),
        name=route.name,
        namespace=route.namespace,
        rule=outside.rule,
        host=clean(outside.host, 253),
        refused=logs.seen(len(bad)),
        answered=good if bad else logs.seen(good),
        asked=logs.seen(clean(most_common(line.authority for line in bad), 253)),
        code=logs.seen(most_common(str(line.code) for line in bad)),
    )


def _lines(logs: proxy_logs.ProxyLogs, one: Outside) -> tuple[Line, ...]:
    return logs.lines(lambda log: tuple(line for line in log.lines if one.foreign(line)))
