"""The small application of the lab's pods: what does a workload answer?

Standard library only, one process, one thread per connection:

--http PORT      answers 200 with its name; /status/CODE, /delay/SECONDS, /close, /headers,
                 /twice (names its Transfer-Encoding twice)
--https PORT     the same behind TLS (needs --cert, or --cert and --key); plain HTTP is answered 400
--only NAME      refuses TLS for any other server name
--tls VERSION    takes no other version of TLS (1.0 to 1.3)
--site NAME      answers 404 to requests for any other host
--keep-alive S   closes a connection that was idle for S seconds, half a second after it gave it up
--patience S     closes a connection whose request takes longer than S seconds
--tcp PORT       sends back each line with its name in front
--greet PORT     speaks first, as MySQL and SMTP do
--bind ADDRESS   listens on that address only
--answer CODE    answers every HTTP request with CODE
--check          an authorization service: 200 unless the path or header x-deny asks for 403
--admit          an admission webhook that allows everything
--mutate PATCH   the same, and makes this JSON patch
--need URL       ends at once with an error when URL cannot be called at its start
--work SECONDS   ends well after so many seconds, as a job does
--needs HEADER   answers 401 to a request without that header, and says so in its log
--adds NAME:TEXT adds a header to every answer
--relay URL      asks URL for every request, with its request id, and hands the answer's code back
--call URL       calls URL every --every seconds, for ever (http://… or tcp://host:port)
"""

from __future__ import annotations

import argparse
import base64
import http.server
import json
import os
import select
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

OPTIONS = argparse.Namespace()
STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of the application's own log."""
    print(text, flush=True)


def admitted(sent: bytes) -> str:
    """The answer of an admission webhook that always makes the same change, or none."""
    review = json.loads(sent)
    response = {"uid": review["request"]["uid"], "allowed": True}
    if OPTIONS.mutate:
        patch = base64.b64encode(OPTIONS.mutate.encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    return json.dumps({**review, "request": None, "response": response})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"
    timeout = 120

    def answer(self) -> None:
        """Read the request's body, look at the path, answer."""
        length = int(self.headers.get("content-length") or 0)
        sent = self.rfile.read(min(length, 1 << 20))
        parts = self.path.split("?")[0].strip("/").split("/")
        code = OPTIONS.answer
        if OPTIONS.check:
            code = 403 if self.headers.get("x-deny") or "deny" in parts else 200
        elif parts[0] == "status" and len(parts) > 1 and parts[1].isdigit():
            code = int(parts[1])
        elif parts[0] == "delay" and len(parts) > 1:
            wanted = min(float(parts[1]), 60)
            if 0 < OPTIONS.patience < wanted:
                time.sleep(OPTIONS.patience)
                self.hang_up()
                return
            time.sleep(wanted)
        elif parts[0] == "close":
            self.hang_up()
            return
        elif parts[0] == "twice":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"transfer-encoding: chunked\r\n" * 2)
            self.wfile.write(b"\r\n4\r\nhalf\r\n0\r\n\r\n")
            return
        probe = parts[0] == "healthz"
        if OPTIONS.needs and not probe and not self.headers.get(OPTIONS.needs):
            say(f"refused {self.command} {self.path}: no {OPTIONS.needs} header in the request")
            code = 401
        elif OPTIONS.relay and not probe:
            code = relayed(OPTIONS.relay, self.headers.get("x-request-id") or "")
        asked = (self.headers.get("host") or "").split(":")[0]
        if OPTIONS.site and not probe and asked != OPTIONS.site:
            code = 404
        body = f"{OPTIONS.name}\n"
        if parts[0] == "headers":
            body = json.dumps({name.lower(): value for name, value in self.headers.items()})
        if OPTIONS.jwks and parts[0] == "jwks":
            body = OPTIONS.jwks
        if (OPTIONS.admit or OPTIONS.mutate) and sent:
            body = admitted(sent)
        data = body.encode()
        self.send_response(code)
        kind = "application/json" if OPTIONS.admit or OPTIONS.mutate else "text/plain"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, _, value in (one.partition(":") for one in OPTIONS.adds):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_CONNECT = answer

    def hang_up(self) -> None:
        """Close the connection in the middle of a request."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def handle_one_request(self) -> None:
        """One request, unless none comes for so long that the connection is given up."""
        if (
            OPTIONS.keep_alive
            and not select.select([self.connection], [], [], OPTIONS.keep_alive)[0]
        ):
            time.sleep(0.5)
            self.hang_up()
            return
        super().handle_one_request()

    def log_message(self, format: str, *args: object) -> None:
        """One line for each request but the probes' own."""
        if "/healthz" not in str(args[0]):
            say(f"{self.client_address[0]} {format % args}")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread per connection; a failed handshake ends only its own."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is one log line, as in any server."""
        say(f"error on connection from {client_address}: {sys.exc_info()[1]}")


class TlsServer(Server):
    """Speaks TLS; plain HTTP is answered as nginx and Go do."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Look at the first byte, then serve."""
        try:
            request.settimeout(10)
            if request.recv(1, socket.MSG_PEEK) not in (b"\x16", b""):
                text = b"Client sent an HTTP request to an HTTPS server.\n"
                head = f"HTTP/1.1 400 Bad Request\r\ncontent-length: {len(text)}\r\n"
                request.recv(65536)
                request.sendall(head.encode() + b"connection: close\r\n\r\n" + text)
                self.shutdown_request(request)
                return
            request = server_context().wrap_socket(request, server_side=True)
        except OSError as error:
            say(f"http: TLS handshake error from {client_address[0]}: {error}")
            self.shutdown_request(request)
            return
        super().process_request_thread(request, client_address)


def server_context() -> ssl.SSLContext:
    """The TLS of this application."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OPTIONS.cert, OPTIONS.key or None)
    if OPTIONS.tls:
        context.set_ciphers("ALL:@SECLEVEL=0")
        version = ssl.TLSVersion[f"TLSv{OPTIONS.tls.replace('.', '_')}"]
        context.minimum_version = context.maximum_version = version

    def named(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        known = not OPTIONS.only or name == OPTIONS.only
        return None if known else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = named
    return context


class Echo(socketserver.StreamRequestHandler):
    """Sends each line back."""

    def handle(self) -> None:
        """Until the peer closes."""
        for line in self.rfile:
            self.wfile.write(OPTIONS.name.encode() + b" " + line)


class Greeter(socketserver.StreamRequestHandler):
    """Speaks first."""

    def handle(self) -> None:
        """Greet, then echo."""
        self.wfile.write(b"220 " + OPTIONS.name.encode() + b"\n")
        for line in self.rfile:
            self.wfile.write(line)


class TcpServer(socketserver.ThreadingTCPServer):
    """A TCP server whose threads end with it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def relayed(url: str, request_id: str) -> int:
    """Call on for the same request; the code of the answer, 502 where there is none."""
    headers = {"user-agent": OPTIONS.name, "x-request-id": request_id}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        say(f"call {url}: {error}")
        return error.code
    except OSError as error:
        say(f"call {url}: {error}")
        return 502


def call(url: str, every: float) -> None:
    """Call one address for ever; every failure is a log line."""
    while True:
        time.sleep(every)
        try:
            if url.startswith("tcp://"):
                host, port = url[6:].rsplit(":", 1)
                with socket.create_connection((host, int(port)), timeout=5) as peer:
                    peer.sendall(b"hello\n")
                    if not peer.recv(100):
                        raise OSError("closed without an answer")
            else:
                request = urllib.request.Request(url, headers={"user-agent": OPTIONS.name})
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read(1000)
        except (OSError, ValueError) as error:
            say(f"call {url}: {error}")


def serve(server: socketserver.BaseServer) -> None:
    """Serve in a thread of its own."""
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Start what the arguments ask for and wait for the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default=os.environ.get("POD_NAME", "app"))
    parser.add_argument("--http", type=int, action="append", default=[])
    parser.add_argument("--https", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    parser.add_argument("--greet", type=int, action="append", default=[])
    parser.add_argument("--bind", default="0.0.0.0")
    parser.add_argument("--answer", type=int, default=200)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--admit", action="store_true")
    parser.add_argument("--mutate", default="")
    parser.add_argument("--needs", default="")
    parser.add_argument("--adds", action="append", default=[])
    parser.add_argument("--relay", default="")
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--tls", default="")
    parser.add_argument("--site", default="")
    parser.add_argument("--keep-alive", type=float, default=0)
    parser.add_argument("--patience", type=float, default=0)
    parser.add_argument("--jwks", default="")
    parser.add_argument("--call", action="append", default=[])
    parser.add_argument("--need", action="append", default=[])
    parser.add_argument("--work", type=float, default=0.0)
    parser.add_argument("--every", type=float, default=3.0)
    parser.parse_args(namespace=OPTIONS)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for url in OPTIONS.need:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read(1000)
        except (OSError, ValueError) as error:
            sys.exit(f"cannot start without {url}: {error}")
    for port in OPTIONS.http:
        serve(Server((OPTIONS.bind, port), Handler))
    for port in OPTIONS.https:
        serve(TlsServer((OPTIONS.bind, port), Handler))
    for port in OPTIONS.tcp:
        serve(TcpServer((OPTIONS.bind, port), Echo))
    for port in OPTIONS.greet:
        serve(TcpServer((OPTIONS.bind, port), Greeter))
    for url in OPTIONS.call:
        threading.Thread(target=call, args=(url, OPTIONS.every), daemon=True).start()
    say(f"{OPTIONS.name} started")
    threading.Event().wait(OPTIONS.work or None)
    say(f"{OPTIONS.name} is done")


if __name__ == "__main__":
    main()
