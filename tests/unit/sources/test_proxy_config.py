"""Is a proxy asked by the shortest way, and by istioctl where that way is closed?"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from meshdoctor.mesh import proxy_endpoints
from meshdoctor.ports import (
    DeadlineError,
    EvidenceError,
    ForbiddenError,
    ToolMissingError,
    UnparsableError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline
from meshdoctor.sources.istioctl import IstioctlRunner
from meshdoctor.sources.kubernetes import LogWindow
from meshdoctor.sources.live import Live
from meshdoctor.sources.portforward import NotOpenedError

HOST = "pay.shop.svc.cluster.local"
COMMAND = "istioctl proxy-config {} web-1.shop -o json"


def cluster(name: str) -> dict[str, Any]:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    return {"name": name, "host_statuses": [{"address": address}]}


CLUSTERS = [
    cluster(f"outbound|80||{HOST}"),
    cluster(f"outbound|80|v1|{HOST}"),
    cluster(f"outbound|80||x-{HOST}"),
    cluster(f"outbound|80||{HOST.replace('.', '-')}"),
]


def envoy(path: str) -> bytes:
    """What an Envoy that knows `filter` answers."""
    asked = urlsplit(path)
    query = parse_qs(asked.query)
    if asked.path == "/clusters":
        wanted = re.compile(query.get("filter", [""])[0])
        found = [one for one in CLUSTERS if wanted.search(one["name"])]
        return json.dumps({"cluster_statuses": found} if found else {}).encode()
    secrets = {"@type": "x/SecretsConfigDump", "dynamic_active_secrets": [{"name": "default"}]}
    return json.dumps({"configs": [secrets]}).encode()


def live(tmp_path: Path, answer: Callable[[str], bytes], script: str = "") -> Live:
    """A live source whose port-forwards end in `answer`, and whose istioctl is a shell script."""
    binary = tmp_path / "istioctl"
    if script:
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(0o755)
    deadline = Deadline(20)
    transport: Any = SimpleNamespace(deadline=deadline)
    login: Any = SimpleNamespace(configuration=None)
    runner = IstioctlRunner(deadline, binary=str(binary))
    made = Live(login, transport, runner, istio_namespace="istio-system", window=LogWindow())

    def get(namespace: str, pod: str, port: int, path: str) -> bytes:
        assert (namespace, pod, port) == ("shop", "web-1", 15000)
        return answer(path)

    made._forward = SimpleNamespace(get=get)  # type: ignore[assignment]
    return made


def test_only_the_clusters_of_the_host_are_asked_for(tmp_path: Path) -> None:
    source = live(tmp_path, envoy, "exit 1")
    found = source.proxy_config("endpoint", "shop", "web-1", host=HOST)
    assert [one["name"] for one in json.loads(found.text)] == [c["name"] for c in CLUSTERS[:2]]
    assert found.command == COMMAND.format("endpoint")
    assert len(json.loads(source.proxy_config("endpoint", "shop", "web-1").text)) == 4
    none = source.proxy_config("endpoint", "shop", "web-1", host="no.such.host")
    assert proxy_endpoints.parse(none.text) == ()


def test_a_filter_that_envoy_ignores_changes_nothing(tmp_path: Path) -> None:
    every = json.dumps({"cluster_statuses": CLUSTERS}).encode()
    sources = (live(tmp_path, envoy), live(tmp_path, lambda _: every))
    texts = (one.proxy_config("endpoint", "shop", "web-1", host=HOST).text for one in sources)
    read = [proxy_endpoints.parse(text) for text in texts]
    first, second = (proxy_endpoints.of_service(one, HOST, 80) for one in read)
    assert first == second != ()


def test_a_dump_is_asked_for_by_its_sections(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return envoy(path)

    found = live(tmp_path, answer).proxy_config("secret", "shop", "web-1")
    assert json.loads(found.text)["dynamicActiveSecrets"] == [{"name": "default"}]
    assert asked == [
        "/config_dump?mask=static_secrets,dynamic_active_secrets,dynamic_warming_secrets"
    ]


def failing(error: EvidenceError) -> Callable[[str], bytes]:
    def answer(path: str) -> bytes:
        raise error

    return answer


@pytest.mark.parametrize("answer", [failing(NotOpenedError("x", "no upgrade")), lambda _: b"<"])
def test_istioctl_where_the_page_cannot_be_had_or_read(
    tmp_path: Path, answer: Callable[[str], bytes]
) -> None:
    found = live(tmp_path, answer, "echo '[]'").proxy_config("endpoint", "shop", "web-1")
    assert (found.text, found.command) == ("[]\n", COMMAND.format("endpoint"))


@pytest.mark.parametrize(
    ("error", "script"),
    [
        (NotOpenedError("x", "no upgrade", "y"), ""),
        (NotOpenedError("x", "no upgrade", "y"), "exit 1"),
        (UnreachableError("x", "connection refused", "y"), "echo '[]'"),
        (ForbiddenError("x", "forbidden", "y"), "echo '[]'"),
        (DeadlineError("x", "too late", "y"), "echo '[]'"),
    ],
)
def test_what_failed_is_said_of_the_command(
    tmp_path: Path, error: EvidenceError, script: str
) -> None:
    """A proxy that may not be asked, that refuses or let us wait is not asked a second time."""
    with pytest.raises(type(error)) as caught:
        live(tmp_path, failing(error), script).proxy_config("endpoint", "shop", "web-1")
    said, first = caught.value.unavailable, error.unavailable
    assert (said.what, said.detail) == (COMMAND.format("endpoint"), first.detail)
    assert said.remedy == first.remedy


def test_without_istioctl(tmp_path: Path) -> None:
    with pytest.raises(UnparsableError):
        live(tmp_path, lambda _: b"{1").proxy_config("cluster", "shop", "web-1")
    with pytest.raises(ToolMissingError):
        live(tmp_path, envoy).proxy_config("log", "shop", "web-1")
