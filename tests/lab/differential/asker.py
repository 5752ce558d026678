"""What does a caller in a pod see? To be called by a thread that is in the pod's network.

Requests are written byte by byte, so that paths and hosts arrive as they were drawn.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any


def tcp(spec: dict[str, Any], peer: socket.socket) -> dict[str, Any]:
    """Send a line; an early end is a reset."""
    peer.sendall(b"hello\n")
    data = peer.recv(200)
    return {"code": 200 if data else 0, "error": "" if data else "reset", "body": data.decode()}


def web(spec: dict[str, Any], peer: socket.socket) -> dict[str, Any]:
    """One request, one answer."""
    lines = [f"{spec['method']} {spec['path']} HTTP/1.1", f"Host: {spec['host']}"]
    lines += [f"{name}: {value}" for name, value in spec["headers"]]
    text = "\r\n".join([*lines, "Connection: close", "", ""])
    peer.sendall(text.encode("latin-1"))
    answer = http.client.HTTPResponse(peer, method=spec["method"])
    answer.begin()
    body = answer.read(4000).decode(errors="replace")
    return {"code": answer.status, "error": "", "body": body, "headers": dict(answer.getheaders())}


def call(spec: dict[str, Any]) -> dict[str, Any]:
    """One call on a connection of its own."""
    try:
        with socket.create_connection((spec["address"], spec["port"]), timeout=5) as peer:
            peer.settimeout(5)
            local = peer.getsockname()
            if spec.get("tls"):
                name = spec.get("sni") or None
                peer = ssl._create_unverified_context().wrap_socket(peer, server_hostname=name)
            found = web(spec, peer) if spec["http"] else tcp(spec, peer)
            return {**found, "local": f"{local[0]}:{local[1]}"}
    except TimeoutError:
        return {"code": 0, "error": "timeout", "body": ""}
    except ConnectionRefusedError:
        return {"code": 0, "error": "refused", "body": ""}
    except (OSError, http.client.HTTPException) as error:
        return {"code": 0, "error": "reset", "body": str(error)}
