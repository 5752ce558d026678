"""Two workloads behind one Service: is each judged by its own proxy's log?"""

from textwrap import dedent

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.model.subjects import EdgeSubject, Request, ServiceSubject, WorkloadSubject
from meshdoctor.probes.authz_denial import AuthzDenial, authz_denial
from tests.unit.probes.authz_world import SHOP, line, pod
from tests.unit.world import FakeSource

OTHER = "10.0.0.10"


def test_edges_that_look_alike_are_judged_apart() -> None:
    text = "\n---\n".join(dedent(one) for one in (*SHOP, pod("pay-v2", "shop", OTHER)))
    logs = {
        ("shop", "pay-1", "istio-proxy"): line(),
        ("shop", "pay-v2-1", "istio-proxy"): line(local=f"{OTHER}:8080"),
    }
    view = RecordingView(Evidence(FakeSource(text, logs=logs), Request(), None))
    found = []
    for name in ("pay", "pay-v2"):
        edge = EdgeSubject(
            client=WorkloadSubject("shop", "cart"),
            server=WorkloadSubject("shop", name),
            service=ServiceSubject("shop", "pay"),
            host="pay.shop.svc.cluster.local",
            port=80,
        )
        facts = authz_denial.run(view, edge)
        assert isinstance(facts, AuthzDenial)
        found.append((facts.judge_ref, facts.judge_target))
    assert [target for _, target in found] == ["deployment/pay", "deployment/pay-v2"]
