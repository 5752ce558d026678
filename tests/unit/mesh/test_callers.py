"""Who comes at a fixed interval?"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.callers import addresses, at_intervals, node_addresses, pod_at
from meshdoctor.model.kubernetes import (
    Node,
    NodeAddress,
    NodeStatus,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
)

T0 = datetime(2026, 11, 18, 9, 24, tzinfo=UTC)


def calls(*seconds: float, ip: str = "10.0.9.9") -> list[tuple[str, datetime | None]]:
    return [(ip, T0 + timedelta(seconds=s)) for s in seconds]


def test_health_checks_are_regular() -> None:
    assert at_intervals(calls(0, 10, 20.2, 30.1, 40))
    assert at_intervals(calls(0, 10, 20, 30) + calls(3, 18, 33, 48, ip="10.0.9.8"))


def test_users_are_not() -> None:
    assert not at_intervals(calls(0, 3, 4, 19, 31))
    assert not at_intervals(calls(0, 10, 20)), "too few to tell"
    assert not at_intervals(calls(0, 1, 2, 3, 4)), "a loop of curl"
    assert not at_intervals(calls(0, 10, 20, 30) + calls(1, 2, ip="10.0.1.1"))
    assert not at_intervals([])
    assert not at_intervals([*calls(0, 10, 20, 30), ("10.0.9.9", None)])


IP = st.sampled_from(["", "10.0.0.1", "10.0.0.2", "fd00::1"])
PODS = st.lists(
    st.builds(
        lambda host, ip, more, on: Pod(
            spec=PodSpec(host_network=host),
            status=PodStatus(pod_ip=ip, pod_ips=tuple(PodIP(ip=i) for i in more), host_ip=on),
        ),
        st.booleans(),
        IP,
        st.lists(IP, max_size=2),
        IP,
    ),
    max_size=4,
)


@given(PODS, IP)
def test_an_index_finds_whom_a_search_finds(pods: list[Pod], node: str) -> None:
    nodes = [Node(status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address=node),)))]
    found = addresses(nodes, pods)
    assert found.nodes == node_addresses(nodes, pods)
    for ip in ("", "10.0.0.1", "10.0.0.2", "fd00::1", "10.9.9.9"):
        assert found.pods.get(ip) is pod_at(ip, pods)
