"""What do the CUSTOM policies of the judging proxy ask of whom, and can it be asked?"""

from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_custom as custom
from meshdoctor.mesh import authz_filters
from meshdoctor.mesh.authz_policies import in_force
from meshdoctor.mesh.services import host_matches, named_by_client, selected_pods
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    DestinationRule,
    EnvoyFilter,
    ExtensionProvider,
    ProviderService,
    ServiceEntry,
    Sidecar,
)
from meshdoctor.model.kubernetes import EndpointSlice, Pod, Service
from meshdoctor.model.snapshot import selects
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.authz_verdict import name_of, namespace_of
from meshdoctor.probes.reading import mesh_config_ref
from meshdoctor.probes.view import View, attempt, probe


class AuthzCustom(Struct, frozen=True, kw_only=True):
    """CUSTOM policies in force; the provider is that of the first matching one, else the first."""

    policies: Annotated[Fact[int], "CUSTOM policies that reach the judge"]
    several: Annotated[Fact[bool], "they name several providers and istiod allows one"]
    newest: Annotated[Fact[Ref], "the newest CUSTOM policy"]
    newest_name: Annotated[Fact[str], "its name"]
    other: Annotated[Fact[Ref], "an older one with another provider"]
    other_name: Annotated[Fact[str], "its name"]
    policy: Annotated[Fact[Ref], "the policy whose provider this is"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    provider: Annotated[Fact[str], "the provider's name"]
    providers: Annotated[Fact[str], "all providers named"]
    problem: Annotated[Fact[str], "why istiod cannot use the provider; empty: it can"]
    http: Annotated[Fact[bool], "the provider speaks HTTP, not gRPC"]
    ignored_on_tcp: Annotated[Fact[Ref], "a CUSTOM policy that a TCP chain ignores"]
    ignored_name: Annotated[Fact[str], "its name"]
    host: Annotated[Fact[str], "host of the provider"]
    host_name: Annotated[Fact[str], "first word of that host"]
    service: Annotated[Fact[Ref], "the provider's Service; empty: none of this cluster"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    workload: Annotated[Fact[Ref], "the workload that the Service selects; empty: none seen"]
    port: Annotated[Fact[int], "its port"]
    entry: Annotated[Fact[Ref], "the ServiceEntry that names the provider's host; empty: none"]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    asked_plainly: Annotated[
        Fact[bool], "the entry's port takes TLS, and no DestinationRule has proxies speak it"
    ]
    http1: Annotated[
        Fact[str],
        "the protocol that its Service declares for the port of a gRPC provider, where proxies "
        "speak HTTP/1.1 to such; empty: none such",
    ]
    timeout: Annotated[Fact[str], "how long the proxy waits for the answer"]
    fail_open: Annotated[Fact[bool], "an authorizer that fails lets requests through"]
    no_headers: Annotated[Fact[bool], "HTTP, and no request header is handed on"]
    keeps_token: Annotated[
        Fact[Ref], "a CUSTOM policy before the application, whose provider hands on no token"
    ]
    keeps_provider: Annotated[Fact[str], "that HTTP provider's name"]
    body_limit: Annotated[Fact[int], "largest body that is handed on; 0: none is"]
    body_partial: Annotated[Fact[bool], "a longer body is handed on in part"]
    endpoints: Annotated[Fact[int], "ready endpoints of the provider's Service"]
    hidden_by: Annotated[Fact[Ref], "a Sidecar that hides the provider's host from the judge"]
    hidden_by_name: Annotated[Fact[str], "its name"]
    mesh_config: Annotated[Fact[Ref], "where providers are declared"]
    called: Annotated[Fact[Ref], "the Service that is called; empty: none"]
    verified_later: Annotated[
        Fact[str],
        "a header that the authorizer is to be given, and that a RequestAuthentication at the "
        "same proxy sets only after it was asked; empty: none",
    ]
    verified_by: Annotated[Fact[Ref], "that RequestAuthentication"]
    filter: Annotated[
        Fact[Ref], "an EnvoyFilter that has this proxy ask an authorizer; empty: none seen"
    ]
    filter_name: Annotated[Fact[str], "its name"]
    filter_namespace: Annotated[Fact[str], "its namespace"]
    filter_asks: Annotated[Fact[str], "whom it asks, as it names it"]


@probe(
    "authz-custom",
    subject=SubjectKind.EDGE,
    reads=(*READS, "EndpointSlice", "EnvoyFilter"),
)
def authz_custom(view: View, edge: EdgeSubject) -> AuthzCustom:
    """What do the CUSTOM policies of the judging proxy ask, and of whom?"""
    found = situation(view, edge)
    judge = found.judge
    settings = found.settings
    policies: tuple[AuthorizationPolicy, ...] = ()
    if judge is not None:
        reached = in_force(judge.inputs.policies, judge.inputs.judge, settings)
        policies = tuple(p for p in reached if p.spec.action == "CUSTOM")
    newest = sorted(policies, key=_created, reverse=True)
    chosen = _chosen(judge, policies)
    name = chosen.spec.provider.name if chosen and chosen.spec.provider else ""
    provider = custom.find(name, settings) if name else None
    service = custom.service_of(provider) if provider is not None else None
    names = sorted({p.spec.provider.name for p in policies if p.spec.provider})
    other = next((p for p in newest if p.spec.provider != newest[0].spec.provider), None)
    host = service.service.rpartition("/")[2] if service is not None else ""
    hidden = _hidden_by(view, judge, host) if host else ""
    ignored = _ignored(judge, policies)
    asking = attempt(lambda: _asking(view, found))
    told = asking if isinstance(asking, EnvoyFilter) else None
    unseen = asking if isinstance(asking, Unavailable) else None
    entry = _entry(view, host)
    keeping = _keeping(found)
    later = ("", "")
    if judge is not None and policies:
        verifying = in_force(judge.inputs.authentications, judge.inputs.judge, settings)
        later = custom.set_later(provider, verifying)
    body = (service.include_request_body_in_check or {}) if service is not None else {}
    return AuthzCustom(
        policies=len(policies),
        several=len(names) > 1 and not settings.multiple_providers,
        newest=Ref(newest[0].ref if newest else ""),
        newest_name=newest[0].name if newest else "",
        other=Ref(other.ref if other is not None else ""),
        other_name=other.name if other is not None else "",
        policy=Ref(chosen.ref if chosen is not None else ""),
        policy_name=chosen.name if chosen is not None else "",
        policy_namespace=chosen.namespace if chosen is not None else "",
        provider=clean(name, 100),
        providers=clean(", ".join(names), 200),
        problem=clean(custom.provider_problem(name, settings), 300) if name else "",
        http=provider is not None and provider.envoy_ext_authz_http is not None,
        ignored_on_tcp=Ref(ignored),
        ignored_name=name_of(ignored),
        host=clean(host, 200),
        host_name=clean(host.partition(".")[0], 63),
        service=Ref(_service_ref(host)),
        service_namespace=namespace_of(_service_ref(host)),
        workload=attempt(lambda: Ref(_workload(view, host))),
        port=service.port if service is not None else 0,
        entry=Ref(entry.ref if entry is not None else ""),
        entry_name=entry.name if entry is not None else "",
        entry_namespace=entry.namespace if entry is not None else "",
        asked_plainly=attempt(lambda: _plainly(view, found, entry, service)),
        http1=attempt(lambda: _http1(view, found, provider)),
        timeout=(service.timeout or "600s") if service is not None else "",
        fail_open=service is not None and service.fail_open,
        no_headers=_no_headers(provider, service),
        keeps_token=Ref(keeping[0].ref if keeping is not None else ""),
        keeps_provider=clean(keeping[1] if keeping is not None else "", 100),
        body_limit=_number(body.get("maxRequestBytes")),
        body_partial=bool(body.get("allowPartialMessage")),
        endpoints=_endpoints(view, host) if policies else 0,
        hidden_by=Ref(hidden),
        hidden_by_name=name_of(hidden),
        mesh_config=Ref(mesh_config_ref(view)),
        called=Ref(found.service.ref if found.service is not None else ""),
        verified_later=clean(later[0], 100),
        verified_by=Ref(later[1]),
        filter=unseen or Ref(told.ref if told is not None else ""),
        filter_name=unseen or (told.name if told is not None else ""),
        filter_namespace=unseen or (told.namespace if told is not None else ""),
        filter_asks=unseen or clean(authz_filters.asked(told) if told is not None else "", 200),
    )


def _asking(view: View, found: Situation) -> EnvoyFilter | None:
    judge = found.judge
    if judge is None or judge.kind not in ("sidecar", "gateway"):
        return None
    root, space = found.settings.root_namespace, judge.workload.subject.namespace
    spaces = dict.fromkeys((space, root))
    filters = [f for ns in spaces for f in view.objects("EnvoyFilter", EnvoyFilter, ns)]
    return authz_filters.asking(filters, root, space, judge.workload.labels, judge.kind)


def _created(policy: AuthorizationPolicy) -> str:
    created = policy.metadata.creation_timestamp
    return created.isoformat() if created else ""


def _chosen(
    judge: Hop | None, policies: tuple[AuthorizationPolicy, ...]
) -> AuthorizationPolicy | None:
    if judge is None:
        return None
    named = judge.summary.denial.ref if judge.summary.denial is not None else ""
    matching = {p.ref for p in judge.verdict.policies if p.holds}
    ordered = sorted(policies, key=lambda p: (p.ref != named, p.ref not in matching, p.ref))
    return ordered[0] if ordered else None


def _ignored(judge: Hop | None, policies: tuple[AuthorizationPolicy, ...]) -> str:
    """A CUSTOM policy with an HTTP provider, where the filter chain is TCP."""
    if judge is None or not judge.verdict.tcp or judge.kind == "ztunnel":
        return ""
    for policy in policies:
        name = policy.spec.provider.name if policy.spec.provider else ""
        if not custom.applies_to_tcp(name, judge.inputs.settings):
            return policy.ref
    return ""


def _entry(view: View, host: str) -> ServiceEntry | None:
    """The ServiceEntry that names a provider which is no Service of this cluster."""
    if not host or _where(host) is not None:
        return None
    entries = view.objects("ServiceEntry", ServiceEntry)
    return next((e for e in entries if any(host_matches(h, host) for h in e.spec.hosts)), None)


def _plainly(
    view: View, found: Situation, entry: ServiceEntry | None, service: ProviderService | None
) -> bool:
    """Whether the judge asks in plaintext where the entry's port takes TLS."""
    judge = found.judge
    if entry is None or service is None or judge is None:
        return False
    host = service.service.rpartition("/")[2]
    spaces = {judge.workload.subject.namespace, entry.namespace, found.settings.root_namespace}
    rules = (
        r for ns in sorted(spaces) for r in view.objects("DestinationRule", DestinationRule, ns)
    )
    return custom.asked_plainly(entry, host, service.port, rules)


def _http1(view: View, found: Situation, provider: ExtensionProvider | None) -> str:
    asked = provider.envoy_ext_authz_grpc if provider is not None else None
    where = _where(asked.service.rpartition("/")[2]) if asked is not None else None
    service = view.object("Service", Service, *where) if where is not None else None
    if provider is None or service is None or found.judge is None:
        return ""
    spaces = {found.judge.workload.subject.namespace, service.namespace}
    spaces.add(found.settings.root_namespace)
    rules = (
        r for ns in sorted(spaces) for r in view.objects("DestinationRule", DestinationRule, ns)
    )
    return custom.grpc_over_http1(provider, service, rules)


def _no_headers(provider: ExtensionProvider | None, service: ProviderService | None) -> bool:
    if provider is None or provider.envoy_ext_authz_http is None or service is None:
        return False
    return not (service.include_request_headers_in_check or service.include_headers_in_check)


def _keeping(found: Situation) -> tuple[AuthorizationPolicy, str] | None:
    """The first CUSTOM policy of any hop whose HTTP provider hands no Authorization header of its
    own on to the application: it lists none; a star stands for any beginning or end."""
    for hop in found.hops:
        for policy in in_force(hop.inputs.policies, hop.inputs.judge, found.settings):
            name = policy.spec.provider.name if policy.spec.provider else ""
            provider = custom.find(name, found.settings) if policy.spec.action == "CUSTOM" else None
            http = provider.envoy_ext_authz_http if provider is not None else None
            if http is not None and not any(
                fnmatchcase("authorization", one.lower())
                for one in http.headers_to_upstream_on_allow
            ):
                return policy, name
    return None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _where(host: str) -> tuple[str, str] | None:
    return named_by_client(host, "") if ".svc." in host else None


def _service_ref(host: str) -> str:
    where = _where(host)
    return f"Service/{where[0]}/{where[1]}" if where else ""


def _workload(view: View, host: str) -> str:
    where = _where(host)
    service = view.object("Service", Service, *where) if where is not None else None
    if service is None:
        return ""
    pods = selected_pods(service, view.objects("Pod", Pod, service.namespace))
    return owner_of(pods[0]).ref if pods else ""


def _endpoints(view: View, host: str) -> Fact[int]:
    where = _where(host)
    if where is None:
        return 1
    found = attempt(lambda: _ready(view, *where))
    return found if isinstance(found, Unavailable) else found


def _ready(view: View, namespace: str, name: str) -> int:
    """Ready addresses; a Service without any slice has none."""
    if view.object("Service", Service, namespace, name) is None:
        return 0
    return sum(
        len(one.addresses)
        for piece in view.objects("EndpointSlice", EndpointSlice, namespace)
        if piece.service_name == name
        for one in piece.endpoints
        if one.conditions.ready
    )


def _hidden_by(view: View, judge: Hop | None, host: str) -> str:
    """The Sidecar in force on the judge whose egress hosts do not name the provider; "": none."""
    if judge is None or judge.kind != "sidecar":
        return ""
    space, labels = judge.workload.subject.namespace, judge.workload.labels
    root = judge.inputs.settings.root_namespace
    candidates = [
        *(s for s in view.objects("Sidecar", Sidecar, space) if _wanted(s)),
        *(s for s in view.objects("Sidecar", Sidecar, space) if not _wanted(s)),
        *(s for s in view.objects("Sidecar", Sidecar, root) if not _wanted(s)),
    ]
    for one in candidates:
        if not selects(_wanted(one), labels):
            continue
        if not one.spec.egress:
            return ""
        return "" if _imports(one, host, space) else one.ref
    return ""


def _wanted(sidecar: Sidecar) -> dict[str, str]:
    selector = sidecar.spec.workload_selector
    return selector.wanted if selector is not None else {}


def _imports(sidecar: Sidecar, host: str, space: str) -> bool:
    where = _where(host)
    owner = where[0] if where else ""
    for listener in sidecar.spec.egress:
        for one in listener.hosts:
            namespace, _, name = one.partition("/")
            mine = namespace == "*" or (space if namespace == "." else namespace) == owner
            exact = name == "*" or name == host
            wild = name.startswith("*.") and host.endswith(name[1:])
            if (mine or not owner) and (exact or wild):
                return True
    return False
