"""What CoreDNS says of its Corefile, and which plugin its probe wants there."""

import msgspec
import pytest

from meshdoctor.mesh.cluster_dns import lacking, refused
from meshdoctor.model.kubernetes import Container

WELL = ".:53 {\n    errors\n    health {\n      lameduck 5s\n    }\n    ready\n    reload\n}\n"
BARE = WELL.replace("    ready\n", "")


@pytest.mark.parametrize(
    ("corefile", "path", "port", "found"),
    [
        (WELL, "/ready", 8181, ""),
        (BARE, "/ready", 8181, "ready"),
        (BARE + "example.com:53 {\n    ready\n}\n", "/ready", 8181, ""),
        (BARE.replace("errors", "errors # ready"), "/ready", 8181, "ready"),
        (BARE.replace("lameduck 5s", "ready"), "/ready", 8181, "ready"),
        ("import custom/*.server\n" + BARE, "/ready", 8181, ""),
        (BARE.replace("errors", "import custom/*.override"), "/ready", 8181, ""),
        (BARE, "/ready", 9181, ""),
        (BARE, "/health", 8080, ""),
        (BARE.replace("health", "log"), "/health", 8080, "health"),
        (BARE.replace("health", "log"), "/healthz", 8080, ""),
        ("", "/ready", 8181, ""),
        (BARE, "/ready", "probe", "ready"),
    ],
)
def test_lacking(corefile: str, path: str, port: int | str, found: str) -> None:
    container = msgspec.convert(
        {
            "name": "coredns",
            "ports": [{"name": "probe", "containerPort": 8181}],
            "readinessProbe": {"httpGet": {"path": path, "port": port}},
        },
        Container,
    )
    assert lacking(corefile, container) == found


def test_no_probe_asks_nothing() -> None:
    assert lacking(BARE, Container(name="coredns")) == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("plugin/kubernetes: /etc/coredns/Corefile:6 - Error during parsing: unknown property "
         "'upstream'", True),
        ("/etc/coredns/Corefile:10 - Error during parsing: Unknown directive 'proxy'", True),
        ("[ERROR] Corefile changed but reload failed: plugin/kubernetes: x", True),
        ('[FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :53) detected for zone "."', True),
        ("[ERROR] plugin/errors: 2 example.com. A: read udp 10.0.0.1:2->10.0.0.2:53: i/o timeout",
         False),
        ("[INFO] plugin/ready: Still waiting on: \"kubernetes\"", False),
        ("", False),
    ],
)  # fmt: skip
def test_refused(line: str, found: bool) -> None:
    assert bool(refused(f"{line}\n")) is found
