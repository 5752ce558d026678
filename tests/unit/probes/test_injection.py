"""The probes on injection, on a small mesh and on what cannot be read."""

from typing import Any

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import NamespaceSubject, WorkloadSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.ambient_enrolment import ambient_enrolment
from meshdoctor.probes.app_boot import app_boot
from meshdoctor.probes.cni_rights import cni_rights
from meshdoctor.probes.container_end import container_end
from meshdoctor.probes.injection_call import injection_call
from meshdoctor.probes.injection_decision import injection_decision
from meshdoctor.probes.injection_refusal import injection_refusal
from meshdoctor.probes.lingering import lingering
from meshdoctor.probes.orphan_refusals import orphan_refusals
from meshdoctor.probes.pod_redirect import pod_redirect
from meshdoctor.probes.pod_startup import pod_startup
from meshdoctor.probes.proxy_crash import proxy_crash
from meshdoctor.probes.proxy_killed import proxy_killed
from meshdoctor.probes.proxy_setup import proxy_setup
from tests.unit.world import world
from tests.unit.world_injection import MESH, SHOP, pod

CART = WorkloadSubject("shop", "cart")
OLD, NEW = "2026-11-05T00:00:00Z", "2026-11-15T00:00:00Z"
FAILED = """
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: cart-7c9d8b6f5
  namespace: shop
  ownerReferences: [{kind: Deployment, name: cart, controller: true}]
spec: {replicas: 1}
status: {replicas: 0}
---
apiVersion: v1
kind: Event
metadata: {name: e1, namespace: shop}
type: Warning
reason: FailedCreate
involvedObject: {kind: ReplicaSet, name: cart-7c9d8b6f5, namespace: shop}
message: "%s"
lastTimestamp: '2026-11-18T09:25:00Z'
"""


POLICY = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


def decided(objects: str, **more: Any) -> Any:
    return injection_decision.run(world(objects, **more), CART)


def test_injected_and_well() -> None:
    facts = decided(MESH + SHOP + pod(NEW, sidecar=True))
    assert (facts.asked, facts.injected, facts.uninjected) == (True, True, 0)
    assert facts.webhook == "MutatingWebhookConfiguration//istio-sidecar-injector"
    assert facts.injector == "ConfigMap/istio-system/istio-sidecar-injector"


def test_older_and_younger_than_the_label() -> None:
    assert decided(MESH + SHOP + pod(OLD, sidecar=False)).older is True
    assert decided(MESH + SHOP + pod(NEW, sidecar=False)).older is False


def test_when_the_label_was_set_may_be_unknown() -> None:
    shop = SHOP.replace("managedFields", "unmanaged")
    mesh = MESH.replace("failurePolicy: Fail", "failurePolicy: Ignore")
    assert isinstance(decided(mesh + shop + pod(NEW, sidecar=False)).older, Unavailable)


def test_a_webhook_that_cannot_fail_open_leaves_one_explanation() -> None:
    shop = SHOP.replace("managedFields", "unmanaged")
    assert decided(MESH + shop + pod(NEW, sidecar=False)).older is True


def test_a_gateway_whose_image_is_still_auto_was_not_injected() -> None:
    live = pod(NEW, sidecar=True).replace("docker.io/istio/proxyv2:1.30.1", "auto")
    assert decided(MESH + SHOP + live).uninjected == 1


def test_refusals_that_no_workload_accounts_for() -> None:
    text = (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": Post: '
        'no endpoints available for service \\"istiod\\"'
    )
    lonely = FAILED[FAILED.index("---\napiVersion: v1\nkind: Event") :] % text
    shop = NamespaceSubject("shop")
    seen = orphan_refusals.run(world(MESH + SHOP.split("---\napiVersion: apps")[0] + lonely), shop)
    assert (seen.count, seen.kind) == (1, "call-no-endpoints")
    assert seen.at_fault == "Service/istio-system/istiod"
    assert orphan_refusals.run(world(MESH + SHOP + lonely), shop).count == 0
    lacking = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    assert call(MESH + lacking + lonely).refused == "call-no-endpoints"


def test_policy_not_seen_is_not_a_no() -> None:
    facts = decided(
        MESH + SHOP + pod(NEW, sidecar=False), failing={"ConfigMap": ForbiddenError("ConfigMap")}
    )
    assert isinstance(facts.injected, Unavailable)
    assert facts.asked is True


SAYS = "{app: cart, sidecar.istio.io/inject: '%s'}"


@pytest.mark.parametrize("value", ["", "true", "yes"])
def test_istiods_pods_are_needed_only_for_a_value_that_releases_read_differently(
    value: str,
) -> None:
    shop = SHOP.replace("metadata: {labels: {app: cart}}", f"metadata: {{labels: {SAYS % value}}}")
    live = pod(NEW, sidecar=True)
    seen = decided(MESH + shop + live)
    assert seen.value_unclear is (value == "yes") and seen.injected is True
    blind = {"Pod in istio-system": ForbiddenError("Pod")}
    facts = decided(MESH + shop + live, failing=blind, namespaces=("shop",))
    unread = value == "yes"
    assert isinstance(facts.value_unclear, Unavailable) is unread
    assert isinstance(facts.injected, Unavailable) is unread


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        (POLICY, True),
        ("", None),
    ],
    ids=["another kind tells", "nothing else tells"],
)
def test_a_policy_kind_that_cannot_be_read(objects: str, expected: Any) -> None:
    shop = SHOP.replace("istio-injection: enabled", "a: b")
    view = world(
        MESH + shop + pod(NEW, sidecar=False) + objects,
        failing={"Sidecar": ForbiddenError("Sidecar")},
    )
    found = injection_decision.run(view, CART).expected
    assert isinstance(found, Unavailable) if expected is None else found is expected


def test_label_on_the_deployment_only() -> None:
    shop = SHOP.replace("istio-injection: enabled", "a: b").replace(
        "{name: cart, namespace: shop}",
        "{name: cart, namespace: shop, labels: {sidecar.istio.io/inject: 'true'}}",
    )
    facts = decided(MESH + shop + pod(NEW, sidecar=False))
    assert facts.misplaced == "label sidecar.istio.io/inject=true"
    assert facts.clause == "no-label"


@pytest.mark.parametrize(
    ("status", "stripped"),
    [
        ('{"initContainers":["istio-init","istio-proxy"],"containers":null}', True),
        ('{"initContainers":["istio-init"],"containers":["istio-proxy"]}', True),
        ('{"containers":["other-agent"]}', False),
        ("no json", False),
        ("[]", False),
    ],
)
def test_a_sidecar_that_was_taken_out_again(status: str, stripped: bool) -> None:
    note = f"annotations: {{sidecar.istio.io/status: '{status}'}}"
    bare = pod(NEW, sidecar=False).replace(
        "  labels: {app: cart", f"  {note}\n  labels: {{app: cart", 1
    )
    assert bool(decided(MESH + SHOP + bare).stripped) is stripped
    whole = pod(NEW, sidecar=True).replace(
        "  labels: {app: cart", f"  {note}\n  labels: {{app: cart", 1
    )
    assert decided(MESH + SHOP + whole).stripped == ""
    copied = SHOP.replace("metadata: {labels: {app: cart}}", f"metadata: {{{note}}}")
    assert decided(MESH + copied + bare).stripped == ""


def test_settings_on_the_deployment_only() -> None:
    note = "traffic.sidecar.istio.io/excludeOutboundPorts"
    noted = f"annotations: {{{note}: '5432', deployment.kubernetes.io/revision: '8'}}"
    shop = SHOP.replace(
        "{name: cart, namespace: shop}", f"{{name: cart, namespace: shop, {noted}}}"
    )
    live = MESH + shop + pod(NEW, sidecar=True)
    assert decided(live).unread == note
    both = live.replace("{labels: {app: cart}}", f"{{labels: {{app: cart}}, {noted}}}")
    assert decided(both).unread == ""


@pytest.mark.parametrize(
    ("config", "expected"), [("true", True), ("false", False), ("'true'", False)]
)
def test_namespaces_that_are_injected_by_default_in_words_only(config: str, expected: bool) -> None:
    shop = SHOP.replace("istio-injection: enabled", "a: b") + pod(NEW, sidecar=False)
    said = f"{{sidecarInjectorWebhook: {{enableNamespacesByDefault: {config}}}, "
    mesh = MESH.replace('{"global"', f'{said}"global"')
    assert mesh != MESH
    facts = decided(mesh + shop)
    assert facts.clause == "no-label"
    assert facts.expected is expected
    assert ("enableNamespacesByDefault" in facts.expected_by) is expected


@pytest.mark.parametrize(
    ("label", "left_out_by"),
    [
        ("a: b", "Namespace//shop"),
        ("istio-injection: enabled", "MutatingWebhookConfiguration//istio-sidecar-injector"),
    ],
)
def test_a_pod_that_opts_in_and_that_selectors_leave_out(label: str, left_out_by: str) -> None:
    shop = SHOP.replace("istio-injection: enabled", label)
    shop = shop.replace("{labels: {app: cart}}", f"{{labels: {SAYS % 'true'}}}")
    mesh = MESH.replace("values: ['false']", "values: ['true']")
    facts = decided(mesh + shop + pod(NEW, sidecar=False))
    assert (facts.clause, facts.left_out_by) == ("selector", left_out_by)


def test_a_misspelt_namespace_label_shows_that_a_sidecar_is_expected() -> None:
    shop = SHOP.replace("istio-injection: enabled", "istio-inject: enabled")
    facts = decided(MESH + shop + pod(NEW, sidecar=False))
    assert facts.expected is True
    assert "istio-inject=enabled" in facts.expected_by


def call(objects: str, **more: Any) -> Any:
    return injection_call.run(world(objects, **more), CART)


def test_the_call_is_answered() -> None:
    facts = call(MESH + SHOP + pod(NEW, sidecar=True))
    assert facts.service_exists and facts.port_open
    assert (facts.ready_endpoints, facts.refused, facts.policy) == (1, "", "")
    assert facts.istiod == "Deployment/istio-system/istiod"
    assert facts.ca == "empty"


def test_istiod_fills_ca_bundle_by_the_label_of_its_revision() -> None:
    assert (call(MESH + SHOP).revision, call(MESH + SHOP).unlabelled) == ("default", "")
    mesh = MESH.replace("  labels: {istio.io/rev: default}\n", "", 1)
    assert call(mesh + SHOP).unlabelled.startswith(", and it lacks the label istio.io/rev=default")
    told = MESH.replace(
        "image: 'docker.io/istio/pilot:1.30.1'", "env: [{name: REVISION, value: blue}]"
    )
    assert call(told + SHOP).revision == "blue" and call(told + SHOP).unlabelled


def test_an_address_that_the_control_plane_does_not_call() -> None:
    refused = 'failed calling webhook \\"rev.namespace.sidecar-injector.istio.io\\": Post: Address is not allowed'  # noqa: E501
    facts = call(MESH + SHOP.replace("readyReplicas: 1", "readyReplicas: 0") + FAILED % refused)
    assert facts.obstacle.startswith("the managed control plane calls no address outside")


def test_an_injector_that_is_no_istiod_chooses_its_port() -> None:
    injector = MESH.replace("targetPort: 15017", "targetPort: 443")
    facts = call(injector + SHOP + pod(NEW, sidecar=True))
    assert (facts.port_open, facts.target_port) == (False, "443")
    own = injector.replace("name: discovery", "name: sidecar-injector-webhook")
    facts = call(own + SHOP + pod(NEW, sidecar=True))
    assert (facts.port_open, facts.target_port) == (True, "443")
    assert facts.obstacle.startswith("no NetworkPolicy stands in the way")


def test_a_call_that_was_made_counts_whatever_the_labels_say() -> None:
    text = (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": failed to call webhook: '
        "Post: x509: certificate signed by unknown authority"
    )
    shop = SHOP.replace("istio-injection: enabled", "a: b").replace(
        "readyReplicas: 1", "readyReplicas: 0"
    )
    lonely = FAILED[FAILED.index("---\napiVersion: v1\nkind: Event") :]
    facts = call(MESH + shop + lonely % text)
    assert facts.called and facts.refused == "call-untrusted"
    assert facts.config == "MutatingWebhookConfiguration//istio-sidecar-injector"
    assert not call(MESH + shop + lonely % "exceeded quota: small").called


def test_refused_for_want_of_endpoints() -> None:
    text = (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": Post: '
        'no endpoints available for service \\"istiod\\"'
    )
    mesh = MESH.replace("conditions: {ready: true}", "conditions: {ready: false}")
    facts = call(mesh + SHOP + FAILED % text)
    assert facts.refused == "call-no-endpoints"
    assert facts.ready_endpoints == 0
    assert facts.said.startswith(". The API server says: ")


def test_endpoints_without_any_slice_are_counted_from_pods() -> None:
    mesh = MESH.replace("kubernetes.io/service-name: istiod", "a: b")
    assert call(mesh + SHOP).ready_endpoints == 1


def test_a_service_that_is_an_alias_is_not_called() -> None:
    plain = "spec: {selector: {app: istiod}, ports: [{name: https-webhook, port: 443"
    assert plain in MESH
    alias = plain.replace("selector: {app: istiod}", "type: ExternalName, externalName: lb.example")
    facts = call(MESH.replace(plain, alias) + SHOP)
    assert (facts.alias_of, facts.service_exists) == ("lb.example", True)
    assert call(MESH + SHOP).alias_of == ""


def test_forbidden_slices_stay_unknown() -> None:
    facts = call(MESH + SHOP, failing={"EndpointSlice": ForbiddenError("EndpointSlice")})
    assert isinstance(facts.ready_endpoints, Unavailable)


POLICY = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: istio-system, creationTimestamp: '2026-11-12T00:00:00Z'}
spec:
  podSelector: {matchLabels: {app: istiod}}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 15017}]}]
"""


def test_a_network_policy_that_admits_pods_only() -> None:
    assert call(MESH + SHOP + POLICY).policy == "NetworkPolicy/istio-system/closed"


def test_a_younger_sidecar_shows_that_nothing_enforces_it() -> None:
    assert call(MESH + SHOP + POLICY + pod(NEW, sidecar=True)).policy == ""


def refused(objects: str, **more: Any) -> Any:
    return injection_refusal.run(world(objects, **more), CART)


def test_what_admission_said() -> None:
    facts = refused(MESH + SHOP + FAILED % "exceeded quota: compute, requested: limits.cpu=2")
    assert (facts.kind, facts.quota) == ("quota", "ResourceQuota/shop/compute")


def test_null_limits_in_the_values() -> None:
    mesh = MESH.replace('"limits": {"cpu": "2"}', '"limits": {"cpu": null}')
    facts = refused(mesh + SHOP)
    assert facts.resources_conflict == "limits.cpu is null"
    assert facts.resources_at_fault == "ConfigMap/istio-system/istio-sidecar-injector"


UNREAD = (
    "admission webhook 'namespace.sidecar-injector.istio.io' denied the request: failed to run "
    "injection template: quantities must match the regular expression"
).replace("'", '\\"')


@pytest.mark.parametrize(
    ("notes", "problem", "fault"),
    [
        ("proxyCPU: 200m", "proxyCPU without sidecar.istio.io/proxyMemory", "Deployment/shop/cart"),
        ("proxyMemory: 1Gi", "proxyMemory without", "Deployment/shop/cart"),
        ("proxyCPU: 2 cores", "proxyCPU is no quantity", "Deployment/shop/cart"),
        ("logLevel: debug", "", "ConfigMap/istio-system/istio-sidecar-injector"),
    ],
)
def test_a_quantity_that_istiod_cannot_read(notes: str, problem: str, fault: str) -> None:
    shop = SHOP.replace(
        "{labels: {app: cart}}",
        f"{{labels: {{app: cart}}, annotations: {{sidecar.istio.io/{notes}}}}}",
    )
    facts = refused(MESH + shop + FAILED % UNREAD)
    assert (facts.kind, facts.names_mesh) == ("resources", True)
    assert problem in facts.annotation_conflict
    assert facts.resources_at_fault == fault


def test_an_injector_that_is_not_on_record_has_a_name_all_the_same() -> None:
    mesh = MESH.replace("name: istio-sidecar-injector, namespace", "name: other, namespace")
    facts = refused(mesh + SHOP + FAILED % UNREAD)
    assert facts.injector == "ConfigMap/istio-system/istio-sidecar-injector"
    assert refused(mesh + SHOP).injector == ""


def test_an_annotation_that_a_live_pod_carries_is_accepted() -> None:
    wrong = "traffic.sidecar.istio.io/excludeInboundPorts: x"
    shop = SHOP.replace(
        "{labels: {app: cart}}", f"{{labels: {{app: cart}}, annotations: {{{wrong}}}}}"
    )
    assert refused(MESH + shop).annotation == "traffic.sidecar.istio.io/excludeInboundPorts"
    live = pod(NEW, sidecar=True).replace(
        "  namespace: shop\n", f"  namespace: shop\n  annotations: {{{wrong}}}\n", 1
    )
    assert refused(MESH + shop + live).annotation == ""


def test_events_that_may_not_be_read() -> None:
    facts = refused(MESH + SHOP, failing={"Event": ForbiddenError("Event")})
    assert isinstance(facts.kind, Unavailable)


STATUS = """  containerStatuses:
  - {name: cart, ready: true, state: {running: {}}}
  - name: istio-proxy
    restartCount: 2
    state: {running: {startedAt: '2026-11-18T09:00:00Z'}}
"""


def starting(logs: str | None, status: str = STATUS) -> Any:
    text = pod(NEW, sidecar=True, ready="False")
    text = text[: text.index("  containerStatuses")] + status
    given = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): logs} if logs is not None else {}
    return pod_startup.run(world(MESH + SHOP + text, logs=given), CART)


REFUSED = """
---
apiVersion: v1
kind: Event
metadata: {name: e6, namespace: shop}
type: Warning
reason: Unhealthy
message: 'Readiness probe failed: Get "http://[2406::15]:15021/healthz/ready": dial tcp [2406::15]:15021: connect: connection refused'
count: COUNT
lastTimestamp: "2026-11-18T09:29:00Z"
involvedObject: {kind: Pod, name: cart-7c9d8b6f5-xxxxx, namespace: shop}
"""  # noqa: E501


@pytest.mark.parametrize(
    ("address", "count", "found", "refused", "ipv4"),
    [
        ("2406::15", 17, "169.254.172.3 2406::15", True, "169.254.172.3"),
        ("2406::15", 17, "2406::15", True, ""),
        ("2406::15", 2, "169.254.172.3 2406::15", False, "169.254.172.3"),
        ("10.0.0.5", 17, "10.0.0.5", False, ""),
    ],
)
def test_a_proxy_that_listens_on_ipv4_in_an_ipv6_pod(
    address: str, count: int, found: str, refused: bool, ipv4: str
) -> None:
    text = pod(NEW, sidecar=True, ready="False")
    text = text[: text.index("  containerStatuses")] + f"  podIP: '{address}'\n" + STATUS
    log = f"info\tProxy role\tips=[{found}] type=sidecar id=a.shop\ninfo\tEnvoy proxy is ready\n"
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): log}
    event = REFUSED.replace("COUNT", str(count))
    facts = pod_startup.run(world(MESH + SHOP + text + event, logs=logs), CART)
    assert (bool(facts.refused_on_ipv6), facts.proxy_ipv4) == (refused, ipv4)


def test_the_proxy_lacks_configuration() -> None:
    facts = starting(
        "warn Envoy proxy is NOT ready: config not received from XDS server (is Istiod running?)"
    )
    assert (facts.stage, facts.container, facts.complaint) == ("proxy", "istio-proxy", "no-config")
    assert facts.blocked == 1


def test_a_log_that_is_not_there_stays_unknown() -> None:
    assert isinstance(starting(None).complaint, Unavailable)


def test_the_share_of_the_proxy_counts_containers_that_keep_running() -> None:
    def share(init: str) -> Any:
        live = pod(NEW, sidecar=True).replace(
            "{name: cart, image: cart}", "{name: cart, resources: {requests: {cpu: 300m}}}"
        )
        if init:
            live = live.replace(", {name: istio-proxy,", ", {name: helper,").replace(
                "containers:", f"initContainers: [{init}], containers:"
            )
        return pod_startup.run(world(MESH + SHOP + live), CART).proxy_share

    asks = "resources: {requests: {cpu: 100m}}"
    assert share("") == 0
    assert share(f"{{name: istio-proxy, restartPolicy: Always, {asks}}}") == 25
    assert share(f"{{name: istio-init, {asks}}}") == 0


def test_a_ready_pod_needs_no_log() -> None:
    facts = pod_startup.run(world(MESH + SHOP + pod(NEW, sidecar=True)), CART)
    assert (facts.stage, facts.complaint, facts.blocked) == ("ready", "none", 0)


KILLED = "error\tEpoch 0 exited with error: signal: killed\n"


@pytest.mark.parametrize(
    ("reason", "at", "log", "ended", "said"),
    [
        ("Error", "2026-11-18T09:00:00Z", KILLED, True, True),
        (
            "Error",
            "2026-11-18T09:00:00Z",
            "error\tEnvoy exited with error: exit status 1",
            True,
            False,
        ),
        ("Error", "2026-11-16T09:00:00Z", KILLED, False, False),
        ("OOMKilled", "2026-11-18T09:00:00Z", KILLED, False, False),
    ],
)
def test_envoy_is_killed_under_its_agent(
    reason: str, at: str, log: str, ended: bool, said: bool
) -> None:
    dead = (
        "  containerStatuses: [{name: istio-proxy, restartCount: 1, lastState: {terminated: "
        f"{{exitCode: 255, reason: {reason}, finishedAt: '{at}'}}}}}}]\n"
    )
    text = pod(NEW, sidecar=True, ready="False")
    objects = MESH + SHOP + text[: text.index("  containerStatuses")] + dead
    key = ("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy")
    found = proxy_killed.run(world(objects, logs={key: ""}, previous={key: log}), CART)
    assert (found.ended, bool(found.said)) == (ended, said)


def test_envoy_crashes() -> None:
    dead = "  containerStatuses: [{name: istio-proxy, restartCount: 1, lastState: {terminated: {exitCode: 255, reason: Error}}}]\n"  # noqa: E501
    text = pod(NEW, sidecar=True, ready="False")
    objects = MESH + SHOP + text[: text.index("  containerStatuses")] + dead
    key = ("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy")
    log = "critical\tenvoy backtrace\tCaught Segmentation fault, suspect faulting address 0x1\n"
    found = proxy_crash.run(world(objects, logs={key: log}), CART)
    assert (found.ended, found.reason, found.filter) == (True, "Caught Segmentation fault", "")
    unread = proxy_crash.run(world(objects, logs={}), CART)
    assert isinstance(unread.reason, Unavailable)


def test_out_of_memory_lately_and_long_ago() -> None:
    dead = (
        "  containerStatuses: [{name: istio-proxy, ready: true, restartCount: 1,"
        " state: {running: {}}, lastState: {terminated: {exitCode: 137,"
        " reason: %s, finishedAt: '%s'}}}]\n"
    )
    assert starting("", dead % ("OOMKilled", "2026-11-18T09:00:00Z")).proxy_oom is True
    assert starting("", dead % ("OOMKilled", "2026-11-16T09:00:00Z")).proxy_oom is False
    assert starting("", dead % ("Error", "2026-11-18T09:00:00Z")).proxy_oom is False


UNHEALTHY = """
---
apiVersion: v1
kind: Event
metadata: {name: e2, namespace: shop}
type: Warning
reason: Unhealthy
involvedObject: {kind: Pod, name: cart-7c9d8b6f5-xxxxx, namespace: shop}
message: "Readiness probe failed: HTTP probe failed with statuscode: 500"
lastTimestamp: '2026-11-18T09:25:00Z'
"""


def test_a_rewritten_probe_is_told_by_the_agents_log() -> None:
    get = "readinessProbe: {httpGet: {path: /app-health/cart/readyz, port: 15020}}"
    live = pod(NEW, sidecar=True, ready="False").replace(
        "{name: cart, image: cart}", f"{{name: cart, image: cart, {get}}}"
    )
    live = live.replace("ready: true", "ready: false").replace(
        "containerStatuses: [", "containerStatuses: [{name: istio-proxy, ready: true}, "
    )
    said = "error Request to probe app failed: dial tcp 10.0.0.5:8080: connection refused"
    event = UNHEALTHY

    def facts(log: str) -> Any:
        logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): log}
        return pod_startup.run(world(MESH + SHOP + live + event, logs=logs), CART)

    assert facts(said).app_probe == said
    assert facts("").app_probe == ""
    assert facts(f"2026-11-18T09:24:59.9Z\t{said}").app_probe.endswith("refused")
    assert facts(f"2026-11-18T09:24:30.0Z\t{said}").app_probe == ""
    unknown = "error Prober does not exists url /app-health/cart/readyz"
    assert facts(unknown).app_probe == unknown
    event = UNHEALTHY.replace("500", "404")
    assert facts(unknown).app_probe == unknown
    assert facts(said).app_probe == ""


@pytest.mark.parametrize(("at", "told"), [("09:24:00", False), ("09:25:30", True)])
def test_an_agent_that_did_not_answer_before_it_did(at: str, told: bool) -> None:
    live = pod(NEW, sidecar=True, ready="False").replace("ready: true", "ready: false")
    get = "Get http://10.0.0.5:15020/app-health/cart/readyz: context deadline exceeded"
    early = UNHEALTHY.replace("HTTP probe failed with statuscode: 500", get)
    early = early.replace("name: e2", "name: e3").replace("09:25:00", at)
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): ""}
    found = pod_startup.run(world(MESH + SHOP + live + UNHEALTHY + early, logs=logs), CART)
    assert bool(found.app_probe) is told


@pytest.mark.parametrize(
    ("phase", "proxy", "told"),
    [("Failed", True, True), ("Succeeded", True, False), ("Failed", False, False)],
)
def test_the_hook_of_a_pod_that_has_ended(phase: str, proxy: bool, told: bool) -> None:
    said = (
        "Exec lifecycle hook ([pilot-agent wait]) for Container istio-proxy failed: "
        "Error: timeout waiting for Envoy proxy to become ready"
    )
    event = UNHEALTHY[: UNHEALTHY.index("message:")] + f'message: "{said}"\n'
    event = event.replace("Unhealthy", "FailedPostStartHook")
    event += "lastTimestamp: '2026-11-18T09:25:00Z'\n"
    live = pod(NEW, sidecar=proxy, ready="False").replace("phase: Running", f"phase: {phase}")
    live = live.replace("ready: true", "ready: false")
    facts: Any = pod_startup.run(world(MESH + SHOP + live + event), CART)
    assert facts.stage == "ended"
    assert bool(facts.hook_failed) is told


@pytest.mark.parametrize(
    ("inits", "hangs"),
    [
        (("istio-init", "vault-agent-init"), "vault-agent-init"),
        (("vault-agent-init", "istio-init"), ""),
        (("vault-agent-init", "istio-validation"), "vault-agent-init"),
        (("vault-agent-init",), ""),
    ],
)
def test_an_init_container_of_the_application_that_is_redirected(
    inits: tuple[str, ...], hangs: str
) -> None:
    running = "{name: vault-agent-init, ready: false, state: {running: {}}}"
    done = "{name: %s, ready: true, state: {terminated: {exitCode: 0}}}"
    before = inits[: inits.index("vault-agent-init")]
    states = ", ".join([*(done % name for name in before), running])
    named = ", ".join(f"{{name: {name}}}" for name in inits)
    text = pod(NEW, sidecar=True, ready="False")
    text = text[: text.index("  containerStatuses")] + f"  initContainerStatuses: [{states}]\n"
    text = text.replace("containers: [", f"initContainers: [{named}], containers: [", 1)
    assert pod_redirect.run(world(MESH + SHOP + text), CART).app_init == hangs


@pytest.mark.parametrize(
    ("notes", "log", "exempt"),
    [
        ("", "dial tcp 172.20.0.37:8200: connect: connection refused", False),
        ("excludeOutboundPorts: '8200'", "dial tcp 172.20.0.37:8200: connection refused", True),
        ("excludeOutboundPorts: '8201'", "dial tcp 172.20.0.37:8200: connection refused", False),
        ("excludeOutboundIPRanges: 172.20.0.0/16", "dial tcp 172.20.0.37:8200: refused", True),
        ("excludeOutboundPorts: '8200'", "waiting", None),
        ("excludeOutboundIPRanges: 172.20.0.0/16", "curl: couldn't connect to port 8200", None),
    ],
)
def test_an_init_container_whose_calls_are_excluded(notes: str, log: str, exempt: Any) -> None:
    running = "{name: vault-agent-init, ready: false, state: {running: {}}}"
    done = "{name: istio-init, ready: true, state: {terminated: {exitCode: 0}}}"
    text = pod(NEW, sidecar=True, ready="False")
    text = text[: text.index("  containerStatuses")]
    text += f"  initContainerStatuses: [{done}, {running}]\n"
    inits = "initContainers: [{name: istio-init}, {name: vault-agent-init}], containers: ["
    text = text.replace("containers: [", inits, 1)
    if notes:
        told = f"  annotations: {{traffic.sidecar.istio.io/{notes}}}\n  labels: {{app: cart, pod"
        text = text.replace("  labels: {app: cart, pod", told)
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "vault-agent-init"): log}
    found = pod_redirect.run(world(MESH + SHOP + text, logs=logs), CART).app_init_exempt
    assert isinstance(found, Unavailable) if exempt is None else found is exempt


UNDONE = (
    'Pod \\"cart-1\\" is invalid: [spec.initContainers[1].readinessProbe: Forbidden: may not be '
    "set for init containers without restartPolicy=Always]"
)
OTHER = """
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: NAME}
webhooks:
- name: NAME.example.com
  reinvocationPolicy: AGAIN
  objectSelector: {matchLabels: {SELECTS}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
"""


def other(name: str, again: str, selects: str = "app: cart") -> str:
    return OTHER.replace("NAME", name).replace("AGAIN", again).replace("SELECTS", selects)


def since(when: str, text: str) -> str:
    return text.replace("metadata: {", f"metadata: {{creationTimestamp: '{when}', ", 1)


@pytest.mark.parametrize(
    ("others", "blamed"),
    [
        (other("agent", "IfNeeded"), "agent"),
        (other("agent", "Never"), ""),
        (other("zealot", "Never"), "zealot"),
        (other("agent", "IfNeeded", "app: bank"), ""),
        (other("agent", "IfNeeded", "") + other("zealot", "Never"), "zealot"),
        (since("2099-01-01T00:00:00Z", other("agent", "IfNeeded", "")), "agent"),
        (since("2001-01-01T00:00:00Z", other("agent", "IfNeeded", "")), ""),
    ],
    ids=[
        *("called again", "called before", "called after", "other pods", "acquitted by a pod"),
        *("a pod that is older acquits nobody", "a pod that is younger does"),
    ],
)
def test_a_webhook_that_undoes_the_native_sidecar(others: str, blamed: str) -> None:
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    native = pod(NEW, sidecar=True).replace("app: cart", "app: web").replace("cart-7", "web-7")
    native = native.replace(
        "containers: [",
        "initContainers: [{name: istio-proxy, restartPolicy: Always}], containers: [",
        1,
    )
    facts = injection_refusal.run(world(MESH + shop + native + others + FAILED % UNDONE), CART)
    wanted = f"MutatingWebhookConfiguration//{blamed}" if blamed else ""
    assert (facts.kind, facts.other_webhook) == ("native", wanted)
    assert (blamed in str(facts.other_said)) and bool(facts.other_said) is bool(blamed)


TWICE = 'Pod \\"cart-1\\" is invalid: spec.volumes[11].name: Duplicate value: \\"agent-config\\"'


def test_a_webhook_that_adds_the_same_again() -> None:
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    facts = injection_refusal.run(
        world(MESH + shop + other("agent", "IfNeeded") + FAILED % TWICE), CART
    )
    assert (facts.kind, facts.other_webhook) == ("duplicate", "MutatingWebhookConfiguration//agent")
    assert "agent may" in str(facts.other_said)


LATE = "Timeout: request did not complete within requested timeout - context deadline exceeded"


@pytest.mark.parametrize("asked", [True, False])
def test_a_request_that_took_too_long(asked: bool) -> None:
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    shop = shop if asked else shop.replace("istio-injection: enabled", "a: b")
    view = world(MESH + shop + FAILED % LATE)
    assert injection_call.run(view, CART).refused == ("timed-out" if asked else "")
    assert injection_refusal.run(view, CART).kind == ("" if asked else "other")


BALANCER = """
---
apiVersion: admissionregistration.k8s.io/v1
kind: KIND
metadata: {name: aws-load-balancer-webhook}
webhooks:
- name: mpod.elbv2.k8s.aws
  clientConfig: {service: {name: lbc, namespace: kube-system, port: 443}}
"""
NO_ANSWER = 'failed calling webhook \\"mpod.elbv2.k8s.aws\\": Post: context deadline exceeded'


@pytest.mark.parametrize(
    "kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", ""]
)
def test_a_webhook_of_somebody_else_that_does_not_answer(kind: str) -> None:
    others = BALANCER.replace("KIND", kind) if kind else ""
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    facts = injection_refusal.run(world(MESH + shop + others + FAILED % NO_ANSWER), CART)
    assert (facts.kind, facts.by) == ("other-call", "mpod.elbv2.k8s.aws")
    assert facts.other_webhook == (f"{kind}//aws-load-balancer-webhook" if kind else "")
    assert facts.other_service == ("Service/kube-system/lbc" if kind else "")
    refused = {"ValidatingWebhookConfiguration": ForbiddenError("ValidatingWebhookConfiguration")}
    unseen = world(MESH + shop + FAILED % NO_ANSWER, failing=refused)
    assert isinstance(injection_refusal.run(unseen, CART).other_webhook, Unavailable)


@pytest.mark.parametrize(
    ("log", "reason", "told"),
    [
        ("exec /usr/local/bin/pilot-agent: exec format error", "Error", True),
        ("standard_init_linux.go:228: exec user process caused: exec format error", "Error", True),
        ("error: something else", "Error", False),
        ("Failed to start in-process SDStoo many open files", "Error", False),
        ("exec /usr/local/bin/pilot-agent: exec format error", "OOMKilled", False),
    ],
)
def test_an_image_of_another_architecture(log: str, reason: str, told: bool) -> None:
    ended = f"lastState: {{terminated: {{exitCode: 1, reason: {reason}}}}}"
    waits = "state: {waiting: {reason: CrashLoopBackOff}}"
    text = pod(NEW, sidecar=True, ready="False")
    status = f"{{name: istio-proxy, ready: false, restartCount: 3, {waits}, {ended}}}"
    text = text[: text.index("  containerStatuses")] + f"  containerStatuses: [{status}]\n"
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): log}
    found = container_end.run(world(MESH + SHOP + text, logs=logs), CART)
    assert bool(found.wrong_format) is told
    assert bool(found.no_files) is bool(found.files_limit) is ("too many open files" in log)
    well = container_end.run(world(MESH + SHOP + pod(NEW, sidecar=True)), CART)
    assert (well.wrong_format, well.image) == ("", "")


def test_setup_and_redirect_of_a_plain_pod() -> None:
    view = world(MESH + SHOP + pod(NEW, sidecar=True))
    facts = proxy_setup.run(view, CART)
    assert (facts.sidecar, facts.proxy_release, facts.istiod_release) == (True, "1.30", "1.30")
    assert facts.skewed is False
    net = pod_redirect.run(view, CART)
    assert (net.by_init, net.by_cni, net.agents, net.cni_enabled) == (False, False, 0, False)


def test_a_sidecar_that_is_too_old() -> None:
    old = pod(NEW, sidecar=True).replace("1.30.1", "1.24.6")
    assert proxy_setup.run(world(MESH + SHOP + old), CART).skewed is True


@pytest.mark.parametrize(
    ("image", "pinned"), [("proxyv2:1.24.6", "proxyv2:1.24.6"), ("proxyv2:1.25.1", "")]
)
def test_a_template_that_asks_for_the_sidecars_image(image: str, pinned: str) -> None:
    """Pods of another image than that are older than the annotation: a restart renews them."""
    notes = f"annotations: {{sidecar.istio.io/proxyImage: '{image}'}}"
    shop = SHOP.replace("metadata: {labels: {app: cart}}", f"metadata: {{{notes}}}")
    old = pod(NEW, sidecar=True).replace("1.30.1", "1.24.6")
    found = proxy_setup.run(world(MESH + shop + old), CART)
    assert (found.pinned, bool(found.unpin_patch)) == (pinned, bool(pinned))


def test_patches_start_from_the_template() -> None:
    notes = "annotations: {proxy.istio.io/config: 'concurrency: 4'}"
    shop = SHOP.replace("metadata: {labels: {app: cart}}", f"metadata: {{{notes}}}")
    found = proxy_setup.run(world(MESH + shop + pod(NEW, sidecar=True)), CART)
    assert "concurrency: 4" in found.hold_patch and "concurrency: 4" in found.exit_patch


@pytest.mark.parametrize(
    ("taint", "told", "awaits"),
    [
        ("cni.istio.io/not-ready", False, True),
        ("cni.istio.io/not-ready", True, True),
        ("x", False, False),
    ],
)
def test_nodes_that_wait_for_istio_cni(taint: str, told: bool, awaits: bool) -> None:
    text = pod(NEW, sidecar=True, ready="False").replace("nodeName: n1, ", "", 1)
    text = text.replace(
        "conditions: [",
        "conditions: [{type: PodScheduled, status: 'False', message: '1 node(s) had untolerated "
        f"taint {{{taint}: true}}'}}, ",
    )
    env = ", env: [{name: PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS, value: 'true'}]"
    mesh = MESH.replace("{name: discovery", "{name: discovery" + (env if told else ""))
    view = world(mesh + SHOP + text)
    assert pod_startup.run(view, CART).awaits_cni is awaits
    untainter = pod_redirect.run(view, CART).untainter
    assert untainter == ("" if told else "Deployment/istio-system/istiod")


@pytest.mark.parametrize("kind", ["fargate", "ec2"])
def test_validation_on_a_node_of_fargate(kind: str) -> None:
    node = f"""
---
apiVersion: v1
kind: Node
metadata: {{name: n1, labels: {{eks.amazonaws.com/compute-type: {kind}}}}}
"""
    text = pod(NEW, sidecar=True, ready="False")
    ended = "{terminated: {exitCode: 126}}"
    waits = "{waiting: {reason: CrashLoopBackOff}}"
    text = text[: text.index("  containerStatuses")] + (
        "  initContainerStatuses: [{name: istio-validation, ready: false, restartCount: 3, "
        f"state: {waits}, lastState: {ended}}}]\n"
    )
    assert pod_redirect.run(world(MESH + SHOP + text + node), CART).fargate is (kind == "fargate")


@pytest.mark.parametrize("ended", [True, False])
def test_a_deleted_pod_that_waits_for_its_connections(ended: bool) -> None:
    app = "terminated: {exitCode: 0}" if ended else "running: {}"
    proxy = "{name: istio-proxy, ready: false, state: {running: {}}}"
    text = pod(NEW, sidecar=True, ready="False")
    text = text.replace(
        "  namespace: shop\n",
        "  namespace: shop\n  deletionTimestamp: '2026-11-18T10:10:00Z'\n"
        "  deletionGracePeriodSeconds: 3600\n",
        1,
    )
    text = text[: text.index("  containerStatuses")]
    text += f"  containerStatuses: [{{name: cart, state: {{{app}}}}}, {proxy}]\n"
    said = "2026-11-18T09:29:00Z\tinfo\tThere are still 1 active connections"
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): said}
    found = lingering.run(world(MESH + SHOP + text, logs=logs), CART)
    assert (found.pod, found.grace_seconds) == (
        ("cart-7c9d8b6f5-xxxxx", 3600) if ended else ("", 0)
    )
    assert bool(found.said) is ended
    unread = lingering.run(world(MESH + SHOP + text), CART)
    assert isinstance(unread.said, Unavailable) is ended


@pytest.mark.parametrize("reason", ["FailedKillPod", "Unhealthy"])
def test_a_deleted_pod_whose_sandbox_cannot_be_taken_down(reason: str) -> None:
    """It counts among the pods, unlike others that are being deleted."""
    name = "cart-7c9d8b6f5-xxxxx"
    text = pod(NEW, sidecar=True, ready="False").replace(
        "  namespace: shop\n",
        "  namespace: shop\n  deletionTimestamp: '2026-11-18T09:20:00Z'\n",
        1,
    )
    text = text.replace(
        "ready: true, state: {running: {}}", "ready: false, state: {terminated: {}}"
    )
    event = f"""
---
kind: Event
apiVersion: v1
metadata: {{name: e1, namespace: shop}}
type: Warning
reason: {reason}
message: 'failed to "KillPodSandbox" for "b3": failed to find plugin \\"istio-cni\\" in path [/x]'
lastTimestamp: "2026-11-18T09:29:00Z"
involvedObject: {{kind: Pod, name: {name}, namespace: shop}}
"""
    found = pod_startup.run(world(MESH + SHOP + text + event), CART)
    stuck = reason == "FailedKillPod"
    assert (found.stage, found.plugin) == (("sandbox", "istio-cni") if stuck else ("ended", ""))


@pytest.mark.parametrize(
    ("config", "service"),
    [
        ("", "Service/istio-system/istiod"),
        ('"discoveryAddress": "istiod-1-20.mesh.svc:15012"', "Service/mesh/istiod-1-20"),
    ],
)
def test_istiod_does_not_answer(config: str, service: str) -> None:
    env = f", env: [{{name: PROXY_CONFIG, value: '{{{config}}}'}}]"
    text = pod(NEW, sidecar=True, ready="False").replace(
        "[proxy, sidecar]", "[proxy, sidecar]" + env
    )
    text = text[: text.index("  containerStatuses")] + (
        "  containerStatuses: [{name: istio-proxy, ready: false, state: {running: {}}}]\n"
    )
    said = "warn\tgRPC config stream closed: 14, dial tcp 172.20.10.9:15012: i/o timeout"
    logs = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): said}
    assert pod_startup.run(world(MESH + SHOP + text, logs=logs), CART).unreached == service
    well = {("shop", "cart-7c9d8b6f5-xxxxx", "istio-proxy"): "info\tready"}
    assert pod_startup.run(world(MESH + SHOP + text, logs=well), CART).unreached == ""


ZTUNNEL = """
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-1, namespace: istio-system, labels: {app: ztunnel}}
spec: {nodeName: n1, containers: [{name: istio-proxy, args: [proxy, ztunnel]}]}
status: {phase: Running, conditions: [{type: Ready, status: 'False'}]}
"""


def test_wanted_in_ambient_and_only_pending() -> None:
    shop = SHOP.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
    live = pod(NEW, sidecar=False).replace(
        "  namespace: shop\n",
        "  namespace: shop\n  annotations: {ambient.istio.io/redirection: pending}\n",
        1,
    )
    facts = ambient_enrolment.run(world(MESH + shop + live + ZTUNNEL), CART)
    assert (facts.wanted, facts.redirection, facts.ztunnel_ready) == ("yes", "pending", False)
    assert facts.ambient_mesh is True


PROBE_LATE = """
---
apiVersion: v1
kind: Event
metadata: {name: late, namespace: shop}
involvedObject: {kind: Pod, name: cart-7c9d8b6f5-xxxxx, namespace: shop}
type: Warning
reason: Unhealthy
message: 'Readiness probe failed: i/o timeout'
lastTimestamp: '2026-11-18T09:25:00Z'
"""
CILIUM = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-bpf-masquerade: 'MASQUERADE'}
"""
AWS_NODE = """
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: aws-node, namespace: kube-system}
spec: {template: {spec: {containers: [{name: aws-node, env: [{name: MODE, value: standard}]}]}}}
"""


@pytest.mark.parametrize(
    ("branch", "others", "blamed"),
    [
        (False, CILIUM.replace("MASQUERADE", "true"), "ConfigMap/kube-system/cilium-config"),
        (False, CILIUM.replace("MASQUERADE", "false"), ""),
        (False, AWS_NODE, ""),
        (True, AWS_NODE, "DaemonSet/kube-system/aws-node"),
        (True, AWS_NODE.replace("MODE", "POD_SECURITY_GROUP_ENFORCING_MODE"), ""),
    ],
)
def test_what_drops_probes_of_an_ambient_pod(branch: bool, others: str, blamed: str) -> None:
    notes = "ambient.istio.io/redirection: enabled"
    if branch:
        notes += ", vpc.amazonaws.com/pod-eni: '[]'"
    shop = SHOP.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
    live = pod(NEW, sidecar=False, ready="False").replace(
        "  namespace: shop\n", f"  namespace: shop\n  annotations: {{{notes}}}\n", 1
    )
    found = ambient_enrolment.run(world(MESH + shop + live + ZTUNNEL + PROBE_LATE + others), CART)
    assert (found.probe_timeouts, found.dropped_by) == (1, blamed)


def test_no_ztunnel_no_ambient_mesh() -> None:
    facts = ambient_enrolment.run(world(MESH + SHOP + pod(NEW, sidecar=True)), CART)
    assert (facts.ambient_mesh, facts.wanted) == (False, "not-labelled")


def test_a_token_that_is_not_issued_is_not_the_namespaces_fault() -> None:
    def at_fault(message: str) -> Any:
        live = pod(NEW, sidecar=True, ready="False")
        live = live[: live.index("  containerStatuses")]
        told = UNHEALTHY.replace("Unhealthy", "FailedMount")
        start = told.index("message:")
        told = f"{told[:start]}message: '{message}'\n{told[told.index('lastTimestamp') :]}"
        facts = pod_startup.run(world(MESH + SHOP + live + told), CART)
        assert facts.stage == "mount" and facts.mesh_mount
        return facts.mount_at_fault

    gone = 'failed for volume "istiod-ca-cert" : configmap "istio-ca-root-cert" not found'
    assert at_fault(gone) == "Namespace//shop"
    waits = "unmounted volumes=[istiod-ca-cert], unattached volumes=[istio-token istiod-ca-cert]"
    assert at_fault(waits) == "Namespace//shop"
    token = (
        'MountVolume.SetUp failed for volume "istio-token" : failed to fetch token: no endpoints'
    )
    assert at_fault(token) == "Deployment/shop/cart"


def test_a_secret_that_citadel_never_wrote_before_the_list_of_volumes() -> None:
    live = pod(NEW, sidecar=True, ready="False")
    live = live[: live.index("  containerStatuses")]

    def run(*messages: str) -> Any:
        text = MESH + SHOP + live
        for number, message in enumerate(messages):
            told = UNHEALTHY.replace("Unhealthy", "FailedMount")
            start = told.index("message:")
            told = f"{told[:start]}message: '{message}'\n{told[told.index('lastTimestamp') :]}"
            text += told.replace("metadata: {name: ", f"metadata: {{name: e{number}-", 1)
        return pod_startup.run(world(text), CART)

    summary = "list of unmounted volumes=[istio-certs]. list of unattached volumes=[istio-certs]"
    missed = 'MountVolume.SetUp failed for volume "istio-certs" : secret "istio.cart" not found'
    for messages in ((missed, summary), (summary, missed)):
        facts = run(*messages)
        assert (facts.mesh_mount, facts.ca_secret) == (True, "Secret/shop/istio.cart")
        assert facts.event == missed
    own = 'MountVolume.SetUp failed for volume "tls" : secret "istio-cart" not found'
    facts = run(own)
    assert (facts.stage, facts.mesh_mount, facts.ca_secret) == ("mount", False, "")


@pytest.mark.parametrize(
    ("name", "own_kernel"), [("gvisor", True), ("kata-qemu", True), ("nvidia", False), ("", False)]
)
def test_a_runtime_class_with_a_kernel_of_its_own(name: str, own_kernel: bool) -> None:
    text = pod(NEW, sidecar=True, ready="False")
    text = text.replace("nodeName: n1,", f"nodeName: n1, runtimeClassName: '{name}',", 1)
    assert pod_redirect.run(world(MESH + SHOP + text), CART).sandboxed_by == (
        name if own_kernel else ""
    )


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_a_pod_on_windows_by_its_node_or_by_what_it_asks_for(system: str) -> None:
    node = f"""
---
apiVersion: v1
kind: Node
metadata: {{name: n1, labels: {{kubernetes.io/os: {system}}}}}
"""
    text = pod(NEW, sidecar=True, ready="False")
    text = text[: text.index("  containerStatuses")] + (
        "  initContainerStatuses: [{name: istio-init, ready: false, restartCount: 0, "
        "state: {waiting: {reason: ImagePullBackOff}}}]\n"
    )
    by_node = pod_redirect.run(world(MESH + SHOP + text + node), CART)
    assert by_node.windows is (system == "windows")
    asks = f"nodeName: n1, nodeSelector: {{kubernetes.io/os: {system}}},"
    asked = pod_redirect.run(world(MESH + SHOP + text.replace("nodeName: n1,", asks, 1)), CART)
    assert asked.windows is (system == "windows")


def test_a_misspelt_namespace_label_and_how_it_is_put_right() -> None:
    for value, means, right in (
        ("enable", True, "istio-injection=enabled"),
        ("false", False, "istio-injection-"),
    ):
        shop = SHOP.replace("istio-injection: enabled", f"istio-injection: '{value}'")
        facts = decided(MESH + shop + pod(NEW, sidecar=False))
        assert (facts.clause, facts.label_yes, facts.label_right) == (
            "namespace-disabled",
            means,
            right,
        )


def test_a_certificate_that_begins_later_than_it_is() -> None:
    text = (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": Post: x509: certificate '
        "has expired or is not yet valid: current time 2026-11-18T09:24:46Z is {} {}"
    )
    early = call(MESH + SHOP + FAILED % text.format("before", "2026-11-18T10:53:00Z"))
    assert (early.server_time, early.begins) == ("2026-11-18T09:24:46Z", "2026-11-18T10:53:00Z")
    assert (early.refused, early.node) == ("call-bad-certificate", "Node//n1")
    late = call(MESH + SHOP + FAILED % text.format("after", "2026-11-18T08:53:00Z"))
    assert (late.refused, late.server_time) == ("call-bad-certificate", "")


CANARY = """
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector-canary, labels: {istio.io/rev: canary}}
webhooks:
- name: rev.object.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod-canary, namespace: istio-system, path: /inject}}
  namespaceSelector:
    matchExpressions:
    - {key: istio.io/rev, operator: DoesNotExist}
    - {key: istio-injection, operator: DoesNotExist}
  objectSelector: {matchExpressions: [{key: istio.io/rev, operator: In, values: [canary]}]}
  failurePolicy: Fail
"""


@pytest.mark.parametrize(
    ("own", "space", "overruled"),
    [
        ("canary", "istio-injection: enabled", "canary"),
        ("canary", "a: b", ""),
        ("gone", "istio-injection: enabled", ""),
        ("default", "istio-injection: enabled", ""),
    ],
)
def test_a_revision_of_the_pod_that_its_namespace_overrules(
    own: str, space: str, overruled: str
) -> None:
    shop = SHOP.replace("istio-injection: enabled", space).replace(
        "{metadata: {labels: {app: cart}}",
        f"{{metadata: {{labels: {{app: cart, istio.io/rev: {own}}}}}",
    )
    assert decided(MESH + CANARY + shop).overruled == overruled


DEACTIVATED = """
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector, labels: {app: sidecar-injector, istio.io/rev: default}}
webhooks:
- name: namespace.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod, namespace: istio-system, path: /inject, port: 443}}
  namespaceSelector: {matchLabels: {istio.io/deactivated: never-match}}
  objectSelector: {matchLabels: {istio.io/deactivated: never-match}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
"""


@pytest.mark.parametrize(("mesh", "revision"), [(DEACTIVATED, "default"), (MESH, "")])
def test_the_revision_of_a_webhook_that_was_deactivated(mesh: str, revision: str) -> None:
    """What `istioctl tag remove default` leaves: the default webhook, and no tag."""
    facts = decided(mesh + SHOP + pod(NEW, sidecar=False))
    assert (facts.deactivated_revision, bool(facts.deactivated)) == (revision, bool(revision))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("container's runAsUser breaks non-root policy", True),
        ("container has runAsNonRoot and image will run as root", True),
        ("configmap istio-init not found", False),
    ],
)
def test_an_istio_init_that_may_not_be_root(message: str, told: bool) -> None:
    text = pod(NEW, sidecar=True, ready="False")
    waiting = f'waiting: {{reason: CreateContainerConfigError, message: "{message}"}}'
    init = f"  initContainerStatuses: [{{name: istio-init, state: {{{waiting}}}}}]\n"
    text = text[: text.index("  containerStatuses")] + init
    facts = pod_startup.run(world(MESH + SHOP + text), CART)
    assert (facts.stage, facts.container) == ("config", "istio-init")
    assert facts.may_not_be_root is told


BOOTED = """  containerStatuses:
  - {name: cart, ready: true, state: {running: {}}}
  - {name: istio-proxy, ready: true, restartCount: RESTARTS, state: {running: {}}}
"""


@pytest.mark.parametrize(
    ("restarts", "proxy", "container"),
    [
        (0, "2026-11-18T09:20:02Z info Envoy proxy is ready", "cart"),
        (0, "2026-11-18T01:20:02Z info Envoy proxy is ready", ""),
        (1, "2026-11-18T09:20:02Z info Envoy proxy is ready", ""),
        (0, None, ""),
    ],
)
def test_an_application_that_was_refused_at_its_boot(
    restarts: int, proxy: str | None, container: str
) -> None:
    text = pod(NEW, sidecar=True)
    text = text[: text.index("  containerStatuses")] + BOOTED.replace("RESTARTS", str(restarts))
    name = "cart-7c9d8b6f5-xxxxx"
    logs = {("shop", name, "cart"): "2026-11-18T09:20:01Z connect ECONNREFUSED 10.0.0.7:80"}
    if proxy is not None:
        logs["shop", name, "istio-proxy"] = proxy
    spaces = ("istio-system", "shop")
    facts = app_boot.run(world(MESH + SHOP + text, logs=logs, namespaces=spaces), CART)
    assert facts.container == container
    assert app_boot.run(world(MESH + SHOP + text, logs=logs), CART).container == ""


TWICE = 'Pod is invalid: spec.initContainers[1].name: Duplicate value: \\"%s\\"'


@pytest.mark.parametrize(
    ("name", "own", "doubled"),
    [("istio-proxy", "cart", "istio-proxy"), ("istio-proxy", "istio-proxy", ""), ("x", "cart", "")],
)
def test_a_container_that_templates_add_twice(name: str, own: str, doubled: str) -> None:
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0").replace(
        "containers: [{name: cart,", f"containers: [{{name: {own},"
    )
    facts = injection_refusal.run(world(MESH + shop + FAILED % (TWICE % name)), CART)
    assert (facts.kind, facts.doubled) == ("duplicate", doubled)


def test_no_pod_of_istio_cni_may_be_made() -> None:
    waits = """
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-7c9d8b6f5-xxxxx
  namespace: shop
  labels: {app: cart, pod-template-hash: 7c9d8b6f5}
  ownerReferences: [{kind: ReplicaSet, name: cart-7c9d8b6f5, controller: true}]
spec:
  nodeName: n1
  initContainers: [{name: istio-validation}]
  containers: [{name: cart}, {name: istio-proxy}]
status:
  phase: Pending
  initContainerStatuses:
  - name: istio-validation
    state: {waiting: {reason: CrashLoopBackOff}}
    lastState: {terminated: {exitCode: 126}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: istio-cni-node, namespace: istio-system}
spec: {template: {metadata: {labels: {k8s-app: istio-cni-node}}}}
status: {desiredNumberScheduled: 2, numberReady: 0}
---
apiVersion: v1
kind: Event
metadata: {name: e2, namespace: istio-system}
type: Warning
reason: FailedCreate
involvedObject: {kind: DaemonSet, name: istio-cni-node, namespace: istio-system}
message: "Error creating: insufficient quota to match these scopes"
lastTimestamp: '2026-11-18T09:25:00Z'
"""
    found = pod_redirect.run(world(MESH + SHOP + waits), CART)
    assert (found.agent, found.agents) == ("", 0)
    assert found.agent_owner == "DaemonSet/istio-system/istio-cni-node"
    assert isinstance(found.agents_refused, str)
    assert "insufficient quota" in found.agents_refused


def test_the_plugin_of_istio_cni_may_not_look_pods_up() -> None:
    objects = """
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-7c9d8b6f5-xxxxx
  namespace: shop
  labels: {app: cart, pod-template-hash: 7c9d8b6f5}
  ownerReferences: [{kind: ReplicaSet, name: cart-7c9d8b6f5, controller: true}]
spec: {nodeName: n1, containers: [{name: cart}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: 'True'}]}
---
apiVersion: v1
kind: Event
metadata: {name: e3, namespace: shop}
type: Warning
reason: FailedCreatePodSandBox
involvedObject: {kind: Pod, name: cart-7c9d8b6f5-xxxxx, namespace: shop}
message: 'plugin type="istio-cni" failed (add): pods "x" is forbidden: User
  "system:serviceaccount:kube-system:istio-cni" cannot get resource "pods"'
lastTimestamp: '2026-11-18T09:25:00Z'
"""
    binding = """
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: istio-cni}
roleRef: {kind: ClusterRole, name: istio-cni}
subjects: [{kind: ServiceAccount, name: istio-cni, namespace: istio-system}]
"""
    found = cni_rights.run(world(MESH + SHOP + objects + binding), CART)
    assert found.account == "ServiceAccount/kube-system/istio-cni"
    assert found.to_mend == "ClusterRoleBinding//istio-cni"
    unseen = world(
        MESH + SHOP + objects, failing={"ClusterRoleBinding": ForbiddenError("clusterrolebindings")}
    )
    assert cni_rights.run(unseen, CART).to_mend == "ServiceAccount/kube-system/istio-cni"


def test_a_webhook_that_names_a_url() -> None:
    by_url = MESH.replace(
        "service: {name: istiod, namespace: istio-system, path: /inject, port: 443}",
        "url: 'https://203.0.113.9:15017/inject'",
    )
    late = FAILED % (
        'failed calling webhook \\"namespace.sidecar-injector.istio.io\\": '
        "context deadline exceeded"
    )
    shop = SHOP.replace("readyReplicas: 1", "readyReplicas: 0")
    found = injection_call.run(world(by_url + shop + late), CART)
    assert (found.url, found.refused) == ("https://203.0.113.9:15017/inject", "call-unreachable")
