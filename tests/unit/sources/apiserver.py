"""Enough of a Kubernetes API server for tests: a real HTTP server on 127.0.0.1.

`answers` maps a path to a list of replies given one after the other (the last one stays); objects
given by `put` are listed in pages, with continue tokens that may expire.
"""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """`cut`: close the connection after that many bytes of the body; `drip`: wait that many
    seconds between any two bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    text: str | None = None

    def data(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return json.dumps(self.body).encode()


def status(code: int, message: str, **headers: str) -> Reply:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return Reply(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass
class Api:
    url: str = ""
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, list[Reply]] = field(default_factory=dict)
    groups: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    aggregated: bool = True
    token: str = "good"
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    expire_after: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.seen]

    def reply(self, method: str, path: str, query: dict[str, str], headers: Any) -> Reply:
        with self.lock:
            self.seen.append((method, path, query))
            if path in self.answers:
                replies = self.answers[path]
                return replies.pop(0) if len(replies) > 1 else replies[0]
        if headers.get("Authorization", "") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if path == "/version":
            return Reply(body={"gitVersion": "v1.36.3"})
        if path == "/apis":
            return self.discovery("APIGroupDiscoveryList" in headers.get("Accept", ""))
        parts = path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) == 3:
            names = self.groups.get(parts[1], {}).get(parts[2])
            if names is not None:
                return Reply(body={"resources": [{"name": n} for n in names]})
        if path in self.objects:
            return self.page(path, query)
        parent, _, name = path.rpartition("/")
        for one in self.objects.get(parent, []):
            if one["metadata"]["name"] == name:
                return Reply(body=one)
        if parent in self.objects:
            return status(404, f'{parent.rpartition("/")[2]} "{name}" not found')
        return Reply(404, text="404 page not found\n")

    def discovery(self, aggregated: bool) -> Reply:
        if aggregated and self.aggregated:
            items = [
                {
                    "metadata": {"name": group},
                    "versions": [
                        {"version": v, "resources": [{"resource": n} for n in names]}
                        for v, names in versions.items()
                    ],
                }
                for group, versions in self.groups.items()
            ]
            return Reply(body={"kind": "APIGroupDiscoveryList", "items": items})
        groups = [
            {"name": group, "versions": [{"version": v} for v in versions]}
            for group, versions in self.groups.items()
        ]
        return Reply(body={"kind": "APIGroupList", "groups": groups})

    def page(self, path: str, query: dict[str, str]) -> Reply:
        found = self.objects[path]
        limit = int(query.get("limit", 0)) or len(found)
        start = int(query.get("continue", 0))
        if start and self.expire_after is not None:
            if self.expire_after == 0:
                return status(410, "The provided continue parameter is too old")
            self.expire_after -= 1
        after = start + limit
        left = len(found) - after
        meta = {"continue": str(after), "remainingItemCount": left} if left > 0 else {}
        return Reply(body={"kind": "List", "metadata": meta, "items": found[start:after]})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def log_message(self, *_: Any) -> None:
        return

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.rfile.read(size)
        self.answer("POST")

    def do_GET(self) -> None:
        self.answer("GET")

    def answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        reply = self.api.reply(method, parts.path, query, self.headers)
        data = reply.data()
        headers = dict(reply.headers)
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(data) > 512:
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if reply.cut is not None:
            self.wfile.write(data[: reply.cut])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return
        if reply.drip:
            with suppress(OSError):
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.drip)
            self.close_connection = True
            return
        self.wfile.write(data)


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(path: Path, url: str, user: dict[str, Any] | None = None) -> Path:
    """A kubeconfig with one context, `lab`."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {"token": "good"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(config))
    return path
