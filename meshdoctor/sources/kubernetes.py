"""What does the API server say? Objects and logs of a live cluster, read-only.

Refusals name the permission that is missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import msgspec

from meshdoctor.model.decode import item
from meshdoctor.model.evidence import SetAside
from meshdoctor.model.kinds import BY_NAME, Kind
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import (
    Answer,
    EvidenceError,
    ForbiddenError,
    MissingError,
    NotServedError,
    Text,
    UnparsableError,
    UnreachableError,
)
from meshdoctor.sources import reads
from meshdoctor.sources.aside import Aside
from meshdoctor.sources.discovery import Discovery
from meshdoctor.sources.http import Refused, Transport
from meshdoctor.sources.lists import Lists, Place, decoded, resource_version

LOG_LINES = 20_000
LOG_BYTES = 16 << 20


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


_EVENT = msgspec.json.Decoder(_Event)
_WRITES = frozenset({"ADDED", "MODIFIED", "DELETED"})


@dataclass(frozen=True, slots=True)
class LogWindow:
    """How much of each log is read: newest lines, not older than `since_seconds`."""

    since_seconds: int = 3600
    lines: int = LOG_LINES
    bytes: int = LOG_BYTES


class KubernetesApi:
    """Cluster and Logs over one API server."""

    def __init__(self, transport: Transport, window: LogWindow | None = None) -> None:
        self._transport = transport
        self._discovery = Discovery(transport)
        self._lists = Lists(transport)
        self._window = window or LogWindow()

    def look_ahead(self) -> None:
        """Begin to ask which kinds are served: the first list needs to know."""
        Aside(self._discovery.ask, "discovery")

    def version(self) -> str:
        """The API server's gitVersion."""
        body = self._transport.get("/version", seconds=10)
        return str(msgspec.json.decode(body, type=dict[str, object]).get("gitVersion", ""))

    def list(self, kind: str, namespace: str | None) -> Answer:
        """All objects of a kind, page by page."""
        row = BY_NAME[kind]
        scope = namespace if row.namespaced else None
        command = reads.list_command(kind, scope)
        path = self._path(row, scope)
        parts = partial(self._parts, row) if row.namespaced and scope is None else lambda: None
        try:
            return self._lists.read(Place(path=path, kind=row, command=command, parts=parts))
        except Refused as refused:
            raise _evidence(refused, row, "list", scope or "", "", command) from None

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object; None when the API server says that it does not exist."""
        row = BY_NAME[kind]
        scope = namespace if row.namespaced else ""
        command = reads.get_command(kind, scope, name)
        path = f"{self._path(row, scope or None)}/{quote(name, safe='')}"
        try:
            body = self._transport.get(path)
        except Refused as refused:
            if refused.status == 404 and name in refused.message:
                return None
            raise _evidence(refused, row, "get", scope, name, command) from None
        found = decoded(lambda: item(body, row, command), command)
        if isinstance(found, SetAside):
            raise UnparsableError(command, found.problem)
        return found

    def watch(self, kind: str, namespace: str, name: str) -> Iterator[tuple[str, Object] | None]:
        """None once the watch is open, then ("ADDED" | "MODIFIED" | "DELETED", object) for every
        write of one object. Ends when the server ends it (with ERROR: its memory is too short);
        raises EvidenceError, also without the right to watch."""
        row = BY_NAME[kind]
        scope = namespace if row.namespaced else ""
        command = f"{reads.get_command(kind, scope, name)} --watch"
        path = self._path(row, scope or None)
        only: dict[str, str | int] = {"fieldSelector": f"metadata.name={name}"}
        try:
            body = self._transport.get(path, only)
            start = {**only, "watch": 1, "resourceVersion": resource_version(body, command)}
            yield None
            for line in self._transport.lines(path, start):
                event = decoded(partial(_EVENT.decode, line), command)
                if event.type not in _WRITES:
                    return
                found = decoded(partial(item, event.object, row, command), command)
                if not isinstance(found, SetAside):
                    yield event.type, found
        except Refused as refused:
            raise _evidence(refused, row, "watch", scope, name, command) from None

    def _path(self, kind: Kind, namespace: str | None) -> str:
        version = self._discovery.version(kind)
        root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
        space = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{root}{space}/{kind.plural}"

    def _parts(self, kind: Kind) -> Mapping[str, str] | None:
        """The path of each namespace's part of a list; None where namespaces cannot be listed."""
        try:
            spaces = self.list("Namespace", None).objects
        except EvidenceError:
            return None
        return {space.name: self._path(kind, space.name) for space in spaces}

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        """The newest lines of a container's log.

        The server cuts at `limitBytes` from the newer end, so a log that reaches the limit is
        asked for again with fewer lines.
        """
        command = reads.log_command(namespace, pod, container, previous)
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/log"
        lines = self._window.lines
        while True:
            query: dict[str, str | int] = {
                "container": container,
                "tailLines": lines,
                "limitBytes": self._window.bytes,
                **({"previous": "true"} if previous else {}),
            }
            if self._window.since_seconds and not previous:
                query["sinceSeconds"] = self._window.since_seconds
            try:
                body = self._transport.get(path, query, accept="*/*")
            except Refused as refused:
                raise _log_error(refused, namespace, pod, command) from None
            if len(body) < self._window.bytes or lines <= 50:
                text = body.decode("utf-8", "replace")
                return Text(text=text, command=command, cut=text.count("\n") >= lines)
            lines //= 8


def _evidence(
    refused: Refused, kind: Kind, verb: str, namespace: str, name: str, command: str
) -> EvidenceError:
    where = f" -n {namespace}" if namespace else " -A" if kind.namespaced else ""
    if refused.status == 403:
        scope = f"namespace {namespace}" if namespace else "the cluster scope"
        return ForbiddenError(
            command,
            f"{verb} {kind.resource} in {scope} is forbidden",
            f"kubectl auth can-i {verb} {kind.resource}{where}",
        )
    if refused.status == 404:
        return NotServedError(
            command, refused.message, f"kubectl api-resources | grep {kind.plural}"
        )
    return _other(refused, command)


def _log_error(refused: Refused, namespace: str, pod: str, command: str) -> EvidenceError:
    if refused.status == 403:
        return ForbiddenError(
            command,
            f"get pods/log in namespace {namespace} is forbidden",
            f"kubectl auth can-i get pods/log -n {namespace}",
        )
    if refused.status in (400, 404):
        return MissingError(command, refused.message)
    return _other(refused, command)


def _other(refused: Refused, command: str) -> EvidenceError:
    if refused.status == 401:
        return ForbiddenError(
            command, "the API server no longer accepts the credentials (401)", "Log in again."
        )
    return UnreachableError(command, f"the API server answers {refused}"[:300], f"Try: {command}")
