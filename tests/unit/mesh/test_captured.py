"""Calls that an ExternalName Service takes from other addresses."""

import pytest

from meshdoctor.mesh.access_log import parse
from meshdoctor.mesh.captured import captured, listens_everywhere, meant_others
from meshdoctor.model.kubernetes import Service
from tests.unit.mesh.objects import one

SERVICE = """
kind: Service
apiVersion: v1
metadata: {name: nexus, namespace: mon}
spec: {type: TYPE, externalName: nexus.internal, ports: [{PORT, port: 443}]}
"""
LINE = (
    '[2026-11-18T09:24:00.000Z] "- - -" 0 - - - "-" 10 20 5 - "-" "-" "-" "-" "{sent}:443" '
    "outbound|443||nexus.mon.svc.cluster.local 10.0.0.1:5 {dialled}:443 10.0.0.1:6 {name} -\n"
)


def service(kind: str = "ExternalName", port: str = "name: nexus") -> Service:
    return one(Service, SERVICE.replace("TYPE", kind).replace("PORT", port))


@pytest.mark.parametrize(
    ("kind", "port", "expected"),
    [
        ("ExternalName", "name: nexus", True),
        ("ExternalName", "name: tcp-nexus", True),
        ("ExternalName", "name: https", False),
        ("ExternalName", "appProtocol: http", False),
        ("ClusterIP", "name: nexus", False),
    ],
)
def test_listens_everywhere(kind: str, port: str, expected: bool) -> None:
    assert listens_everywhere(service(kind, port), 443) is expected
    assert not listens_everywhere(service(kind, port), 444)


@pytest.mark.parametrize(
    ("dialled", "calls"),
    [
        (("140.82.121.5", "140.82.121.6", "140.82.121.7"), 3),
        (("140.82.121.5", "140.82.121.6", "10.3.8.40"), 0),
        (("nexus", "140.82.121.6", "140.82.121.7"), 2),
    ],
)
def test_captured(dialled: tuple[str, ...], calls: int) -> None:
    text = "".join(LINE.format(sent="10.3.8.40", dialled=one, name="-") for one in dialled)
    found = captured(parse(text).lines)
    assert [taken.calls for taken in found] == ([calls] if calls else [])
    for taken in found:
        assert (taken.host, taken.port) == ("nexus.mon.svc.cluster.local", 443)
        assert (taken.dialled, taken.sent) == (dialled[-1], "10.3.8.40")


@pytest.mark.parametrize(
    ("addresses", "names", "expected"),
    [
        (3, ("-",), True),
        (2, ("-",), False),
        (1, ("api.github.com",), True),
        (1, ("nexus.internal",), False),
        (1, ("nexus",), False),
        (1, ("nexus.mon.svc.cluster.local",), False),
        (1, ("api.github.com", "nexus.mon"), False),
    ],
)
def test_meant_others(addresses: int, names: tuple[str, ...], expected: bool) -> None:
    text = "".join(
        LINE.format(sent="10.3.8.40", dialled=f"140.82.121.{i}", name=name)
        for i in range(addresses)
        for name in names
    )
    (found,) = captured(parse(text).lines)
    assert meant_others(found, service()) is expected
