"""What does a caller in a pod see? One HTTP or TCP call, told as one line of JSON.

Runs inside a pod's network namespace as an ordinary user; standard library only.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit


def word_for(error: BaseException) -> str:
    """One word for what went wrong with a connection."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "reset"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError):
        return "reset"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, socket.gaierror):
        return "dns"
    return "error"


def tcp(host: str, port: int, timeout: float, listen_first: bool) -> dict[str, object]:
    """Send a line, or wait for a greeting; an early close counts as a reset."""
    with socket.create_connection((host, port), timeout=timeout) as peer:
        peer.settimeout(timeout)
        if not listen_first:
            peer.sendall(b"hello\n")
        data = peer.recv(200)
    return {"code": 200 if data else 0, "error": "" if data else "reset", "body": data.decode()}


def web(spec: dict[str, object], timeout: float) -> dict[str, object]:
    """One HTTP request on a connection of its own."""
    parts = urlsplit(str(spec["url"]))
    host, port = parts.hostname or "", parts.port
    headers = {"user-agent": "lab-caller", "connection": "close"}
    extra = spec.get("headers")
    headers.update(extra if isinstance(extra, dict) else {})
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        trust = spec.get("trust")
        context = ssl._create_unverified_context()
        if trust:
            context = ssl.create_default_context(cadata=base64.b64decode(str(trust)).decode())
        name = str(spec.get("sni") or host)
        raw = socket.create_connection((host, port or 443), timeout)
        connection = http.client.HTTPSConnection(host, port or 443, timeout=timeout)
        connection.sock = context.wrap_socket(raw, server_hostname=name)
    else:
        connection = http.client.HTTPConnection(host, port or 80, timeout=timeout)
    tunnel = str(spec.get("tunnel") or "")
    if tunnel:
        headers["host"] = tunnel
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        body = b"x" * int(str(spec.get("size") or 0)) or None
        method = "CONNECT" if tunnel else str(spec.get("method") or "GET")
        connection.request(method, tunnel or path or "/", body, headers)
        answer = connection.getresponse()
        text = answer.read(2000).decode(errors="replace")
        return {"code": answer.status, "error": "", "body": text}
    finally:
        connection.close()


def main() -> None:
    """Read what to call from the first argument, call it, print what came back."""
    spec = json.loads(sys.argv[1])
    timeout = float(spec.get("timeout") or 8)
    begun = time.monotonic()
    found: dict[str, object]
    try:
        parts = urlsplit(spec["url"])
        if parts.scheme == "tcp":
            found = tcp(
                parts.hostname or "", parts.port or 0, timeout, bool(spec.get("listen_first"))
            )
        else:
            found = web(spec, timeout)
    except (OSError, http.client.HTTPException) as error:
        found = {"code": 0, "error": word_for(error), "body": str(error)}
    found["seconds"] = round(time.monotonic() - begun, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
