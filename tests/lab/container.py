"""How does one container of a lab pod run, and is it ready?

Real programs stand behind a few images; every other image is "running" with nothing in it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.lab import cgroups, layout, netns, podspec, processes
from tests.lab.api import Api, Object
from tests.lab.processes import LabError, run


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Container:
    """One container of a pod and what became of it."""

    spec: Object
    init: bool
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "PodInitializing"}})
    last: Object = field(default_factory=dict)
    ready: bool = False
    started: bool = False
    restarts: int = 0
    failures: int = 0
    next_probe: float = 0.0
    next_start: float = 0.0
    begun: float = 0.0
    memory_kills: int = 0
    hook_done: bool = False
    gave_up: bool = False

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that goes on running."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    def status(self) -> Object:
        """The container's entry in the pod's status."""
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": f"lab/{self.spec['image']}",
            "containerID": f"lab://{self.name}",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last,
        }


@dataclass(frozen=True)
class Sandbox:
    """The place that all containers of one pod share."""

    pod: Object
    address: str
    api: Api

    @property
    def net(self) -> str:
        """The network namespace it lives in: its own, or the node's."""
        return podspec.network(self.pod)

    @property
    def on_host(self) -> bool:
        """Whether it lives in the node's network."""
        return self.net == layout.CONTROL

    @property
    def folder(self) -> Path:
        """The pod's folder; `root` below it is the programs' working folder."""
        meta = self.pod["metadata"]
        return layout.pod_folder(meta["namespace"], meta["name"])

    @property
    def root(self) -> Path:
        """The working folder, which stands for the container's root."""
        return self.folder / "root"

    def process(self, container: Container) -> str:
        """The name under which a container's process is known."""
        return f"{self.folder.name}_{container.name}"

    def raw(self, container: Container) -> Path:
        """What the container's program writes."""
        return self.folder / f"{container.name}.raw"


def _base() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "GOMAXPROCS": "2"}


def _user(container: Container, pod: Object, default: int) -> int:
    for where in (container.spec, pod["spec"]):
        uid = (where.get("securityContext") or {}).get("runAsUser")
        if uid is not None:
            return int(uid)
    return default


def is_app(container: Container) -> bool:
    """Whether the lab's own application stands behind the container's image."""
    return str(container.spec["image"]).startswith("lab/app")


def command(box: Sandbox, container: Container) -> tuple[list[str], dict[str, str], int] | None:
    """Arguments, environment and user of a container's program; None for an empty one."""
    values = {**_base(), **podspec.environment(box.api, box.pod, container.spec)}
    words = podspec.arguments(container.spec, values)
    if container.name == "istio-proxy":
        for name in ("GOMEMLIMIT", "ISTIO_CPU_LIMIT"):
            values.pop(name, None)
        config = json.loads(values.get("PROXY_CONFIG") or "{}")
        config["binaryPath"] = str(layout.BIN / "envoy")
        values["PROXY_CONFIG"] = json.dumps(config)
        agent = [str(layout.BIN / "pilot-agent"), *words, "--concurrency", "1"]
        return agent, values, _user(container, box.pod, layout.PROXY_UID)
    if container.name == "discovery":
        for name in ("KUBECONFIG", "PLATFORM"):
            values.pop(name, None)
        write_istiod_config(box)
        istiod = [str(layout.BIN / "pilot-discovery"), *words, "--kubeconfig=./kubeconfig"]
        return istiod, values, layout.PROXY_UID
    if is_app(container):
        app = [sys.executable, str(layout.STATE / "app.py"), *words]
        return app, values, _user(container, box.pod, layout.APP_UID)
    return None


def write_istiod_config(box: Sandbox) -> None:
    """A kubeconfig of istiod's own ServiceAccount, so that its rights are the real ones."""
    spec, namespace = box.pod["spec"], box.pod["metadata"]["namespace"]
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{spec['serviceAccountName']}/token"
    request: Object = {"spec": {"expirationSeconds": 86400}}
    token = box.api.call("POST", path, request)["status"]["token"]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": layout.API_URL,
                    "certificate-authority": str(box.root / "ca.crt"),
                },
            }
        ],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    (box.root / "ca.crt").write_bytes((layout.PKI / "ca.crt").read_bytes())
    (box.root / "kubeconfig").write_text(json.dumps(config))
    own(box.root)


def own(root: Path) -> None:
    """Give a pod's folder to the proxy's user, who writes below it."""
    for path in [root, *root.rglob("*")]:
        shutil.chown(path, layout.PROXY_UID, layout.PROXY_UID)


def start(box: Sandbox, container: Container) -> None:
    """Start a container's program and say so in its state."""
    made = command(box, container)
    if made is not None:
        argv, environment, uid = made
        processes.start(
            box.process(container),
            cgroups.limited(
                box.process(container),
                container.spec,
                netns.inside(box.net, netns.as_user(uid, argv)),
            ),
            cwd=box.root,
            env=environment,
            log=box.raw(container),
            owner=uid,
        )
    else:
        box.raw(container).touch()
    container.state = {"running": {"startedAt": now()}}
    container.started = not container.spec.get("startupProbe")
    container.ready = False
    container.failures = 0
    container.begun, container.gave_up = time.monotonic(), False
    container.hook_done = not hook(container)


def hook(container: Container) -> list[str]:
    """The command of the agent that a postStart hook runs; of other hooks nothing is known."""
    told = (container.spec.get("lifecycle") or {}).get("postStart") or {}
    words = [str(word) for word in (told.get("exec") or {}).get("command") or []]
    return words if words[:1] == ["pilot-agent"] else []


def run_hook(box: Sandbox, container: Container) -> str:
    """Run a postStart hook to its end; returns the complaint, empty where it went well."""
    made = command(box, container)
    words = hook(container)
    if made is None or not words:
        return ""
    argv = [str(layout.BIN / words[0]), *words[1:]]
    done = run(
        netns.inside(box.net, ["env", "-C", str(box.root), *netns.as_user(made[2], argv)]),
        timeout=600,
        check=False,
    )
    return "PostStartHook failed" if done.returncode else ""


def held(box: Sandbox, container: Container) -> tuple[str, str, str] | None:
    """Why a kubelet cannot make the container: its waiting reason, and the event's reason and
    text; None where it can. The lab's registry has one tag of its own application."""
    image = str(container.spec["image"])
    if re.search(r"(^|/)lab/app:", image) and image != "lab/app:1":
        return (
            "ImagePullBackOff",
            "Failed",
            f'Failed to pull image "{image}": rpc error: code = NotFound desc = failed to pull and '
            f'unpack image "{image}": {image}: not found',
        )
    absent = podspec.absent(box.api, box.pod, container.spec)
    return ("CreateContainerConfigError", "Failed", f"Error: {absent}") if absent else None


def ended(box: Sandbox, container: Container) -> Object:
    """How a container's program ended, as a kubelet writes it."""
    name = box.process(container)
    code = processes.exit_code(name)
    kills = cgroups.memory_kills(name)
    killed = kills > container.memory_kills
    container.memory_kills = kills
    return {
        "exitCode": 137 if killed else code,
        "reason": "OOMKilled" if killed else "Error" if code else "Completed",
        "startedAt": container.state["running"]["startedAt"],
        "finishedAt": now(),
    }


def run_to_end(box: Sandbox, container: Container) -> int:
    """Run an init container that ends; only istio-init and the lab's application are programs."""
    made = command(box, container) if is_app(container) else None
    if made is not None:
        done = run(netns.inside(box.net, netns.as_user(made[2], made[0])), check=False)
        with box.raw(container).open("a") as log:
            log.write(done.stdout + done.stderr)
        return done.returncode
    if container.name != "istio-init":
        return 0
    argv = [
        str(layout.BIN / "pilot-agent"),
        *podspec.arguments(container.spec, {}),
    ]
    done = run(netns.inside(box.net, argv), check=False)
    box.raw(container).write_text(done.stdout + done.stderr)
    return done.returncode


def alive(box: Sandbox, container: Container) -> bool:
    """Whether a started container still runs; one without a program always does."""
    if not (layout.PIDS / f"{box.process(container)}.json").exists():
        return True
    return processes.known(box.process(container)) is not None


def probe(box: Sandbox, container: Container, kind: str) -> str | None:
    """Ask a probe as a kubelet does; None when it passes, else the reason."""
    spec = container.spec.get(kind)
    if not spec:
        return None
    timeout = float(spec.get("timeoutSeconds") or 1)
    if "tcpSocket" in spec:
        port = podspec.port_number(container.spec, spec["tcpSocket"]["port"])
        try:
            socket.create_connection((box.address, port), timeout).close()
        except OSError as error:
            return f"dial tcp {box.address}:{port}: {error}"
        return None
    if "httpGet" not in spec:
        return None
    http_get = spec["httpGet"]
    port = podspec.port_number(container.spec, http_get["port"])
    scheme = str(http_get.get("scheme") or "HTTP").lower()
    path = http_get.get("path") or "/"
    url = f"{scheme}://{box.address}:{port}{path}"
    connection: http.client.HTTPConnection
    if scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(
            box.address, port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(box.address, port, timeout=timeout)
    headers = {item["name"]: item["value"] for item in http_get.get("httpHeaders") or []}
    try:
        connection.request("GET", path, headers={"user-agent": "kube-probe/1.36", **headers})
        code = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f'Get "{url}": {error}'
    finally:
        connection.close()
    return None if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


def check(box: Sandbox, container: Container) -> str | None:
    """Bring `started` and `ready` up to date; returns a probe's complaint, if any."""
    if "running" not in container.state or time.monotonic() < container.next_probe:
        return None
    kind = "readinessProbe" if container.started else "startupProbe"
    complaint = probe(box, container, kind)
    spec = container.spec.get(kind) or {}
    # A kubelet's period is kept, but a test need not wait 15 s for what is true already.
    period = min(float(spec.get("periodSeconds") or 2), 2.0)
    container.next_probe = time.monotonic() + (period if container.ready else 0.3)
    if complaint is None:
        container.failures = 0
        if container.started:
            container.ready = True
        else:
            container.started = True
            container.next_probe = 0
        return None
    container.failures += 1
    if kind == "startupProbe" and time.monotonic() - container.begun > float(
        spec.get("failureThreshold") or 3
    ) * float(spec.get("periodSeconds") or 10):
        processes.tell(box.process(container), signal.SIGTERM)
        container.gave_up = True
    if container.failures >= min(int(spec.get("failureThreshold") or 3), 3):
        container.ready = False
    word = "Readiness" if kind == "readinessProbe" else "Startup"
    return f"{word} probe failed: {complaint}"


def stop_all(box: Sandbox, containers: list[Container]) -> None:
    """End all programs of a pod, then whatever else lives in its namespace."""
    for container in reversed(containers):
        try:
            processes.stop(box.process(container), grace=1.0)
        except LabError:
            continue
    left: list[tuple[int, str]] = []
    for pid in [] if box.on_host else netns.pids(box.net):
        left += processes.tree(pid)
    processes.end(left, grace=0.5)
    for container in containers:
        cgroups.forget(box.process(container))
