"""What does the real mesh answer?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from meshdoctor.mesh.access_log import Line, parse
from tests.lab.api import Object
from tests.lab.differential import asker, inside
from tests.lab.differential.case import SERVICE, VENDOR, Ask
from tests.lab.differential.ground import Ground

ALLOW, DENY, OTHER = "allow", "deny", "other"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the caller saw: `decision`, the status (0: none), and the text of it."""

    decision: str
    status: int
    text: str
    local: str = ""

    def __str__(self) -> str:
        return f"{self.decision} {self.status} {self.text[:90]!r}"


def spec(ground: Ground, ask: Ask, agent: str) -> Object:
    """A call as asker.py reads it."""
    address = ground.addresses[_address(ask)]
    headers = [("user-agent", agent), *ask.headers]
    return {
        "address": address,
        "port": ask.port,
        "http": ask.http,
        "tls": ask.tls,
        "sni": ask.sni,
        "method": ask.method,
        "path": ask.path,
        "host": ask.authority.replace("%address%", address),
        "headers": headers,
    }


def _address(ask: Ask) -> str:
    """Whose address is called: a headless Service has that of its pod."""
    if ask.outside:
        return VENDOR
    if ask.service:
        return f"{ask.space}/{SERVICE}"
    return ask.place if ask.direct else f"service {ask.place}"


def judged(found: Object, http: bool) -> Answer:
    """What an answer means."""
    code, error, body = int(found["code"]), str(found["error"]), str(found["body"])
    decision = ALLOW if code in (200, 501) else OTHER
    if code in (401, 403):
        decision = DENY
    if not http and error == "reset":
        decision = DENY
    return Answer(
        decision=decision, status=code, text=error or body, local=str(found.get("local", ""))
    )


def ask_all(ground: Ground, asks: Sequence[tuple[Ask, str]]) -> list[Answer]:
    """Make the calls, each from its own pod; calls of one pod in their order."""
    clients = sorted({ask.client for ask, _ in asks})

    def of_one(client: str) -> list[Object]:
        specs = [spec(ground, ask, agent) for ask, agent in asks if ask.client == client]
        with inside.within(ground.net(client)):
            return [asker.call(one) for one in specs]

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(clients, map(iter, pool.map(of_one, clients)), strict=True))
    return [judged(next(answers[ask.client]), ask.http) for ask, _ in asks]


def log_lines(ground: Ground, place: str) -> tuple[Line, ...]:
    """The access lines of a workload's proxy; none without a proxy."""
    path = ground.folder(place) / "istio-proxy.log"
    text = path.read_text(errors="replace") if path.exists() else ""
    return parse("\n".join(line.split(" ", 3)[-1] for line in text.splitlines())).lines


def server_names(ground: Ground, calls: Sequence[tuple[Ask, Answer]]) -> list[str | None]:
    """The TLS server name under which each call came to its server; None where it is not logged.

    A caller's proxy connects from a port of its own, which its log tells.
    """
    if not calls:
        return []
    deadline = time.monotonic() + 6
    while True:
        time.sleep(1.2)
        places = {ask.client for ask, _ in calls} | {ask.place for ask, _ in calls}
        logs = {place: log_lines(ground, place) for place in places}
        found = [_server_name(logs, ask, answer) for ask, answer in calls]
        if None not in found or time.monotonic() > deadline:
            return found


def _server_name(logs: dict[str, tuple[Line, ...]], ask: Ask, answer: Answer) -> str | None:
    local = answer.local
    for line in reversed(logs[ask.client]):
        if line.downstream_remote == local:
            local = line.upstream_local
            break
    for line in reversed(logs[ask.place]):
        if line.downstream_remote == local:
            return line.server_name
    return None
