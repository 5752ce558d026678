"""How is a WebSocket to the API server opened, so that nothing waits longer than its deadline?

The `websocket-client` package speaks the protocol; the connection, through a proxy if need be, and
every single wait on it are ours.
"""

import http.client
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.plain_login import Plain

BINARY, CLOSE = 2, 8
_PROTOCOL = "v4.channel.k8s.io"


class Refusal(Exception):
    """The server answered the upgrade with another status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Dialer:
    """Opens WebSockets with one configuration of the `kubernetes` package, or a plain one.
    Thread-safe."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def open(self, path: str, end: Deadline) -> "Channel":
        """Connect and upgrade. Raises Refusal, TimeoutError, another OSError or ValueError."""
        from websocket import (
            WebSocket,
            WebSocketBadStatusException,
            WebSocketException,
            WebSocketTimeoutException,
        )

        url = self._configuration.host.rstrip("/").replace("http", "ws", 1) + path
        raw = self._connect(urlsplit(url), end)
        peer: Any = WebSocket(skip_utf8_validation=True)
        try:
            peer.connect(
                url,
                socket=_Clipped(raw, end),
                header=self._headers(),
                subprotocols=[_PROTOCOL],
                suppress_origin=True,
                redirect_limit=0,
            )
        except WebSocketBadStatusException as error:
            raw.close()
            body = error.resp_body or b""
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
            raise Refusal(error.status_code, text) from None
        except WebSocketTimeoutException:
            raw.close()
            raise TimeoutError from None
        except WebSocketException as error:
            raw.close()
            raise ConnectionError(str(error)) from None
        except BaseException:
            raw.close()
            raise
        return Channel(peer, raw)

    def _connect(self, url: Any, end: Deadline) -> socket.socket:
        secure = url.scheme == "wss"
        host, port = url.hostname or "", url.port or (443 if secure else 80)
        configuration = self._configuration
        proxy = getattr(configuration, "proxy", None)
        if proxy and not proxy_bypass_environment(host, {"no": configuration.no_proxy or ""}):
            raw = _tunnel(proxy, configuration.proxy_headers or {}, host, port, _left(end))
        else:
            raw = socket.create_connection((host, port), _left(end))
        if not secure:
            return raw
        try:
            raw.settimeout(_left(end))
            name = configuration.tls_server_name or host
            return self._tls().wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _context(self._configuration)
            return self._context

    def _headers(self) -> list[str]:
        with self._lock:  # the package renews expired tokens in here
            found = self._configuration.auth_settings()
        return ["User-Agent: meshdoctor"] + [
            f"{one['key']}: {one['value']}"
            for one in found.values()
            if one.get("in") == "header" and one.get("value")
        ]


class Channel:
    """One open WebSocket."""

    def __init__(self, peer: Any, raw: socket.socket) -> None:
        self._peer = peer
        self._raw = raw

    def send(self, data: bytes) -> None:
        """One binary message."""
        self._peer.send_binary(data)

    def receive(self) -> tuple[int, bytes]:
        """(opcode, data) of the next message; CLOSE when the other end is gone.

        Raises TimeoutError at the deadline, another OSError when the connection breaks.
        """
        from websocket import (
            WebSocketConnectionClosedException,
            WebSocketException,
            WebSocketTimeoutException,
        )

        try:
            opcode, data = self._peer.recv_data()
        except WebSocketTimeoutException:
            raise TimeoutError from None
        except WebSocketConnectionClosedException:
            return CLOSE, b""
        except WebSocketException as error:
            raise ConnectionError(str(error)) from None
        return int(opcode), bytes(data)

    def close(self) -> None:
        """At once: nobody waits for the other end to say goodbye."""
        self._raw.close()


class _Clipped:
    """A socket on which no wait passes the deadline."""

    def __init__(self, raw: socket.socket, end: Deadline) -> None:
        self._raw = raw
        self._end = end

    def recv(self, size: int) -> bytes:
        self._raw.settimeout(_left(self._end))
        return self._raw.recv(size)

    def send(self, data: bytes) -> int:
        self._raw.settimeout(_left(self._end))
        return self._raw.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def _left(end: Deadline) -> float:
    left = end.left()
    if left <= 0:
        raise TimeoutError
    return left


def _context(configuration: Any) -> ssl.SSLContext:
    """The same trust and client certificate as for every other request."""
    if isinstance(configuration, Plain):
        return configuration.context or ssl.create_default_context()
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif configuration.assert_hostname is False:
        context.check_hostname = False
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file or None)
    return context


def _tunnel(
    proxy: str, headers: dict[str, str], host: str, port: int, seconds: float
) -> socket.socket:
    via = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    way = http.client.HTTPConnection(via.hostname or "", via.port or 80, timeout=seconds)
    way.set_tunnel(host, port, {k: v for k, v in headers.items() if k.startswith("proxy-")})
    way.connect()
    opened: socket.socket = way.sock
    return opened
