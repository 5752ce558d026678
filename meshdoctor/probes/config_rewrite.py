"""Does a VirtualService send requests on under a path that the application does not know?"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import path_rewrites
from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.routes import destinations
from meshdoctor.mesh.services import resolve_short_name
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import VirtualService
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import proxy_logs
from meshdoctor.probes.view import View, probe


class ConfigRewrite(Struct, frozen=True, kw_only=True):
    """Of a VirtualService that matches paths; every other object gives empty facts."""

    ref: Annotated[Fact[Ref], "the VirtualService; empty: it is none"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    passing: Annotated[Fact[int], "its http rule that passes the path on as it came, from 1"]
    prefix: Annotated[Fact[str], "the path that this rule matches"]
    refused: Annotated[
        Fact[int], "its requests that the application answered with 404, none other", OBSERVED
    ]
    path: Annotated[Fact[str], "the path of one of them", OBSERVED]
    stripped: Annotated[
        Fact[str], "the same without the prefix, which the application answers well", OBSERVED
    ]
    asked: Annotated[
        Fact[bool], "the request asked about is one of them, for the prefix itself or like others"
    ]
    doubling: Annotated[Fact[int], "its http rule that writes two slashes, from 1"]
    doubled: Annotated[Fact[int], "requests that came so to the application: 404", OBSERVED]
    doubled_prefix: Annotated[Fact[str], "the prefix that this rule replaces"]
    doubled_path: Annotated[Fact[str], "the path that the application got", OBSERVED]


_NONE = ConfigRewrite(
    ref=Ref(""),
    name="",
    namespace="",
    passing=0,
    prefix="",
    refused=0,
    path="",
    stripped="",
    asked=False,
    doubling=0,
    doubled=0,
    doubled_prefix="",
    doubled_path="",
)


@probe(
    "config-rewrite",
    subject=SubjectKind.CONFIG,
    reads=("ConfigMap", "Pod", "Telemetry", "VirtualService", "log"),
    costly=True,
    kinds=("VirtualService",),
)
def config_rewrite(view: View, config: ConfigSubject) -> ConfigRewrite:
    """Does it send requests on under a path that the application does not know?"""
    if config.config_kind != "VirtualService":
        return _NONE
    route = view.object("VirtualService", VirtualService, config.namespace, config.name)
    if route is None:
        return _NONE
    passes, doubles = path_rewrites.passes_prefix(route), path_rewrites.doubles_slash(route)
    if not passes and not doubles:
        return _NONE
    logs = proxy_logs.of_callers(view)
    lines = tuple(_of(view.memo("lines-of-lost-paths", _lost), route))
    facts = replace(_NONE, ref=Ref(route.ref), name=route.name, namespace=route.namespace)
    if passes:
        facts = _passed(view, route, lines, logs, facts)
    twice = path_rewrites.doubled(route, lines) if doubles else None
    return replace(
        facts,
        doubling=twice.rule if twice else 0,
        doubled=logs.seen(twice.refused if twice else 0) if doubles else 0,
        doubled_prefix=clean(twice.prefix, 100) if twice else "",
        doubled_path=clean(twice.path, 100) if twice else "",
    )


def _passed(
    view: View,
    route: VirtualService,
    lines: tuple[Line, ...],
    logs: proxy_logs.ProxyLogs,
    facts: ConfigRewrite,
) -> ConfigRewrite:
    found = path_rewrites.passed(route, lines)
    if found is None:
        return replace(facts, refused=logs.seen(0))
    asked = view.request.path.partition("?")[0].rstrip("/")
    return replace(
        facts,
        passing=found.rule,
        prefix=clean(found.prefix, 100),
        refused=found.refused,
        path=clean(found.path, 100),
        stripped=clean(found.stripped, 100),
        asked=found.at_root and bool(asked) and asked in {found.path.rstrip("/"), found.prefix},
    )


class _Lines(Struct, frozen=True):
    """Lines of callers by the host that they called, where some of its answers are 404, and those
    of servers by their address."""

    called: dict[str, list[Line]]
    arrived: dict[str, list[Line]]


def _lost(view: View) -> _Lines:
    found = _Lines(defaultdict(list), defaultdict(list))
    for line in proxy_logs.of_callers(view).lines(lambda log: log.lines):
        if line.method and line.is_outbound:
            found.called[line.cluster_host.lower()].append(line)
        elif line.method and line.is_inbound:
            found.arrived[address(line.downstream_local)[0]].append(line)
    for host, lines in list(found.called.items()):
        if all(line.code != 404 for line in lines):
            del found.called[host]
    return found


def _of(lines: _Lines, route: VirtualService) -> Iterator[Line]:
    """What the proxies logged of the destinations of a route."""
    hosts = {resolve_short_name(d.host, route.namespace).lower() for d in destinations(route)}
    called = [line for host in sorted(hosts) for line in lines.called.get(host, ())]
    yield from called
    for pod in sorted({address(line.upstream_host)[0] for line in called if line.upstream_host}):
        yield from lines.arrived.get(pod, ())
