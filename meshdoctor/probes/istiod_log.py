"""What does istiod say of configuration that it cannot read or deliver?"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.istiod_log import (
    Unreadable,
    failing,
    identity_refused,
    is_loopback,
    of_other_apis,
    proxy_of,
    refused_writes,
    stays_open,
    still_forbidden,
    unanswered_for,
    unreadable,
    written,
)
from meshdoctor.mesh.log_lines import Said, go_duration
from meshdoctor.mesh.refused_account import accounts_in
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ClusterRoleBinding
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import MeshSubject, ServiceSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, known, probe

A_MINUTE = timedelta(minutes=1)

_OF_ISTIOD = pattern(r"^(?:istiod|istio-pilot)(?!-gateway|-reader)")


class IstiodSays(Struct, frozen=True, kw_only=True):
    """Lines of the `discovery` containers, all istiods together."""

    kinds_refused: Annotated[
        Fact[int], "kinds istiod may not list or the API does not serve", OBSERVED
    ]
    kind_text: Annotated[Fact[str], "the last such line", OBSERVED]
    kind_object: Annotated[
        Fact[Ref],
        "of the last: the ClusterRole of the account that may not, else the account; or the "
        "CustomResourceDefinition that is not served; empty: not told",
    ]
    kind_account: Annotated[Fact[str], "the account that may not list it, else istiod's own"]
    kind_resource: Annotated[Fact[str], "that kind, plural.group; empty: not told"]
    still_forbidden: Annotated[
        Fact[int],
        "kinds that istiod's own account was refused again and again, the last time lately",
        OBSERVED,
    ]
    writes_refused: Annotated[
        Fact[int], "writes of one resource that its own account was refused lately", OBSERVED
    ]
    write_text: Annotated[Fact[str], "the last of them", OBSERVED]
    write_object: Annotated[Fact[Ref], "the ClusterRole of that account; or what else is seen"]
    write_verb: Annotated[Fact[str], "what it may not do"]
    write_resource: Annotated[Fact[str], "the resource, plural.group"]
    write_account: Annotated[Fact[str], "the account, as the API server calls it"]
    api_unreachable: Annotated[
        Fact[int], "calls of the Kubernetes API that got no answer", OBSERVED
    ]
    api_silent: Annotated[Fact[bool], "no answer of it for a minute or longer, until now", OBSERVED]
    other_apis: Annotated[
        Fact[int], "of them calls to other APIs than the cluster's own (a remote's)", OBSERVED
    ]
    others_silent: Annotated[
        Fact[bool], "of those: none of them answered for a minute or longer, lately", OBSERVED
    ]
    credentials_refused: Annotated[
        Fact[bool], "an API refused istiod's credentials for a minute or longer, lately", OBSERVED
    ]
    api_text: Annotated[Fact[str], "the last of them, and what came of it", OBSERVED]
    not_synced: Annotated[
        Fact[int], "times that istiod said it still waits for a cache, or has failed to", OBSERVED
    ]
    unsynced_said: Annotated[
        Fact[str], "the cache it waited for last, and how long, in brackets", OBSERVED
    ]
    not_serving: Annotated[Fact[int], "proxies refused: istiod is not ready", OBSERVED]
    waits_for: Annotated[
        Fact[str], "the part of istiod that its readiness last waited for; empty: none", OBSERVED
    ]
    waits_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    remote_unsynced: Annotated[Fact[int], "remote clusters that failed to sync", OBSERVED]
    remote_cluster: Annotated[Fact[str], "the last such cluster", OBSERVED]
    remote_said: Annotated[Fact[str], "how a remote cluster fails, in words", OBSERVED]
    too_large: Annotated[Fact[int], "messages over gRPC's limit", OBSERVED]
    too_large_text: Annotated[Fact[str], "the last such line", OBSERVED]
    rate_limited: Annotated[Fact[int], "connections refused: exceeded rate limit", OBSERVED]
    identity_refused: Annotated[Fact[int], "connections refused for their identity", OBSERVED]
    identity_text: Annotated[Fact[str], "the last such line", OBSERVED]
    write_timeouts: Annotated[Fact[int], "pushes that a proxy did not take in time", OBSERVED]
    write_timeout_proxy: Annotated[Fact[str], "the last such proxy, pod.namespace", OBSERVED]
    invalid: Annotated[Fact[int], "objects refused by validation", OBSERVED]
    invalid_text: Annotated[Fact[str], "the last refusal", OBSERVED]
    validation_open: Annotated[
        Fact[bool], "it tries in vain, and still, whether its validation refuses anything", OBSERVED
    ]
    gateway_named: Annotated[
        Fact[str],
        "a gateway of a network that it cannot use, for it has a name; empty: none",
        OBSERVED,
    ]
    network_without_gateway: Annotated[
        Fact[int], "endpoints left out: no gateway reaches their network", OBSERVED
    ]
    network: Annotated[Fact[str], "the last such network", OBSERVED]
    terminated: Annotated[Fact[int], "xDS connections that ended", OBSERVED]


@probe(
    "istiod-log", subject=SubjectKind.MESH, reads=("ClusterRoleBinding", "Pod", "Service", "log")
)
def istiod_log(view: View, _: MeshSubject) -> IstiodSays:
    """What does istiod say of configuration that it cannot read or deliver?"""
    log = shared.istiod_log(view).log
    refused = log.unreadable_kinds
    silent, strange = log.kind("api_unreachable"), log.kind("credentials_refused")
    others = attempt(lambda: of_other_apis(silent, _own_api(view)) if silent else ())
    remote, large = log.kind("remote_cluster"), _recent(view, log.kind("too_large"))
    waiting = log.kind("sync_waiting")
    strangers = _recent(view, filter(identity_refused, log.kind("unauthorized_xds")))
    kind, accounts = unreadable(refused[-1]) if refused else None, _accounts(view)
    slow, invalid, lost = log.kind("write_timeout"), log.kind("invalid"), log.kind("no_gateway")
    writes = refused_writes(log.said, view.now)
    named = _recent(view, log.kind("gateway_named"))
    waits = clean(log.kind("waits")[-1].get("what"), 60) if log.kind("waits") else ""
    return IstiodSays(
        kinds_refused=len(refused),
        kind_text=_text(refused),
        kind_object=attempt(lambda: _kept_by(view, kind)),
        kind_account=_account(kind, accounts),
        kind_resource=kind.resource if kind is not None else "",
        still_forbidden=len(still_forbidden(refused, accounts, view.now)),
        writes_refused=len(writes),
        write_text=_text(writes),
        write_object=attempt(lambda: _keeps(view, writes[-1])) if writes else Ref(""),
        write_verb=writes[-1].get("verb") if writes else "",
        write_resource=clean(written(writes[-1]), 120) if writes else "",
        write_account=_writer(writes[-1]) if writes else "",
        api_unreachable=len(silent),
        api_silent=unanswered_for(silent, view.now) >= A_MINUTE,
        other_apis=attempt(lambda: len(known(others))),
        others_silent=attempt(lambda: failing(known(others), view.now)),
        credentials_refused=failing(strange, view.now),
        api_text=_unanswered(silent),
        not_synced=len(log.kind("sync_failed")) + len(waiting),
        unsynced_said=_waits(waiting),
        not_serving=len(log.kind("not_serving")),
        waits_for=waits,
        waits_said=f"; its log says: {waits} is not ready" if waits else "",
        remote_unsynced=len(remote),
        remote_cluster=remote[-1].get("cluster") if remote else "",
        remote_said=attempt(lambda: _remote(remote, known(others), strange)),
        too_large=len(large),
        too_large_text=_text(large),
        rate_limited=len(_recent(view, log.kind("rate_limited"))),
        identity_refused=len(strangers),
        identity_text=_text(strangers),
        write_timeouts=len(slow),
        write_timeout_proxy=proxy_of(slow[-1].get("connection")) if slow else "",
        invalid=len(invalid),
        invalid_text=clean(invalid[-1].get("reason")) if invalid else "",
        validation_open=stays_open(log.said, view.now),
        gateway_named=clean(named[-1].get("address"), 253) if named else "",
        network_without_gateway=len(lost),
        network=lost[-1].get("network") if lost else "",
        terminated=len(log.kind("terminated")),
    )


def _recent(view: View, said: Iterable[Said]) -> tuple[Said, ...]:
    return tuple(s for s in said if shared.is_recent(s, view.now))


def _own_api(view: View) -> frozenset[str]:
    """Addresses of the cluster's own API: its Service's, and what istiod is told instead."""
    service = reading.service(view, ServiceSubject("default", "kubernetes"))
    told = (
        e.value or ""
        for pod in reading.istiod_pods(view)
        for c in pod.spec.containers
        for e in c.env
        if e.name == "KUBERNETES_SERVICE_HOST"
    )
    known = [*told, service.spec.cluster_ip if service is not None else ""]
    return frozenset(address for address in known if address)


def _accounts(view: View) -> frozenset[tuple[str, str]]:
    """Service accounts of istiod's pods."""
    pods = reading.istiod_pods(view)
    return frozenset((p.namespace, p.spec.service_account_name) for p in pods)


def _account(kind: Unreadable | None, own: frozenset[tuple[str, str]]) -> str:
    """As the API server calls it; "" when neither a line nor a pod tells."""
    if kind is not None and kind.account:
        return f"system:serviceaccount:{kind.namespace}:{kind.account}"
    return next((f"system:serviceaccount:{n}:{a}" for n, a in sorted(own) if a), "")


def _kept_by(view: View, kind: Unreadable | None) -> Ref:
    """What to mend, so that istiod can list a kind."""
    if kind is None:
        return Ref("")
    if not kind.account:
        custom = "." in kind.resource
        return Ref(f"CustomResourceDefinition//{kind.resource}" if custom else "")
    return _role_of(view, kind.namespace, kind.account)


def _keeps(view: View, refused: Said) -> Ref:
    return _role_of(view, refused.get("namespace"), refused.get("account"))


def _writer(refused: Said) -> str:
    space, name = refused.get("namespace"), refused.get("account")
    return clean(f"system:serviceaccount:{space}:{name}", 200)


def _role_of(view: View, namespace: str, account: str) -> Ref:
    """The ClusterRole that the account has; where it has none, the binding that gives istiod's role
    to others; else the account itself."""
    bindings = view.objects("ClusterRoleBinding", ClusterRoleBinding)
    roles = [
        b.role_ref.name
        for b in bindings
        if b.role_ref.kind == "ClusterRole" and (namespace, account) in accounts_in(b)
    ]
    roles.sort(key=lambda r: ("gateway-controller" in r, r))
    if roles:
        return Ref(f"ClusterRole//{roles[0]}")
    own = "reader" not in account
    strays = [b for b in bindings if own and _OF_ISTIOD.search(b.role_ref.name) and accounts_in(b)]
    return Ref(strays[0].ref if strays else f"ServiceAccount/{namespace}/{account}")


def _unanswered(said: tuple[Said, ...]) -> str:
    return f"{said[-1].get('api')}: {clean(said[-1].get('reason'), 150)}" if said else ""


def _remote(unsynced: tuple[Said, ...], silent: tuple[Said, ...], strange: tuple[Said, ...]) -> str:
    if unsynced:
        name = clean(unsynced[-1].get("cluster"), 63)
        return f"Remote cluster {name} failed to sync ({len(unsynced)} times)"
    if silent:
        itself = "; a loopback address, which in istiod's pod is istiod itself"
        own = itself if is_loopback(silent[-1].get("api")) else ""
        return f"The API of a remote cluster does not answer ({_unanswered(silent)}{own})"
    said = clean(strange[-1].get("reason"), 120) if strange else "nothing"
    return f"The API of a remote cluster does not take the token that istiod has for it ({said})"


def _waits(said: tuple[Said, ...]) -> str:
    if not said or not said[-1].get("what"):
        return ""
    took = go_duration(said[-1].get("time"))
    return f" ({said[-1].get('what')}" + (f", {took.total_seconds():.0f} s)" if took else ")")


def _text(said: tuple[Said, ...]) -> str:
    return clean(said[-1].text, 200) if said else ""
