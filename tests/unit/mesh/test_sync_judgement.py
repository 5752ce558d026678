"""Which proxies does no istiod list?"""

from datetime import UTC, datetime

import pytest

from meshdoctor.mesh.sync_judgement import absence, overview
from meshdoctor.mesh.xds_status import parse
from meshdoctor.model.kubernetes import Pod
from tests.unit.mesh.objects import one

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
POD = """
kind: Pod
apiVersion: v1
metadata: {{name: {name}, namespace: shop}}
spec: {{containers: [{{name: {container}, args: [proxy, sidecar]}}]}}
status:
  phase: Running
  containerStatuses:
  - {{name: {container}, ready: true, state: {{running: {{startedAt: "2026-11-18T{at}Z"}}}}}}
"""


def pod(name: str, container: str, at: str = "08:00:00") -> Pod:
    return one(Pod, POD.format(name=name, container=container, at=at))


@pytest.mark.parametrize(
    ("answers", "proxy_at", "istiod_at", "absent"),
    [
        ('{"istiod-1": []}', "08:00:00", "08:00:00", True),  # it answered, and nobody is connected
        ('{"istiod-1": []}', "09:29:30", "08:00:00", False),
        ('{"istiod-1": []}', "08:00:00", "09:29:30", None),  # istiod was restarted just now
        ('{"istiod-2": []}', "08:00:00", "09:29:30", False),  # so it was, and did not answer
        ('{"istiod-2": []}', "08:00:00", "08:00:00", False),  # that istiod did not answer
        ("{}", "08:00:00", "08:00:00", False),
        ("NAME CLUSTER ISTIOD VERSION SUBSCRIBED TYPES", "08:00:00", "08:00:00", False),
    ],
)
def test_a_proxy_that_no_istiod_lists(
    answers: str, proxy_at: str, istiod_at: str, absent: bool | None
) -> None:
    table = parse(answers, NOW)
    istiods = [pod("istiod-1", "discovery", istiod_at)]
    assert absence(pod("cart-1", "istio-proxy", proxy_at), table, istiods, NOW) is absent


def test_proxies_that_may_be_on_their_way_back_are_told_apart() -> None:
    table = parse('{"istiod-1": []}', NOW)
    proxies = [pod("cart-1", "istio-proxy")]
    lost = overview(table, {}, proxies, [pod("istiod-1", "discovery")], NOW)
    assert (len(lost.absent), len(lost.early)) == (1, 0)
    early = overview(table, {}, proxies, [pod("istiod-1", "discovery", "09:29:30")], NOW)
    assert (len(early.absent), len(early.early)) == (0, 1)
