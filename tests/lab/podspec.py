"""What does a pod's spec ask for: environment, arguments, volumes?

Pure but for reading ConfigMaps, Secrets and tokens through the API.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab import cgroups, layout
from tests.lab.api import Api, ApiError, Object, key_of


class MountError(Exception):
    """A volume cannot be mounted; worded as a kubelet words it."""


def field(pod: Object, path: str) -> str:
    """The value of a downward API field; empty where the pod has none."""
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match:
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(values.items()))
    found: Any = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def environment(api: Api, pod: Object, container: Object) -> dict[str, str]:
    """The container's environment; limits of resources are left out."""
    found: dict[str, str] = {}
    namespace = pod["metadata"]["namespace"]
    for entry in container.get("env") or []:
        origin = entry.get("valueFrom") or {}
        if "fieldRef" in origin:
            found[entry["name"]] = field(pod, origin["fieldRef"]["fieldPath"])
        elif "configMapKeyRef" in origin:
            reference = origin["configMapKeyRef"]
            path = f"/api/v1/namespaces/{namespace}/configmaps/{reference['name']}"
            data = (api.find(path) or {}).get("data") or {}
            if reference["key"] in data:
                found[entry["name"]] = data[reference["key"]]
        elif not origin:
            found[entry["name"]] = expand(entry.get("value") or "", found)
    return found


def absent(api: Api, pod: Object, container: Object) -> str:
    """The object or key that a variable is to be read from and that is not there, in the words of
    a kubelet; empty where nothing is missing."""
    namespace = pod["metadata"]["namespace"]
    for entry in container.get("env") or []:
        for key, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            reference = (entry.get("valueFrom") or {}).get(key)
            if not reference or reference.get("optional"):
                continue
            found = api.find(f"/api/v1/namespaces/{namespace}/{kind}s/{reference['name']}")
            if found is None:
                return f'{kind} "{reference["name"]}" not found'
            if reference["key"] not in (found.get("data") or {}):
                place = f"{'ConfigMap' if kind == 'configmap' else 'Secret'} {namespace}"
                return f"couldn't find key {reference['key']} in {place}/{reference['name']}"
    return ""


def network(pod: Object) -> str:
    """The network namespace of a pod."""
    if pod["spec"].get("hostNetwork"):
        return layout.CONTROL
    return layout.pod_namespace(*key_of(pod))


def cores(pod: Object) -> float:
    """The CPU that a scheduler looks for: what the containers ask for that run side by side."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    asked = [
        ((item.get("resources") or {}).get("requests") or {}).get("cpu", "0")
        for item in (*sidecars, *spec["containers"])
    ]
    return sum(cgroups.amount(text) for text in asked)


def event(pod: Object, kind: str, reason: str, message: str, component: str) -> Object:
    """An event about a pod."""
    meta = pod["metadata"]
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{meta['name']}."},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            **{key: meta[key] for key in ("namespace", "name", "uid")},
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": component, "host": layout.NODE},
        "reportingComponent": component,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def expand(text: str, values: dict[str, str]) -> str:
    """Replace $(NAME) as Kubernetes does; an unknown name stays as it is."""
    return re.sub(r"\$\((\w+)\)", lambda match: values.get(match[1], match[0]), text)


def arguments(container: Object, values: dict[str, str]) -> list[str]:
    """The container's arguments with $(NAME) replaced."""
    return [expand(word, values) for word in container.get("args") or []]


def port_number(container: Object, port: int | str) -> int:
    """The number of a probe's port; 0 where no container port has that name."""
    if isinstance(port, int):
        return port
    if str(port).isdigit():
        return int(port)
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    return 0


def _token(api: Api, pod: Object, source: Object) -> bytes:
    meta, spec = pod["metadata"], pod["spec"]
    request: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": source.get("expirationSeconds") or 3607,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }
    if source.get("audience"):
        request["spec"]["audiences"] = [source["audience"]]
    account = spec.get("serviceAccountName") or "default"
    path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
    return str(api.call("POST", path, request)["status"]["token"]).encode()


def _keyed(api: Api, pod: Object, kind: str, source: Object) -> dict[str, bytes]:
    name = source.get("name") or source.get("secretName")
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/{kind}s/{name}"
    found = api.find(path)
    if found is None:
        if source.get("optional"):
            return {}
        raise MountError(f'{kind} "{name}" not found')
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    if kind == "secret":
        data = {key: base64.b64decode(value) for key, value in data.items()}
    items = source.get("items")
    if items:
        return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
    return data


def volume_files(api: Api, pod: Object, volume: Object) -> dict[str, bytes]:
    """The files of one volume by relative path; empty for an emptyDir."""
    sources = [volume]
    if "projected" in volume:
        sources = volume["projected"].get("sources") or []
    found: dict[str, bytes] = {}
    for source in sources:
        if "configMap" in source:
            found |= _keyed(api, pod, "configmap", source["configMap"])
        elif "secret" in source:
            found |= _keyed(api, pod, "secret", source["secret"])
        elif "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            found[token["path"]] = _token(api, pod, token)
        elif "downwardAPI" in source:
            for item in source["downwardAPI"].get("items") or []:
                if "fieldRef" in item:
                    value = field(pod, item["fieldRef"]["fieldPath"])
                    found[item["path"]] = value.encode()
    return found


def mount(api: Api, pod: Object, root: Path) -> list[Path]:
    """Write all volumes below root, where the programs look for them; returns what was written."""
    written: list[Path] = []
    spec = pod["spec"]
    places: dict[str, list[str]] = {}
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        for entry in container.get("volumeMounts") or []:
            places.setdefault(entry["name"], []).append(entry["mountPath"])
    for volume in spec.get("volumes") or []:
        try:
            files = volume_files(api, pod, volume)
        except (MountError, ApiError) as error:
            raise MountError(
                f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
            ) from error
        for place in sorted(set(places.get(volume["name"], []))):
            folder = root / place.lstrip("/")
            if place.startswith("/var/run/secrets/kubernetes.io"):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                written.append(target)
    return written
