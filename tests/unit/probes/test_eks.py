"""The probes on Amazon EKS, on small clusters."""

import json

import pytest

from meshdoctor.mesh.branch_interface import MODE
from meshdoctor.mesh.control_path import ENFORCES, POLICY_MODE
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import (
    EdgeSubject,
    MeshSubject,
    ProxySubject,
    ServiceSubject,
    WorkloadSubject,
)
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.aws_role import AwsRole, aws_role
from meshdoctor.probes.branch_interface import BranchInterface, branch_interface
from meshdoctor.probes.cluster_dns import ClusterDns, cluster_dns
from meshdoctor.probes.custom_networking import CustomNetworking, workload_network
from meshdoctor.probes.edge_drain import EdgeDrain, edge_drain
from meshdoctor.probes.edge_exposure import EdgeExposure, edge_exposure
from meshdoctor.probes.edge_external import EdgeExternal, edge_external
from meshdoctor.probes.edge_hairpin import EdgeHairpin, edge_hairpin
from meshdoctor.probes.network_agent import network_agent
from meshdoctor.probes.pod_identity import PodIdentity, pod_identity
from meshdoctor.probes.service_load_balancer import ServiceLoadBalancer, service_load_balancer
from meshdoctor.probes.service_local_endpoints import service_local_endpoints
from meshdoctor.probes.way_to_istiod import WayToIstiod, proxy_way_to_istiod
from tests.unit.world import world

ASKS_AGENT = """
kind: Pod
apiVersion: v1
metadata: {name: dns-1, namespace: x}
spec:
  containers:
  - name: dns
    image: dns:1
    env: [{name: AWS_CONTAINER_CREDENTIALS_FULL_URI, value: "http://ADDRESS/v1/credentials"}]
status: {phase: Running}
"""


@pytest.mark.parametrize(
    ("address", "line", "old"),
    [
        (
            "169.254.170.23",
            'endpoint host, "169.254.170.23", only loopback hosts are allowed',
            True,
        ),
        ("169.254.170.23", "connect to 169.254.170.23: timeout", False),
        (
            "localhost:1338",
            'endpoint host, "169.254.170.23", only loopback hosts are allowed',
            False,
        ),
    ],
)
def test_an_sdk_that_takes_no_credentials_from_the_agent(
    address: str, line: str, old: bool
) -> None:
    text = f"Ignoring, HTTP credential provider invalid {line}"
    view = world(ASKS_AGENT.replace("ADDRESS", address), logs={("x", "dns-1", "dns"): text})
    found = pod_identity.run(view, WorkloadSubject("x", "dns-1", "Pod"))
    assert isinstance(found, PodIdentity)
    assert (bool(found.too_old), found.asks) == (old, address.startswith("169"))


NOTE = "service.beta.kubernetes.io/aws-load-balancer-"


def pod(ns: str, name: str, ip: str, node: str, role: str = "sidecar", ready: bool = True) -> str:
    return f"""
---
kind: Pod
apiVersion: v1
metadata:
  name: {name}
  namespace: {ns}
  labels: {{app: {name.rpartition("-")[0]}, pod-template-hash: 5c9d}}
  annotations: {{vpc.amazonaws.com/pod-eni: "[]"}}
  ownerReferences: [{{kind: ReplicaSet, name: {name.rpartition("-")[0]}-5c9d, controller: true}}]
spec:
  nodeName: {node}
  serviceAccountName: app
  containers: [{{name: app}}, {{name: istio-proxy, args: [proxy, {role}]}}]
status:
  phase: Running
  podIP: {ip}
  conditions: [{{type: Ready, status: "{ready}"}}]
  containerStatuses:
  - {{name: app, ready: true, state: {{running: {{}}}}}}
  - {{name: istio-proxy, ready: {str(ready).lower()}, state: {{running: {{}}}}}}
"""


def service(notes: str = f"{{{NOTE}type: nlb}}", address: str = "[{hostname: lb.example}]") -> str:
    return f"""
---
kind: Service
apiVersion: v1
metadata: {{name: gw, namespace: ingress, annotations: {notes}}}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {{app: gw}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
status: {{loadBalancer: {{ingress: {address}}}}}
"""


GW = pod("ingress", "gw-1", "10.0.0.1", "a", "router")
CLIENTS = pod("apps", "rep-1", "10.0.0.2", "a") + pod("apps", "rep-2", "10.0.0.3", "b")
CALL = EdgeSubject(
    client=WorkloadSubject("apps", "rep"), server=None, service=ServiceSubject("ingress", "gw")
)
SLOW = "curl: (28) Failed to connect to lb.example port 80: Connection timed out\n"


def test_hairpin() -> None:
    logs = {("apps", "rep-1", "app"): SLOW * 2, ("apps", "rep-2", "app"): "200\n"}
    found = edge_hairpin.run(world(GW + CLIENTS + service(), logs=logs), CALL)
    assert isinstance(found, EdgeHairpin)
    assert (found.looping, found.timed_out, found.elsewhere) == (1, 2, 0)
    assert (found.pod, found.every_node) == ("rep-1", False)
    other = edge_hairpin.run(world(GW + CLIENTS + service("{}"), logs=logs), CALL)
    assert isinstance(other, EdgeHairpin) and other.looping == 0 and not other.service


LOST = "2026-11-18T09:2{}:00Z ERROR lb.example: Connection reset by peer\n"


@pytest.mark.parametrize(
    ("born", "notes", "after", "short"),
    [
        ("09:20", "", 2, True),
        ("08:20", "", 0, True),
        ("09:20", "proxy.istio.io/config: 'terminationDrainDuration: 240s'", 2, False),
    ],
)
def test_connections_that_break_while_gateways_are_replaced(
    born: str, notes: str, after: int, short: bool
) -> None:
    given = f"annotations: {{{notes}}}\n  creationTimestamp: '2026-11-18T{born}:00Z'"
    gateway = GW.replace('annotations: {vpc.amazonaws.com/pod-eni: "[]"}', given)
    gateway = gateway.replace("spec:\n", "spec:\n  terminationGracePeriodSeconds: 300\n", 1)
    logs = {("apps", "rep-1", "app"): LOST.format(1) + LOST.format(3)}
    found = edge_drain.run(world(gateway + CLIENTS + service(), logs=logs), CALL)
    assert isinstance(found, EdgeDrain)
    assert (found.broken, found.after, found.short) == (2, after, short)
    patch = str(found.patch)
    assert "terminationDrainDuration: 240s" in patch and "300" in patch
    assert (found.gateway, found.last) == ("Deployment/ingress/gw", "09:23:00")
    classic = edge_drain.run(world(gateway + CLIENTS + service("{}"), logs=logs), CALL)
    assert (classic.service, classic.broken) == ("", 0)


def test_logs_of_a_caller_that_are_missing_are_not_said_to_be_well() -> None:
    some = {("apps", "rep-2", "app"): "200\n"}
    quiet = edge_drain.run(world(GW + CLIENTS + service(), logs=some), CALL)
    assert all(isinstance(one, Unavailable) for one in (quiet.broken, quiet.after, quiet.last))
    still = edge_hairpin.run(world(GW + CLIENTS + service(), logs=some), CALL)
    assert isinstance(still.timed_out, Unavailable) and isinstance(still.pod, Unavailable)
    assert still.elsewhere == 0
    one = {("apps", "rep-1", "app"): SLOW + LOST.format(1)}
    slow = edge_hairpin.run(world(GW + CLIENTS + service(), logs=one), CALL)
    assert (slow.timed_out, slow.elsewhere) == (1, 0)
    assert edge_drain.run(world(GW + CLIENTS + service(), logs=one), CALL).broken == 1


EVENT = """
---
kind: Event
apiVersion: v1
metadata: {name: e, namespace: ingress}
involvedObject: {kind: Service, name: gw, namespace: ingress}
reason: FailedBuildModel
message: unable to resolve at least one subnet.
type: Warning
lastTimestamp: "2026-11-18T09:20:00Z"
"""
CHECK = (
    '[2026-11-18T09:24:00.951Z] "GET / HTTP/1.1" 404 NR route_not_found - "-" 0 0 1 - "-" '
    '"ELB-HealthChecker/2.0" "id" "10.0.0.1:8080" "-" - - 10.0.0.1:8080 10.0.9.9:2 - -\n'
)


def balanced(text: str, **more: object) -> ServiceLoadBalancer:
    view = world(GW + text, **more)  # type: ignore[arg-type]
    found = service_load_balancer.run(view, ServiceSubject("ingress", "gw"))
    assert isinstance(found, ServiceLoadBalancer)
    return found


KUBE_PROXY = """
---
kind: Pod
apiVersion: v1
metadata:
  name: kube-proxy-x
  namespace: kube-system
  labels: {k8s-app: kube-proxy}
  ownerReferences: [{kind: DaemonSet, name: kube-proxy, controller: true}]
spec: {nodeName: n1.internal, containers: [{name: kube-proxy}]}
status: {phase: Running}
---
{kind: Node, apiVersion: v1, metadata: {name: n1.internal}}
"""
NODE_LOST = 'E1119 1 node.go:125] Failed to retrieve node info: nodes "n1.corp" not found\n'
NODE_LOST_NEWER = (
    'E1119 1 node.go:161] "Failed to retrieve node info" err="nodes \\"n1.corp\\" not found"\n'
)
NODE_FOUND = 'I1119 1 node.go:136] "Successfully retrieved NodeIPs" NodeIPs=["10.0.0.1"]\n'


@pytest.mark.parametrize(
    ("policy", "log", "unknown"),
    [
        ("Local", NODE_LOST, "n1.corp"),
        ("Local", NODE_LOST_NEWER, "n1.corp"),
        ("Local", NODE_LOST + NODE_FOUND, ""),
        ("Local", NODE_LOST.replace("n1.corp", "n1.internal"), ""),
        ("Local", NODE_LOST.replace('nodes "n1.corp" not found', "dial tcp: i/o timeout"), ""),
        ("Local", "", ""),
        ("Cluster", NODE_LOST, ""),
    ],
)
def test_kube_proxy_that_does_not_find_its_node(policy: str, log: str, unknown: str) -> None:
    text = (
        KUBE_PROXY
        + f"""
---
kind: Service
apiVersion: v1
metadata: {{name: gw, namespace: ingress}}
spec: {{type: LoadBalancer, externalTrafficPolicy: {policy}, ports: [{{port: 80}}]}}
"""
    )
    logs = {("kube-system", "kube-proxy-x", "kube-proxy"): log}
    found = service_local_endpoints.run(world(text, logs=logs), ServiceSubject("ingress", "gw"))
    assert (found.local, found.unknown) == (policy == "Local", unknown)
    assert found.node == ("n1.internal" if unknown else "")
    if policy == "Local":
        assert found.proxy == "DaemonSet/kube-system/kube-proxy"
        unread = service_local_endpoints.run(world(text), ServiceSubject("ingress", "gw"))
        assert isinstance(unread.unknown, Unavailable)


def test_load_balancer() -> None:
    found = balanced(service(address="[]") + EVENT)
    assert found.pending
    assert found.event == "FailedBuildModel: unable to resolve at least one subnet"
    made = balanced(service() + EVENT)
    assert not made.pending and made.event == ""
    assert made.stuck == "FailedBuildModel: unable to resolve at least one subnet"
    done = EVENT.replace("FailedBuildModel", "SuccessfullyReconciled").replace("name: e", "name: f")
    later, before = (done.replace("09:20", at) for at in ("09:25", "09:10"))
    assert balanced(service() + EVENT + later).stuck == ""
    assert balanced(service() + EVENT + before).stuck == made.stuck
    assert balanced(service() + EVENT.replace("09:20", "08:20")).stuck == ""
    refused = ForbiddenError("list of Event", "forbidden", "")
    unseen = balanced(service(address="[]"), failing={"Event": refused})
    assert isinstance(unseen.event, Unavailable) and unseen.stuck == ""


LBC = """
---
kind: Pod
apiVersion: v1
metadata: {name: lbc, namespace: kube-system}
spec: {containers: [{name: controller, image: 'x/aws-load-balancer-controller:v2.8.1'}]}
status: {phase: Running}
"""
SAYS = (
    '{"ts":"2026-11-18T09:20:00Z","msg":"Reconciler error","controller":"targetGroupBinding",'
    '"name":"k8s-ingress-gw-737679f196","namespace":"ingress","error":"two tagged groups"}'
)


def test_what_only_the_controllers_log_tells() -> None:
    logs = {("kube-system", "lbc", "controller"): SAYS}
    assert balanced(service() + LBC, logs=logs).stuck == "two tagged groups"
    assert balanced(service("{}", "[]") + LBC, logs=logs).event == "two tagged groups"
    old = {("kube-system", "lbc", "controller"): SAYS.replace("T09:", "T07:")}
    assert balanced(service() + LBC, logs=old).stuck == ""
    assert balanced(service() + LBC).stuck == ""


DOWN = '{"level":"error","msg":"unable to initialize AWS cloud","error":"no VPC ID"}\n'


def test_a_controller_that_does_not_run() -> None:
    mine = service("{service.beta.kubernetes.io/aws-load-balancer-type: external}", "[]")
    logs = {("kube-system", "lbc", "controller"): DOWN}
    found = balanced(mine + LBC, logs=logs)
    assert found.controller == "Pod/kube-system/lbc"
    words = "Pod/kube-system/lbc does not run; it says: unable to initialize AWS cloud: no VPC ID"
    assert found.event == words
    assert "FailedBuildModel" in str(balanced(mine + LBC + EVENT, logs=logs).event)
    ready = LBC.replace(
        "phase: Running", "phase: Running, conditions: [{type: Ready, status: 'True'}]"
    )
    assert balanced(mine + ready, logs=logs).event == ""
    assert balanced(service("{}", "[]") + LBC, logs=logs).event == ""
    assert balanced(mine, logs=logs).controller == ""


NO_NETWORK = """
---
kind: Event
apiVersion: v1
metadata: {name: e, namespace: shop}
type: Warning
reason: FailedCreatePodSandBox
message: 'plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an address'
lastTimestamp: "2026-11-18T09:29:00Z"
involvedObject: {kind: Pod, name: web-1, namespace: shop}
---
kind: Pod
apiVersion: v1
metadata: {name: web-1, namespace: shop}
spec: {nodeName: NODE, containers: [{name: web}]}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: "True"}]
  containerStatuses: [{name: web, state: {waiting: {reason: ContainerCreating}}}]
---
kind: Pod
apiVersion: v1
metadata: {name: aws-node-1, namespace: kube-system}
spec: {nodeName: a, containers: [{name: aws-node}]}
status: {phase: Running}
"""
FULL = '{"msg":"AllocENI: InsufficientFreeAddressesInSubnet: The subnet is full."}'
WAITS = '{"msg":"Retrying waiting for IPAM-D"}'


@pytest.mark.parametrize(
    ("node", "log", "said"),
    [
        ("a", FULL, "; aws-node-1 says: InsufficientFreeAddressesInSubnet: The subnet is full"),
        ("a", f"{FULL}\n{WAITS}", "; aws-node-1 says: Insufficient"),
        ("a", WAITS, "; aws-node-1 says: Retrying waiting for IPAM-D"),
        ("a", '{"msg":"fine"}', ""),
        ("b", FULL, ""),
        ("a", None, ""),
    ],
)
def test_what_the_agent_says_of_a_pod_without_network(
    node: str, log: str | None, said: str
) -> None:
    logs = {} if log is None else {("kube-system", "aws-node-1", "aws-node"): log}
    view = world(NO_NETWORK.replace("NODE", node), logs=logs)
    found = network_agent.run(view, WorkloadSubject("shop", "web-1", "Pod")).said
    assert isinstance(found, str) and found.startswith(said) and bool(found) is bool(said)


REFUSED = """
---
{kind: Namespace, apiVersion: v1, metadata: {name: kube-system, labels: {GATED: enabled}}}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: lbc, namespace: kube-system}
spec:
  selector: {matchLabels: {app: lbc}}
  template:
    spec: {containers: [{name: controller, image: aws/aws-load-balancer-controller:v2.0.0}]}
status:
  conditions:
  - {type: ReplicaFailure, status: "True", message: 'failed calling webhook "mpod.elbv2.k8s.aws"'}
"""


def test_a_controller_that_waits_for_its_own_webhook() -> None:
    mine = service("{service.beta.kubernetes.io/aws-load-balancer-type: external}", "[]")
    gated = REFUSED.replace("GATED", "elbv2.k8s.aws/pod-readiness-gate-inject")
    found = balanced(mine + gated)
    assert (found.controller, found.gate) == (
        "Deployment/kube-system/lbc",
        "Namespace//kube-system",
    )
    assert "mpod.elbv2.k8s.aws" in str(found.event)
    other = balanced(mine + REFUSED)
    assert (other.controller, other.gate) == ("Deployment/kube-system/lbc", "")
    made = gated.replace('status: "True"', 'status: "False"')
    assert balanced(mine + made).controller == ""


def test_checks_of_a_load_balancer_that_nothing_in_the_cluster_asks_for() -> None:
    plain = service().replace("type: LoadBalancer", "type: ClusterIP")
    named = plain.replace("{app: gw}", "{gateway.networking.k8s.io/gateway-name: front}")
    label = GW.replace("app: gw", "gateway.networking.k8s.io/gateway-name: front")
    logs = {("ingress", "gw-1", "istio-proxy"): CHECK}
    assert balanced(plain, logs=logs).checks_failed == 1
    view = world(label + named, logs=logs)
    found = service_load_balancer.run(view, ServiceSubject("ingress", "gw"))
    assert (found.checks_failed, found.gateway) == (1, "Gateway/ingress/front")
    second = plain.replace("name: gw, namespace", "name: public, namespace")
    assert balanced(plain + second, logs=logs).checks_failed == 0


FRONT = """
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: alb, namespace: ingress}
spec: {ingressClassName: alb, defaultBackend: {service: {name: gw, port: {number: 80}}}}
status: {loadBalancer: {ingress: ADDRESS}}
"""


@pytest.mark.parametrize(
    ("address", "kind", "asks"),
    [
        ("[]", "Ingress", "Ingress/ingress/alb"),
        ("[{hostname: alb.example}]", "Ingress", ""),
        ("[]", "Service", "Ingress/ingress/alb"),
    ],
)
def test_the_load_balancer_of_an_ingress(address: str, kind: str, asks: str) -> None:
    plain = service().replace("type: LoadBalancer", "type: ClusterIP")
    event = EVENT.replace("kind: Service, name: gw", f"kind: {kind}, name: alb")
    found = balanced(plain + FRONT.replace("ADDRESS", address) + event)
    assert (found.asks, found.pending) == (asks, bool(asks))
    assert bool(found.event) is (kind == "Ingress" and bool(asks))


def eni(name: str) -> str:
    return f"""
---
kind: ENIConfig
apiVersion: crd.k8s.amazonaws.com/v1alpha1
metadata: {{name: {name}}}
spec: {{subnet: subnet-1, securityGroups: [sg-9]}}
"""


def node(labels: str) -> str:
    return f"""
---
kind: Node
apiVersion: v1
metadata: {{name: a, labels: {labels}}}
"""


@pytest.mark.parametrize(
    ("env", "labels", "configs", "found"),
    [
        ("", "{}", ("x",), ""),
        ("true", "{k8s.amazonaws.com/eniConfig: y}", ("x", "y"), "y"),
        ("true", "{topology.kubernetes.io/zone: x}", ("x", "y"), "x"),
        ("true", "{}", ("x", "default"), "default"),
        ("true", "{}", ("x",), "x"),
        ("true", "{}", ("x", "y"), ""),
        ("false", "{}", ("x",), ""),
    ],
)
def test_custom_networking(env: str, labels: str, configs: tuple[str, ...], found: str) -> None:
    name = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"
    agent = AGENT.replace("{name: A, value: b}", f"{{name: {name}, value: '{env}'}}")
    objects = pod("apps", "rep-1", "10.0.0.2", "a") + agent + node(labels)
    view = world(objects + "".join(map(eni, configs)))
    facts = workload_network.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(facts, CustomNetworking)
    assert facts.pod == (f"ENIConfig//{found}" if found else "")
    assert ("sg-9" in str(facts.pod_said)) is bool(found)


def test_health_checks() -> None:
    logs = {("ingress", "gw-1", "istio-proxy"): CHECK * 3}
    found = balanced(service(), logs=logs)
    assert (found.checks_failed, found.check) == (3, "GET / 404")
    well = CHECK.replace("404 NR route_not_found", "200 - via_upstream")
    over = balanced(service(), logs={("ingress", "gw-1", "istio-proxy"): CHECK * 3 + well})
    assert over.checks_failed == 0, "the pod was starting: its newest check went well"
    checked = (
        f"{{{NOTE}type: nlb, {NOTE}proxy-protocol: '*', {NOTE}healthcheck-protocol: http, "
        f"{NOTE}healthcheck-port: '15021'}}"
    )
    assert balanced(service(checked)).plain_check
    assert not balanced(service(checked.replace("'*'", "'80'"))).plain_check


POLL = (
    '[2026-11-18T09:10:00.951Z] "GET /poll HTTP/1.1" 0 DC downstream_remote_disconnect - "-" 0 0 '
    '400000 - "-" "app" "id" "a.example" "10.0.0.9:8080" outbound|80||app.apps.svc.cluster.local '
    "10.0.0.1:4 10.0.0.1:8080 10.0.9.9:2 - -\n"
)


@pytest.mark.parametrize(
    ("notes", "line", "idle", "found"),
    [
        (f"{NOTE}type: nlb", POLL, 350, 3),
        (f"{NOTE}type: nlb", POLL.replace("400000", "300000"), 350, 0),
        (f"{NOTE}type: nlb", POLL.replace(" 0 DC", " 200 DC"), 350, 0),
        (f"{NOTE}type: nlb", POLL.replace(" DC down", " - down"), 350, 0),
        (f"{NOTE}type: nlb", POLL.replace("0 0 400000", "0 9 400000"), 350, 0),
        (
            f"{NOTE}type: nlb, {NOTE}listener-attributes.TCP-80: tcp.idle_timeout.seconds=3600",
            POLL,
            3600,
            0,
        ),
        (f"{NOTE}internal: 'true'", POLL, 0, 0),
    ],
)
def test_silent_requests(notes: str, line: str, idle: int, found: int) -> None:
    logs = {("ingress", "gw-1", "istio-proxy"): line * 3}
    told = balanced(service(f"{{{notes}}}"), logs=logs)
    assert (told.idle_seconds, told.cut_off) == (idle, found)
    assert (told.cut == "GET /poll 400 s") is bool(found)


SGP = """
---
kind: SecurityGroupPolicy
apiVersion: vpcresources.k8s.aws/v1beta1
metadata: {name: db, namespace: apps}
spec:
  podSelector: {matchLabels: {app: rep}}
  securityGroups: {groupIds: [sg-1, sg-2]}
"""
AGENT = """
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: aws-node, namespace: kube-system}
spec: {template: {spec: {containers: [{name: aws-node, env: [{name: A, value: b}]}]}}}
"""
SLOW_PROBE = """
---
kind: Event
apiVersion: v1
metadata: {name: p, namespace: apps}
involvedObject: {kind: Pod, name: rep-1, namespace: apps}
reason: Unhealthy
message: 'Readiness probe failed: Get "http://10.0.0.2:15021": i/o timeout'
type: Warning
count: 5
lastTimestamp: "2026-11-18T09:20:00Z"
"""


def test_branch_interface() -> None:
    bad = pod("apps", "rep-1", "10.0.0.2", "a", ready=False)
    view = world(bad + SGP + AGENT + SLOW_PROBE)
    found = branch_interface.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(found, BranchInterface)
    assert (found.branch, found.unreached, found.timeouts) == (True, True, 5)
    assert (found.policy, found.agent) == (
        "SecurityGroupPolicy/apps/db",
        "DaemonSet/kube-system/aws-node",
    )
    bare = world(bad.replace("vpc.amazonaws.com/pod-eni", "other") + SGP + AGENT + SLOW_PROBE)
    other = branch_interface.run(bare, WorkloadSubject("apps", "rep"))
    assert not other.branch and other.timeouts == 0


NODE_DNS = """
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: node-local-dns, namespace: kube-system}
spec: {template: {spec: {containers: [{name: node-cache}]}}}
"""
NO_AGENT = "ERROR Connect to 169.254.170.23:80 failed: connect timed out\n"
NO_NAMES = "warn\tdial tcp: lookup istiod.istio-system.svc on 172.20.0.10:53: i/o timeout\n"


@pytest.mark.parametrize(
    ("mode", "ready", "strict", "identity", "names"),
    [
        ("strict", False, True, True, True),
        ("standard", False, False, False, False),
        ("strict", True, True, False, False),
    ],
)
def test_what_a_branch_interface_cuts_off(
    mode: str, ready: bool, strict: bool, identity: bool, names: bool
) -> None:
    logs = {("apps", "rep-1", "app"): NO_AGENT, ("apps", "rep-1", "istio-proxy"): NO_NAMES}
    agent = AGENT.replace("{name: A, value: b}", f"{{name: {MODE}, value: {mode}}}")
    view = world(pod("apps", "rep-1", "10.0.0.2", "a", ready=ready) + agent + NODE_DNS, logs=logs)
    found = branch_interface.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(found, BranchInterface)
    assert found.strict is strict
    assert found.node_dns == ("DaemonSet/kube-system/node-local-dns" if strict else "")
    assert ("169.254.170.23" in str(found.no_identity)) is identity
    assert ("istiod" in str(found.no_names)) is names


@pytest.mark.parametrize(("times", "identity"), [(1, False), (2, True)])
def test_one_failure_of_a_pod_that_is_ready_is_over(times: int, identity: bool) -> None:
    logs = {("apps", "rep-1", "app"): NO_AGENT * times + NO_NAMES * times}
    one = pod("apps", "rep-1", "10.0.0.2", "a", ready=True)
    view = world(one + AGENT + NODE_DNS, logs=logs, namespaces=("apps",))
    found = branch_interface.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(found, BranchInterface)
    assert bool(found.no_identity) is identity and found.no_names == ""


def test_logs_of_a_branch_interface_that_are_missing_are_not_said_to_be_well() -> None:
    view = world(pod("apps", "rep-1", "10.0.0.2", "a", ready=False) + AGENT)
    found = branch_interface.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(found.no_identity, Unavailable) and isinstance(found.no_names, Unavailable)


@pytest.mark.parametrize("short", ["vpc.amazonaws.com/pod-eni", "cpu"])
def test_no_branch_interface_left(short: str) -> None:
    text = f"0/2 nodes are available: 2 Insufficient {short}."
    waiting = pod("apps", "rep-1", "10.0.0.2", "''", ready=False)
    waiting = waiting.replace('{vpc.amazonaws.com/pod-eni: "[]"}', "{}")
    waiting = waiting.replace(
        "conditions: [",
        f"conditions: [{{type: PodScheduled, status: 'False', message: '{text}'}}, ",
    )
    found = branch_interface.run(world(waiting + SGP + AGENT), WorkloadSubject("apps", "rep"))
    assert isinstance(found, BranchInterface)
    assert found.unscheduled and not found.branch
    assert found.waits is (short != "cpu")
    assert found.policy == ("SecurityGroupPolicy/apps/db" if found.waits else "")


COREDNS = """
---
kind: Pod
apiVersion: v1
metadata:
  name: coredns-5c9d-a
  namespace: kube-system
  labels: {k8s-app: kube-dns, pod-template-hash: 5c9d}
  ownerReferences: [{kind: ReplicaSet, name: coredns-5c9d, controller: true}]
spec:
  containers:
  - name: coredns
    image: example/eks/coredns:v1.7.0
    readinessProbe: {httpGet: {path: /ready, port: 8181}}
status:
  conditions: [{type: Ready, status: "READY"}]
  containerStatuses: [{name: coredns, restartCount: 3}]
---
kind: ConfigMap
apiVersion: v1
metadata: {name: coredns, namespace: kube-system}
data: {Corefile: ".:53 {\\n errors\\n}"}
"""
OLD_FILE = "plugin/kubernetes: Corefile:6 - Error during parsing: unknown property 'upstream'\n"


@pytest.mark.parametrize(
    ("ready", "log", "refused", "lacks"),
    [
        ("False", OLD_FILE, True, "ready"),
        ("False", "[INFO] plugin/reload: Running\n", False, "ready"),
        ("True", OLD_FILE, False, ""),
    ],
)
def test_cluster_dns(ready: str, log: str, refused: bool, lacks: str) -> None:
    logs = {("kube-system", "coredns-5c9d-a", "coredns"): log}
    found = cluster_dns.run(world(COREDNS.replace("READY", ready), logs=logs), MeshSubject())
    assert isinstance(found, ClusterDns)
    assert (found.failing, found.ready) == ((1, 0) if ready == "False" else (0, 1))
    assert found.workload == "Deployment/kube-system/coredns"
    assert ("upstream" in str(found.refused)) is refused
    assert found.lacks == lacks


def test_a_dns_log_that_cannot_be_read_is_not_said_to_be_well() -> None:
    found = cluster_dns.run(world(COREDNS.replace("READY", "False")), MeshSubject())
    assert isinstance(found.refused, Unavailable)
    assert cluster_dns.run(world(""), MeshSubject()).failing == 0


CLOSED = """
---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: closed, namespace: apps}
spec: {podSelector: {}, policyTypes: [Egress], egress: []}
"""


@pytest.mark.parametrize(
    ("ready", "policy", "groups"),
    [(False, "NetworkPolicy/apps/closed", "SecurityGroupPolicy/apps/db"), (True, "", "")],
)
def test_way_to_istiod(ready: bool, policy: str, groups: str) -> None:
    view = world(pod("apps", "rep-1", "10.0.0.2", "a", ready=ready) + SGP + CLOSED)
    found = proxy_way_to_istiod.run(view, ProxySubject("apps", "rep-1", "rep"))
    assert isinstance(found, WayToIstiod)
    assert (found.policy, found.group_policy) == (policy, groups)
    assert ("sg-1, sg-2" in str(found.said)) is not ready


def test_network_policies_in_strict_mode() -> None:
    text = AGENT.replace("{name: A, value: b}", f"{{name: {POLICY_MODE}, value: strict}}")
    agent = text.replace(
        "[{name: aws-node,", f"[{{name: agent, args: [{ENFORCES}]}}, {{name: aws-node,"
    )
    waiting = pod("apps", "rep-1", "10.0.0.2", "a", ready=False)
    found = proxy_way_to_istiod.run(world(waiting + agent), ProxySubject("apps", "rep-1", "rep"))
    assert found.denier == "DaemonSet/kube-system/aws-node"
    assert "strict mode" in str(found.said)
    opened = proxy_way_to_istiod.run(
        world(waiting + agent + CLOSED), ProxySubject("apps", "rep-1", "rep")
    )
    assert (opened.denier, opened.policy) == ("", "NetworkPolicy/apps/closed")


@pytest.mark.parametrize(("ready", "down"), [(False, "Deployment/istio-system/istiod"), (True, "")])
def test_way_to_an_istiod_that_is_not_ready(ready: bool, down: str) -> None:
    istiod = pod("istio-system", "istiod-1", "10.0.0.9", "a", ready=ready)
    view = world(pod("apps", "rep-1", "10.0.0.2", "a", ready=False) + istiod)
    found = proxy_way_to_istiod.run(view, ProxySubject("apps", "rep-1", "rep"))
    assert found.down == down
    assert ("no pod of" in str(found.said)) is not ready


@pytest.mark.parametrize(
    ("address", "service", "said"),
    [
        ("istiod-1-29.istio-system.svc:15012", "istiod", True),
        ("istiod-1-29.istio-system.svc:15012", "istiod-1-29", False),
        ("istiod.example.com:15012", "istiod", False),
    ],
)
def test_way_to_an_istiod_that_is_gone(address: str, service: str, said: bool) -> None:
    waiting = pod("apps", "rep-1", "10.0.0.2", "a", ready=False)
    config = json.dumps({"discoveryAddress": address})
    told = f"name: istio-proxy, env: [{{name: PROXY_CONFIG, value: '{config}'}}]"
    there = f"""
---
kind: Service
apiVersion: v1
metadata: {{name: {service}, namespace: istio-system}}
"""
    view = world(waiting.replace("name: istio-proxy", told, 1) + there)
    found = proxy_way_to_istiod.run(view, ProxySubject("apps", "rep-1", "rep"))
    assert ("Service/istio-system/istiod-1-29, which does not exist" in str(found.said)) is said


def test_what_may_not_be_read_is_not_said() -> None:
    refused = ForbiddenError("list of NetworkPolicy", "forbidden", "")
    view = world(
        pod("apps", "rep-1", "10.0.0.2", "a", ready=False) + SGP, failing={"NetworkPolicy": refused}
    )
    found = proxy_way_to_istiod.run(view, ProxySubject("apps", "rep-1", "rep"))
    assert isinstance(found.policy, Unavailable)
    assert str(found.said).startswith("; SecurityGroupPolicy/apps/db")


ALB = """
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: alb, namespace: ingress}
spec: {ingressClassName: alb, defaultBackend: {service: {name: gw}}}
"""


FAILS = "2026-11-18T09:2{}:00Z GET https://shop.example/ 50{}\n"


@pytest.mark.parametrize(
    ("host", "notes", "broken", "short"),
    [
        ("shop.example", "", 2, True),
        ("shop.example", "proxy.istio.io/config: 'terminationDrainDuration: 40s'", 2, False),
        ("other.example", "", 0, True),
    ],
)
def test_an_alb_that_answers_for_gateways_that_are_gone(
    host: str, notes: str, broken: int, short: bool
) -> None:
    given = f"annotations: {{{notes}}}\n  creationTimestamp: '2026-11-18T09:20:00Z'"
    gateway = GW.replace('annotations: {vpc.amazonaws.com/pod-eni: "[]"}', given)
    gateway = gateway.replace("spec:\n", "spec:\n  terminationGracePeriodSeconds: 300\n", 1)
    named = f"rules: [{{host: {host}}}], defaultBackend"
    alb = ALB.replace("defaultBackend", named)
    text = FAILS.format(1, 2) + FAILS.format(2, 4) + FAILS.format(3, 0)
    logs = {("apps", "rep-1", "app"): text, ("apps", "rep-2", "app"): ""}
    found = edge_drain.run(world(gateway + CLIENTS + service("{}") + alb, logs=logs), CALL)
    assert isinstance(found, EdgeDrain)
    assert (found.broken, found.after, found.short) == (broken, broken, short)
    assert (found.front, found.balancer) == ("Ingress/ingress/alb", "application load balancer")


BOUND = """
---
kind: TargetGroupBinding
apiVersion: elbv2.k8s.aws/v1beta1
metadata: {name: made-by-hand, namespace: ingress}
spec: {serviceRef: {name: NAME, port: 80}, targetType: ip}
"""


@pytest.mark.parametrize(("name", "front"), [("gw", "made-by-hand"), ("other", "")])
def test_a_target_group_that_was_made_by_hand(name: str, front: str) -> None:
    text = FAILS.format(1, 2).replace("shop.example", "lb.example") * 2
    logs = {("apps", "rep-1", "app"): text, ("apps", "rep-2", "app"): ""}
    plain = service("{}").replace("LoadBalancer", "ClusterIP")
    found = edge_drain.run(
        world(GW + CLIENTS + plain + BOUND.replace("NAME", name), logs=logs), CALL
    )
    assert isinstance(found, EdgeDrain)
    assert found.front == (f"TargetGroupBinding/ingress/{front}" if front else "")


def test_exposure() -> None:
    found = edge_exposure.run(world(GW + service() + ALB), CALL)
    assert isinstance(found, EdgeExposure)
    assert (found.by, found.balancer) == ("Ingress/ingress/alb", True)
    plain = EdgeSubject(client=CALL.client, server=None, host="a.example")
    assert edge_exposure.run(world(GW), plain).by == ""
    assert balanced(service() + ALB).ingress == "Ingress/ingress/alb"


ROUTED = (
    ALB
    + """---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: web, namespace: apps}
spec: {selector: {app: gw}, servers: [{port: {number: 80, protocol: HTTP}, hosts: ["*"]}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: shop, namespace: apps}
spec: {hosts: [a.example], gateways: [web]}
"""
)
OTHER = "---\nkind: KIND\napiVersion: GROUP\nmetadata: {name: x, namespace: apps}\nspec: {A}\n"
FILTER = OTHER.replace("KIND", "EnvoyFilter").replace("GROUP", "networking.istio.io/v1alpha3")
CLASSED = OTHER.replace("KIND", "Ingress").replace("GROUP", "networking.k8s.io/v1")


@pytest.mark.parametrize(
    ("objects", "logs", "unknown"),
    [
        (ROUTED, "", True),
        (ROUTED.replace("a.example", "'*'"), "", False),
        (ROUTED.replace("selector: {app: gw}", "selector: {app: b}"), "", False),
        (ROUTED.replace("HTTP}", "HTTP}, tls: {httpsRedirect: true}"), "", False),
        (ROUTED.replace("namespace: ingress}", "namespace: apps}"), "", False),
        (ROUTED + FILTER.replace("A", ""), "", False),
        (ROUTED + CLASSED.replace("A", "ingressClassName: istio"), "", False),
        (ROUTED, CHECK.replace("404 NR route_not_found", "200 - via_upstream"), False),
    ],
)
def test_an_alb_checks_a_path_that_no_route_takes(objects: str, logs: str, unknown: bool) -> None:
    found = balanced(service() + objects, logs={("ingress", "gw-1", "istio-proxy"): logs})
    assert found.unknown_path is unknown
    assert found.check == ("GET / by the target's address 404" if unknown else "")


REGISTRY_ONLY = """
---
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
---
kind: Sidecar
apiVersion: networking.istio.io/v1
metadata: {name: default, namespace: apps}
spec: {egress: [{hosts: ["./*"]}]}
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: meta, namespace: shared}
spec: {hosts: [meta.example], ports: [{number: 80, name: http, protocol: HTTP}]}
"""


@pytest.mark.parametrize(
    ("host", "why", "said"),
    [
        ("meta.example", "sidecar", "no egress host of Sidecar/apps/default covers it"),
        ("other.example", "unregistered", ""),
    ],
)
def test_hosts_outside_the_cluster(host: str, why: str, said: str) -> None:
    edge = EdgeSubject(client=CALL.client, server=None, host=host, port=80)
    found = edge_external.run(world(CLIENTS + REGISTRY_ONLY), edge)
    assert isinstance(found, EdgeExternal)
    assert (found.judged, found.refused, found.refused_by) == (
        True,
        True,
        "ConfigMap/istio-system/istio",
    )
    assert (found.unknown_by, found.unknown_said) == (why, said)


@pytest.mark.parametrize(
    ("export_to", "host", "mends", "mend"),
    [
        ("", "meta.example", "sidecar apps default",
         "Add shared/meta.example to the egress hosts of Sidecar/apps/default."),
        (', exportTo: ["."]', "meta.example", "serviceentry shared meta",
         "Add apps to exportTo of ServiceEntry/shared/meta."),
        ("", "other.example", "  ", ""),
    ],
)  # fmt: skip
def test_what_to_change_where_an_entry_is_hidden(
    export_to: str, host: str, mends: str, mend: str
) -> None:
    edge = EdgeSubject(client=CALL.client, server=None, host=host, port=80)
    objects = REGISTRY_ONLY.replace("protocol: HTTP}]", "protocol: HTTP}]" + export_to)
    found = edge_external.run(world(CLIENTS + objects), edge)
    assert isinstance(found, EdgeExternal)
    assert (f"{found.mend_kind} {found.mend_namespace} {found.mend_name}", found.mend) == (
        mends,
        mend,
    )
    assert found.known_host == host


@pytest.mark.parametrize(
    ("protocol", "sealed"), [("HTTP", ""), ("HTTPS", "HTTPS"), ("TLS", "TLS"), ("TCP", "")]
)
def test_a_port_that_is_declared_tls(protocol: str, sealed: str) -> None:
    edge = EdgeSubject(client=CALL.client, server=None, host="meta.example", port=80)
    objects = REGISTRY_ONLY.replace("protocol: HTTP}", f"protocol: {protocol}}}")
    assert edge_external.run(world(CLIENTS + objects), edge).sealed == sealed


@pytest.mark.parametrize("host", ["pay.shop.svc.cluster.local", "pay", ""])
def test_a_name_of_the_cluster_is_not_outside(host: str) -> None:
    edge = EdgeSubject(client=CALL.client, server=None, host=host, port=80)
    assert not edge_external.run(world(CLIENTS + REGISTRY_ONLY), edge).judged


def test_a_role_that_the_application_does_not_have() -> None:
    account = """
---
kind: ServiceAccount
apiVersion: v1
metadata:
  name: app
  namespace: shop
  annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::1:role/pay"}
"""
    objects = pod("shop", "pay-5c9d-1", "10.0.0.1", "n1") + account
    said = "connection to sts.eu-west-1.amazonaws.com:443 refused\n" + (
        "AccessDenied: arn:aws:sts::1:assumed-role/nodes/i-0 is not authorized to perform: x\n"
    )
    subject = WorkloadSubject("shop", "pay-5c9d", "ReplicaSet")
    logs = {("shop", "pay-5c9d-1", "app"): said}
    found = aws_role.run(world(objects, logs=logs, namespaces=("shop",)), subject)
    assert isinstance(found, AwsRole) and found.known
    assert (found.own, found.other, found.denied, found.sts_failures) == ("pay", "nodes", 1, 1)
    assert found.account == "ServiceAccount/shop/app" and "sts.eu-west-1" in str(found.said)
    mesh = aws_role.run(world(objects, logs=logs), subject)
    assert isinstance(mesh, AwsRole) and not mesh.known and mesh.denied == 0
    bare = world(pod("shop", "pay-5c9d-1", "10.0.0.1", "n1"), namespaces=("shop",))
    none = aws_role.run(bare, subject)
    assert isinstance(none, AwsRole) and (none.own, none.denied) == ("", 0)


@pytest.mark.parametrize(
    ("kubelet", "agents", "host", "found"),
    [
        ("v1.21.5-eks-bc4871b", ("weave-net",), "false", "weave-net"),
        ("v1.21.5-eks-bc4871b", ("weave-net",), "true", ""),
        ("v1.21.5-eks-bc4871b", ("calico-node", "aws-node"), "false", ""),
        ("v1.21.5-eks-bc4871b", (), "false", ""),
        ("v1.21.5-gke.1", ("weave-net",), "false", ""),
    ],
)
def test_an_overlay_network(kubelet: str, agents: tuple[str, ...], host: str, found: str) -> None:
    objects = f"""
---
kind: Node
apiVersion: v1
metadata: {{name: a}}
status: {{nodeInfo: {{kubeletVersion: {kubelet}}}}}
---
kind: Pod
apiVersion: v1
metadata: {{name: istiod-1, namespace: istio-system, labels: {{app: istiod}}}}
spec: {{hostNetwork: {host}, containers: [{{name: discovery}}]}}
"""
    for name in agents:
        objects += f"""
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {{name: {name}, namespace: kube-system}}
spec: {{template: {{spec: {{containers: [{{name: a}}]}}}}}}
"""
    view = world(pod("apps", "rep-1", "10.0.0.2", "a") + objects)
    facts = workload_network.run(view, WorkloadSubject("apps", "rep"))
    assert isinstance(facts, CustomNetworking)
    assert facts.overlay == (f"DaemonSet/kube-system/{found}" if found else "")
    assert (found in str(facts.overlay_said)) and bool(facts.overlay_said) is bool(found)
