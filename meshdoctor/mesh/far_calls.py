"""Do calls fail only where the server's pod runs on another node than the client's?

Between pods of one node no security group, no firewall and no overlay of the CNI lies; between
nodes all of them do. On EKS the nodes' security group decides (terraform-aws-eks opens only ports
1025 to 65535 between nodes: node_security_group_enable_recommended_rules).
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line, address
from meshdoctor.model.kubernetes import Pod


class FarCalls(Struct, frozen=True, kw_only=True):
    """Calls to pods of the client's own node (`near`) and of others (`far`); `lost`: the connection
    timed out; `pod`: the last far one to which it did."""

    near: int = 0
    near_lost: int = 0
    far: int = 0
    far_lost: int = 0
    pod: Pod | None = None


def far_calls(lines: Iterable[tuple[Pod, Line]], servers: Mapping[str, Pod]) -> FarCalls:
    """Of a client's pods and their lines; `servers` are the pods behind the service by address."""
    counts = {(near, lost): 0 for near in (True, False) for lost in (True, False)}
    last = None
    for client, line in lines:
        server = servers.get(address(line.upstream_host)[0])
        if server is None or not server.spec.node_name or not client.spec.node_name:
            continue
        near = server.spec.node_name == client.spec.node_name
        lost = ev.connect_word(line) == "timeout"
        counts[near, lost] += 1
        last = server if lost and not near else last
    return FarCalls(
        near=counts[True, False] + counts[True, True],
        near_lost=counts[True, True],
        far=counts[False, False] + counts[False, True],
        far_lost=counts[False, True],
        pod=last,
    )
