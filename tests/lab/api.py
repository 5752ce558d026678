"""How does the lab itself talk to its API server?

Callers run inside the control plane's network namespace (`python -m tests.lab` puts them there).
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from tests.lab import layout
from tests.lab.processes import LabError

# Kubernetes objects as they travel: nothing in the lab needs them typed.
Object = dict[str, Any]


class ApiError(LabError):
    """The API server refused; `code` says how."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def key_of(item: Object) -> tuple[str, str]:
    """Namespace and name of an object."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


class Api:
    """A small client with one connection per thread."""

    def __init__(self, token: str = "lab-admin-token") -> None:
        self._token = token
        self._local = threading.local()
        self._context = ssl.create_default_context(cafile=str(layout.PKI / "ca.crt"))

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            layout.API_IP, 6443, timeout=timeout, context=self._context
        )

    def call(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None = None,
        content: str = "application/json",
    ) -> Object:
        """One request; a broken idle connection is opened once more."""
        for last in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect(30)
            try:
                connection.request(
                    method,
                    path,
                    None if body is None else json.dumps(body),
                    {"Authorization": f"Bearer {self._token}", "Content-Type": content},
                )
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                if last:
                    raise ApiError(0, f"{method} {path}: {error}") from error
                continue
            if response.status >= 300:
                raise ApiError(response.status, data.decode(errors="replace")[:600])
            found: Object = json.loads(data) if data.startswith(b"{") else {"text": data.decode()}
            return found
        raise AssertionError("unreachable")

    def get(self, path: str) -> Object:
        """Read one object or list."""
        return self.call("GET", path)

    def find(self, path: str) -> Object | None:
        """Read one object; None when the server says that it does not exist."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(self, path: str) -> list[Object]:
        """The items of a list."""
        found: list[Object] = self.call("GET", path).get("items") or []
        return found

    def merge(self, path: str, body: Object) -> Object:
        """Apply a merge patch."""
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def watch(self, path: str, version: str, timeout: float) -> Iterator[Object]:
        """Events of one list from a resource version on, until the server ends the watch."""
        connection = self._connect(timeout + 10)
        query = urlencode(
            {"watch": "1", "resourceVersion": version, "timeoutSeconds": int(timeout)}
        )
        glue = "&" if "?" in path else "?"
        try:
            connection.request(
                "GET", f"{path}{glue}{query}", headers={"Authorization": f"Bearer {self._token}"}
            )
            response = connection.getresponse()
            if response.status >= 300:
                raise ApiError(response.status, response.read().decode(errors="replace")[:300])
            while line := response.readline():
                yield json.loads(line)
        finally:
            connection.close()


class Informer(threading.Thread):
    """Keeps the objects of one list at hand and says when something changed."""

    def __init__(self, api: Api, path: str, changed: Callable[[], None]) -> None:
        super().__init__(daemon=True, name=f"watch {path}")
        self._api = api
        self._path = path
        self._changed = changed
        self._lock = threading.Lock()
        self._items: dict[tuple[str, str], Object] = {}
        self.synced = threading.Event()

    def objects(self) -> dict[tuple[str, str], Object]:
        """What is known now, by namespace and name."""
        with self._lock:
            return dict(self._items)

    def run(self) -> None:
        """List, then watch, for ever."""
        while True:
            try:
                listed = self._api.get(self._path)
                fresh = {key_of(item): item for item in listed.get("items") or []}
                with self._lock:
                    self._items = fresh
                self.synced.set()
                self._changed()
                version = listed["metadata"]["resourceVersion"]
                while True:
                    for event in self._api.watch(self._path, version, 300):
                        if event["type"] == "ERROR":
                            raise ApiError(410, "watch expired")
                        item = event["object"]
                        version = item["metadata"]["resourceVersion"]
                        self._note(event["type"], item)
            except (OSError, ValueError, KeyError, LabError, http.client.HTTPException):
                threading.Event().wait(0.5)

    def _note(self, kind: str, item: Object) -> None:
        with self._lock:
            if kind == "DELETED":
                self._items.pop(key_of(item), None)
            else:
                self._items[key_of(item)] = item
        self._changed()
