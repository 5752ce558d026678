"""How does this process itself reach into a pod's network, without a program for every call?

A thread that enters a network namespace makes its sockets there, and they stay there.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
from collections.abc import Iterator
from pathlib import Path

from tests.lab import layout
from tests.lab.processes import LabError

_LIBC = ctypes.CDLL(None, use_errno=True)
_NETWORK = 0x40000000


def _enter(handle: int) -> None:
    if _LIBC.setns(handle, _NETWORK):
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def within(name: str) -> Iterator[None]:
    """This thread, and the programs it starts, in a namespace of the lab's pods."""
    if not name.startswith(f"{layout.CONTROL}-"):
        raise LabError(f"{name} is not a namespace of the lab")
    with (
        Path("/proc/thread-self/ns/net").open() as home,
        (Path("/run/netns") / name).open() as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def get(name: str, port: int, path: str) -> str:
    """What a port of the pod itself answers; "" when it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        with within(name):
            connection.connect()
        connection.request("GET", path)
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
