"""What does a playbook judge once?

A subject names things only; facts about it come from probes. `str()` of a subject is its stable
identity in fingerprints and reports: workloads, never pods.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct


class SubjectKind(StrEnum):
    MESH = "mesh"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"
    EDGE = "edge"
    PROXY = "proxy"
    WEBHOOK = "webhook"
    NODE = "node"
    SERVICE = "service"
    CONFIG = "config"


class Request(Struct, frozen=True, kw_only=True):
    """The request asked about. Empty fields were not given; header names are lower-case."""

    method: str = ""
    path: str = ""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def given(self) -> bool:
        return bool(self.method or self.path or self.host or self.headers)

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class MeshSubject(Struct, frozen=True):
    kind = SubjectKind.MESH

    def __str__(self) -> str:
        return "mesh"


class NamespaceSubject(Struct, frozen=True):
    name: str
    kind = SubjectKind.NAMESPACE

    def __str__(self) -> str:
        return self.name


class WorkloadSubject(Struct, frozen=True):
    """`owner` is the kind of the controller: Deployment, StatefulSet, DaemonSet, Job, Pod ..."""

    namespace: str
    name: str
    owner: str = "Deployment"
    kind = SubjectKind.WORKLOAD

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.namespace}/{self.name}"


class ServiceSubject(Struct, frozen=True):
    namespace: str
    name: str
    kind = SubjectKind.SERVICE

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSubject:
    """Client -> server port.

    `client` None: the caller is not known or outside the mesh (`client_ip` may tell).
    `server` None: no workload stands behind the host (external, or nothing selected).
    `service` None: addressed by pod IP or unknown host. `port` is the *service* port, or the
    workload port when there is no service; 0 when unknown.
    """

    client: WorkloadSubject | None
    server: WorkloadSubject | None
    service: ServiceSubject | None = None
    host: str = ""
    port: int = 0
    request: Request = field(default=Request(), compare=False)
    client_ip: str = field(default="", compare=False)
    kind = SubjectKind.EDGE

    def __str__(self) -> str:
        client = str(self.client) if self.client else (self.client_ip or "?")
        target = str(self.service or self.server or self.host or "?")
        return f"{client} -> {target}:{self.port}" if self.port else f"{client} -> {target}"


class ProxySubject(Struct, frozen=True):
    namespace: str
    pod: str
    workload: str = ""
    kind = SubjectKind.PROXY

    def __str__(self) -> str:
        return f"{self.namespace}/{self.workload or self.pod}"


class WebhookSubject(Struct, frozen=True):
    """One webhook entry: the configuration's kind and name, and the entry's name."""

    config_kind: str
    config: str
    webhook: str
    kind = SubjectKind.WEBHOOK

    def __str__(self) -> str:
        return f"{self.config}/{self.webhook}"


class NodeSubject(Struct, frozen=True):
    name: str
    kind = SubjectKind.NODE

    def __str__(self) -> str:
        return self.name


class ConfigSubject(Struct, frozen=True):
    """One configuration object (`config_kind` is a `kinds.Kind.name`): rule, route, policy ..."""

    config_kind: str
    namespace: str
    name: str
    kind = SubjectKind.CONFIG

    def __str__(self) -> str:
        return f"{self.config_kind}/{self.namespace}/{self.name}"


Subject = (
    MeshSubject
    | NamespaceSubject
    | WorkloadSubject
    | ServiceSubject
    | EdgeSubject
    | ProxySubject
    | WebhookSubject
    | NodeSubject
    | ConfigSubject
)
