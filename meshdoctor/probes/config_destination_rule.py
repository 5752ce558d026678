"""Why does a DestinationRule, or a part of it, never apply?"""

from collections import defaultdict
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import rules
from meshdoctor.mesh.endpoints import empty_subset
from meshdoctor.mesh.hosts import Catalogue, misread, service_of, slip
from meshdoctor.mesh.text import clean, pairs
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, ServiceEntry
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class DestinationRuleFacts(Struct, frozen=True, kw_only=True):
    """Of a DestinationRule; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the DestinationRule; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    host: Annotated[Fact[str], "its host as istiod reads it"]
    service: Annotated[Fact[Ref], "the service of that host; empty: none, or not a cluster host"]
    service_namespace: Annotated[Fact[str], "the namespace of that service"]
    never_chosen: Annotated[
        Fact[bool], "it lies neither with its service, nor in the root namespace, nor with proxies"
    ]
    misread: Annotated[Fact[str], "its host as it is written, when istiod reads it as another"]
    meant: Annotated[Fact[Ref], "the service that was probably meant"]
    meant_host: Annotated[Fact[str], "its full host name"]
    slip: Annotated[
        Fact[str],
        "the host without a rule that was meant, where nothing has the rule's; empty: none",
    ]
    slip_of: Annotated[Fact[Ref], "the Service or ServiceEntry that has it"]
    first: Annotated[Fact[Ref], "the older rule of namespace and host that it is merged behind"]
    first_name: Annotated[Fact[str], "its name"]
    lost: Annotated[Fact[str], "what is lost in that merge; empty: nothing"]
    empty_subset: Annotated[Fact[str], "a subset that routes use and no ready pod has labels for"]
    empty_labels: Annotated[Fact[str], "the labels of that subset"]


_NONE = DestinationRuleFacts(
    ref=Ref(""),
    name="",
    namespace="",
    host="",
    service=Ref(""),
    service_namespace="",
    never_chosen=False,
    misread="",
    meant=Ref(""),
    meant_host="",
    slip="",
    slip_of=Ref(""),
    first=Ref(""),
    first_name="",
    lost="",
    empty_subset="",
    empty_labels="",
)


@probe(
    "config-destination-rule",
    subject=SubjectKind.CONFIG,
    reads=("ConfigMap", "DestinationRule", "Pod", "Service", "ServiceEntry", "VirtualService"),
    kinds=("DestinationRule",),
)
def config_destination_rule(view: View, config: ConfigSubject) -> DestinationRuleFacts:
    """Why does a DestinationRule, or a part of it, never apply?"""
    if config.config_kind != "DestinationRule":
        return _NONE
    rule = view.object("DestinationRule", DestinationRule, config.namespace, config.name)
    if rule is None:
        raise MissingError(str(config), "it does not exist any more")
    facts = replace(
        _NONE,
        ref=Ref(rule.ref),
        name=rule.name,
        namespace=rule.namespace,
        host=clean(rules.host(rule), 253),
    )
    own = service_of(rules.host(rule))
    service = view.object("Service", Service, *own) if own is not None else None
    if service is not None:
        facts = _of_service(view, rule, service, facts)
    else:
        facts = _astray(view, rule, facts)
    merge = rules.lost_in_merge(rule, _rivals(view, rule))
    if merge is not None:
        facts = replace(
            facts,
            first=Ref(merge.first.ref),
            first_name=merge.first.name,
            lost=clean(merge.lost, 100),
        )
    return facts


def _rivals(view: View, rule: DestinationRule) -> tuple[DestinationRule, ...]:
    """Rules of the same namespace and host, this one included."""
    space = rule.namespace

    def build(v: View) -> dict[str, tuple[DestinationRule, ...]]:
        found: dict[str, list[DestinationRule]] = defaultdict(list)
        for one in v.objects("DestinationRule", DestinationRule, space):
            found[rules.host(one).lower()].append(one)
        return {host: tuple(some) for host, some in found.items()}

    return view.memo(("rules-by-host", space), build).get(rules.host(rule).lower(), ())


def _of_service(
    view: View, rule: DestinationRule, service: Service, facts: DestinationRuleFacts
) -> DestinationRuleFacts:
    root = reading.root_namespace(view)
    never = rules.never_chosen(rule, root, shared.client_namespaces(view))
    if never:
        pods = view.objects("Pod", Pod, rule.namespace)
        never = rules.never_chosen(rule, root, {p.namespace for p in pods if shared.is_client(p)})
    used = shared.subsets_by_host(view).get(rules.host(rule).lower(), frozenset())
    subset = None
    if used and not never:
        subset = empty_subset(rule, service, view.objects("Pod", Pod, service.namespace), used)
    return replace(
        facts,
        service=Ref(service.ref),
        service_namespace=service.namespace,
        never_chosen=never,
        empty_subset=clean(subset.name, 63) if subset is not None else "",
        empty_labels=pairs(subset.labels) if subset is not None else "",
    )


def _astray(view: View, rule: DestinationRule, facts: DestinationRuleFacts) -> DestinationRuleFacts:
    found = misread(rule.spec.host, rule.namespace, shared.known_hosts(view))
    if found is None:
        return _misspelt(view, rule, facts)
    return replace(
        facts,
        misread=clean(rule.spec.host, 253),
        meant=Ref(found.meant.ref),
        meant_host=f"{found.meant.name}.{found.meant.namespace}.svc.cluster.local",
    )


def _misspelt(
    view: View, rule: DestinationRule, facts: DestinationRuleFacts
) -> DestinationRuleFacts:
    """Whether nothing has the rule's host, and a slip away there is one that no rule is for."""
    known, host = shared.known_hosts(view), rules.host(rule).lower()
    if known.entry_for(host) is not None:
        return facts
    meant = slip(host, lambda one: _holder(known, one) is not None)
    holder = _holder(known, meant) if meant else None
    if holder is None or any(
        rules.applies_to(one, meant) for one in view.objects("DestinationRule", DestinationRule)
    ):
        return facts
    if isinstance(holder, ServiceEntry):
        meant = next(one for one in holder.spec.hosts if one.lower() == meant)
    return replace(facts, slip=clean(meant, 253), slip_of=Ref(holder.ref))


def _holder(known: Catalogue, host: str) -> Service | ServiceEntry | None:
    own = service_of(host)
    if own is not None:
        return known.services.get(own)
    return next(iter(known.with_host(host)), None)
