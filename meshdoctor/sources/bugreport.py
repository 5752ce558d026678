"""What does an archive of `istioctl bug-report` hold? The same evidence under a bundle's names.

Sections are left out of such an archive for many reasons (flags, one failed page, old releases),
so only what a section is known to list completely counts as known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from meshdoctor.model.kinds import KINDS
from meshdoctor.model.patterns import pattern
from meshdoctor.ports import UnparsableError
from meshdoctor.sources import event_table
from meshdoctor.sources.archive import MEMBER_LIMIT, Files
from meshdoctor.sources.envoy_dump import as_istioctl

PREVIOUS = b"========= Previous log ========="
SKIPPED_NAMESPACES = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
)
_SECTIONS = ("k8s-resources", "k8s-cluster-resources", "crs", "nodes", "pods", "secrets")
_CUSTOM = ("istio.io", "gateway.networking.k8s.io")
_NAMESPACED = frozenset(
    {
        *("Pod", "Service", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "Job"),
        *("CronJob", "EndpointSlice", "ConfigMap", "NetworkPolicy"),
    }
)
_CLUSTER = frozenset(
    {
        *("Node", "Namespace", "CustomResourceDefinition"),
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    }
)
_ISTIOD = pattern(r"^istio/(?P<ns>[^/]+)/(?P<pod>[^/]+)/(?P<what>.+)$")
_PROXY = pattern(r"^proxies/(?P<ns>[^/]+)/(?P<pod>[^/]+)/(?P<what>.+)$")
_CNI = pattern(r"^cni/(?P<pod>[^/]+)/cni\.log$")
_DUMPED = ("cluster", "listener", "route", "secret", "bootstrap")
Part = Callable[[bytes], bytes]


def root_of(files: Files) -> str | None:
    """The folder in which a bug-report starts, "" for the top; None when this is none."""
    paths = set(files.paths())
    for path in sorted(paths):
        prefix, found, _ = path.rpartition("cluster/")
        if found and path.endswith(("/k8s-resources", "/crs")) and not prefix.count("cluster/"):
            return prefix
        if path.endswith("bug-report.log"):
            return path.removesuffix("bug-report.log")
    return None


@dataclass(frozen=True, slots=True)
class BugReport:
    """The archive's files under a bundle's names; some files answer several reads."""

    files: Files
    prefix: str
    names: dict[str, tuple[str, Part]]

    @classmethod
    def of(cls, files: Files, prefix: str) -> "BugReport":
        names: dict[str, tuple[str, Part]] = {}
        for path in files.paths():
            if path.startswith(prefix):
                for name, part in _named(path.removeprefix(prefix)):
                    names[name] = (path, part)
        if (events := f"{prefix}cluster/events") in files.paths():
            log = f"{prefix}bug-report.log"
            text = files.read(log).decode("utf-8", "replace") if log in files.paths() else ""
            if (now := event_table.printed_at(text)) is not None:
                names["objects/events.json"] = (events, _events(now))
        return cls(files=files, prefix=prefix, names=names)

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self.names))

    def size(self, path: str) -> int:
        return self.files.size(self.names[path][0])

    def read(self, path: str, limit: int = MEMBER_LIMIT) -> bytes:
        source, part = self.names[path]
        data = part(self.files.read(source))
        return data[-limit:]

    def known_kinds(self) -> frozenset[str]:
        """Kinds of which all objects are listed: none at all means that there are none."""
        held = {p.rpartition("/")[2].removesuffix(".yaml") for p in self.names}
        known: set[str] = set()
        if "k8s-resources" in held:
            known |= _NAMESPACED
        if "k8s-cluster-resources" in held:
            known |= _CLUSTER
        if "events.json" in held:
            known.add("Event")
        if "crs" in held:
            known |= {k.name for k in KINDS if k.group.endswith(_CUSTOM)}
        return frozenset(known)


def _named(path: str) -> list[tuple[str, Part]]:
    section = path.removeprefix("cluster/")
    if path.startswith("cluster/") and section in _SECTIONS:
        return [(f"objects/{section}.yaml", _whole)]
    if path == "analyze/allNamespaces/allNamespaces":
        return [("istioctl/analyze.txt", _whole)]
    if match := _CNI.match(path):
        return [(f"logs/{match['pod']}_install-cni.log", _whole)]
    if match := _ISTIOD.match(path):
        return _istiod(match["ns"], match["pod"], match["what"])
    if match := _PROXY.match(path):
        return _proxy(match["ns"], match["pod"], match["what"])
    return []


def _istiod(namespace: str, pod: str, what: str) -> list[tuple[str, Part]]:
    if what.endswith(".log"):
        return _log(namespace, pod, what.removesuffix(".log"))
    if what == "metrics":
        return [(f"metrics/{namespace}_{pod}.prom", _whole)]
    if what.startswith("debug/"):
        return [(f"istioctl/debug-{what.removeprefix('debug/')}_{pod}.{namespace}.json", _whole)]
    return []


def _proxy(namespace: str, pod: str, what: str) -> list[tuple[str, Part]]:
    if what.endswith(".log"):
        return _log(namespace, pod, what.removesuffix(".log"))
    if what == "stats/prometheus":
        return [(f"metrics/{namespace}_{pod}.prom", _whole)]
    if what.partition("?")[0] == "config_dump":
        where = f"{pod}.{namespace}.json"
        parts = [(f"istioctl/proxy-config-{kind}_{where}", _dump(kind)) for kind in _DUMPED]
        return [(f"istioctl/proxy-config-all_{where}", _whole), *parts]
    return []


def _log(namespace: str, pod: str, container: str) -> list[tuple[str, Part]]:
    name = f"logs/{namespace}_{pod}_{container}"
    return [(f"{name}.log", _now), (f"{name}.previous.log", _before)]


def _whole(data: bytes) -> bytes:
    return data


def _now(data: bytes) -> bytes:
    return data.partition(PREVIOUS)[0]


def _before(data: bytes) -> bytes:
    return data.partition(PREVIOUS)[2]


def _events(now: datetime) -> Part:
    return lambda data: event_table.as_list(data.decode("utf-8", "replace"), now)


def _dump(kind: str) -> Part:
    def shaped(data: bytes) -> bytes:
        try:
            return as_istioctl(kind, data).encode()
        except UnparsableError as error:
            return f"Error: {error}".encode()

    return shaped
