"""What does a recording answer? A bundle, or a plain folder of manifests, as a Source.

In a bundle, an object that is not there does not exist, unless errors.json or reads.json say that
nobody could look. In plain manifests, a kind of which there is no object at all is not recorded.
"""

from collections.abc import Sequence
from datetime import datetime

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.snapshot import Snapshot
from meshdoctor.ports import Answer, Defaults, NotRecordedError, Text, UnparsableError
from meshdoctor.sources import reads, recorded_text
from meshdoctor.sources.archive import MEBI, Files
from meshdoctor.sources.clock import WallClock
from meshdoctor.sources.newest import newest
from meshdoctor.sources.objects import Loaded
from meshdoctor.sources.settings import Recording

TEXT_LIMIT = 64 * MEBI
_TAIL = 16 * 1024


class Recorded:
    """A Source over files.

    `known`: kinds of which no object at all means that there are none; None: every kind.
    `unknown_in`: namespaces of which nothing was recorded.
    """

    def __init__(
        self,
        files: Files,
        loaded: Loaded,
        *,
        label: str,
        known: frozenset[str] | None,
        unknown_in: frozenset[str] = frozenset(),
        defaults: Defaults,
        recording: Recording,
    ) -> None:
        self._files = files
        self._snapshot = Snapshot(loaded.objects)
        self._aside = (*loaded.aside, *recording.aside)
        self._broken = tuple(loaded.broken)
        self._known = known
        self._unknown_in = unknown_in
        self._defaults = defaults
        self._recording = recording
        paths = files.paths()
        self._logs = recorded_text.log_files(p for p in paths if p.startswith("logs/"))
        self._tools = recorded_text.istioctl_files(p for p in paths if p.startswith("istioctl/"))
        self._metrics = recorded_text.metrics_files(p for p in paths if p.startswith("metrics/"))
        self._now, self._label = self._when(label)

    def _when(self, label: str) -> tuple[datetime, str]:
        if self._defaults.observed_at:
            return self._defaults.observed_at, label
        tails = (_decode(self._files.read(path, _TAIL)) for path in self._logs.values())
        found = newest(self._snapshot.all(), tails)
        if found is None:
            return WallClock().now(), f"{label} (no time recorded: judged as of now)"
        return found, f"{label} (no observed_at: judged as of {found:%Y-%m-%dT%H:%M:%SZ})"

    # --- Clock, description

    def now(self) -> datetime:
        return self._now

    def describe(self) -> str:
        return self._label

    def defaults(self) -> Defaults:
        return self._defaults

    def failed_reads(self) -> Sequence[Unavailable]:
        return (*self._recording.failed.values(), *self._broken)

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    # --- Cluster

    def list(self, kind: str, namespace: str | None) -> Answer:
        scope = namespace if BY_NAME[kind].namespaced else None
        self._check_list(kind, scope)
        wire = BY_NAME[kind].wire
        return Answer(
            objects=self._snapshot.list(kind, scope),
            set_aside=tuple(a for a in self._aside if _about(a.ref, wire, scope)),
            command=reads.list_command(kind, scope),
        )

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        scope = namespace if BY_NAME[kind].namespaced else ""
        if found := self._snapshot.get(kind, scope, name):
            return found
        ref = f"{BY_NAME[kind].wire}/{scope}/{name}"
        if any(aside.ref == ref for aside in self._aside):
            raise UnparsableError(ref, "the object was set aside as malformed")
        key = reads.get_key(kind, scope, name)
        self._raise_failed(key, reads.get_command(kind, scope, name))
        known = self._recording.reads
        if known is None or key not in known:
            self._check_list(kind, scope or None)
        return None

    def _check_list(self, kind: str, namespace: str | None) -> None:
        """Raises unless the recording can tell all objects of the kind in that scope."""
        command = reads.list_command(kind, namespace)
        keys = [reads.list_key(kind, namespace)]
        if namespace is not None:
            keys.append(reads.list_key(kind, None))
        known = self._recording.reads
        if known is not None and any(key in known for key in keys):
            return
        for key in keys:
            self._raise_failed(key, command)
        if known is not None:
            raise NotRecordedError(command, remedy=f"Record it: {command}")
        if not self._is_known(kind, namespace):
            raise NotRecordedError(command, remedy=f"Add the output of: {command}")

    def _is_known(self, kind: str, namespace: str | None) -> bool:
        if namespace in self._unknown_in and not self._snapshot.list(kind, namespace):
            return False
        return self._known is None or kind in self._known or kind in self._snapshot.kinds

    def _raise_failed(self, key: str, command: str) -> None:
        failed = self._recording.failed.get(key)
        if failed is not None:
            error = reads.ERRORS.get(failed.reason.value, NotRecordedError)
            raise error(failed.what or command, failed.detail, failed.remedy)

    # --- Logs, metrics

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        command = reads.log_command(namespace, pod, container, previous)
        path = self._logs.get((namespace, pod, container, previous))
        path = path or self._logs.get(("", pod, container, previous))
        key = reads.log_key(namespace, pod, container, previous)
        return self._text(path, key, command)

    def metrics(self, namespace: str, pod: str) -> Text:
        path = self._metrics.get((namespace, pod)) or self._metrics.get(("", pod))
        key = reads.tool_key("metrics", namespace, pod)
        port = 15014 if pod.startswith("istiod") else 15020
        return self._text(path, key, reads.metrics_command(namespace, pod, port))

    def _text(self, path: str | None, key: str, command: str) -> Text:
        if path is None:
            self._raise_failed(key, command)
            raise NotRecordedError(command, remedy=f"Record it: {command}")
        data = self._files.read(path, TEXT_LIMIT)
        if b"\0" in data[:4096]:
            raise UnparsableError(command, f"{path} is not a text file")
        return Text(text=_decode(data), command=command, cut=self._files.size(path) > TEXT_LIMIT)

    # --- Istioctl

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        found = [n.path for n in self._tools if n.command == "proxy-status"]
        syncz = [n.path for n in self._tools if (n.command, n.argument) == ("debug", "syncz")]
        json = [path for path in found if path.endswith(".json")]
        return self._tool(json or found or syncz, "proxy-status", reads.status_command())

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        wanted = {"proxy-config": recorded_text.WHATS.get(what, what)}
        paths = self._about_pod(wanted, namespace, pod)
        key = reads.tool_key("proxy-config", what, namespace, pod)
        return self._tool(paths[:1], key, reads.config_command(what, namespace, pod))

    def authz_check(self, namespace: str, pod: str) -> Text:
        paths = self._about_pod({"authz-check": ""}, namespace, pod)
        key = reads.tool_key("authz-check", namespace, pod)
        return self._tool(paths[:1], key, reads.authz_command(namespace, pod))

    def analyze(self) -> Text:
        paths = [n.path for n in self._tools if n.command == "analyze"]
        return self._tool(paths[:1], "analyze", reads.analyze_command())

    def version(self) -> Text:
        paths = [n.path for n in self._tools if n.command == "version"]
        return self._tool(paths[:1], "version", reads.version_command())

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        name = path.removeprefix("/debug/")
        paths = self._about_pod({"debug": name}, namespace, pod)
        key = reads.tool_key("debug", name, namespace, pod)
        return self._tool(paths[:1], key, reads.debug_command(name, namespace, pod))

    def _about_pod(self, wanted: dict[str, str], namespace: str, pod: str) -> Sequence[str]:
        """Files about that pod, exact names first."""
        found = [
            n
            for n in self._tools
            if wanted.get(n.command) == n.argument and recorded_text.matches(n, namespace, pod)
        ]
        return [n.path for n in sorted(found, key=lambda n: n.pod != pod)]

    def _tool(self, paths: Sequence[str], key: str, command: str) -> Text:
        if not paths:
            return self._text(None, key, command)
        texts = [self._text(path, key, command) for path in paths[:8]]
        text = "\n".join(one.text for one in texts)
        if not text.strip():
            raise UnparsableError(command, f"{paths[0]} is empty")
        if text.startswith("Error: "):
            raise UnparsableError(command, text.splitlines()[0][:300])
        return Text(text=text, command=command, cut=any(one.cut for one in texts))


def _decode(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _about(ref: str, wire: str, namespace: str | None) -> bool:
    kind, _, rest = ref.partition("/")
    return kind == wire and (namespace is None or rest.partition("/")[0] in ("", namespace))
