"""Which of the kinds we read does this API server serve, and in which version?

One request to the aggregated discovery document; older servers are asked group by group.
"""

import threading

import msgspec

from meshdoctor.model.kinds import Kind
from meshdoctor.model.ready import decoder
from meshdoctor.ports import EvidenceError, NotServedError
from meshdoctor.sources.http import Refused, Transport

_AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList"
    for v in ("v2", "v2beta1")
)


class _Resource(msgspec.Struct, frozen=True):
    resource: str = ""
    name: str = ""


class _Version(msgspec.Struct, frozen=True):
    version: str = ""
    resources: list[_Resource] | None = None
    freshness: str = ""


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    name: str = ""
    versions: list[_Version] = []


class _Groups(msgspec.Struct, frozen=True):
    """APIGroupDiscoveryList has `items`, the older APIGroupList has `groups`."""

    items: list[_Group] = []
    groups: list[_Group] = []


class _Resources(msgspec.Struct, frozen=True):
    resources: list[_Resource] = []


Served = dict[str, dict[str, frozenset[str] | None]]


class Discovery:
    """group -> version -> plurals; None for plurals: ask before use. Read once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._served: Served | None = None
        self._failed = False

    def ask(self) -> None:
        """Read the document, if it was not read yet."""
        with self._lock:
            self._read()

    def version(self, kind: Kind) -> str:
        """The version to ask for. Raises NotServedError when the server has no such kind."""
        if not kind.group:
            return kind.versions[0]
        with self._lock:
            served = self._read()
            if served is None:
                return kind.versions[0]
            versions = served.get(kind.group, {})
            for version in kind.versions:
                if version in versions and self._holds(versions, kind, version):
                    return version
        detail = f"the API server serves no {kind.resource}"
        if versions:
            detail += f" in {' or '.join(kind.versions)}"
        raise NotServedError(
            f"kubectl get {kind.resource}",
            detail,
            f"kubectl api-resources --api-group={kind.group}",
        )

    def _read(self) -> Served | None:
        if self._served is None and not self._failed:
            accept = f"{_AGGREGATED},application/json"
            try:
                body = self._transport.get("/apis", accept=accept)
                self._served = _table(decoder(_Groups).decode(body))
            except (Refused, EvidenceError, msgspec.DecodeError):
                self._failed = True
        return self._served

    def _holds(self, versions: dict[str, frozenset[str] | None], kind: Kind, version: str) -> bool:
        plurals = versions[version]
        if plurals is None:
            try:
                body = self._transport.get(f"/apis/{kind.group}/{version}")
                found = decoder(_Resources).decode(body).resources
                plurals = frozenset(one.name for one in found)
            except Refused as refused:
                if refused.status != 404:
                    return True
                plurals = frozenset()
            except (EvidenceError, msgspec.DecodeError):
                return True
            versions[version] = plurals
        return kind.plural in plurals


def _table(groups: _Groups) -> Served:
    """A group whose own server does not answer (freshness Stale) keeps its plurals unknown."""
    table: Served = {}
    for group in groups.items or groups.groups:
        versions: dict[str, frozenset[str] | None] = {}
        for one in group.versions:
            known = one.resources is not None and one.freshness != "Stale"
            names = frozenset(r.resource for r in one.resources or ())
            versions[one.version] = names if known else None
        table[group.metadata.name or group.name] = versions
    return table
