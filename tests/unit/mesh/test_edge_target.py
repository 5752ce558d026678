"""What an edge calls."""

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import parse
from meshdoctor.mesh.edge_target import target
from meshdoctor.model.subjects import EdgeSubject

PAST = (
    '[2026-11-18T09:24:00.000Z] "- - -" 0 UF,URX - - "delayed_connect_error:_111" 0 0 1 - "-" "-" '
    '"-" "-" "10.88.31.240:8081" PassthroughCluster - 10.88.31.240:8081 10.0.0.1:5000 - -'
)


def test_a_call_to_an_address_is_known_by_the_address() -> None:
    log = parse(PAST)
    asked = EdgeSubject(client=None, server=None, host="10.88.31.240", port=8081)
    other = EdgeSubject(client=None, server=None, host="10.88.31.241", port=8081)
    assert len(ev.of_client(log, target(asked, None, ()))) == 1
    assert not ev.of_client(log, target(other, None, ()))
