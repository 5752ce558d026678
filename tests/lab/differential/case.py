"""What is one case: objects to apply, and what is then asked of the mesh?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

ROOT = "istio-system"
SPACES = tuple(f"dif-{letter}" for letter in "abcdefghijkl")
"""Namespaces with one server each: the policies of one do not reach the others."""
GATE = "dif-gate"
JUDGES = (*SPACES, GATE)
"""The gateway is asked by a caller outside the mesh, and leads to a server without a proxy."""
ALICE, BOB, NOBODY = "dif-east/alice", "dif-west/bob", "dif-bare/nobody"
VENDOR = "dif-out/vendor"
"""A host outside the mesh, without a Service; each server's namespace has a name for it."""
CLIENTS = (ALICE, BOB, NOBODY)
SERVICE = "server"
HTTP, SECOND, ODD, TCP, TLS = 80, 8081, 7000, 9000, 443
"""Ports of each server's Service: HTTP, HTTP again, without a protocol in its name, TCP, and one
where the application itself speaks TLS."""
TARGETS = {HTTP: 8080, SECOND: 8081, ODD: 8090, TCP: 9000, TLS: 8443}
CHECK, MISSING = "dif-check", "dif-missing"
"""External authorizers: one that denies where a request has the header x-deny, and none."""
TRUST_DOMAIN = "cluster.local"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request or connection. `port` is the Service's; with `direct` the pod's own, called
    at the pod's address. `host` "" is the host as called; `tls`: the caller speaks TLS itself,
    and says `sni`. `service`: another Service than the server's; `outside`: a host outside."""

    client: str
    space: str
    port: int
    direct: bool = False
    http: bool = True
    tls: bool = False
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    sni: str = ""
    service: str = ""
    outside: str = ""

    @property
    def target(self) -> int:
        """The server's own port."""
        same = self.direct or self.space == GATE
        return self.port if same else TARGETS[self.port]

    @property
    def place(self) -> str:
        """The server's workload, or what else is called."""
        if self.outside or self.service:
            return self.outside or f"{self.space}/{self.service}"
        odd = {GATE: f"{GATE}/ingress", NOBODY.split("/")[0]: NOBODY}
        return odd.get(self.space, f"{self.space}/{SERVICE}")

    @property
    def authority(self) -> str:
        """The Host header that is sent."""
        if self.outside:
            return self.outside
        return self.host or f"{self.place.split('/')[1]}.{self.space}:{self.port}"

    def header(self, name: str) -> str | None:
        """The value of a header that is sent."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One drawn case of a run."""

    seed: int
    index: int
    space: str
    objects: tuple[Object, ...]
    asks: tuple[Ask, ...]
    claims: Object = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.seed}:{self.index}"


def meta(kind: str, name: str, namespace: str, spec: Object, **annotations: str) -> Object:
    """An Istio object."""
    group = "security.istio.io/v1"
    if kind in ("DestinationRule", "Gateway", "Sidecar", "VirtualService", "ServiceEntry"):
        group = "networking.istio.io/v1"
    if kind == "EnvoyFilter":
        group = "networking.istio.io/v1alpha3"
    metadata: Object = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = {key.replace("__", "/"): v for key, v in annotations.items()}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}


def identity(client: str) -> str:
    """The identity that a client's certificate holds; "" without a proxy."""
    namespace, name = client.split("/")
    if client == NOBODY:
        return ""
    return f"{TRUST_DOMAIN}/ns/{namespace}/sa/{name}"
