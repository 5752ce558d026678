"""The port-forward half of an API server: WebSocket v4.channel.k8s.io over a real socket.

Every forwarded request is answered by `answer(port, path) -> bytes`, the raw HTTP reply.
"""

import base64
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[int, str], bytes]
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@contextmanager
def forwarding(answer: Answer, refuse: str = "", drip: float = 0.0) -> Iterator[str]:
    """The URL of a server that port-forwards, or that refuses with a status line. `drip`: it
    sends byte by byte, so many seconds apart."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            words = (connection, answer, refuse, drip)
            threading.Thread(target=_serve, args=words, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _serve(connection: socket.socket, answer: Answer, refuse: str, drip: float) -> None:
    with connection, suppress(OSError):
        head = _until(connection, b"\r\n\r\n").decode()
        if refuse:
            connection.sendall(f"HTTP/1.1 {refuse}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        lines = head.split("\r\n")
        headers = {k.lower(): v for k, _, v in (row.partition(": ") for row in lines[1:])}
        port = int(parse_qs(urlsplit(lines[0].split()[1]).query)["ports"][0])
        digest = hashlib.sha1((headers["sec-websocket-key"] + _MAGIC).encode()).digest()  # noqa: S324
        connection.sendall(
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
                f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
            ).encode()
        )
        for channel in (0, 1):
            _send(connection, bytes([channel]) + struct.pack("<H", port))
        request = b""
        while b"\r\n\r\n" not in request:
            frame = _receive(connection)
            if frame is None:
                return
            request += frame[1:]
        reply = answer(port, request.split(b" ")[1].decode())
        if reply.startswith(b"!"):
            _send(connection, b"\x01" + reply[1:])
        else:
            step = 1 if drip else 60_000
            for at in range(0, len(reply), step):
                _send(connection, b"\x00" + reply[at : at + step])
                time.sleep(drip)
        connection.sendall(b"\x88\x00")


def _until(connection: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        data += connection.recv(4096)
    return data


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _send(connection: socket.socket, data: bytes) -> None:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
    connection.sendall(b"\x82" + size + data)


def _receive(connection: socket.socket) -> bytes | None:
    try:
        first, second = _exactly(connection, 2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", _exactly(connection, 2))
        mask = _exactly(connection, 4)
        data = _exactly(connection, size)
    except (ConnectionError, OSError):
        return None
    if first & 0x0F == 8:
        return None
    return bytes(b ^ mask[n % 4] for n, b in enumerate(data))
