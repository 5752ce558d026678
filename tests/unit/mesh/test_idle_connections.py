"""Calls that came when the upstream closed an idle connection."""

from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.mesh.idle_connections import cut_off, shortest


def logged(second: float, port: int, end: str = "200 -", path: str = "/orders/17") -> Line:
    text = (
        f'[2026-11-18T09:24:{second:06.3f}Z] "GET {path} HTTP/1.1" {end} via_upstream - "-" 0 6 '
        f'100 - "-" "c" "i" "pay" "10.0.0.2:8080" inbound|8080|| 127.0.0.6:{port} '
        "10.0.0.2:8080 10.0.0.1:7 outbound_.80_._.pay.shop.svc.cluster.local default\n"
    )
    (line,) = parse(text).lines
    return line


def test_a_connection_that_answered_and_lay_idle() -> None:
    first, cut = logged(1, 5001), logged(6.1, 5001, "503 UC", "/orders/18?full=1")
    (found,) = cut_off([cut, first])
    assert found.line is cut and found.idle.total_seconds() == 5
    assert shortest([found]) == 5 and shortest([]) == 0


def test_what_is_no_idle_connection() -> None:
    answered = logged(1, 5001)
    # A new connection, one that was busy just before, and one that was closed already.
    assert not cut_off([answered, logged(6, 5002, "503 UC")])
    assert not cut_off([answered, logged(1.2, 5001, "503 UC")])
    again = [answered, logged(6, 5001, "503 UC"), logged(12, 5001, "503 UC")]
    assert len(cut_off(again)) == 1
    # A request of a kind that never works may be what the application breaks at.
    assert not cut_off([answered, logged(6, 5001, "503 UC", "/crash")])
