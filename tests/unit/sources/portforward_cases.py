"""Does a GET through the API's port-forward end in a whole body, or in words that help?

Run by test_portforward.py in a process of its own.
"""

import threading
import time
from typing import Any

import pytest
from kubernetes.client import Configuration

from meshdoctor.ports import (
    DeadlineError,
    EvidenceError,
    ForbiddenError,
    MissingError,
    TooLargeError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.portforward import NotOpenedError, PortForward
from tests.unit.sources.wsserver import Answer, forwarding


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


def forward(url: str, seconds: float = 10) -> PortForward:
    configuration: Any = Configuration(host=url)
    return PortForward(configuration, Deadline(seconds))


def get(answer: Answer, **options: Any) -> bytes:
    with forwarding(answer) as url:
        return forward(url).get("shop", "cart-1", 15014, "/debug/syncz", **options)


def test_the_whole_body_comes_back() -> None:
    asked: list[tuple[int, str]] = []

    def answer(port: int, path: str) -> bytes:
        asked.append((port, path))
        return http(b"x" * 300_000)

    assert get(answer) == b"x" * 300_000
    assert asked == [(15014, "/debug/syncz")]


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (http(b"no", "401 Unauthorized"), ForbiddenError, "401"),
        (http(b"gone", "404 Not Found"), UnreachableError, "404 gone"),
        (http(b"short", length=500), UnreachableError, "495 bytes too early"),
        (b"garbage\r\n\r\n", UnreachableError, "GET"),
        (b"", UnreachableError, "GET"),
        (b"!connection refused", UnreachableError, "refused"),
    ],
)
def test_other_ends_say_why(reply: bytes, error: type[EvidenceError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        get(lambda port, path: reply)
    assert type(caught.value) is error
    assert "cart-1.shop:15014" in str(caught.value)


def test_an_answer_too_large() -> None:
    with pytest.raises(TooLargeError):
        get(lambda port, path: http(b"x" * 3_000_000), limit=1_000_000)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("403 Forbidden", ForbiddenError),
        ("404 Not Found", MissingError),
        ("500 Internal Server Error", NotOpenedError),
    ],
)
def test_a_refused_forward(status: str, error: type[EvidenceError]) -> None:
    with forwarding(lambda port, path: b"", refuse=status) as url, pytest.raises(error) as caught:
        forward(url).get("shop", "cart-1", 15014, "/")
    if error is ForbiddenError:
        remedy = "kubectl auth can-i create pods/portforward -n shop"
        assert caught.value.unavailable.remedy == remedy


def test_nobody_listens() -> None:
    with pytest.raises(NotOpenedError):
        forward("http://127.0.0.1:1").get("shop", "cart-1", 15014, "/")


def test_an_answer_that_never_comes() -> None:
    def silent(port: int, path: str) -> bytes:
        time.sleep(1.5)
        return http(b"late")

    with forwarding(silent) as url:
        ports = forward(url, 0.5)
        start = time.monotonic()
        with pytest.raises(DeadlineError, match="no answer within"):
            ports.get("shop", "cart-1", 15014, "/")
        assert time.monotonic() - start < 0.7


def test_a_port_that_was_silent_is_not_asked_again() -> None:
    asked: list[str] = []

    def silent(port: int, path: str) -> bytes:
        asked.append(path)
        if port == 15014:
            time.sleep(3)
        return http(b"here")

    with forwarding(silent) as url:
        ports = forward(url, 2)
        for path in ("/debug/syncz", "/metrics"):
            with pytest.raises(DeadlineError):
                ports.get("istio-system", "istiod-1", 15014, path)
        assert ports.get("istio-system", "istiod-1", 15020, "/") == b"here"
    assert asked == ["/debug/syncz", "/"]


def test_an_answer_that_drips() -> None:
    with forwarding(lambda port, path: http(b"x" * 400), drip=0.02) as url:
        start = time.monotonic()
        with pytest.raises(DeadlineError):
            forward(url, 1).get("shop", "cart-1", 15014, "/")
        assert time.monotonic() - start < 1


def test_no_thread_is_left_behind() -> None:
    with forwarding(lambda port, path: http(b"x")) as url:
        before = {one.name for one in threading.enumerate()}
        forward(url).get("shop", "cart-1", 15014, "/")
        after = {one.name for one in threading.enumerate()} - before
    assert not any("proxy" in name for name in after)
