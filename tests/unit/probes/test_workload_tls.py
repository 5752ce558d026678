"""Do labels, redirection, probes, scrapes and callbacks fit the mTLS mode in force?"""

import pytest

from meshdoctor.model.subjects import ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError, ForbiddenError
from meshdoctor.probes.service_callback import (
    CallbackLog,
    ServiceCallback,
    service_callback,
    service_callback_log,
)
from meshdoctor.probes.view import View
from meshdoctor.probes.workload_callers import WorkloadCallers, workload_callers
from meshdoctor.probes.workload_refused import (
    WorkloadRefused,
    WorkloadSeen,
    workload_refused,
    workload_seen,
)
from meshdoctor.probes.workload_tls import (
    ProbeFailures,
    WorkloadTls,
    probe_failures,
    workload_tls,
)
from tests.unit.world import world

STRICT = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
PAY = WorkloadSubject("shop", "pay-1", "Pod")


def pod(
    *,
    label: str = "istio",
    notes: str = "{}",
    probe: str = "",
    init: str = "istio-init",
    proxy: bool = True,
    env: str = "",
) -> str:
    sidecar = f"- {{name: istio-proxy, args: [proxy, sidecar]{env}}}" if proxy else ""
    return f"""
---
apiVersion: v1
kind: Pod
metadata:
  name: pay-1
  namespace: shop
  labels: {{app: pay, security.istio.io/tlsMode: "{label}"}}
  annotations: {notes}
spec:
  initContainers: [{{name: {init}}}]
  containers:
  - name: app
    ports: [{{name: web, containerPort: 8080}}]
    {probe}
  {sidecar}
status: {{phase: Running, podIP: 10.0.1.2, hostIP: 10.0.9.9}}
"""


def facts(objects: str) -> WorkloadTls:
    found = workload_tls.run(world(objects), PAY)
    assert isinstance(found, WorkloadTls)
    return found


def test_labels() -> None:
    assert facts(pod() + STRICT).label == "istio"
    bare = facts(pod(proxy=False) + STRICT)
    assert bare.label == "istio" and not bare.has_proxy


def test_redirection() -> None:
    assert facts(pod()).unredirected == 0
    assert facts(pod(init="istio-validation")).unredirected == 0
    assert facts(pod(init="wait-for-db")).unredirected == 1
    assert facts(pod(init="wait-for-db", proxy=False)).unredirected == 0


GET = "readinessProbe: {httpGet: {path: /healthz, port: web}}"


def test_probes_that_strict_refuses() -> None:
    hit = facts(pod(probe=GET) + STRICT)
    assert (hit.probe, hit.probe_port) == ("app readiness", 8080)
    assert facts(pod(probe=GET)).probe == "", "PERMISSIVE lets the kubelet in"
    rewritten = "readinessProbe: {httpGet: {path: /app-health/app/readyz, port: 15020}}"
    assert facts(pod(probe=rewritten) + STRICT).probe == ""
    tcp = "readinessProbe: {tcpSocket: {port: 8080}}"
    assert facts(pod(probe=tcp) + STRICT).probe == "", "the sidecar accepts the connection"
    out = '{traffic.sidecar.istio.io/excludeInboundPorts: "8080"}'
    assert facts(pod(probe=GET, notes=out) + STRICT).probe == ""
    assert facts(pod(probe=GET, proxy=False) + STRICT).probe == ""
    off = '{sidecar.istio.io/rewriteAppHTTPProbers: "false"}'
    assert facts(pod(probe=GET, notes=off) + STRICT).rewrite_off


def test_scrapes() -> None:
    def notes(port: int) -> str:
        return f'{{prometheus.io/scrape: "true", prometheus.io/port: "{port}"}}'

    assert facts(pod(notes=notes(8080)) + STRICT).scrape_port == 8080
    assert facts(pod(notes=notes(15020)) + STRICT).scrape_port == 0
    assert facts(pod(notes=notes(8080))).scrape_port == 0


@pytest.mark.parametrize(
    ("image", "note", "found"),
    [
        ("prom/prometheus:v2.48.0", "proxyMetadata: {OUTPUT_CERTS: /etc/certs}", True),
        ("prom/prometheus:v2.48.0", "concurrency: 2", False),
        ("shop/cart:1", "proxyMetadata: {OUTPUT_CERTS: /etc/certs}", False),
    ],
)
def test_a_collector_with_certificates(image: str, note: str, found: bool) -> None:
    other = f"""
---
apiVersion: v1
kind: Pod
metadata:
  name: other-1
  namespace: mon
  annotations: {{proxy.istio.io/config: "{note}"}}
spec: {{containers: [{{name: other, image: "{image}"}}]}}
"""
    assert facts(pod() + other).cert_scraper is found


def test_events_of_probes() -> None:
    def event(message: str) -> str:
        return f"""
---
apiVersion: v1
kind: Event
metadata: {{name: e1, namespace: shop}}
reason: Unhealthy
message: '{message}'
count: 7
involvedObject: {{kind: Pod, name: pay-1, namespace: shop}}
"""

    reset = 'Readiness probe failed: Get "http://10.0.1.2:8080/": read: connection reset by peer'
    found = probe_failures.run(world(pod() + event(reset)), PAY)
    assert isinstance(found, ProbeFailures)
    assert (found.failures, found.resets) == (7, 7)
    agent = reset.replace(":8080/", ":15020/")
    assert probe_failures.run(world(pod() + event(agent)), PAY) == ProbeFailures(
        failures=0, resets=0, message=""
    )


def test_probes_that_fail_elsewhere_in_the_namespace() -> None:
    def event(name: str, of: str, at: str) -> str:
        return f"""
---
apiVersion: v1
kind: Event
metadata: {{name: {name}, namespace: shop}}
reason: Unhealthy
message: 'Readiness probe failed: {name}'
count: 2
lastTimestamp: '2026-11-18T09:{at}:00Z'
involvedObject: {{kind: Pod, name: {of}, namespace: shop}}
"""

    cart = pod().replace("name: pay-1", "name: cart-1")
    events = event("late", "pay-1", "20") + event("early", "pay-1", "10")
    view = world(pod() + cart + events + event("other", "cart-1", "25"))
    found = probe_failures.run(view, PAY)
    assert (found.failures, found.message) == (4, "Readiness probe failed: late")
    far = probe_failures.run(view, WorkloadSubject("shop", "cart-1", "Pod"))
    assert (far.failures, far.message) == (2, "Readiness probe failed: other")


def test_who_is_refused() -> None:
    scraper = """
---
apiVersion: v1
kind: Pod
metadata: {name: prometheus-0, namespace: monitoring, labels: {app.kubernetes.io/name: prometheus}}
spec: {containers: [{name: prometheus}]}
status: {phase: Running, podIP: 10.0.1.7}
"""

    def line(ip: str) -> str:
        return (
            '[2026-11-18T09:24:00.313Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" '
            f'"-" "-" "-" - - 10.0.1.2:8080 {ip}:50178 - -'
        )

    text = "\n".join([line("10.0.1.7"), line("10.0.9.9"), line("10.0.9.9")])
    view = world(pod() + scraper, logs={("shop", "pay-1", "istio-proxy"): text})
    assert workload_seen.run(view, PAY) == WorkloadSeen(passes=True)
    assert workload_seen.run(world(pod()), PAY) == WorkloadSeen(passes=False)
    found = workload_refused.run(view, PAY)
    assert isinstance(found, WorkloadRefused)
    assert (found.lines, found.scraper_lines, found.node_lines) == (3, 1, 2)
    assert (found.scraper_port, found.node_ports) == (8080, "8080")
    assert found.scraper == "Pod/monitoring/prometheus-0"
    assert (found.scraper_certs, found.scraper_mode) == (False, "PERMISSIVE")
    notes = "annotations: {proxy.istio.io/config: 'proxyMetadata: {OUTPUT_CERTS: /certs}'}, labels"
    armed = scraper.replace("labels", notes, 1)
    view = world(pod() + armed, logs={("shop", "pay-1", "istio-proxy"): text})
    certified = workload_refused.run(view, PAY)
    assert isinstance(certified, WorkloadRefused) and certified.scraper_certs


def test_callers_whose_tls_ends_at_a_pod_without_a_proxy() -> None:
    caller = """
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: web, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.1.9}
"""
    text = (
        '[2026-11-18T09:24:00.487Z] "GET / HTTP/1.1" 503 UF,URX upstream_reset_before_response_'
        "started{remote_connection_failure|TLS_error:|268435703:SSL_routines:OPENSSL_internal:"
        'WRONG_VERSION_NUMBER:TLS_error_end} - "TLS_error:|268435703:SSL_routines:OPENSSL_internal:'
        'WRONG_VERSION_NUMBER:TLS_error_end" 0 95 3 - "-" "c" "i" "pay:80" "10.0.1.2:8080" '
        "outbound|80||pay.shop.svc.cluster.local - 10.96.0.5:80 10.0.1.9:2 - default"
    )
    objects = pod(proxy=False) + caller
    log = ("web", "cart-1", "istio-proxy")
    assert workload_callers.run(world(objects, logs={log: text}), PAY) == WorkloadCallers(
        tls_failures=1
    )
    elsewhere = world(objects, logs={log: text.replace("10.0.1.2", "10.0.1.3")})
    assert workload_callers.run(elsewhere, PAY) == WorkloadCallers(tls_failures=0)
    with pytest.raises(EvidenceError):
        workload_callers.run(world(objects, failing={"log": ForbiddenError("log")}), PAY)


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{port: 443, targetPort: 8080}]}
"""
API = """
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.pay.example.com}
spec: {service: {namespace: shop, name: pay, port: 443}}
status: {conditions: [{type: Available, status: "False", message: FailedDiscoveryCheck}]}
"""
HOOK = """
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: pay}
webhooks: [{name: a.b.c, clientConfig: {service: {namespace: shop, name: pay}}}]
"""


def callback(objects: str) -> ServiceCallback:
    found = service_callback.run(world(objects), ServiceSubject("shop", "pay"))
    assert isinstance(found, ServiceCallback)
    return found


def test_callbacks_of_the_api_server() -> None:
    f = callback(pod() + SERVICE + STRICT + API)
    assert (f.caller, f.mode, f.workload_port) == ("APIService//v1.pay.example.com", "STRICT", 8080)
    assert f.unavailable and f.sidecar and f.captured
    assert callback(pod() + SERVICE + HOOK).caller == "ValidatingWebhookConfiguration//pay"
    assert callback(pod() + SERVICE + HOOK).mode == "PERMISSIVE"
    assert callback(pod() + SERVICE + STRICT).caller == ""
    assert not callback(pod(proxy=False) + SERVICE + STRICT + API).sidecar
    assert callback(pod() + SERVICE + HOOK + API).caller == "ValidatingWebhookConfiguration//pay"


def test_refused_calls_of_the_api_server() -> None:
    text = (
        '[2026-11-18T09:24:00.313Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" "-" '
        '"-" "-" - - 10.0.1.2:8080 10.0.9.9:50178 pay.shop.svc -\n'
    )
    log = ("shop", "pay-1", "istio-proxy")

    def refused(objects: str, text: str = text) -> object:
        view = world(objects, logs={log: text})
        found = service_callback_log.run(view, ServiceSubject("shop", "pay"))
        assert isinstance(found, CallbackLog) and found.server_name == "pay.shop.svc"
        return found.refused

    assert refused(pod() + SERVICE + HOOK) == 1
    assert refused(pod() + SERVICE + HOOK, text.replace("pay.shop.svc", "-")) == 0
    ended = (
        '[2026-11-18T09:24:00.313Z] "- - -" 0 - - - "-" 0 0 2 - "-" "-" "-" "-" "10.0.1.2:8080" '
        "inbound|8080|| 127.0.0.6:1 10.0.1.2:8080 10.0.9.9:50178 pay.shop.svc -\n"
    )
    assert refused(pod() + SERVICE + HOOK, ended) == 1
    assert refused(pod() + SERVICE + HOOK, ended.replace(" 0 0 2 ", " 9 9 2 ")) == 0
    assert refused(pod() + SERVICE) == refused(pod(proxy=False) + SERVICE + HOOK) == 0


def test_callbacks_of_pods_in_ambient() -> None:
    ambient = pod(proxy=False, notes="{ambient.istio.io/redirection: enabled}")
    f = callback(ambient + SERVICE + STRICT + HOOK)
    assert (f.taker, f.sidecar, f.captured, f.mode) == ("ztunnel", True, True, "STRICT")
    assert callback(pod() + SERVICE + STRICT + HOOK).taker == "sidecar"
    pending = callback(ambient.replace("enabled", "pending") + SERVICE + STRICT + HOOK)
    assert (pending.taker, pending.sidecar) == ("", False)


def test_callbacks_keep_what_was_read_before_a_read_failed() -> None:
    forbidden = {"APIService": ForbiddenError("get apiservices")}
    view = world(pod() + SERVICE + HOOK, failing=forbidden)
    with pytest.raises(EvidenceError):
        service_callback.run(view, ServiceSubject("shop", "pay"))
    assert [c for c in view.commands if "Webhook" in c] == [
        "kubectl get MutatingWebhookConfiguration -n -A",
        "kubectl get ValidatingWebhookConfiguration -n -A",
    ]


def test_an_application_that_serves_tls_behind_a_rewritten_probe() -> None:
    from meshdoctor.mesh.app_probes import serves_tls
    from meshdoctor.model.kubernetes import Pod

    kept = '{"/app-health/app/readyz":{"httpGet":{"path":"/","port":8080,"scheme":"HTTPS"}}}'
    env = f", env: [{{name: ISTIO_KUBE_APP_PROBERS, value: '{kept}'}}]"
    for objects, told in ((pod(env=env), True), (pod(), False)):
        found = world(objects).objects("Pod", Pod, "shop")[0]
        assert serves_tls(found, 8080) is told


def test_of_a_large_mesh_some_logs_are_read_and_of_a_scope_all() -> None:
    def named(name: str, ready: str) -> str:
        conditions = f'conditions: [{{type: Ready, status: "{ready}"}}], phase'
        text = pod().replace("name: pay-1", f"name: {name}").replace("app: pay", f"app: {name}")
        return text.replace("phase", conditions)

    many = "".join(named(f"pay-{number:03}", "True") for number in range(70))
    troubled = named("zz", "False")
    text = STRICT + many + troubled

    def read(view: View, name: str) -> object:
        return workload_tls.run(view, WorkloadSubject("shop", name, "Pod")).log_read

    whole = world(text)
    assert [read(whole, name) for name in ("pay-000", "pay-069", "zz")] == [True, False, True]
    scoped = world(text, namespaces=("shop", "istio-system"))
    assert read(scoped, "pay-069") is True
