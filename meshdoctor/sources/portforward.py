"""What does a pod answer on one of its own ports? HTTP GET through the API's port-forward.

Nothing listens on this machine and no thread is started: the HTTP client writes into and reads
from the WebSocket's first channel, and every wait is clipped to what is left of the deadline.
"""

import http.client
import io
import threading
from typing import Any
from urllib.parse import quote

from meshdoctor.ports import (
    DeadlineError,
    EvidenceError,
    ForbiddenError,
    MissingError,
    TooLargeError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.websocket import BINARY, CLOSE, Channel, Dialer, Refusal

SECONDS = 15.0
LIMIT = 64 << 20
_CHUNK = 256 * 1024
_DATA, _ERROR = 0, 1


class NotOpenedError(UnreachableError):
    """No port-forward could be opened: nobody at the pod's end was reached, another way may be."""


class PortForward:
    """GET http://pod:port/path, with a deadline and a bound on the answer. Thread-safe."""

    def __init__(self, configuration: Any, deadline: Deadline) -> None:
        self._dialer = Dialer(configuration)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._silent: dict[tuple[str, str, int], str] = {}

    def get(self, namespace: str, pod: str, port: int, path: str, *, limit: int = LIMIT) -> bytes:
        """The body of a 200 answer. Raises EvidenceError.

        A port that let us wait once is not asked again: every question would wait as long.
        """
        what = f"GET {path} at {pod}.{namespace}:{port}"
        place = (namespace, pod, port)
        with self._lock:
            before = self._silent.get(place)
        if before is not None:
            raise DeadlineError(what, f"not asked again: {before}", _remedy(*place))
        end = Deadline(self._deadline.share(SECONDS, what))
        try:
            return self._get(place, path, what, limit, end)
        except TimeoutError:
            detail = f"no answer within {end.seconds:.1f} s"
            with self._lock:
                self._silent[place] = f"{path} gave {detail}"
            raise DeadlineError(what, detail, _remedy(*place)) from None

    def _get(
        self, place: tuple[str, str, int], path: str, what: str, limit: int, end: Deadline
    ) -> bytes:
        namespace, pod, port = place
        try:
            channel = self._dialer.open(_path(*place), end)
        except Refusal as refusal:
            raise _refused(refusal, namespace, pod, what) from None
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise NotOpenedError(what, _line(str(error) or type(error).__name__)) from None
        stream = _Stream(channel)
        try:
            return _ask(stream, path, what, limit)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                what, _line(stream.error or _text(error)), _remedy(*place)
            ) from None
        finally:
            channel.close()


class _Stream:
    """One forwarded port, as http.client wants a socket."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._opened: set[int] = set()
        self.error = ""

    def sendall(self, data: bytes) -> None:
        """Send on the data channel."""
        self._channel.send(bytes([_DATA]) + data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What an HTTP response is read from."""
        return io.BufferedReader(_Reader(self), 1 << 16)

    def close(self) -> None:
        """The channel is closed by whoever opened it."""

    def receive(self) -> bytes:
        """The next bytes; none at the end. A channel's first message only repeats the port."""
        while True:
            opcode, data = self._channel.receive()
            if opcode == CLOSE:
                return b""
            if opcode != BINARY or not data:
                continue
            channel, rest = data[0], data[1:]
            if channel not in self._opened:
                self._opened.add(channel)
            elif channel == _ERROR:
                self.error += rest.decode("utf-8", "replace")
                return b""
            elif channel == _DATA and rest:
                return rest


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._rest = memoryview(b"")
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._over:
            self._rest = memoryview(self._stream.receive())
            self._over = not self._rest
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _ask(stream: _Stream, path: str, what: str, limit: int) -> bytes:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = stream
    connection.request("GET", path, headers={"Connection": "close", "Accept": "*/*"})
    reply = connection.getresponse()
    chunks: list[bytes] = []
    size = 0
    while chunk := reply.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise TooLargeError(what, f"larger than {limit >> 20} MB")
    body = b"".join(chunks)
    if reply.length:  # read(n) does not complain of a body that ends too early
        raise http.client.IncompleteRead(body[:64], reply.length)
    if reply.status in (401, 403):
        raise ForbiddenError(what, f"HTTP {reply.status} {body[:120].decode('utf-8', 'replace')}")
    if reply.status != 200:
        raise UnreachableError(
            what, f"HTTP {reply.status} {_line(body[:200].decode('utf-8', 'replace'))}"
        )
    return body


def _text(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer ended {error.expected} bytes too early"
    return str(error) or type(error).__name__


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _path(namespace: str, pod: str, port: int) -> str:
    where = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}"
    return f"{where}/portforward?ports={port}"


def _remedy(namespace: str, pod: str, port: int) -> str:
    return f"kubectl -n {namespace} port-forward {pod} {port}"


def _refused(refusal: Refusal, namespace: str, pod: str, what: str) -> EvidenceError:
    if refusal.status in (401, 403):
        return ForbiddenError(
            what,
            f"port-forward to pods in namespace {namespace} is forbidden",
            f"kubectl auth can-i create pods/portforward -n {namespace}",
        )
    if refusal.status == 404:
        return MissingError(what, f"no pod {pod} in namespace {namespace}")
    return NotOpenedError(what, _line(f"HTTP {refusal.status} {refusal}"))
