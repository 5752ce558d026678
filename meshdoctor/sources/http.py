"""How does one request to the API server end?

In a whole body, or in `Refused` (the server's own answer), or in an EvidenceError (no answer).
Overload, server errors and broken connections are tried again, as long as the deadline allows.
"""

import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from meshdoctor.model.ready import decoder
from meshdoctor.ports import DeadlineError, TooLargeError, UnreachableError
from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.plain_login import Plain

TRIES = 5
CALL_SECONDS = 30.0
CONNECT_SECONDS = 5.0
BODY_LIMIT = 256 << 20
_CHUNK = 1 << 20
_AGAIN = frozenset({429, 500, 502, 503, 504})


class Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.reason = reason


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    what: str
    headers: dict[str, str]
    body: bytes | None
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt: a body, or why it should be made again and after how long."""

    body: bytes | None = None
    refused: Refused | None = None
    problem: str = ""
    wait: float | None = None
    late: bool = False


class Transport:
    """One connection pool and its credentials; raw bodies."""

    def __init__(self, configuration: Any, deadline: Deadline, *, threads: int = 16) -> None:
        self.configuration = configuration
        self.deadline = deadline
        self.bytes_read = 0
        self._host = configuration.host.rstrip("/")
        self._pool = _pool(configuration, max(threads, 4))
        self._lock = threading.Lock()

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        accept: str = "application/json",
        limit: int = BODY_LIMIT,
        seconds: float = CALL_SECONDS,
        tries: int = TRIES,
    ) -> bytes:
        """The whole body. Raises Refused or an EvidenceError."""
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        call = _Call("GET", url, path, {"Accept": accept}, None, limit, seconds)
        return self._until(call, tries)

    def lines(self, path: str, query: Mapping[str, str | int]) -> Iterator[bytes]:
        """The lines of an answer that does not end by itself (a watch), as they come.

        Raises Refused or an EvidenceError, also when the connection breaks.
        """
        import urllib3

        url = f"{self._host}{path}?{urlencode(query)}"
        headers = {"Accept": "application/json", "User-Agent": "meshdoctor", **self._credentials()}
        self.deadline.share(CONNECT_SECONDS, path)
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=self.deadline.left())
        try:
            reply = self._pool.request(
                "GET",
                url,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            try:
                if reply.status != 200:
                    raise _refused(reply.status, reply.read(1 << 16))
                rest = b""
                for chunk in reply.stream(_CHUNK):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from whole
                    if len(rest) > BODY_LIMIT:
                        raise TooLargeError(path, f"a line larger than {BODY_LIMIT >> 20} MB")
            finally:
                reply.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(path, _plain(error)) from None

    def review(self, path: str, body: bytes) -> bytes:
        """POST of an access review: the one kind of request that is no GET; it stores nothing."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        url = f"{self._host}{path}"
        return self._until(_Call("POST", url, path, headers, body, 8 << 20, CALL_SECONDS), TRIES)

    def _until(self, call: _Call, tries: int) -> bytes:
        last = _Try()
        for number in range(tries):
            if number:
                pause = last.wait if last.wait is not None else 0.2 * 2 ** (number - 1)
                self.deadline.sleep(pause, call.what)
            last = self._try(call)
            if last.body is not None:
                self.bytes_read += len(last.body)
                return last.body
            if last.refused and last.refused.status not in _AGAIN:
                raise last.refused
            if last.late and number:
                break
        if last.refused:
            raise last.refused
        raise UnreachableError(call.what, last.problem, "Is the API server reachable from here?")

    def _try(self, call: _Call) -> _Try:
        import urllib3

        share = self.deadline.share(call.seconds, call.what)
        end = Deadline(share)
        timeout = urllib3.Timeout(total=share, connect=min(CONNECT_SECONDS, share))
        try:
            reply = self._pool.request(
                call.method,
                call.url,
                headers={**call.headers, **self._credentials(), "Accept-Encoding": "gzip"},
                body=call.body,
                timeout=timeout,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            try:
                data = self._body(reply, call, end)
            except BaseException:
                reply.close()
                raise
            reply.release_conn()
        except urllib3.exceptions.HTTPError as error:
            if isinstance(error, urllib3.exceptions.ReadTimeoutError):
                return _Try(problem=f"no whole answer within {share:.1f} s", late=True)
            return _Try(problem=_plain(error))
        except OSError as error:
            return _Try(problem=_plain(error))
        if 200 <= reply.status < 300:
            return _Try(body=data)
        return _Try(refused=_refused(reply.status, data), wait=_wait(reply.headers))

    def _credentials(self) -> dict[str, str]:
        with self._lock:  # the package renews expired tokens in here, one thread at a time
            found = self.configuration.auth_settings()
        headers = {"User-Agent": "meshdoctor"}
        for one in found.values():
            if one.get("in") == "header" and one.get("value"):
                headers[str(one["key"])] = str(one["value"])
        if self.configuration.username and "authorization" not in {k.lower() for k in headers}:
            headers["authorization"] = self.configuration.get_basic_auth_token()
        return headers

    def _body(self, reply: Any, call: _Call, end: Deadline) -> bytes:
        """The body, unpacked in one piece: piece by piece costs more than the TLS below it."""
        chunks: list[bytes] = []
        size = 0
        while True:
            _clip(reply, end)
            chunk = reply.read1(_CHUNK, decode_content=False)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
            if size > call.limit:
                raise _too_large(call)
            if end.left() <= 0:
                why = "the answer came too slowly"
                raise DeadlineError(call.what, why, "Give a longer --deadline.")
        body = b"".join(chunks)
        if reply.headers.get("Content-Encoding", "").lower() != "gzip":
            return body
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            body = unpacker.decompress(body, call.limit + 1)
        except zlib.error as error:
            raise OSError(f"the packed answer is broken: {error}") from None
        if len(body) > call.limit:
            raise _too_large(call)
        if not unpacker.eof:
            raise OSError("the packed answer ended too early")
        return body


def _too_large(call: _Call) -> TooLargeError:
    return TooLargeError(call.what, f"larger than {call.limit >> 20} MB", "Narrow the scope.")


def _pool(configuration: Any, size: int) -> Any:
    """A plain login's own connections, else those of the `kubernetes` package."""
    if isinstance(configuration, Plain):
        import urllib3

        return urllib3.PoolManager(
            maxsize=size,
            retries=False,
            ssl_context=configuration.context,
            server_hostname=configuration.tls_server_name,
        )
    from kubernetes.client import ApiClient

    configuration.connection_pool_maxsize = size
    configuration.retries = False
    return ApiClient(configuration).rest_client.pool_manager


def _clip(reply: Any, end: Deadline) -> None:
    """Let the next wait on this answer end with the call: a socket's own time-out starts anew
    with every byte."""
    socket = getattr(reply.connection, "sock", None)
    if socket is not None:
        socket.settimeout(max(end.left(), 0.001))


def _refused(status: int, body: bytes) -> Refused:
    try:
        said = decoder(_Status).decode(body)
        message, reason = said.message, said.reason
    except msgspec.DecodeError:
        message, reason = body[:200].decode("utf-8", "replace"), ""
    return Refused(status, " ".join(message.split())[:300], reason)


def _wait(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _plain(error: BaseException) -> str:
    """The innermost cause in one line, without object addresses."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return _plain(inner)
    text = str(error).rpartition(">: ")[2] or type(error).__name__
    return " ".join(text.split())[:200]
