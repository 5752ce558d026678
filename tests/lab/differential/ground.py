"""Where do the cases take place: six servers, their callers, and what is read back of them?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml

from tests.lab import istio, layout
from tests.lab.api import Api, Object, key_of
from tests.lab.differential import inside
from tests.lab.differential.case import (
    ALICE,
    BOB,
    GATE,
    NOBODY,
    ROOT,
    SERVICE,
    SPACES,
    VENDOR,
)
from tests.lab.differential.world import objects

KINDS = {
    "AuthorizationPolicy": "security.istio.io/v1/authorizationpolicies",
    "RequestAuthentication": "security.istio.io/v1/requestauthentications",
    "PeerAuthentication": "security.istio.io/v1/peerauthentications",
    "DestinationRule": "networking.istio.io/v1/destinationrules",
    "Sidecar": "networking.istio.io/v1/sidecars",
    "VirtualService": "networking.istio.io/v1/virtualservices",
    "ServiceEntry": "networking.istio.io/v1/serviceentries",
    "Gateway": "networking.istio.io/v1/gateways",
    "EnvoyFilter": "networking.istio.io/v1alpha3/envoyfilters",
}
SURROUNDINGS = (
    "/api/v1/namespaces",
    "/api/v1/pods",
    "/api/v1/services",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
)
OWN = "dif-"
"""How all names of a run begin."""


def place_of(item: Object) -> str:
    """The collection that an object is posted to."""
    group, plural = KINDS[item["kind"]].rsplit("/", 1)
    return f"/apis/{group}/namespaces/{item['metadata']['namespace']}/{plural}"


def _near(item: Object) -> bool:
    """Whether an object can matter to a case: the run's own, and istiod's."""
    namespace, name = key_of(item)
    return (namespace or name).startswith((OWN, ROOT))


def _holds(seen: Any, wanted: Any) -> bool:
    """Whether a value of the mesh config is in force; istiod adds list items of its own."""
    if isinstance(wanted, list) and wanted and isinstance(seen, list):
        return all(item in seen for item in wanted)
    return bool((seen or None) == (wanted or None))


class Ground:
    """The lab's mesh with the run's own workloads in it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.pods: dict[str, Object] = {}
        self.addresses: dict[str, str] = {}
        self._surroundings: list[Object] = []
        self._mesh_config = ""
        self._istiod = ""
        self._made: list[str] = []
        self._idle: list[tuple[str, int]] = []

    def prepare(self) -> None:
        """Bring the workloads up and learn their pods and addresses.

        The baseline's own workloads rest meanwhile: every push would reach them too.
        """
        istio.until("the namespaces of the run before", 90, self._gone)
        istio.apply(objects())
        self._rest()
        istio.rollout(seconds=180)
        istio.wait_synced(at_least=3 + len(SPACES))
        self._istiod = istio.istiod_pods()[0]
        self._surroundings = [
            {**item, "apiVersion": listed["apiVersion"], "kind": listed["kind"][: -len("List")]}
            for path in SURROUNDINGS
            for listed in [self.api.get(path)]
            for item in listed["items"]
            if _near(item)
        ]
        wanted = {ALICE, BOB, NOBODY, *(f"{space}/{SERVICE}" for space in SPACES)}
        wanted.add(f"{GATE}/ingress")
        for item in self._surroundings:
            labels = item["metadata"].get("labels") or {}
            place = f"{item['metadata'].get('namespace')}/{labels.get('app')}"
            if item["kind"] == "Pod" and place == VENDOR:
                self.addresses[place] = item["status"]["podIP"]
            if item["kind"] == "Pod" and place in wanted:
                self.pods[place] = item
                self.addresses[place] = item["status"]["podIP"]
            if item["kind"] == "Service" and f"{key_of(item)[0]}/{key_of(item)[1]}" in wanted:
                self.addresses[f"service {'/'.join(key_of(item))}"] = item["spec"]["clusterIP"]
        self._mesh_config = self._config()["data"]["mesh"]
        self._made = [place for place, _ in self.drawn()]
        self.clear()

    def _rest(self) -> None:
        for item in self.api.items("/apis/apps/v1/deployments"):
            namespace, name = key_of(item)
            if namespace == ROOT or namespace.startswith(OWN) or not item["spec"]["replicas"]:
                continue
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
            self._idle.append((path, item["spec"]["replicas"]))
            self.api.merge(path, {"spec": {"replicas": 0}})

    def debug(self, page: str) -> Any:
        """A debug page of istiod as data; None when it does not answer."""
        text = inside.get(self._istiod, 15014, f"/debug/{page}")
        try:
            return json.loads(text)
        except ValueError:
            return None

    def _config(self) -> Object:
        return self.api.get(f"/api/v1/namespaces/{ROOT}/configmaps/istio")

    def net(self, place: str) -> str:
        """The network namespace of a workload's pod."""
        return layout.pod_namespace(*key_of(self.pods[place]))

    def folder(self, place: str) -> Path:
        """The folder of a workload's pod."""
        return layout.pod_folder(*key_of(self.pods[place]))

    def configure(self, changes: Object) -> None:
        """Lay changes over the mesh config and wait until istiod has read them."""
        mesh = {**yaml.safe_load(self._mesh_config), **changes}
        path = f"/api/v1/namespaces/{ROOT}/configmaps/istio"
        self.api.merge(path, {"data": {"mesh": yaml.safe_dump(mesh)}})

        def read() -> bool:
            seen = self.debug("mesh") or {}
            return all(_holds(seen.get(key), value) for key, value in changes.items())

        istio.until("istiod's mesh config", 90, read)
        time.sleep(0.3)

    def _gone(self) -> bool:
        """Whether none of the run's namespaces is on its way out."""
        own = {item["metadata"]["name"] for item in objects() if item["kind"] == "Namespace"}
        return not any(
            item["metadata"]["name"] in own and item["metadata"].get("deletionTimestamp")
            for item in self.api.items("/api/v1/namespaces")
        )

    def rest(self) -> None:
        """Take away what the cases made, and leave the workloads for the next run."""
        path = f"/api/v1/namespaces/{ROOT}/configmaps/istio"
        if self._mesh_config:
            self.api.merge(path, {"data": {"mesh": self._mesh_config}})
        self.clear()

    def restore(self) -> None:
        """Take away all that the run made."""
        self.rest()
        for item in objects():
            if item["kind"] == "Namespace":
                self.api.call("DELETE", f"/api/v1/namespaces/{item['metadata']['name']}")
        for path, replicas in self._idle:
            self.api.merge(path, {"spec": {"replicas": replicas}})

    def drawn(self) -> list[tuple[str, Object]]:
        """The run's own Istio objects as the API server has them, with their places."""
        found = []
        for kind, path in KINDS.items():
            group, plural = path.rsplit("/", 1)
            for item in self.api.items(f"/apis/{path}"):
                namespace, name = key_of(item)
                if name.startswith("dif-"):
                    place = f"/apis/{group}/namespaces/{namespace}/{plural}/{name}"
                    found.append((place, {**item, "kind": kind, "apiVersion": group}))
        return found

    def make(self, item: Object) -> None:
        """Create one object that `clear` takes away."""
        path = place_of(item)
        self.api.call("POST", path, item)
        self._made.append(f"{path}/{item['metadata']['name']}")

    def clear(self) -> None:
        """Delete what earlier rounds made."""
        while self._made:
            self.api.call("DELETE", self._made.pop())

    def recorded(self) -> list[Object]:
        """What a bundle of this moment holds."""
        found = [*self._surroundings, {**self._config(), "kind": "ConfigMap", "apiVersion": "v1"}]
        for kind, path in KINDS.items():
            group = path.rsplit("/", 1)[0]
            found += [
                {**item, "kind": kind, "apiVersion": group}
                for item in self.api.items(f"/apis/{path}")
            ]
        return found
