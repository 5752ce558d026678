"""Hosts of authorities: ports, addresses of both families, nothing at all."""

import pytest

from meshdoctor.mesh.access_log import parse_line
from meshdoctor.mesh.authority import bare_host


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("pay.shop", "pay.shop"),
        ("Pay.Shop:8080", "pay.shop"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[fd00::1]:80", "fd00::1"),
        ("[fd00::1]", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("", ""),
    ],
)
def test_the_host_of_an_authority(authority: str, host: str) -> None:
    assert bare_host(authority) == host


@pytest.mark.parametrize(
    ("written", "host"), [("Pay.Shop:8080", "pay.shop"), ("[fd00::1]:80", "fd00::1"), ("-", "")]
)
def test_the_host_of_a_line(written: str, host: str) -> None:
    head = '[2026-11-18T09:24:00.313Z] "GET / HTTP/1.1" 404 NR route_not_found - "-" 0 0 1 - "-" '
    line = parse_line(f'{head}"curl" "id" "{written}" "-" - - 10.0.0.2:80 10.0.0.1:501 - -')
    assert line is not None
    assert line.host == host
