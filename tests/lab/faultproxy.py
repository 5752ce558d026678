"""What if the API server answers, but badly? A proxy in front of it that spoils some lists.

Modes: 429 (every list, with Retry-After), 500 (every list of policies), flaky (500 to every second
list), cut (lists break off in the middle), hang (lists stand still in the middle). All else goes
through, upgrades included.
"""

from __future__ import annotations

import http.client
import http.server
import itertools
import re
import select
import socket
import ssl
import sys
import threading
import time

from tests.lab import layout

MODE = sys.argv[1] if len(sys.argv) > 1 else "pass"
_COUNT = itertools.count()
_LIST = re.compile(r"/(pods|services|endpointslices|namespaces|\w+policies|\w+rules)(\?|$)")
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(layout.PKI / "ca.crt"))


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes one request on, or spoils it."""

    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        """Answer one request as the mode says."""
        if self.headers.get("upgrade"):
            self._splice()
            return
        spoiled = self.command == "GET" and bool(_LIST.search(self.path)) and MODE != "pass"
        policies = "policies" in self.path
        if spoiled and (MODE == "429" or MODE == "flaky" and next(_COUNT) % 2):
            self._refuse(429 if MODE == "429" else 500)
            return
        if spoiled and MODE == "500" and policies:
            self._refuse(500)
            return
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else None
        upstream = http.client.HTTPSConnection(layout.API_IP, 6443, timeout=60, context=_context())
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if spoiled and MODE in ("cut", "hang"):
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if MODE == "hang":
                time.sleep(120)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    def _refuse(self, code: int) -> None:
        data = (
            b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"spoiled","code":%d}'
        )
        data = data % code
        self.send_response(code)
        if code == 429:
            self.send_header("retry-after", "1")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _splice(self) -> None:
        """Hand an upgraded connection through, bytes for bytes."""
        raw = socket.create_connection((layout.API_IP, 6443), 10)
        peer = _context().wrap_socket(raw, server_hostname=layout.API_IP)
        head = f"{self.command} {self.path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        peer.sendall(head.encode() + b"\r\n")
        self.close_connection = True
        pairs = ((self.connection, peer), (peer, self.connection))
        threads = [threading.Thread(target=_pump, args=pair, daemon=True) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what it spoils is told by whoever reads."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while True:
            if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                select.select([source], [], [], 60)
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def main() -> None:
    """Serve until ended."""
    server = http.server.ThreadingHTTPServer((layout.API_IP, 6444), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(layout.PKI / "server.crt"), str(layout.PKI / "server.key"))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
