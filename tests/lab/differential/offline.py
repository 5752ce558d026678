"""What does `meshdoctor` say of the same requests, from a bundle of the same moment?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from meshdoctor.cli.authz import authz
from meshdoctor.cli.mtls import mtls
from tests.lab.api import Object
from tests.lab.differential.case import GATE, Ask

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Said:
    """The verdict: `decision`, the status that a denial has, and the details to expect."""

    decision: str
    status: int
    details: str
    action: str
    reasoning: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.decision} {self.status} {self.details}"


@cache
def _workers() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2)


def every(judge: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
    """The judgements of many requests, in their order, by processes of their own."""
    return list(_workers().map(judge, *zip(*jobs, strict=True), chunksize=8))


def record(folder: Path, items: Iterable[Object]) -> None:
    """Write a bundle of objects."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {"apiVersion": "v1", "kind": "List", "items": list(items)}
    (folder / "objects.json").write_text(json.dumps(listed))
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (folder / "bundle.yaml").write_text(f"observed_at: '{moment}'\n")


def arguments(ask: Ask, agent: str, address: str) -> list[str]:
    """The options of `meshdoctor authz` for a request."""
    words = ["--from", ask.client, "--to", f"{ask.place}:{ask.port}"]
    if ask.space == GATE:
        words = ["--client-ip", address, "--to", f"{ask.place}:{ask.port}"]
    if not ask.http:
        return words
    words += ["--request", f"{ask.method} {ask.path}", "-H", f"host:{ask.authority}"]
    for name, value in (("user-agent", agent), *ask.headers):
        words += ["-H", f"{name}:{value}"]
    return words


def authorized(folder: Path, ask: Ask, agent: str, address: str) -> Said:
    """The verdict of the command on one request."""
    argv = [*arguments(ask, agent, address), "--bundle", str(folder), "-o", "json"]
    done = CliRunner().invoke(authz, argv)
    if done.exit_code not in (0, 1, 3) or not done.stdout.startswith("{"):
        text = f"exit {done.exit_code}: {done.output[-300:]} {done.exception!r}"
        return Said(decision="error", status=0, details=text, action="", reasoning=())
    body: dict[str, Any] = json.loads(done.stdout)
    deciding = [one for one in body["proxies"] if one["decision"] == body["decision"]]
    first = deciding[0]
    return Said(
        decision=body["decision"],
        status=first["status"],
        details=first["details"],
        action=first["action"],
        reasoning=tuple(first["reasoning"]),
        needs=tuple(first["needs"]),
    )


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What the command says of a call: works, fails or unknown; what the client speaks; why."""

    result: str
    speaks: str
    text: str


def spoken(folder: Path, ask: Ask, addresses: dict[str, str]) -> Spoken:
    """The verdict of `meshdoctor mtls` on one call."""
    argv = ["--from", ask.client, "--to", f"{ask.place}:{ask.port}", "--bundle", str(folder)]
    if ask.direct:
        argv += ["--host", addresses[ask.place]]
    done = CliRunner().invoke(mtls, [*argv, "-o", "json"])
    if done.exit_code not in (0, 1, 3) or not done.stdout.startswith("{"):
        return Spoken(result="error", speaks="", text=f"{done.output[-300:]} {done.exception!r}")
    row: dict[str, Any] = json.loads(done.stdout)["ports"][0]
    client, server = row["client_side"], row["server_side"]
    return Spoken(
        result=row["result"],
        speaks=client["speaks"],
        text=f"client: {client['reason_text']}\nserver: {server['reason_text']}\n{row['why']}",
    )
