"""What does a pod answer on one of its own ports? HTTP GET through the API's port-forward.

Nothing listens on this machine: the WebSocket's stream is handed to an HTTP client directly.
"""

import http.client
import threading
from collections.abc import Callable
from typing import Any

from meshdoctor.ports import (
    EvidenceError,
    ForbiddenError,
    MissingError,
    TooLargeError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline

SECONDS = 15.0
LIMIT = 64 << 20
_CHUNK = 256 * 1024
_THREAD = "Kubernetes port forward proxy"


class PortForward:
    """GET http://pod:port/path, with a deadline and a bound on the answer."""

    def __init__(self, configuration: Any, deadline: Deadline) -> None:
        self._configuration = configuration
        self._deadline = deadline
        _silence()

    def get(self, namespace: str, pod: str, port: int, path: str, *, limit: int = LIMIT) -> bytes:
        """The body of a 200 answer. Raises EvidenceError."""
        what = f"GET {path} at {pod}.{namespace}:{port}"
        seconds = self._deadline.share(SECONDS, what)
        forward = self._open(namespace, pod, port, what, seconds)
        stream = forward.socket(port)
        try:
            stream.settimeout(seconds)
            return _ask(stream, path, what, limit, Deadline(seconds))
        except (OSError, http.client.HTTPException) as error:
            said = forward.error(port) or _text(error)
            raise UnreachableError(
                what,
                " ".join(said.split())[:200],
                f"kubectl -n {namespace} port-forward {pod} {port}",
            ) from None
        finally:
            stream.close()

    def _open(self, namespace: str, pod: str, port: int, what: str, seconds: float) -> Any:
        import websocket
        from kubernetes.client import ApiClient, ApiException, CoreV1Api
        from kubernetes.stream import portforward

        websocket.setdefaulttimeout(seconds)
        api = CoreV1Api(ApiClient(self._configuration))  # the stream call alters its client
        connect: Callable[..., Any] = api.connect_get_namespaced_pod_portforward
        try:
            return portforward(connect, pod, namespace, ports=str(port))
        except ApiException as error:
            raise _refused(error, namespace, pod, what) from None
        except (OSError, ValueError, websocket.WebSocketException) as error:
            raise UnreachableError(what, " ".join(str(error).split())[:200]) from None


def _text(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer ended {error.expected} bytes too early"
    return str(error) or type(error).__name__


def _refused(error: Any, namespace: str, pod: str, what: str) -> EvidenceError:
    text = " ".join(f"{error.reason or ''} {error.body or ''}".split())[:200]
    status = error.status or next((s for s in (401, 403, 404) if f" {s} " in f" {text} "), 0)
    if status in (401, 403):
        return ForbiddenError(
            what,
            f"port-forward to pods in namespace {namespace} is forbidden",
            f"kubectl auth can-i create pods/portforward -n {namespace}",
        )
    if status == 404:
        return MissingError(what, f"no pod {pod} in namespace {namespace}")
    return UnreachableError(what, text)


def _ask(stream: Any, path: str, what: str, limit: int, deadline: Deadline) -> bytes:
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
        deadline.share(SECONDS, what)
    body = b"".join(chunks)
    if reply.length:  # read(n) does not complain of a body that ends too early
        raise http.client.IncompleteRead(body[:64], reply.length)
    if reply.status in (401, 403):
        raise ForbiddenError(what, f"HTTP {reply.status} {body[:120].decode('utf-8', 'replace')}")
    if reply.status != 200:
        text = " ".join(body[:200].decode("utf-8", "replace").split())
        raise UnreachableError(what, f"HTTP {reply.status} {text}")
    return body


def _silence() -> None:
    """The package's forwarding thread dies of a broken connection with a traceback: keep quiet,
    the reader of the stream reports the failure."""
    before = threading.excepthook
    if getattr(before, "quiet_for_port_forward", False):
        return

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or not args.thread.name.startswith(_THREAD):
            before(args)

    hook.quiet_for_port_forward = True  # type: ignore[attr-defined]
    threading.excepthook = hook
