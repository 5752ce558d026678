"""What becomes of one pod of the lab, from its address to its end?"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
import traceback

from tests.lab import container as containers
from tests.lab import layout, netns, podspec, processes, rules
from tests.lab.api import Api, ApiError, Object, key_of
from tests.lab.container import Container, Sandbox, now
from tests.lab.logpump import LogPump
from tests.lab.processes import LabError, run

FORWARDED = (8080, 9876, 15000, 15004, 15010, 15012, 15014, 15017, 15020, 15021, 15090)


class Tables:
    """Names and service addresses as of now, worked out once for all pods."""

    def __init__(self) -> None:
        self.current = ("", "")


class Pod(threading.Thread):
    """One pod from its address to its end."""

    def __init__(self, api: Api, pod: Object, pump: LogPump, tables: Tables) -> None:
        super().__init__(daemon=True, name="/".join(key_of(pod)))
        self.uid = pod["metadata"]["uid"]
        self.box = Sandbox(pod, pod["status"]["podIP"], api)
        self._api = api
        self._pump = pump
        self._tables = tables
        self._quit = threading.Event()
        spec = pod["spec"]
        self._inits = [Container(item, init=True) for item in spec.get("initContainers") or []]
        self._apps = [Container(item, init=False) for item in spec["containers"]]
        self._reported: Object = {}
        self._events: dict[str, float] = {}
        self._filled = ""
        self._names = ""
        self._networked = False
        self._inits_done = False
        self.remount = threading.Event()

    def run(self) -> None:
        """Set the pod up, then look after it until told to stop."""
        try:
            self._set_up()
            while not self._quit.wait(0.25):
                self._look_after()
        except (LabError, OSError):
            if not self._quit.is_set():
                traceback.print_exc()

    def finish(self) -> None:
        """End the pod: programs, namespace, folder."""
        self._quit.set()
        self.join(15)
        containers.stop_all(self.box, self._inits + self._apps)
        if self.box.on_host:
            rules.fill(self.box.net, rules.NOTHING)
        else:
            netns.delete(self.box.net, self.box.address)
        self._pump.remove(self.box.folder)
        shutil.rmtree(self.box.folder, ignore_errors=True)

    def _set_up(self) -> None:
        box = self.box
        # What an earlier pod of this name or address left behind answers in its place.
        if netns.exists(box.net) and not box.on_host:
            containers.stop_all(box, self._inits + self._apps)
            netns.delete(box.net)
        shutil.rmtree(box.folder, ignore_errors=True)
        box.root.mkdir(parents=True)
        box.folder.chmod(0o755)
        for item in self._inits + self._apps:
            self._pump.add(box.raw(item), box.folder / f"{item.name}.log")
        self._offer_access()
        while not self._quit.is_set():
            try:
                podspec.mount(self._api, box.pod, box.root)
                break
            except podspec.MountError as error:
                for item in self._apps:
                    item.state = {"waiting": {"reason": "ContainerCreating"}}
                self._event("Warning", "FailedMount", str(error))
                self._report()
                self._quit.wait(1)
        for place in ("var/lib/istio/envoy", "etc/istio/proxy", "var/lib/istio/data"):
            (box.root / place).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(
            layout.STATE / "envoy_bootstrap.json",
            box.root / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
        )
        containers.own(box.root)
        if not box.on_host:
            netns.create_pod(box.net, box.address)
            for entry in (box.pod["spec"].get("securityContext") or {}).get("sysctls") or []:
                run(netns.inside(box.net, ["sysctl", "-qw", f"{entry['name']}={entry['value']}"]))
        self._networked = True
        self.refresh()

    def _offer_access(self) -> None:
        """Port-forward and logs through the API server, gone with the pod."""
        meta = self.box.pod["metadata"]
        ports = set(FORWARDED)
        for item in self._inits + self._apps:
            ports |= {int(port["containerPort"]) for port in item.spec.get("ports") or []}
        ip, socat = shutil.which("ip") or "ip", shutil.which("socat") or "socat"
        spec_forward = [
            {
                "ports": [port],
                "command": [
                    *(ip, "netns", "exec", self.box.net),
                    *(socat, "STDIO", f"TCP:127.0.0.1:{port}"),
                ],
            }
            for port in sorted(ports)
        ]
        spec_logs = [
            {
                "containers": [item.name],
                "logsFile": str(self.box.folder / f"{item.name}.log"),
                "follow": True,
            }
            for item in self._inits + self._apps
        ]
        for kind, plural, spec in (
            ("PortForward", "portforwards", {"forwards": spec_forward}),
            ("Logs", "logs", {"logs": spec_logs}),
        ):
            path = f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{meta['namespace']}/{plural}"
            body: Object = {
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": kind,
                "metadata": {
                    "name": meta["name"],
                    "ownerReferences": [
                        {
                            "apiVersion": "v1",
                            "kind": "Pod",
                            "name": meta["name"],
                            "uid": meta["uid"],
                        }
                    ],
                },
                "spec": spec,
            }
            with contextlib.suppress(ApiError):
                self._api.call("DELETE", f"{path}/{meta['name']}")
            self._api.call("POST", path, body)

    def refresh(self) -> None:
        """Bring names and service addresses in the pod's namespace up to date."""
        if not self._networked or self._quit.is_set():
            return
        text, names = self._tables.current
        if names != self._names and not self.box.on_host:
            own = self.box.pod["spec"].get("dnsPolicy") in ("None", "Default")
            netns.write_names(self.box.net, "127.0.0.1 localhost\n" if own else names)
            self._names = names
        # Istio's own jump comes first: the chain is hooked in once istio-init has run.
        if text != self._filled and self._hooked():
            rules.fill(self.box.net, text)
            self._filled = text

    def _hooked(self) -> bool:
        waiting = [item for item in self._inits if item.name == "istio-init"]
        if waiting and "terminated" not in waiting[0].state:
            return False
        if not self._filled:
            rules.install(self.box.net)
        return True

    def _look_after(self) -> None:
        if self.remount.is_set():
            self.remount.clear()
            with contextlib.suppress(podspec.MountError, ApiError):
                podspec.mount(self._api, self.box.pod, self.box.root)
                containers.own(self.box.root)
        self.refresh()
        self._inits_done = self._advance_inits()
        if self._inits_done:
            for item in self._apps:
                self._keep_running(item)
                if "running" in item.state and not item.hook_done:
                    # The containers after it are started when its hook has ended.
                    self._run_hook(item)
                    break
            self._end_sidecars()
        self._report()

    def _run_hook(self, item: Container) -> None:
        name = f"{self.name}/{item.name}/{item.restarts}"
        if any(one.name == name for one in threading.enumerate()):
            return

        def work() -> None:
            complaint = containers.run_hook(self.box, item)
            if complaint and not self._quit.is_set():
                self._event("Warning", "FailedPostStartHook", complaint)
                processes.tell(self.box.process(item), signal.SIGTERM)
            item.hook_done = True

        threading.Thread(target=work, daemon=True, name=name).start()

    @property
    def _over(self) -> bool:
        return all("terminated" in item.state for item in self._apps)

    def _end_sidecars(self) -> None:
        """Native sidecars end once all other containers have."""
        for item in self._inits if self._over else []:
            if item.sidecar and "running" in item.state:
                processes.stop(self.box.process(item), grace=2.0)
                over = {"exitCode": 0, "reason": "Completed", "finishedAt": now()}
                over["startedAt"] = item.state["running"]["startedAt"]
                item.state, item.ready = {"terminated": over}, False

    def _advance_inits(self) -> bool:
        for item in self._inits:
            if item.sidecar and not self._over:
                self._keep_running(item)
            if item.sidecar:
                if not item.started:
                    return False
            elif "terminated" not in item.state or item.state["terminated"]["exitCode"]:
                if time.monotonic() < item.next_start:
                    return False
                self._lead(item)
                begun = now()
                code = containers.run_to_end(self.box, item)
                ended = {"exitCode": code, "startedAt": begun, "finishedAt": now()}
                ended["reason"] = "Error" if code else "Completed"
                item.state = {"terminated": ended}
                if code:
                    item.restarts += 1
                    item.last = item.state
                    item.next_start = time.monotonic() + 5
                    return False
                item.ready = True
                # The proxy dials istiod at once, and would wait 20 s for a lost first packet.
                self.refresh()
        return True

    def _lead(self, item: Container) -> None:
        """An init container of the application reaches Services before istio-init has run; after
        that Istio's own jump comes first."""
        net = self.box.net
        if self.box.on_host:
            return
        if item.name == "istio-init":
            rules.unhook(net)
            self._filled = ""
        elif containers.is_app(item):
            rules.install(net)
            rules.fill(net, self._tables.current[0])

    def _keep_running(self, item: Container) -> None:
        if "running" not in item.state:
            if "terminated" not in item.state and time.monotonic() >= item.next_start:
                self._start(item)
            return
        if not containers.alive(self.box, item):
            over = {"terminated": containers.ended(self.box, item)}
            if not self._starts_again(item, over["terminated"]["exitCode"]):
                item.state, item.ready = over, False
                return
            item.last = over
            item.restarts += 1
            item.state = {
                "waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}
            }
            item.ready = item.started = False
            item.next_start = time.monotonic() + min(2 * item.restarts, 20)
            self._event("Warning", "BackOff", f"Back-off restarting failed container {item.name}")
            return
        complaint = containers.check(self.box, item)
        if complaint and (item.failures > 3 or item.gave_up):
            self._event("Warning", "Unhealthy", complaint)
        if item.gave_up:
            told = f"Container {item.name} failed startup probe, will be restarted"
            self._event("Normal", "Killing", told)

    def _start(self, item: Container) -> None:
        hindrance = containers.held(self.box, item)
        if hindrance is None:
            containers.start(self.box, item)
            return
        reason, kind, message = hindrance
        item.state = {"waiting": {"reason": reason, "message": message}}
        item.next_start = time.monotonic() + 2
        self._event("Warning", kind, message)

    def _starts_again(self, item: Container, code: int) -> bool:
        policy = "Always" if item.init else self.box.pod["spec"].get("restartPolicy", "Always")
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    def _report(self) -> None:
        ready = self._inits_done and all(
            item.ready for item in self._apps + [item for item in self._inits if item.sidecar]
        )

        def condition(kind: str, value: bool) -> Object:
            return {"type": kind, "status": "True" if value else "False"}

        status: Object = {
            "phase": self._phase(),
            "conditions": [
                condition("PodScheduled", True),
                condition("PodReadyToStartContainers", self._networked),
                condition("Initialized", self._inits_done),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "initContainerStatuses": [item.status() for item in self._inits],
            "containerStatuses": [item.status() for item in self._apps],
        }
        if status == self._reported:
            return
        self._reported = status
        sent = {**status, "conditions": [dict(item) for item in status["conditions"]]}
        for item in sent["conditions"]:
            item["lastTransitionTime"] = now()
        namespace, name = key_of(self.box.pod)
        with contextlib.suppress(ApiError):
            self._api.merge(
                f"/api/v1/namespaces/{namespace}/pods/{name}/status",
                {"metadata": {"uid": self.uid}, "status": sent},
            )

    def _phase(self) -> str:
        if not self._inits_done:
            return "Pending"
        if not self._over:
            return "Running"
        failed = any(item.state["terminated"]["exitCode"] for item in self._apps)
        return "Failed" if failed else "Succeeded"

    def _event(self, kind: str, reason: str, message: str) -> None:
        if time.monotonic() - self._events.get(reason, -100) < 20:
            return
        self._events[reason] = time.monotonic()
        namespace = self.box.pod["metadata"]["namespace"]
        body = podspec.event(self.box.pod, kind, reason, message, "kubelet")
        with contextlib.suppress(ApiError):
            self._api.call("POST", f"/api/v1/namespaces/{namespace}/events", body)
