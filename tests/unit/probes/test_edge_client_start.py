"""`edge-client-start`: whose init container calls before the pod's proxy runs?"""

from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.probes.edge_client_start import EdgeClientStart, edge_client_start
from tests.unit.world import world

POD = """
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: web}
spec:
  nodeName: n1
  initContainers: [{name: wait-for-pay}, {name: istio-init}]
  containers: [{name: app}, {name: istio-proxy, args: [proxy, sidecar]}]
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: "True"}, {type: Initialized, status: "False"}]
  initContainerStatuses:
    - name: wait-for-pay
      restartCount: 7
      state: {waiting: {reason: CrashLoopBackOff}}
      lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-11-18T09:00:00Z"}}
    - {name: istio-init, state: {waiting: {reason: PodInitializing}}}
"""
CART = EdgeSubject(
    client=WorkloadSubject("web", "cart-1", "Pod"), server=None, host="pay.shop", port=80
)


def start(pod: str, edge: EdgeSubject = CART) -> EdgeClientStart:
    found = edge_client_start.run(world(pod), edge)
    assert isinstance(found, EdgeClientStart)
    return found


def test_an_init_container_that_fails_before_the_proxy_runs() -> None:
    found = start(POD)
    assert (found.container, found.workload) == ("wait-for-pay", "Pod/web/cart-1")


def test_pods_of_which_no_init_container_calls_without_a_proxy() -> None:
    assert start(POD.replace("istio-proxy, args: [proxy, sidecar]", "other")).container == ""
    native = POD.replace("[{name: wait", "[{name: istio-proxy, restartPolicy: Always}, {name: wait")
    assert start(native).container == ""
    unnamed = EdgeSubject(client=None, server=None, host="pay.shop", port=80)
    assert start(POD, unnamed).container == ""
