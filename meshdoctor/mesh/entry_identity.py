"""Which identities does a client accept from the endpoints of a ServiceEntry?

Mirrors pilot/pkg/model/service.go ServiceAccounts and pilot/pkg/networking/core/cluster_tls.go
(1.18 to 1.32-dev): subjectAltNames of the entry and the service accounts that its WorkloadEntries
name; where there are none, any identity of the mesh will do.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.workloads import principal
from meshdoctor.model.istio import ServiceEntry, WorkloadEntry
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.snapshot import selects

TLS_MODE = "security.istio.io/tlsMode"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One address of the entry; `source` is the WorkloadEntry that gives it, or the entry. `meshed`
    is whether clients take it for one with a proxy: by its label tlsMode, else because it names a
    service account (serviceentry/conversion.go getTLSModeFromWorkloadEntry)."""

    address: str
    account: str
    source: str
    meshed: bool = False


def endpoints(entry: ServiceEntry, others: Iterable[WorkloadEntry]) -> tuple[Endpoint, ...]:
    """The entry's own endpoints and the WorkloadEntries that it selects."""
    found = [
        Endpoint(
            address=e.address,
            account=e.service_account,
            source=entry.ref,
            meshed=_meshed(e.labels, e.service_account),
        )
        for e in entry.spec.endpoints
    ]
    selector = entry.spec.workload_selector
    for one in others:
        labels = {**one.labels, **one.spec.labels}
        if (
            selector is not None
            and selector.wanted
            and one.namespace == entry.namespace
            and selects(selector.wanted, labels)
        ):
            spec = one.spec
            account = spec.service_account
            found.append(
                Endpoint(
                    address=spec.address,
                    account=account,
                    source=one.ref,
                    meshed=_meshed(labels, account),
                )
            )
    return tuple(found)


def _meshed(labels: Mapping[str, str], account: str) -> bool:
    mode = labels.get(TLS_MODE)
    return mode == "istio" if mode is not None else bool(account)


class Stranger(Struct, frozen=True, kw_only=True):
    """An endpoint whose pod has an identity that clients do not accept."""

    endpoint: Endpoint
    pod: Pod
    identity: str
    accepted: tuple[str, ...]


def stranger(
    entry: ServiceEntry, found: Iterable[Endpoint], pods: Mapping[str, Pod], trust_domain: str
) -> Stranger | None:
    """The first endpoint, among those whose pod is known by its address, that is refused."""
    found = tuple(found)
    named = (_spiffe(trust_domain, entry.namespace, one.account) for one in found if one.account)
    accepted = tuple(dict.fromkeys((*entry.spec.subject_alt_names, *named)))
    if not accepted:
        return None
    for one in found:
        pod = pods.get(one.address)
        if pod is None:
            continue
        identity = _spiffe(trust_domain, pod.namespace, pod.spec.service_account_name)
        if identity not in accepted:
            return Stranger(endpoint=one, pod=pod, identity=identity, accepted=accepted)
    return None


def _spiffe(trust_domain: str, namespace: str, account: str) -> str:
    return f"spiffe://{principal(trust_domain, namespace, account)}"


def namespaces(names: Iterable[str]) -> frozenset[str]:
    """The namespaces that SPIFFE names speak of.

    >>> sorted(namespaces(["spiffe://cluster.local/ns/shop/sa/pay", "pay.example.com"]))
    ['shop']
    """
    parts = (name.removeprefix("spiffe://").split("/") for name in names)
    return frozenset(p[2] for p in parts if len(p) > 4 and p[1] == "ns" and p[2])
