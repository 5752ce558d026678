# ruff: noqa: E501
"""The propagation probes on a small mesh."""

from datetime import timedelta
from typing import Any

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    MeshSubject,
    NamespaceSubject,
    Request,
    ServiceSubject,
    WorkloadSubject,
)
from meshdoctor.ports import EvidenceError, ForbiddenError, MissingError
from meshdoctor.probes.config_destination_rule import config_destination_rule
from meshdoctor.probes.config_gateway import config_gateway
from meshdoctor.probes.config_ingested import config_ingested
from meshdoctor.probes.config_meta import config_meta
from meshdoctor.probes.config_others import config_envoy_filter
from meshdoctor.probes.config_virtual_service import config_virtual_service
from meshdoctor.probes.delivery import delivery
from meshdoctor.probes.edge_endpoints import edge_endpoints
from meshdoctor.probes.edge_scope import edge_scope
from meshdoctor.probes.istiod_health import istiod_health
from meshdoctor.probes.istiod_log import istiod_log
from meshdoctor.probes.istiod_panic import istiod_panic
from meshdoctor.probes.namespace_discovery import namespace_discovery
from meshdoctor.probes.proxies_say import proxies_say
from meshdoctor.probes.proxy_xds_log import proxy_xds_log
from meshdoctor.probes.refusals import refusals
from meshdoctor.probes.service_endpoints import service_endpoints
from meshdoctor.probes.sync_overview import sync_overview
from meshdoctor.probes.validation import validation
from meshdoctor.probes.workload_sync import workload_sync
from tests.unit.world import NOW, world

MESH = """
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    discoverySelectors: [{matchLabels: {d: "on"}}]
---
{kind: Namespace, apiVersion: v1, metadata: {name: istio-system}}
---
{kind: Namespace, apiVersion: v1, metadata: {name: shop, labels: {d: "on"}}}
---
kind: Pod
apiVersion: v1
metadata: {name: istiod-1, namespace: istio-system, labels: {app: istiod}}
spec: {containers: [{name: discovery}]}
status:
  phase: Running
  conditions: [{type: Ready, status: "True"}]
  containerStatuses:
  - {name: discovery, ready: true, restartCount: 3, lastState: {terminated: {reason: OOMKilled, exitCode: 137, finishedAt: "2026-11-18T09:10:00Z"}}}
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop, labels: {app: cart}, annotations: {istio.io/rev: default}}
spec: {containers: [{name: cart}, {name: istio-proxy, args: [proxy, sidecar]}]}
status:
  phase: Running
  podIP: 10.0.0.1
  conditions: [{type: Ready, status: "True"}]
  containerStatuses: [{name: istio-proxy, ready: true, state: {running: {startedAt: "2026-11-18T08:00:00Z"}}}]
---
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop, annotations: {networking.istio.io/exportTo: "~"}}
spec: {selector: {app: pays}, ports: [{name: tcp-pay, port: 80}]}
---
kind: Service
apiVersion: v1
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 15021}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: shop, labels: {istio.io/rev: gone}, resourceVersion: "9", creationTimestamp: "2026-11-18T09:29:55Z"}
spec: {hosts: [pay], gateways: [mesh, nowhere], http: [{}, {route: [{destination: {host: pay, subset: v2}}]}]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: config}
spec: {host: pay.shop.svc.cluster.local, subsets: [{name: v2}]}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: web, namespace: shop}
spec: {selector: {istio: gw}, servers: [{port: {number: 80}}]}
---
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {name: f, namespace: shop}
spec: {configPatches: [{match: {context: GATEWAY}}]}
"""
CART, WEB = WorkloadSubject("shop", "cart-1", "Pod"), ServiceSubject("shop", "pay")
STATUS = """\
NAME            CLUSTER      CDS        LDS       EDS        RDS        ECDS        ISTIOD       VERSION
cart-1.shop     cluster1     SYNCED     STALE     SYNCED     SYNCED     IGNORED     istiod-1     1.24.0
"""
NACK = "2026-11-18T09:00:00Z\twarn\tads\tADS:LDS: ACK ERROR cart-1.shop-3 Internal:error adding listener: '0.0.0.0_15021' has duplicate address '0.0.0.0:15021' as existing listener\n"
LOGS = {("istio-system", "istiod-1", "discovery"): NACK}


def mesh(**rest: Any) -> Any:
    rest.setdefault("istioctl", {"proxy-status": STATUS})
    rest.setdefault("logs", LOGS)
    return world(MESH, **rest)


def test_a_refusal_leads_to_its_object() -> None:
    found = refusals.run(mesh(), MeshSubject())
    assert (found.count, found.object, found.type) == (1, "Service/shop/cart", "LDS")
    quiet = refusals.run(mesh(logs={("istio-system", "istiod-1", "discovery"): ""}), MeshSubject())
    assert (quiet.count, quiet.object) == (0, "")


FACTORY = "Error adding/updating listener(s) x: 'io.istio.x' does not have an object factory"

NEW_COMMAND = "Error adding listener 0.0.0.0_80: Not supported field in StreamInfo: UPSTREAM_X"


@pytest.mark.parametrize(
    ("proxy", "istiod", "message", "blamed"),
    [
        ("1.28.3", "1.30.0", FACTORY, "Pod/shop/cart-1"),
        ("1.30.3", "1.30.0", FACTORY, ""),
        ("1.31.0", "1.30.0", FACTORY, ""),
        ("1.28.3", "latest", FACTORY, ""),
        ("1.28.3", "1.30.0", "Error adding/updating listener(s) x: bad address", ""),
        ("1.28.3", "1.30.0", NEW_COMMAND, "Pod/shop/cart-1"),
        ("1.30.3", "1.30.0", NEW_COMMAND, "ConfigMap/istio-system/istio"),
    ],
)
def test_a_proxy_that_is_older_than_istiod_and_does_not_know_what_it_gets(
    proxy: str, istiod: str, message: str, blamed: str
) -> None:
    images = MESH.replace("[{name: discovery}]", f"[{{name: discovery, image: 'pilot:{istiod}'}}]")
    images = images.replace(
        "{name: istio-proxy, args", f"{{name: istio-proxy, image: 'proxyv2:{proxy}', args"
    )
    said = f"2026-11-18T09:00:00Z\twarn\tads\tADS:LDS: ACK ERROR cart-1.shop-3 Internal:{message}\n"
    found = refusals.run(
        world(
            images,
            istioctl={"proxy-status": STATUS},
            logs={("istio-system", "istiod-1", "discovery"): said},
        ),
        MeshSubject(),
    )
    assert found.object == blamed
    assert ("istiod of" in str(found.points_at)) is blamed.startswith("Pod/")


REJECTED = "2026-11-18T{}:00Z\twarning\tenvoy config\tgRPC config for type.googleapis.com/envoy.config.listener.v3.Listener rejected: Error adding/updating listener(s) 0.0.0.0_15021: error adding listener: '0.0.0.0_15021' has duplicate address '0.0.0.0:15021' as existing listener\n"
PROXY_LOG = ("shop", "cart-1", "istio-proxy")
UNTOLD: dict[str, Any] = {"istioctl": {}}
LEDGER = """
---
{kind: Service, apiVersion: v1, metadata: {name: ledger, namespace: bank}, spec: {ports: [{name: http, port: 15021}]}}
"""


def test_a_refusal_that_only_a_proxys_log_tells() -> None:
    found = refusals.run(mesh(logs={PROXY_LOG: REJECTED.format("09:00")}, **UNTOLD), MeshSubject())
    assert (found.recent, found.object, found.type) == (1, "Service/shop/cart", "LDS")
    with pytest.raises(EvidenceError):
        refusals.run(mesh(logs={PROXY_LOG: REJECTED.format("05:00")}, **UNTOLD), MeshSubject())
    told = STATUS.replace("STALE ", "SYNCED")
    quiet = mesh(istioctl={"proxy-status": told}, logs={PROXY_LOG: REJECTED.format("09:00")})
    assert refusals.run(quiet, MeshSubject()).count == 0


def test_a_proxy_out_of_step_whose_reason_nobody_tells() -> None:
    with pytest.raises(EvidenceError):
        refusals.run(mesh(logs={}), MeshSubject())
    assert refusals.run(mesh(logs={PROXY_LOG: ""}), MeshSubject()).count == 0


def test_what_lies_outside_the_namespaces_that_were_asked_about() -> None:
    said = NACK.replace("cart-1.shop-3", "x-1.bank-3")
    ours = MESH.replace("ports: [{name: http, port: 15021}]", "ports: [{name: http, port: 80}]")
    view = world(
        ours + LEDGER,
        istioctl={"proxy-status": STATUS},
        logs={("istio-system", "istiod-1", "discovery"): said},
        namespaces=("istio-system", "shop"),
    )
    assert refusals.run(view, MeshSubject()).object == "Service/bank/ledger"
    other = STATUS.replace("cart-1.shop ", "x-1.bank    ")
    view = world(
        ours + LEDGER,
        istioctl={"proxy-status": other},
        logs={("bank", "x-1", "istio-proxy"): REJECTED.format("09:00")},
        namespaces=("istio-system", "shop"),
    )
    assert refusals.run(view, MeshSubject()).object == "Service/bank/ledger"


PLUGIN = """
---
{kind: WasmPlugin, apiVersion: extensions.istio.io/v1alpha1, metadata: {name: a, namespace: shop}, spec: {url: "oci://r/other:1"}}
---
{kind: WasmPlugin, apiVersion: extensions.istio.io/v1alpha1, metadata: {name: b, namespace: shop}, spec: {url: "oci://r/auth:1"}}
"""


def test_a_wasm_module_that_cannot_be_fetched() -> None:
    said = "2026-11-18T09:10:00Z\terror\twasm\terror in converting the wasm config to local: cannot fetch Wasm module oci://r/auth:1: manifest unknown\n"
    found = refusals.run(world(MESH + PLUGIN, logs={PROXY_LOG: said}), MeshSubject())
    assert (found.recent, found.type, found.object) == (1, "ECDS", "WasmPlugin/shop/b")
    since = "2026-11-18T09:11:00Z\tinfo\tEnvoy proxy is ready\n"
    with pytest.raises(EvidenceError):
        refusals.run(world(MESH + PLUGIN, logs={PROXY_LOG: said + since}), MeshSubject())


def test_requests_of_a_proxy_that_are_too_large() -> None:
    line = "2026-11-18T{}:00Z\twarning\tenvoy config\tDeltaAggregatedResources gRPC config stream to xds-grpc closed since 724s ago: 8, grpc: received message larger than max (6610145 vs. 4194304)\tthread=1\n"
    found = proxies_say.run(mesh(logs={PROXY_LOG: line.format("09:10")}, **UNTOLD), MeshSubject())
    assert (found.too_large, found.too_large_of) == (1, "Pod/shop/cart-1")
    assert "6610145" in str(found.too_large_text)
    old = proxies_say.run(mesh(logs={PROXY_LOG: line.format("04:10")}, **UNTOLD), MeshSubject())
    assert (old.too_large, old.too_large_of) == (0, "")


def test_a_failed_call_of_validation_that_only_a_log_tells() -> None:
    operator = """
---
kind: Pod
apiVersion: v1
metadata: {name: op, namespace: flux}
spec: {containers: [{name: op, image: 'weaveworks/helm-operator:0.8.0'}]}
status: {phase: Running}
"""
    said = 'ts=2026-11-18T{}:00Z error="Internal error: failed calling webhook \\"validation.istio.io\\": Post https://istiod.istio-system.svc:443/validate: EOF"\n'
    key = ("flux", "op", "op")
    found = validation.run(world(operator, logs={key: said.format("09:20")}), MeshSubject())
    assert found.call_failed == 1 and "a log says: failed calling webhook" in str(found.call_said)
    old = validation.run(world(operator, logs={key: said.format("08:20")}), MeshSubject())
    assert (old.call_failed, old.call_said) == (0, "")


def test_nothing_readable_is_not_no_refusal() -> None:
    with pytest.raises(ForbiddenError):
        refusals.run(
            mesh(failing={"log": ForbiddenError("logs"), "proxy-status": ForbiddenError("ps")}),
            MeshSubject(),
        )


def test_the_overview() -> None:
    found = sync_overview.run(mesh(), MeshSubject())
    assert (found.proxies, found.wrong, found.absent, found.trouble_seen) == (1, 1, 0, True)
    gone = STATUS.replace("cart-1.shop", "other.shop").replace("STALE ", "SYNCED")
    absent = sync_overview.run(mesh(istioctl={"proxy-status": gone}), MeshSubject())
    assert (absent.wrong, absent.absent, absent.absent_first) == (0, 1, "shop/cart-1")
    blind = sync_overview.run(mesh(failing={"proxy-status": ForbiddenError("ps")}), MeshSubject())
    assert isinstance(blind.wrong, Unavailable) and blind.trouble_seen is False
    assert (found.told_in_step, blind.told_in_step) == (False, False)


WAITS = """
---
kind: Pod
apiVersion: v1
metadata: {{name: new-1, namespace: shop, labels: {{app: new}}{deleted}}}
spec: {{containers: [{{name: new}}, {{name: istio-proxy, args: [proxy, sidecar]}}]}}
status:
  phase: {phase}
  containerStatuses:
  - {{name: new, ready: false, state: {{waiting: {{reason: PodInitializing}}}}}}
  - {{name: istio-proxy, ready: false, state: {state}{last}}}
"""
LOOP = "{waiting: {reason: CrashLoopBackOff}}"
ENDED = ", lastState: {terminated: {exitCode: 255, reason: Error}}"
STARTED = "{running: {startedAt: 2026-11-18T09:00:00Z}}"


@pytest.mark.parametrize(
    ("phase", "state", "last", "deleted", "trouble"),
    [
        ("Running", STARTED, "", "", True),
        ("Pending", STARTED, "", "", True),
        ("Pending", LOOP, ENDED, "", True),
        ("Pending", "{waiting: {reason: PodInitializing}}", "", "", False),
        ("Running", LOOP, ENDED, ', deletionTimestamp: "2026-11-18T09:20:00Z"', False),
        ("Failed", "{terminated: {exitCode: 1}}", ENDED, "", False),
    ],
)
def test_a_proxy_that_started_and_never_gets_ready_is_trouble(
    phase: str, state: str, last: str, deleted: str, trouble: bool
) -> None:
    pod = WAITS.format(phase=phase, state=state, last=last, deleted=deleted)
    synced = STATUS.replace("STALE ", "SYNCED")
    found = sync_overview.run(
        world(MESH + pod, istioctl={"proxy-status": synced}, logs=LOGS), MeshSubject()
    )
    assert (found.proxies_not_ready, found.trouble_seen) == (int(trouble), trouble)


def test_the_log_of_a_proxy_whose_pod_waits_for_it_is_read() -> None:
    """Its pod is Pending: the application starts after the proxy."""
    pod = WAITS.format(phase="Pending", state=LOOP, last=ENDED, deleted="")
    said = (
        "2026-11-18T09:00:00Z\twarning\tenvoy config\tgRPC config for "
        "type.googleapis.com/envoy.config.listener.v3.Listener rejected: bad\n"
    )
    found = refusals.run(
        world(
            MESH + pod,
            istioctl={"proxy-status": STATUS.replace("STALE ", "SYNCED")},
            logs={("shop", "new-1", "istio-proxy"): said},
        ),
        MeshSubject(),
    )
    assert (found.count, found.first_proxy) == (1, "new-1.shop")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("warn\tsidecar injector is not ready", "sidecar injector"),
        ("warn\tdiscovery is not ready: <nil>", "discovery"),
        ("warn\tads\tdiscovery is not ready", "discovery"),
        ("error\tcontrollers\terror handling x: webhook is not ready, retry", ""),
        ("info\tNot ready to switch validation to fail-closed", ""),
    ],
)
def test_what_istiods_readiness_waits_for(line: str, part: str) -> None:
    logs = {("istio-system", "istiod-1", "discovery"): f"2026-11-18T09:00:00Z\t{line}\n"}
    said = istiod_log.run(mesh(logs=logs), MeshSubject())
    assert said.waits_for == part
    assert said.waits_said == (f"; its log says: {part} is not ready" if part else "")


WRITE = 'warn\tfailed (x "y" is forbidden: User "system:serviceaccount:istio-system:ACCOUNT" cannot update resource "mutatingwebhookconfigurations" in API group "admissionregistration.k8s.io" at the cluster scope)\n'
PILOT_BINDING = """
---
kind: ClusterRoleBinding
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: pilot}
roleRef: {kind: ClusterRole, name: istio-pilot-istio-system}
subjects: [{kind: ServiceAccount, namespace: istio-system, name: BOUND}]
"""


@pytest.mark.parametrize(
    ("account", "bound", "times", "refused", "blamed"),
    [
        ("pilot", "pilot", ("09:10", "09:18"), 2, "ClusterRole//istio-pilot-istio-system"),
        ("pilot", "other", ("09:10", "09:18"), 2, "ClusterRoleBinding//pilot"),
        ("pilot", "pilot", ("03:50", "09:18"), 1, "ClusterRole//istio-pilot-istio-system"),
        ("pilot", "pilot", ("03:50", "03:58"), 0, ""),
        ("istio-reader", "pilot", ("09:10", "09:18"), 0, ""),
    ],
)
def test_what_istiod_may_not_write(
    account: str, bound: str, times: tuple[str, ...], refused: int, blamed: str
) -> None:
    log = "".join(f"2026-11-18T{at}:00Z\t{WRITE}" for at in times).replace("ACCOUNT", account)
    view = world(MESH + PILOT_BINDING.replace("BOUND", bound), logs={DISCOVERY: log})
    found = istiod_log.run(view, MeshSubject())
    assert (found.writes_refused, found.write_object) == (refused, blamed)
    if blamed:
        assert found.write_resource == "mutatingwebhookconfigurations.admissionregistration.k8s.io"


def test_a_proxy_that_may_not_listen_on_a_low_port() -> None:
    said = "2026-11-18T09:00:00Z\twarn\tads\tADS:LDS: ACK ERROR cart-1.shop-3 Internal:Error adding/updating listener(s) 0.0.0.0_80: cannot bind '0.0.0.0:80': Permission denied\n"  # noqa: E501
    logs = {DISCOVERY: said}
    found = refusals.run(mesh(logs=logs), MeshSubject())
    assert (found.object, found.second, found.count) == ("Pod/shop/cart-1", "", 1)


REMOTE_SECRET = """
---
{kind: Service, apiVersion: v1, metadata: {name: kubernetes, namespace: default}, spec: {clusterIP: 172.20.0.1}}
"""


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ('list: Get "https://10.2.0.9:6443/api/v1/pods": dial tcp 10.2.0.9:6443: i/o timeout', 1),
        ('list: Get "https://172.20.0.1:443/api": dial tcp 172.20.0.1:443: i/o timeout', 0),
        ("(error: Post https://172.20.0.1:443/api/v1/x: dial tcp 172.20.0.1:443: i/o timeout)", 0),
        ("(error: Get https://10.2.0.9:443/api: dial tcp 10.2.0.9:443: i/o timeout)", 1),
        ('list: Get "https://127.0.0.1:6053/api/v1/pods": connect: connection refused', 1),
        ('list: Get "https://A1.gr7.eu-west-1.eks.amazonaws.com/api/v1/pods": i/o timeout', 1),
    ],
)
def test_whose_api_does_not_answer(line: str, others: int) -> None:
    logs = {DISCOVERY: f"2026-11-18T09:00:00Z\terror\tklog\t{line}\n"}
    found = istiod_log.run(world(MESH + REMOTE_SECRET, logs=logs), MeshSubject())
    assert (found.api_unreachable, found.other_apis) == (1, others)


SETTLES = "{}\tinfo\tads\tPush debounce stable[7] 31 for config ServiceEntry/jobs/burst: 100.2ms since last change, 9.8s since last push, full=false\n"  # noqa: E501


def test_pushes_are_told_by_the_log_where_no_metrics_were_read() -> None:
    times = (NOW - timedelta(minutes=m) for m in (4, 3, 2))
    text = "".join(SETTLES.format(f"{at:%Y-%m-%dT%H:%M:%SZ}") for at in times)
    found = delivery.run(world(MESH, logs={DISCOVERY: text}), MeshSubject())
    assert (found.recent_pushes, found.recent_settle_ms) == (3, 9800)
    assert found.changing == "; 3 of them were about ServiceEntry/jobs/burst"
    assert isinstance(found.pushes, Unavailable) and found.trigger_said == ""


REFUSED = "the server has asked for the client to provide credentials (get endpoints)"
DEAF = 'Get "https://127.0.0.1:6053/api/v1/pods": dial tcp: connect: connection refused'


@pytest.mark.parametrize(
    ("line", "minutes", "deaf", "refused", "said"),
    [
        (DEAF, (20, 15), True, False, "a loopback address"),
        (DEAF, (20,), False, False, "a loopback address"),
        (DEAF, (60, 50), False, False, "a loopback address"),
        (REFUSED, (20, 15), False, True, "does not take the token"),
        (REFUSED, (20,), False, False, "does not take the token"),
    ],
)
def test_a_remote_cluster_that_fails_for_long(
    line: str, minutes: tuple[int, ...], deaf: bool, refused: bool, said: str
) -> None:
    times = (NOW - timedelta(minutes=m) for m in minutes)
    text = "".join(f"{at:%Y-%m-%dT%H:%M:%SZ}\terror\tklog\tlist: {line}\n" for at in times)
    view = world(MESH + REMOTE_SECRET, logs={DISCOVERY: text})
    found = istiod_log.run(view, MeshSubject())
    assert (found.others_silent, found.credentials_refused) == (deaf, refused)
    assert said in str(found.remote_said)


PANIC = "info\tfor config ServiceEntry/shop/db: 1s\npanic: index out of range\n"
DISCOVERY = ("istio-system", "istiod-1", "discovery")


@pytest.mark.parametrize("previous", [False, True])
def test_an_istiod_that_panics(previous: bool) -> None:
    ends = MESH.replace("reason: OOMKilled", "reason: Error")
    before, now = (PANIC, "") if previous else ("", PANIC)
    view = world(ends, logs={DISCOVERY: now}, previous={DISCOVERY: before})
    found = istiod_panic.run(view, MeshSubject())
    assert (found.reason, found.change) == ("index out of range", "ServiceEntry/shop/db")


def test_an_istiod_whose_log_is_not_to_be_had_is_not_known_to_panic() -> None:
    found = istiod_panic.run(world(MESH, logs={}), MeshSubject())
    assert isinstance(found.reason, Unavailable)
    stays = MESH.replace("restartCount: 3", "restartCount: 0")
    assert istiod_panic.run(world(stays, logs={}), MeshSubject()).reason == ""


def test_istiod_itself() -> None:
    health = istiod_health.run(mesh(), MeshSubject())
    assert (health.restarting, health.reason, health.workload) == (
        1,
        "OOMKilled",
        "Pod/istio-system/istiod-1",
    )
    text = "error\tfailed to list *v1.WasmPlugin: wasmplugins is forbidden\ninfo\ttimeout writing\tconnection=cart-1.shop-4\n"
    says = istiod_log.run(
        mesh(logs={("istio-system", "istiod-1", "discovery"): text}), MeshSubject()
    )
    assert (says.kinds_refused, says.write_timeouts, says.write_timeout_proxy) == (
        1,
        1,
        "cart-1.shop",
    )


FORBIDDEN = (
    "2026-11-18T0{}Z\terror\tklog\tFailed to list *v1.Gateway: gateways.gateway.networking.k8s.io is "
    'forbidden: User "system:serviceaccount:istio-system:{}" cannot list resource "gateways" in API '
    'group "gateway.networking.k8s.io" at the cluster scope\n'
)
BINDING = """
---
kind: ClusterRoleBinding
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: istiod}
roleRef: {kind: ClusterRole, name: istiod-clusterrole}
subjects: [{kind: ServiceAccount, name: istiod, namespace: istio-system}]
"""
OWN = MESH.replace(
    "{containers: [{name: discovery}]}",
    "{serviceAccountName: istiod, containers: [{name: discovery}]}",
)


@pytest.mark.parametrize(
    ("lines", "still", "at_fault"),
    [
        ([("9:20:00", "istiod"), ("9:29:00", "istiod")], 1, "ClusterRole//istiod-clusterrole"),
        ([("9:29:00", "istiod")], 0, "ClusterRole//istiod-clusterrole"),
        ([("7:20:00", "istiod"), ("7:29:00", "istiod")], 0, "ClusterRole//istiod-clusterrole"),
        ([("9:20:00", "reader"), ("9:29:00", "reader")], 0, "ServiceAccount/istio-system/reader"),
    ],
    ids=["again and again", "once", "long ago", "another cluster's reader"],
)
def test_what_istiod_may_not_list(lines: list[tuple[str, str]], still: int, at_fault: str) -> None:
    text = "".join(FORBIDDEN.format(*line) for line in lines)
    logs = {("istio-system", "istiod-1", "discovery"): text}
    says = istiod_log.run(world(OWN + BINDING, logs=logs), MeshSubject())
    assert (says.still_forbidden, says.kind_object) == (still, at_fault)
    assert says.kind_resource == "gateways.gateway.networking.k8s.io"


def test_a_kind_that_is_not_served() -> None:
    text = "warn\tkube\tfailed to list *v1.Gateway: the server could not find the requested resource (get gateways.networking.istio.io)\n"
    logs = {("istio-system", "istiod-1", "discovery"): text}
    says = istiod_log.run(world(OWN, logs=logs), MeshSubject())
    assert says.kind_object == "CustomResourceDefinition//gateways.networking.istio.io"
    assert says.kind_account == "system:serviceaccount:istio-system:istiod"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (
            'failed to create kube client: Get "https://172.20.0.1:443/version?timeout=32s": dial tcp 172.20.0.1:443: i/o timeout',
            1,
        ),
        (
            'Failed to watch *v1.Pod: failed to list *v1.Pod: Get "https://10.233.0.1:443/api/v1/pods?limit=500": dial tcp 10.233.0.1:443: connect: connection refused',
            1,
        ),
        ('Failed to GET from "https://keys.example.com/jwks": dial tcp: i/o timeout', 0),
        (
            'failed to list *v1.Pod: Get "https://10.233.0.1:443/api/v1/pods": x509: certificate has expired',
            0,
        ),
    ],
)
def test_the_api_server_does_not_answer(line: str, count: int) -> None:
    logs = {("istio-system", "istiod-1", "discovery"): f"2026-11-18T09:00:00Z\terror\t{line}\n"}
    assert istiod_log.run(mesh(logs=logs), MeshSubject()).api_unreachable == count


def closed(name: str, service: str) -> str:
    return f"""
---
kind: ValidatingWebhookConfiguration
apiVersion: admissionregistration.k8s.io/v1
metadata: {{name: {name}}}
webhooks: [{{name: validation.istio.io, failurePolicy: Fail, clientConfig: {{service: {{name: {service}, namespace: istio-system}}}}}}]
"""


SERVED = """
---
{kind: Service, apiVersion: v1, metadata: {name: NAME, namespace: istio-system}}
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {name: NAME-1, namespace: istio-system, labels: {kubernetes.io/service-name: NAME}}
endpoints: [{addresses: [10.0.0.9], conditions: {ready: true}}]
"""
CALLED = """
---
kind: Event
apiVersion: v1
metadata: {name: e, namespace: flux}
message: 'failed calling webhook "validation.istio.io": Post "https://istiod-b.istio-system.svc:443/validate": context deadline exceeded'
lastTimestamp: "2026-11-18T09:20:00Z"
"""


@pytest.mark.parametrize(
    ("objects", "config", "endpoints"),
    [
        (
            closed("a", "istiod-a") + closed("b", "istiod-b") + SERVED.replace("NAME", "istiod-a"),
            "b",
            0,
        ),
        (
            closed("a", "istiod-a") + closed("b", "istiod-b") + SERVED.replace("NAME", "istiod-b"),
            "a",
            0,
        ),
        (
            closed("a", "istiod-a")
            + closed("b", "istiod-b")
            + CALLED
            + SERVED.replace("NAME", "istiod-a")
            + SERVED.replace("NAME", "istiod-b"),
            "b",
            1,
        ),
    ],
    ids=["nobody behind b", "nobody behind a", "the failed call names b"],
)
def test_of_several_validation_webhooks_the_one_that_fails(
    objects: str, config: str, endpoints: int
) -> None:
    found = validation.run(world(OWN + objects), MeshSubject())
    assert (found.config_name, found.endpoints) == (config, endpoints)


@pytest.mark.parametrize(
    ("objects", "found", "endpoints", "why"),
    [
        (closed("a", "istiod-a"), "", -1, ""),
        (closed("a", "gone").replace("Fail", "Ignore"), "a", 0, "does not exist"),
        (
            closed("a", "istiod-a").replace("Fail", "Ignore") + SERVED.replace("NAME", "istiod-a"),
            "a",
            1,
            "gets no answer",
        ),
        (
            closed("a", "gone").replace("Fail", "Ignore")
            + closed("b", "istiod-b").replace("Fail", "Ignore")
            + SERVED.replace("NAME", "istiod-b"),
            "b",
            1,
            "gets no answer",
        ),
        (
            closed("a", "gone").replace("Fail", "Ignore")
            + closed("b", "istiod-b")
            + SERVED.replace("NAME", "istiod-b"),
            "",
            -1,
            "",
        ),
    ],
    ids=["fails closed", "its Service is gone", "answered", "one of two", "another fails closed"],
)
def test_a_validation_webhook_that_fails_open(
    objects: str, found: str, endpoints: int, why: str
) -> None:
    seen = validation.run(world(OWN + objects), MeshSubject())
    assert seen.open == (f"ValidatingWebhookConfiguration//{found}" if found else "")
    assert seen.open_endpoints == endpoints and why in str(seen.open_why)


TRIES = "{}\tinfo\tvalidationController\tNot ready to switch validation to fail-closed: dummy\n"
WELL = "{}\tinfo\tvalidationController\tEndpoint successfully rejected invalid config. Switching\n"
NAMED = "{}\terror\tFailed parsing gateway address x.elb.amazonaws.com from Service Registry. Hostnames are not supported for gateways\n"  # noqa: E501


@pytest.mark.parametrize(
    ("lines", "open_"),
    [
        (((TRIES, 20), (TRIES, 15)), True),
        (((TRIES, 20),), False),
        (((TRIES, 20), (TRIES, 15), (WELL, 14)), False),
        (((TRIES, 90), (TRIES, 80)), False),
    ],
)
def test_an_istiod_whose_validation_stays_open(
    lines: tuple[tuple[str, int], ...], open_: bool
) -> None:
    text = "".join(a.format(f"{NOW - timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ}") for a, m in lines)
    view = world(MESH, logs={DISCOVERY: text + NAMED.format("2026-11-18T09:20:00Z")})
    found = istiod_log.run(view, MeshSubject())
    assert (found.validation_open, found.gateway_named) == (open_, "x.elb.amazonaws.com")


UNLISTED = """
---
{kind: Service, apiVersion: v1, metadata: {name: a, namespace: istio-system}, spec: SPEC}
---
kind: Pod
apiVersion: v1
metadata: {name: a-1, namespace: istio-system, labels: {app: a}}
spec: {containers: [{name: discovery}]}
status: {conditions: [{type: Ready, status: "True"}]}
"""


def test_endpoints_that_no_slice_tells_of() -> None:
    mesh = OWN + closed("a", "a")
    selected = mesh + UNLISTED.replace("SPEC", "{selector: {app: a}}")
    assert validation.run(world(selected), MeshSubject()).endpoints == 1
    unselected = mesh + UNLISTED.replace("SPEC", "{}")
    assert isinstance(validation.run(world(unselected), MeshSubject()).endpoints, Unavailable)


def test_a_workloads_proxy() -> None:
    found = workload_sync.run(mesh(), CART)
    assert (found.wrong, found.wrong_proxies, found.lag_seen) == ("LDS STALE", 1, True)
    assert (found.revision, found.revision_runs, found.wanted_revision) == ("default", True, "")
    blind = workload_sync.run(mesh(failing={"proxy-status": ForbiddenError("ps")}), CART)
    assert isinstance(blind.absent, Unavailable) and blind.lag_seen is False


def test_rules_of_one_namespace_and_host_are_merged() -> None:
    rule = """
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: NAME, namespace: shop, creationTimestamp: "2026-11-0AGET00:00:00Z"}
spec: {host: HOST, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}
"""
    rules = (
        ("old", "pay", "1"),
        ("other", "cart", "1"),
        ("new", "Pay.shop.svc.cluster.local", "2"),
    )
    texts = [rule.replace("NAME", n).replace("HOST", h).replace("AGE", a) for n, h, a in rules]
    view = world(MESH + "".join(texts))
    found = [
        config_destination_rule.run(view, ConfigSubject("DestinationRule", "shop", n))
        for n, _, _ in rules
    ]
    assert [one.first_name for one in found] == ["", "", "old"]
    assert found[2].lost == "its trafficPolicy"


@pytest.mark.parametrize(
    ("host", "more", "slip", "holder"),
    [
        ("api.exmaple.com", "", "Api.example.com", "ServiceEntry/shop/ext"),
        ("payy", "", "pay.shop.svc.cluster.local", "Service/shop/pay"),
        ("api.example.com", "", "", ""),
        ("unlike.example.org", "", "", ""),
        ("api.exmaple.com", "api.example.com", "", ""),
        ("api.exmaple.com", "*.example.com", "", ""),
    ],
)
def test_a_rule_whose_host_is_misspelt(host: str, more: str, slip: str, holder: str) -> None:
    rule = """
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: NAME, namespace: shop}
spec: {host: "HOST"}
"""
    entry = """
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: ext, namespace: shop}
spec: {hosts: [Api.example.com], ports: [{number: 443, name: tls, protocol: TLS}]}
"""
    mesh = """
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop}
spec: {ports: [{port: 80}]}
"""
    text = mesh + entry + rule.replace("NAME", "mine").replace("HOST", host)
    if more:
        text += rule.replace("NAME", "other").replace("HOST", more)
    found = config_destination_rule.run(
        world(text), ConfigSubject("DestinationRule", "shop", "mine")
    )
    assert (found.slip, found.slip_of) == (slip, holder)


def test_of_several_pods_the_first_out_of_step_is_in_question() -> None:
    pod = MESH[MESH.index("kind: Pod\napiVersion: v1\nmetadata: {name: cart-1") :]
    pod = pod[: pod.index("---")]
    owner = "ownerReferences: [{kind: ReplicaSet, name: cart-5c9d8f7, controller: true}], "
    pods = [
        pod.replace("{name: cart-1", "{" + owner + f"name: cart-{number}") for number in (1, 2, 3)
    ]
    rows = [
        STATUS.splitlines()[1].replace("STALE ", "SYNCED"),
        STATUS.splitlines()[1].replace("cart-1", "cart-2"),
        STATUS.splitlines()[1].replace("cart-1.shop", "pay-1.shop "),
    ]
    objects = "---\n".join(
        [MESH[: MESH.index("kind: Pod\napiVersion: v1\nmetadata: {name: cart")], *pods]
    )
    table = "\n".join([STATUS.splitlines()[0], *rows])
    found = workload_sync.run(
        world(objects, istioctl={"proxy-status": table}), WorkloadSubject("shop", "cart")
    )
    assert (found.proxies, found.pod, found.wrong) == (3, "cart-2", "LDS STALE")
    assert (found.wrong_proxies, found.others_wrong, found.absent) == (1, 1, 1)


def test_just_after_a_start_of_istiod_nobody_knows_who_is_lost() -> None:
    ends = "lastState: {terminated:"
    objects = MESH.replace(
        ends, f'state: {{running: {{startedAt: "2026-11-18T09:29:50Z"}}}}, {ends}'
    )
    table = STATUS.replace("cart-1.shop", "other.shop").replace("STALE ", "SYNCED")
    view = world(objects, istioctl={"proxy-status": table})
    found = workload_sync.run(view, CART)
    assert isinstance(found.absent, Unavailable) and "a minute ago" in found.absent.detail
    overview = sync_overview.run(view, MeshSubject())
    assert (overview.absent, overview.told_in_step, overview.trouble_seen) == (0, False, False)
    back = world(objects, istioctl={"proxy-status": STATUS.replace("STALE ", "SYNCED")})
    assert workload_sync.run(back, CART).absent == 0
    assert sync_overview.run(back, MeshSubject()).told_in_step is True


@pytest.mark.parametrize(
    ("listed", "others", "blamed"),
    [
        ("somebody-1.else", ("pay-1",), "Pod/istio-system/istiod-1"),
        ("pay-1.shop", ("pay-1",), "Pod/shop/cart-1"),
        ("somebody-1.else", (), "Pod/shop/cart-1"),
    ],
)
def test_an_istiod_that_lists_no_proxy_is_at_fault_itself(
    listed: str, others: tuple[str, ...], blamed: str
) -> None:
    pod = MESH[MESH.index("kind: Pod\napiVersion: v1\nmetadata: {name: cart-1") :]
    pod = pod[: pod.index("---")]
    objects = [MESH, *(pod.replace("cart", other.removesuffix("-1")) for other in others)]
    table = STATUS.replace("cart-1.shop", listed).replace("STALE ", "SYNCED")
    view = world("\n---\n".join(objects), istioctl={"proxy-status": table})
    found = workload_sync.run(view, CART)
    assert (found.absent, found.blamed) == (1, blamed)
    assert bool(found.all_absent) is blamed.endswith("istiod-1")


def test_a_lost_connection() -> None:
    gone = "2026-11-18T09:24:33Z\twarning\tenvoy config\tDeltaAggregatedResources gRPC config stream to xds-grpc closed since 234s ago: 14, connection error\n"
    back = "2026-11-18T09:25:00Z\tinfo\txdsproxy\tconnected to delta upstream XDS server: istiod:15012\n"
    for text, lost in ((gone, True), (gone + back, False), ("", False)):
        found = proxy_xds_log.run(mesh(logs={("shop", "cart-1", "istio-proxy"): text}), CART)
        assert found.lost is lost


def test_a_connection_that_ended_by_istiods_log_alone() -> None:
    end = '2026-11-18T09:20:00Z\tinfo\tads\tADS: "10.0.0.1:7" cart-1.shop-3 terminated\n'
    new = "2026-11-18T09:20:01Z\tinfo\tads\tADS: new delta connection for node:cart-1.shop-4\n"
    proxy = ("shop", "cart-1", "istio-proxy")
    for text, dropped in ((end, True), (end + new, False), (end.replace("cart", "pay"), False)):
        logs = {("istio-system", "istiod-1", "discovery"): text, proxy: ""}
        found = proxy_xds_log.run(mesh(logs=logs), CART)
        assert found.dropped is dropped
        assert ("cart-1.shop-3" in found.lost_text) is dropped
    assert isinstance(proxy_xds_log.run(mesh(logs={proxy: ""}), CART).dropped, Unavailable)


INJECTED = """---
kind: Namespace
apiVersion: v1
metadata: {name: edge, labels: {istio.io/rev: new}}
---
kind: MutatingWebhookConfiguration
apiVersion: admissionregistration.k8s.io/v1
metadata: {name: istio-sidecar-injector-new, labels: {istio.io/rev: new}}
webhooks:
- name: namespace.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod-new, namespace: istio-system, path: /inject}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
  namespaceSelector: {matchLabels: {istio.io/rev: new}}
---
kind: Pod
apiVersion: v1
metadata:
  name: gw-1
  namespace: edge
  annotations: {istio.io/rev: old, inject.istio.io/templates: gateway}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.7}
"""


@pytest.mark.parametrize(("template", "wanted"), [("gateway", "new"), ("sidecar", "")])
def test_a_gateway_that_another_revision_would_inject(template: str, wanted: str) -> None:
    objects = INJECTED.replace("templates: gateway", f"templates: {template}")
    view = world(MESH + objects, istioctl={"proxy-status": STATUS}, logs=LOGS)
    found = workload_sync.run(view, WorkloadSubject("edge", "gw-1", "Pod"))
    assert (found.kind, found.revision, found.wanted_revision) == ("router", "old", wanted)


def test_discovery() -> None:
    root = namespace_discovery.run(mesh(), NamespaceSubject("istio-system"))
    assert (root.discovered, root.is_root, root.label) == (False, True, "d=on")
    assert namespace_discovery.run(mesh(), NamespaceSubject("shop")).discovered
    with pytest.raises(MissingError):
        namespace_discovery.run(mesh(), NamespaceSubject("none"))


def test_a_namespace_left_out_whose_pods_never_started() -> None:
    waits = """
{kind: Namespace, apiVersion: v1, metadata: {name: "off"}}
---
{kind: Pod, apiVersion: v1, metadata: {name: a, namespace: "off"}, spec: {containers: [{name: istio-proxy}]}, status: {phase: Pending}}
---
{kind: Pod, apiVersion: v1, metadata: {name: done, namespace: "off"}, spec: {containers: [{name: istio-proxy}]}, status: {phase: Succeeded}}
---
{kind: Pod, apiVersion: v1, metadata: {name: bare, namespace: "off"}, spec: {containers: [{name: app}]}, status: {phase: Running}}
"""
    found = namespace_discovery.run(world(MESH + "---" + waits), NamespaceSubject("off"))
    assert (found.discovered, found.proxies) == (False, 1)


def test_a_virtual_service() -> None:
    subject = ConfigSubject("VirtualService", "shop", "pay")
    found = config_virtual_service.run(mesh(), subject)
    assert (found.dangling, found.shadowed, found.shadowed_rule) == ("shop/nowhere", True, 2)
    assert (found.subset, found.subset_host) == ("v2", "pay.shop.svc.cluster.local")
    meta = config_meta.run(mesh(), subject)
    assert (meta.revision, meta.revision_runs, meta.age_seconds) == ("gone", False, 5)
    assert config_virtual_service.run(mesh(), ConfigSubject("Gateway", "shop", "web")).ref == ""
    with pytest.raises(MissingError):
        config_virtual_service.run(mesh(), ConfigSubject("VirtualService", "shop", "none"))


ROOT_AND_TCP = """
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: root, namespace: shop}
spec: {hosts: [db.example.com], gateways: [db], http: [{delegate: {name: part}}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: part, namespace: shop}
spec: {exportTo: [other], http: [{}]}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: db, namespace: shop}
spec: {servers: [{port: {number: 5432, protocol: TCP}, hosts: [db.example.com]}]}
"""


def test_what_istiod_leaves_out_in_silence() -> None:
    view = world(MESH + ROOT_AND_TCP, logs=LOGS)
    found = config_virtual_service.run(view, ConfigSubject("VirtualService", "shop", "root"))
    assert (found.dropped_rule, found.delegate) == (1, "VirtualService/shop/part")
    assert found.dropped == "VirtualService/shop/part is not exported to shop"
    assert (found.unlistened, found.unlistened_port) == ("Gateway/shop/db", 5432)
    mended = world((MESH + ROOT_AND_TCP).replace("[other]", "['*']"), logs=LOGS)
    found = config_virtual_service.run(mended, ConfigSubject("VirtualService", "shop", "root"))
    assert (found.dropped_rule, found.dropped, found.delegate) == (0, "", "")


@pytest.mark.parametrize(
    ("gateways", "hosts", "refused"),
    [
        ("db", "db.example.com, pay", "pay.shop.svc.cluster.local"),
        ("db, mesh", "db.example.com, pay", ""),  # sidecars route the other host
        ("db, mesh", "pay", "pay.shop.svc.cluster.local"),
    ],
)
def test_hosts_for_sidecars_and_hosts_for_a_gateway(
    gateways: str, hosts: str, refused: str
) -> None:
    text = ROOT_AND_TCP.replace("gateways: [db]", f"gateways: [{gateways}]")
    text = text.replace("hosts: [db.example.com], gateways", f"hosts: [{hosts}], gateways")
    view = world(MESH + text, logs=LOGS)
    found = config_virtual_service.run(view, ConfigSubject("VirtualService", "shop", "root"))
    assert found.refused_host == refused


def test_a_rule_a_gateway_and_a_filter() -> None:
    rule = config_destination_rule.run(mesh(), ConfigSubject("DestinationRule", "config", "pay"))
    assert rule.never_chosen and rule.service_namespace == "shop"
    gateway = config_gateway.run(mesh(), ConfigSubject("Gateway", "shop", "web"))
    assert (gateway.pods, gateway.nearest_labels) == (0, "")
    filter_ = config_envoy_filter.run(mesh(), ConfigSubject("EnvoyFilter", "shop", "f"))
    assert filter_.selects and "only sidecars" in filter_.dead


def test_what_istiod_holds() -> None:
    held = '[{"kind": "VirtualService", "metadata": {"namespace": "shop", "name": "pay", "resourceVersion": "9"}}]'
    view = mesh(istioctl={"debug configz istiod-1.istio-system": held})
    found = config_ingested.run(view, ConfigSubject("VirtualService", "shop", "pay"))
    assert (found.holders, found.lagging) == (1, "")


def test_a_hidden_service() -> None:
    edge = EdgeSubject(client=CART, server=None, service=WEB, host="pay.shop", port=80)
    found = edge_scope.run(mesh(), edge)
    assert (found.hidden_by, found.protocol, found.subset) == ("exportTo", "TCP", "v2")
    assert found.http_ignored and found.rule_elsewhere == "DestinationRule/config/pay"
    nobody = EdgeSubject(client=None, server=None, service=WEB, port=80)
    assert not edge_scope.run(mesh(), nobody).judged
    assert isinstance(edge_endpoints.run(mesh(), nobody).dead_calls, Unavailable)


ROUTED = """
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: web, namespace: shop}
spec: {hosts: [web.example.com, web], gateways: [public], http: [{route: [{destination: {host: web}, weight: 90}, {destination: {host: web, subset: v2}, weight: 10}]}]}
"""


def test_a_route_that_only_gateways_take() -> None:
    def unbound(text: str) -> tuple[Any, ...]:
        web = ServiceSubject("shop", "web")
        edge = EdgeSubject(client=CART, server=None, service=web, host="web.shop", port=80)
        found = edge_scope.run(world(MESH + text, logs=LOGS), edge)
        return (found.unbound_route, found.unbound_gateways)

    assert unbound(ROUTED) == ("VirtualService/shop/web", "public")
    assert unbound(ROUTED.replace("[public]", "[public, mesh]")) == ("", "")
    assert unbound(ROUTED.replace("web.example.com, web", '"*"')) == ("", "")
    assert unbound(ROUTED.replace("selector: {app: web}", "type: ExternalName")) == ("", "")
    plain = ROUTED[: ROUTED.index("route:")] + "route: [{destination: {host: web}}]}]}"
    assert unbound(plain) == ("", "")
    for shaped in ("timeout: 3s", "retries: {attempts: 2}", "fault: {abort: {httpStatus: 503}}"):
        assert unbound(plain.replace("route:", f"{shaped}, route:"))[1] == "public"


def test_a_route_that_names_another_service() -> None:
    def astray(hosts: str, target: str = "web") -> tuple[Any, ...]:
        rules = f"http: [{{timeout: 3s, route: [{{destination: {{host: {target}}}}}]}}]"
        text = ROUTED[: ROUTED.index("spec: {hosts:")] + f"spec: {{hosts: [{hosts}], {rules}}}"
        web = ServiceSubject("shop", "web")
        edge = EdgeSubject(client=CART, server=None, service=web, host="web.shop", port=80)
        found = edge_scope.run(world(MESH + text, logs=LOGS), edge)
        return (found.astray, found.astray_hosts)

    cart = "cart.shop.svc.cluster.local"
    assert astray("cart") == ("VirtualService/shop/web", cart)
    assert astray("web") == ("", "")
    assert astray("www.example.com") == ("", ""), "what is called by another name on purpose"
    assert astray("cart, www.example.com") == ("", "")
    assert astray("cart", "cart") == ("", "")


def test_a_request_that_no_rule_takes() -> None:
    rules = "gateways: [mesh], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: web}}]}]}"
    text = ROUTED[: ROUTED.index("gateways:")] + rules

    def missed(path: str) -> tuple[Any, ...]:
        request = Request(method="GET", path=path)
        web = ServiceSubject("shop", "web")
        edge = EdgeSubject(
            client=CART, server=None, service=web, host="web.shop", port=80, request=request
        )
        found = edge_scope.run(world(MESH + text, logs=LOGS), edge)
        return (found.route, found.no_rule, found.wants)

    wants = "rule 1: uri prefix /a"
    assert missed("/b") == ("VirtualService/shop/web", True, wants)
    assert missed("/a/b") == missed("") == ("VirtualService/shop/web", False, wants)


def test_rules_that_take_every_request() -> None:
    def takes(match: str) -> object:
        rules = f"http: [{{{match}route: [{{destination: {{host: web}}}}]}}]}}"
        text = ROUTED[: ROUTED.index("gateways:")] + rules
        web = ServiceSubject("shop", "web")
        edge = EdgeSubject(client=CART, server=None, service=web, host="web.shop", port=80)
        return edge_scope.run(world(MESH + text, logs=LOGS), edge).takes_all

    assert takes("") is True
    assert takes("match: [{uri: {prefix: /a}}], ") is False, "nobody knows the path"


@pytest.mark.parametrize(
    ("ports", "layer", "unread"),
    [
        ("{number: 443, protocol: HTTPS}", "http: [{timeout: 3s}]", True),
        ("{number: 443, protocol: TLS}", "http: [{timeout: 3s}]", True),
        ("{number: 443, protocol: HTTPS}, {number: 80, protocol: HTTP}", "http: [{}]", False),
        ("{number: 443, protocol: HTTP}", "http: [{timeout: 3s}]", False),
        ("{number: 443, protocol: TLS}", "http: [{}], tls: [{}]", False),
    ],
)
def test_http_rules_of_a_host_outside_that_is_tls(ports: str, layer: str, unread: bool) -> None:
    text = ROUTED[: ROUTED.index("spec: {hosts:")] + f"spec: {{hosts: [api.org], {layer}}}"
    text += f"""
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {{name: api, namespace: shop}}
spec: {{hosts: [api.org], ports: [{ports}]}}
"""
    edge = EdgeSubject(client=CART, server=None, host="api.org", port=443)
    assert edge_scope.run(world(MESH + text, logs=LOGS), edge).unread is unread


def test_a_request_that_no_rule_of_a_host_outside_takes() -> None:
    rules = "http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api.org}}]}]}"
    text = ROUTED[: ROUTED.index("spec: {hosts:")] + f"spec: {{hosts: [api.org], {rules}"

    def missed(host: str, path: str) -> tuple[Any, ...]:
        request = Request(method="GET", path=path)
        edge = EdgeSubject(client=CART, server=None, host=host, port=80, request=request)
        found = edge_scope.run(world(MESH + text, logs=LOGS), edge)
        return (found.route, found.no_rule, found.judged)

    assert missed("api.org", "/b") == ("VirtualService/shop/web", True, False)
    assert missed("api.org", "/a") == ("VirtualService/shop/web", False, False)
    assert missed("other.org", "/b") == ("", False, False)


def test_a_service_that_selects_nothing() -> None:
    found = service_endpoints.run(mesh(), WEB)
    assert (found.pods, found.ready, found.meant) == (0, 0, "")
    assert service_endpoints.run(mesh(), ServiceSubject("shop", "cart")).pods == 1


SLICE = """
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: POD}}]
"""


@pytest.mark.parametrize(
    ("named", "orphan"), [("cart-1", ""), ("done-1", ""), ("gone-1", "10.0.0.1 (pod gone-1)")]
)
def test_an_address_is_an_orphan_only_without_any_pod_of_that_name(named: str, orphan: str) -> None:
    """done-1 ended: the service no longer selects it, but it exists."""
    done = """
---
kind: Pod
apiVersion: v1
metadata: {name: done-1, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: cart}]}
status: {phase: Failed}
"""
    view = world(MESH + done + SLICE.replace("POD", named))
    assert service_endpoints.run(view, ServiceSubject("shop", "cart")).orphan == orphan


def test_a_refused_change() -> None:
    event = """
kind: Event
apiVersion: v1
metadata: {name: e, namespace: argocd}
involvedObject: {kind: Application, namespace: argocd, name: shop}
count: 2
message: 'admission webhook "rev.validation.istio.io" denied the request: configuration is invalid: no hosts'
"""
    found = validation.run(world(event), MeshSubject())
    assert (found.refused, found.refused_for) == (2, "Application/argocd/shop")
    assert found.refusal == "configuration is invalid: no hosts" and found.endpoints == -1


def test_a_validation_webhook_whose_certificate_is_out_of_date() -> None:
    event = """
kind: Event
apiVersion: v1
metadata: {name: e, namespace: argocd}
involvedObject: {kind: Application, namespace: argocd, name: shop}
count: 2
message: 'failed calling webhook "rev.validation.istio.io": Post: x509: certificate has expired or is not yet valid'
"""
    found = validation.run(world(event), MeshSubject())
    assert (found.call_failed, found.expired) == (2, True)
    other = event.replace("has expired or is not yet valid", "signed by unknown authority")
    assert not validation.run(world(other), MeshSubject()).expired
