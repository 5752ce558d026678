"""Which filter that is no policy, token rule or authorizer refused, at which proxy, and why?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.authz_evidence import DIRECT, OTHER, TOO_LARGE, Denial, relevant, summarise
from meshdoctor.mesh.authz_filters import adding
from meshdoctor.mesh.faults import aimed
from meshdoctor.mesh.filter_blame import fields, of_proxy
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.services import fqdn, host_matches, resolve_short_name
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, VirtualService, WasmPlugin
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import counted, situation
from meshdoctor.probes.authz_verdict import name_of, namespace_of
from meshdoctor.probes.view import View, probe

_FAULTS = ("FI", "DI", "fault_filter")
_WASM = "wasm_fail_stream"
_HOLDS = ", for a filter holds whole bodies, and what the proxy buffers ends at a limit (1 MiB)"
_ADDED = (
    ("request_payload_too_large", ("filters.http.buffer", "envoy.buffer", "lua", "ext_authz")),
    ("response_payload_too_large", ("lua", "wasm", "transcoder", "envoy.buffer")),
    (_WASM, ("wasm",)),
    ("lua_response", ("lua",)),
    ("rate_limit", ("ratelimit", "rate_limit")),
    ("rbac_access_denied", ("filters.http.rbac", "filters.network.rbac")),
)


class AuthzOther(Struct, frozen=True, kw_only=True):
    """A filter that is neither RBAC, JWT nor ext_authz: at the judge, or at the caller's own proxy,
    where faults and direct responses of VirtualServices answer."""

    refused: Annotated[Fact[int], "requests that such a filter refused", OBSERVED]
    by: Annotated[Fact[Ref], "the workload whose proxy refused them"]
    namespace: Annotated[Fact[str], "its namespace"]
    pod: Annotated[Fact[str], "one of its pods"]
    text: Annotated[Fact[str], "code, flags and details, as logged"]
    details: Annotated[Fact[str], "the details alone"]
    source: Annotated[Fact[Ref], "VirtualService, EnvoyFilter or WasmPlugin; else that workload"]
    aimed: Annotated[
        Fact[bool],
        "it is a fault for requests of certain headers or callers only, and others are answered",
    ]
    source_kind: Annotated[Fact[str], "its kind, as kubectl takes it"]
    source_name: Annotated[Fact[str], "its name"]
    source_namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "authz-other",
    subject=SubjectKind.EDGE,
    reads=(*READS, "EnvoyFilter", "WasmPlugin"),
)
def authz_other(view: View, edge: EdgeSubject) -> AuthzOther:
    """Which filter that is no policy refused, and which configuration adds it?"""
    found = situation(view, edge)
    judge = found.judge
    if judge is not None and judge.summary.denial and judge.summary.denial.kind == OTHER:
        count = judge.summary.count(OTHER)
        return _facts(view, found, judge.workload, count, judge.summary.denial)
    if judge is not None and _buffers(view, found, judge):
        count = judge.summary.count(TOO_LARGE)
        return _facts(view, found, judge.workload, count, judge.summary.denial)
    own = _at_caller(found)
    if own is not None and found.client is not None:
        return _facts(view, found, found.client, *own)
    return _facts(view, found, None, counted(found, judge, 0), None)


def _buffers(view: View, found: Situation, judge: Hop) -> bool:
    """Whether a filter that holds whole bodies refused many for their size. A few among many are
    what a limit is for."""
    summary = judge.summary
    if summary.denial is None or summary.denial.kind != TOO_LARGE:
        return False
    often = summary.count(TOO_LARGE) * 10 >= summary.total
    return often and bool(_added(view, found, judge.workload, summary.denial.text))


def _at_caller(found: Situation) -> tuple[int, Denial] | None:
    """What the caller's sidecar refused itself; a calling gateway is a judge already."""
    pod = found.client.pod if found.client is not None else None
    if pod is None or proxy_type(pod) == "router":
        return None
    asked = found.request
    lines = relevant(found.client_lines, method=asked.method, path=asked.path, host=asked.host)
    summary = summarise(lines)
    if summary.denial is None or summary.denial.kind != OTHER:
        return None
    return summary.count(OTHER), summary.denial


def _facts(
    view: View,
    found: Situation,
    by: WorkloadPods | None,
    count: Fact[int],
    denial: Denial | None,
) -> AuthzOther:
    source = _source(view, found, by, denial) if by is not None and denial is not None else ""
    if by is not None and not source:
        return _facts(view, found, None, 0, None)
    ref = by.subject.ref if by is not None else ""
    text = denial.text if denial is not None else ""
    fault = any(word in text for word in _FAULTS)
    return AuthzOther(
        refused=count,
        by=Ref(ref),
        namespace=by.subject.namespace if by is not None else "",
        pod=by.pod.name if by is not None and by.pod is not None else "",
        text=text + (_HOLDS if "_payload_too_large" in text else ""),
        details=clean(text.rpartition(" ")[2], 100),
        source=Ref(source),
        aimed=_aimed(view, found, source, count) if fault else False,
        source_kind=source.partition("/")[0].lower(),
        source_name=name_of(source),
        source_namespace=namespace_of(source),
    )


def _aimed(view: View, found: Situation, source: str, count: Fact[int]) -> bool:
    """Whether each fault of the VirtualService asks for a header, a query or a caller first, and
    it does not meet every call: then somebody tests with it."""
    kind, _, key = source.partition("/")
    if kind != "VirtualService" or not isinstance(count, int):
        return False
    rule = view.object("VirtualService", VirtualService, *key.split("/"))
    faulty = [one for one in rule.spec.http if one.fault is not None] if rule is not None else []
    return count < len(found.client_lines) and bool(faulty) and all(map(aimed, faulty))


def _source(view: View, found: Situation, by: WorkloadPods, denial: Denial) -> str:
    """What refused; "" of an answer that no object gives: istiod has routes answer 500 itself
    where what they lead to is not valid."""
    if any(word in denial.text for word in _FAULTS):
        return _rule(view, found, fault=True) or by.subject.ref
    if DIRECT in denial.text:
        return _rule(view, found, fault=False) or _answering(view, found, by)
    return (
        _added(view, found, by, denial.text) or _filter(view, found, by, denial) or by.subject.ref
    )


def _added(view: View, found: Situation, by: WorkloadPods, text: str) -> str:
    """The EnvoyFilter of that proxy that adds a filter of which these details tell."""
    words = next((adds for word, adds in _ADDED if word in text), ())
    kind = "gateway" if by.proxy_type == "router" else "sidecar"
    one = adding(_filters(view, found, by), kind, words)
    return one.ref if one is not None else ""


def _answering(view: View, found: Situation, by: WorkloadPods) -> str:
    """The EnvoyFilter of that proxy that has a route answer itself."""
    names = ("direct_response", "directResponse")
    return next(
        (
            one.ref
            for one in _filters(view, found, by)
            for patch in one.spec.config_patches
            if any(name in names for name, _ in fields(patch))
        ),
        "",
    )


def _filters(view: View, found: Situation, by: WorkloadPods) -> tuple[EnvoyFilter, ...]:
    root = found.settings.root_namespace
    spaces = dict.fromkeys((by.subject.namespace, root))
    filters = [f for ns in spaces for f in view.objects("EnvoyFilter", EnvoyFilter, ns)]
    return of_proxy(filters, root, by.subject.namespace, by.labels)


def _rule(view: View, found: Situation, *, fault: bool) -> str:
    """A VirtualService for this service, or for the host that is asked of a gateway, with a fault,
    or with an answer of its own."""
    name = fqdn(found.service) if found.service is not None else found.edge.host
    if found.server is not None and found.server.proxy_type == "router" and found.request.host:
        name = bare_host(found.request.host)
    for rule in view.objects("VirtualService", VirtualService):
        hosts = (resolve_short_name(h, rule.namespace) for h in rule.spec.hosts)
        routed = any(
            resolve_short_name(t.destination.host, rule.namespace) == name
            for route in rule.spec.http
            for t in route.route
        )
        if not routed and not any(host_matches(h, name) for h in hosts):
            continue
        if any(
            (route.fault if fault else route.direct_response) is not None
            for route in rule.spec.http
        ):
            return rule.ref
    return ""


def _filter(view: View, found: Situation, by: WorkloadPods, denial: Denial) -> str:
    """An EnvoyFilter or WasmPlugin that selects that proxy, its own namespace's first; of a failed
    stream, a plugin that does not let requests pass when it fails."""
    failed = _WASM in denial.text
    for namespace in dict.fromkeys((by.subject.namespace, found.settings.root_namespace)):
        for one in () if failed else view.objects("EnvoyFilter", EnvoyFilter, namespace):
            if workload_selected(one.spec.workload_selector, by.labels):
                return one.ref
        for plugin in view.objects("WasmPlugin", WasmPlugin, namespace):
            open_ = failed and plugin.spec.fail_strategy == "FAIL_OPEN"
            if not open_ and workload_selected(plugin.spec.selector, by.labels):
                return plugin.ref
    return ""
