# ruff: noqa: E501
"""Refusals and their objects, endpoints against pods, discovery, changes, bootstrap."""

import doctest
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from meshdoctor.mesh import (
    changes,
    dead_calls,
    discovery,
    endpoints,
    envoy_crash,
    envoy_killed,
    go_panic,
    ipamd_log,
    istiod_log,
    pod_identity,
    proxy_bootstrap,
    rejections,
)
from meshdoctor.mesh.rejections import Objects, offender
from meshdoctor.mesh.services import selected_pods
from meshdoctor.mesh.workloads import group
from meshdoctor.model.istio import (
    DestinationRule,
    EnvoyFilter,
    Gateway,
    GatewayTopology,
    MeshConfig,
    ProxyDefaults,
    RequestAuthentication,
    ServiceEntry,
    VirtualService,
)
from meshdoctor.model.kubernetes import (
    ConfigMap,
    Endpoint,
    EndpointSlice,
    LabelRequirement,
    LabelSelector,
    Meta,
    Pod,
    Service,
    TargetRef,
)
from tests.unit.mesh.objects import load, many, one

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESH = """
{apiVersion: v1, kind: Service, metadata: {name: gw, namespace: ingress}, spec: {ports: [{name: status-port, port: 15021}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shell, namespace: default}, spec: {ports: [{name: http, port: 15021}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1beta1, kind: ServiceEntry, metadata: {name: takes-a-name, namespace: shop}, spec: {hosts: [shell.default]}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.lua, typed_config: {inlineCode: "x"}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: typo, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch: {operation: MERGE, value: {name: envoy.filters.http.nosuch, typed_config: {maxGrow: 1}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: re, namespace: shop}
spec: {hosts: [pay], http: [{match: [{uri: {regex: "/a(b"}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: twice, namespace: shop}
spec: {hosts: [twice.example.com]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ca, namespace: shop}
spec: {host: pay, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /etc/ca.pem}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: shop}
spec: {jwtRules: [{issuer: https://idp, jwks: broken}]}
"""
KNOWN = Objects(
    services=tuple(many(Service, MESH)),
    entries=tuple(many(ServiceEntry, MESH)),
    filters=tuple(many(EnvoyFilter, MESH)),
    routes=tuple(many(VirtualService, MESH)),
    rules=tuple(many(DestinationRule, MESH)),
    authentications=tuple(many(RequestAuthentication, MESH)),
)


@pytest.mark.parametrize(
    ("message", "ref"),
    [
        (
            "Error adding/updating listener(s) 0.0.0.0_15021: error adding listener: '0.0.0.0_15021' has duplicate address '0.0.0.0:15021' as existing listener",
            "Service/default/shell",
        ),
        (
            "Error adding/updating listener(s) virtualInbound: Didn't find a registered implementation for 'envoy.filters.http.nosuch' with type URL: ''",
            "EnvoyFilter/shop/typo",
        ),
        (
            "Protobuf message (type envoy.x.Lua reason INVALID_ARGUMENT: no such field: 'maxGrow') has unknown fields",
            "EnvoyFilter/shop/typo",
        ),
        ("script load error: [string \"x\"]:1: '=' expected near '<eof>'", "EnvoyFilter/shop/lua"),
        (
            "Only unique values for domains are permitted. Duplicate entry of domain twice.example.com in route http.8080",
            "VirtualService/shop/twice",
        ),
        ("Invalid regex '/a(b': missing closing )", "VirtualService/shop/re"),
        ("Invalid path: /etc/ca.pem", "DestinationRule/shop/ca"),
        (
            "Issuer 'https://idp' in jwt_authn config has invalid local jwks: Jwks RSA [n] or [e] field is missing",
            "RequestAuthentication/shop/jwt",
        ),
        (
            "Error adding/updating cluster(s) outbound|80||pay.shop.svc.cluster.local: Failed to load",
            "DestinationRule/shop/ca",
        ),
        (
            "Error adding/updating listener(s) virtualInbound: Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks RSA [n] or [e] field is missing or has a parse error",
            "RequestAuthentication/shop/jwt",
        ),
        (
            "Only unique values for domains are permitted. Duplicate entry of domain shell.default",
            "ServiceEntry/shop/takes-a-name",
        ),
        (
            "Only unique values for domains are permitted. Duplicate entry of domain pay.shop.svc",
            "VirtualService/shop/re",
        ),
        (
            "Only unique values for domains are permitted. Duplicate entry of domain nobody.example",
            "",
        ),
        ("something entirely new", ""),
    ],
)
def test_the_object_behind_a_refusal(message: str, ref: str) -> None:
    found = offender(message, KNOWN)
    assert (found.objects[0].ref if found.objects else "") == ref and found.why


def test_a_gateways_own_health_port_is_innocent() -> None:
    gateway_only = Objects(services=KNOWN.services[:1])
    text = "error adding listener: '0.0.0.0_15021' has duplicate address '0.0.0.0:15021'"
    assert offender(text, gateway_only).objects == ()


@pytest.mark.parametrize(
    ("spec", "guilty"),
    [
        ("addresses: [10.2.0.0/16], ports: [{number: 15001, protocol: TCP}]", True),
        ("addresses: [10.2.0.7], ports: [{number: 15001, protocol: TCP}]", False),
        ("addresses: [10.2.0.7], ports: [{number: 15001, protocol: HTTP}]", True),
        ("ports: [{number: 15001, protocol: TCP}]", True),
        ("addresses: [10.2.0.0/16], ports: [{number: 15002, protocol: TCP}]", False),
    ],
)
def test_an_entry_on_a_port_of_envoys_own(spec: str, guilty: bool) -> None:
    text = f"{{kind: ServiceEntry, apiVersion: networking.istio.io/v1, metadata: {{name: a, namespace: x}}, spec: {{hosts: [a.b], {spec}}}}}"  # noqa: E501
    message = "error adding listener: '0.0.0.0_15001' has duplicate address '0.0.0.0:15001'"
    found = offender(message, Objects(entries=tuple(many(ServiceEntry, text))))
    assert bool(found.objects) is guilty


ONE_PORT = """
{apiVersion: v1, kind: Service, metadata: {name: gw, namespace: ingress}, spec: {ports: [{name: https, port: 443, targetPort: 8443}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: tls, namespace: a, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: other, namespace: a}, spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: plain, namespace: b, creationTimestamp: "2026-02-01T00:00:00Z"}, spec: {servers: [{port: {number: 443, name: http, protocol: HTTP}, hosts: ["*"]}]}}
"""
SAME_CHAINS = "Error adding/updating listener(s) 0.0.0.0_8443: error adding listener '0.0.0.0:8443': filter chain '' has the same matching rules defined as ''"


def test_gateways_that_share_a_listener_whose_chains_match_alike() -> None:
    services, gateways = tuple(many(Service, ONE_PORT)), tuple(many(Gateway, ONE_PORT))
    found = offender(SAME_CHAINS, Objects(services=services, gateways=gateways))
    assert [one.ref for one in found.objects] == ["Gateway/b/plain", "Gateway/a/tls"]
    assert offender(SAME_CHAINS, Objects(services=services, gateways=gateways[:2])).objects == ()


SAME_NAME = "Error adding/updating listener(s) 0.0.0.0_8443: duplicate listener 0.0.0.0_8443 found"


def test_a_gateway_that_names_the_port_to_which_the_service_leads_another() -> None:
    text = ONE_PORT.replace("port: {number: 80,", "port: {number: 8443,")
    services, gateways = tuple(many(Service, text)), tuple(many(Gateway, text))[:2]
    found = offender(SAME_NAME, Objects(services=services, gateways=gateways))
    assert {one.ref for one in found.objects} == {"Gateway/a/tls", "Gateway/a/other"}
    assert found.why == "servers that share port 443 and 8443, which the pods serve as one"
    apart = tuple(many(Gateway, ONE_PORT))[:2]
    assert offender(SAME_NAME, Objects(services=services, gateways=apart)).objects == ()


TWO_CHAINS = "Error adding/updating listener(s) 0.0.0.0_9999: error adding listener '0.0.0.0:9999': multiple filter chains with the same matching rules are defined"


def entry(name: str, host: str, port: int) -> str:
    return f"---\n{{kind: ServiceEntry, apiVersion: networking.istio.io/v1, metadata: {{name: {name}, namespace: x}}, spec: {{hosts: [{host}], ports: [{{number: {port}, protocol: TCP}}]}}}}\n"  # noqa: E501


def test_entries_that_make_one_listener_twice() -> None:
    text = entry("one", "db.x", 9999) + entry("two", "db.x", 9999) + entry("own", "other.x", 9999)
    some = tuple(many(ServiceEntry, text + entry("far", "db.x", 9998)))
    found = offender(TWO_CHAINS, Objects(entries=some))
    assert [one.name for one in found.objects] == ["one", "two"]
    alone = offender(TWO_CHAINS, Objects(entries=some[2:]))
    assert [one.name for one in alone.objects] == ["own"]


ENDPOINTS = """
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: pay-1, namespace: shop, labels: {kubernetes.io/service-name: pay}}
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: pay-1}}
- {addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {kind: Pod, name: pay-2}}
- {addresses: [10.0.0.9], targetRef: {kind: Pod, name: gone}}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-1, namespace: shop, labels: {app: pay, version: v1}}
spec: {containers: [{name: app, ports: [{name: web, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-03-01T11:00:00Z"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-2, namespace: shop, labels: {app: pay, version: v2}}
spec: {containers: [{name: app}]}
status: {phase: Running, podIP: 10.0.0.2, conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-03-01T11:00:00Z"}]}
"""


def test_endpoints_and_pods() -> None:
    service = many(Service, ENDPOINTS)[0]
    slices, pods = many(EndpointSlice, ENDPOINTS), many(Pod, ENDPOINTS)
    found = endpoints.addresses(service, slices)
    assert (sorted(found.ready), sorted(found.not_ready)) == (
        ["10.0.0.1", "10.0.0.9"],
        ["10.0.0.2"],
    )
    assert found.pods == {"pay-1", "gone"}, "those of ready addresses"
    assert found.has(pods[:1]) and not found.has(pods)
    assert endpoints.orphans(service, slices, pods) == ("10.0.0.9 (pod gone)",)
    selected = selected_pods(service, pods)
    miss = endpoints.port_miss(service, selected)
    assert miss is not None and (miss.pod.name, miss.missing, miss.of_pods) == ("pay-2", 1, 2)
    assert endpoints.settled_disagreement(service, found, selected, NOW) is None
    nothing = endpoints.addresses(service, [])
    lagging = endpoints.settled_disagreement(service, nothing, selected, NOW)
    assert lagging is not None and lagging.name == "pay-1"
    assert (
        endpoints.settled_disagreement(
            service, nothing, selected, datetime(2026, 3, 1, 11, 0, 30, tzinfo=UTC)
        )
        is None
    )


@pytest.mark.parametrize(("written", "lags"), [("11:59:30", False), ("11:00:00", True)])
def test_slices_that_were_just_written_do_not_lag(written: str, lags: bool) -> None:
    service, pods = many(Service, ENDPOINTS)[0], many(Pod, ENDPOINTS)
    meta = f"metadata: {{creationTimestamp: '2026-03-01T{written}Z', "
    slices = many(EndpointSlice, ENDPOINTS.replace("metadata: {", meta))
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    found = endpoints.addresses(service, [])
    selected = selected_pods(service, pods)
    lagging = endpoints.settled_disagreement(service, found, selected, now, slices)
    assert (lagging is not None) is lags


@pytest.mark.parametrize(
    ("endpoint", "pods"),
    [
        (Endpoint(addresses=("10.0.0.1",), target_ref=TargetRef(kind="Pod", name="a")), {"a"}),
        (Endpoint(addresses=("10.0.0.1",), target_ref=TargetRef(kind="Pod")), {""}),
        (Endpoint(addresses=("10.0.0.1",), target_ref=TargetRef(kind="Node", name="a")), set()),
        (Endpoint(target_ref=TargetRef(kind="Pod", name="a")), set()),
        (Endpoint(addresses=("10.0.0.1",)), set()),
    ],
)
def test_orphans_are_among_the_pods_that_addresses_stand_for(
    endpoint: Endpoint, pods: set[str]
) -> None:
    service = many(Service, ENDPOINTS)[0]
    labels = {"kubernetes.io/service-name": "pay"}
    one = EndpointSlice(metadata=Meta(namespace="shop", labels=labels), endpoints=(endpoint,))
    assert endpoints.addresses(service, [one]).pods == pods
    assert bool(endpoints.orphans(service, [one], [])) is bool(pods)


@pytest.mark.parametrize(
    ("subset", "used", "empty"),
    [("{version: v1}", ["s"], False), ("{version: v2}", ["s"], True), ("{version: v2}", [], False)],
)
def test_empty_subsets(subset: str, used: list[str], empty: bool) -> None:
    rule = one(
        DestinationRule,
        f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: pay, namespace: shop}}
spec: {{host: pay, subsets: [{{name: s, labels: {subset}}}]}}
""",
    )
    found = endpoints.empty_subset(rule, many(Service, ENDPOINTS)[0], many(Pod, ENDPOINTS), used)
    assert bool(found) is empty


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("{app: pays}", ""),
        ("{app: pay, tier: web}", "pay-1"),
        ("{app.kubernetes.io/name: pay}", "pay-1"),
        ("{app: other}", ""),
    ],
)
def test_which_workload_was_meant(selector: str, meant: str) -> None:
    name = "other" if "other" in selector else "pay" if "kubernetes" in selector else "p"
    service = one(
        Service,
        f"{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: {selector}}}}}",
    )
    found = endpoints.probably_meant(service, group(many(Pod, ENDPOINTS)).values())
    assert (found.workload.subject.name if found else "") == meant


@pytest.mark.parametrize(
    ("labels", "seen"),
    [({"d": "on"}, True), ({"d": "off"}, False), ({}, False), ({"e": ""}, True)],
)
def test_discovery_selectors_are_or_ed(labels: dict[str, str], seen: bool) -> None:
    mesh = MeshConfig(
        discovery_selectors=(
            LabelSelector(match_labels={"d": "on"}),
            LabelSelector(match_expressions=(LabelRequirement(key="e", operator="Exists"),)),
        )
    )
    assert discovery.discovered(mesh, labels) is seen
    assert discovery.discovered(MeshConfig(), labels)
    assert discovery.wanted_label(mesh) == "d=on" and discovery.wanted_label(MeshConfig()) == ""


def changed(*writers: tuple[str, str], generation: int = 5) -> Service:
    fields = [{"manager": m, "operation": "Update", "time": t} for m, t in writers]
    return one(
        Service,
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "a", "generation": generation, "managedFields": fields},
            }
        ),
    )


@pytest.mark.parametrize(
    ("writers", "found"),
    [
        (
            [
                ("kubectl-edit", "2026-03-01T10:00:00Z"),
                ("argocd-controller", "2026-03-01T10:03:00Z"),
            ],
            True,
        ),
        (
            [
                ("kubectl-edit", "2026-03-01T10:00:00Z"),
                ("argocd-controller", "2026-03-01T11:03:00Z"),
            ],
            False,
        ),
        (
            [
                ("argocd-controller", "2026-03-01T10:00:00Z"),
                ("kubectl-edit", "2026-03-01T10:03:00Z"),
            ],
            False,
        ),
        ([("kubectl-edit", "2026-03-01T10:00:00Z"), ("kubectl", "2026-03-01T10:03:00Z")], False),
        ([("argocd-controller", "2026-03-01T10:00:00Z")], False),
    ],
)
def test_changes_taken_back(writers: list[tuple[str, str]], found: bool) -> None:
    assert bool(changes.reverted(changed(*writers))) is found
    assert changes.reverted(changed(*writers, generation=1)) is None


@pytest.mark.parametrize(
    ("noted", "minute", "generation", "found"),
    [
        ("5s", "03", 2, True),
        ("5s", "59", 3, True),
        ("30s", "03", 5, False),
        ("", "03", 5, True),
        ("", "59", 5, False),
        ("", "03", 2, False),
    ],
)
def test_what_was_applied_by_hand_is_not_there(
    noted: str, minute: str, generation: int, found: bool
) -> None:
    """kubectl apply notes what it was given, whoever writes over the fields themselves."""
    body: dict[str, Any] = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"hosts": ["a"], "http": [{"timeout": noted}]},
    }
    key = "kubectl.kubernetes.io/last-applied-configuration"
    notes = {key: json.dumps(body)} if noted else {}
    writers = (("kubectl-client-side-apply", "00"), ("mesh-operator", minute))
    fields = [
        {"manager": m, "operation": "Update", "time": f"2026-03-01T10:{at}:00Z"}
        for m, at in writers
    ]
    body["spec"]["http"][0]["timeout"] = "30s"
    body["metadata"] |= {
        "annotations": notes,
        "generation": generation,
        "managedFields": fields,
    }
    assert bool(changes.reverted(one(VirtualService, json.dumps(body)))) is found


def test_last_change_falls_back_on_creation() -> None:
    (plain,) = load(
        '{apiVersion: v1, kind: Service, metadata: {name: a, creationTimestamp: "2026-01-01T00:00:00Z"}}'
    )
    assert changes.last_change(plain) == datetime(2026, 1, 1, tzinfo=UTC)


TWO = "gatewayTopology: {numTrustedProxies: 2}"


@pytest.mark.parametrize(
    ("env", "annotation", "hops"),
    [
        ('{"gatewayTopology":{"numTrustedProxies":1}}', TWO, 1),  # what it was started with wins
        ("{}", TWO, 0),
        (None, TWO, 2),
        (None, '{"gatewayTopology": {"numTrustedProxies": 2}}', 2),
        (None, "concurrency: 1", 3),  # neither says: the mesh's
        (None, "gatewayTopology: [", 3),
        (None, "gatewayTopology: {numTrustedProxies: two}", 3),
        (None, "", 3),
    ],
)
def test_which_topology_a_gateway_has(env: str | None, annotation: str, hops: int) -> None:
    proxy = {"name": "istio-proxy", "env": [{"name": "PROXY_CONFIG", "value": env}]}
    pod = one(
        Pod,
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "a", "annotations": {"proxy.istio.io/config": annotation}},
                "spec": {"containers": [proxy if env is not None else {"name": "istio-proxy"}]},
            }
        ),
    )
    mesh = MeshConfig(
        default_config=ProxyDefaults(gateway_topology=GatewayTopology(num_trusted_proxies=3))
    )
    assert proxy_bootstrap.topology(pod, mesh).num_trusted_proxies == hops
    assert proxy_bootstrap.topology(None, mesh).num_trusted_proxies == 3


@pytest.mark.parametrize(
    ("mesh", "env", "annotation", "found"),
    [
        ("{holdApplicationUntilProxyStarts: true}", "{}", "", "holdApplicationUntilProxyStarts"),
        (
            "{holdApplicationUntilProxyStarts: true}",
            '{"holdApplicationUntilProxyStarts":true}',
            "",
            "",
        ),
        (
            "{holdApplicationUntilProxyStarts: true}",
            "{}",
            "holdApplicationUntilProxyStarts: false",
            "",
        ),
        ("{discoveryAddress: 'x:15012', drainDuration: 45s}", "{}", "", ""),
        ("{proxyMetadata: {A: b}}", '{"proxyMetadata":{"A":"b"}}', "", ""),
        ("{proxyMetadata: {A: b}}", "{}", "", "proxyMetadata"),
        ("{concurrency: 4}", '{"concurrency":2}', "", "concurrency"),
        ("{}", "{}", "", ""),
        ("{concurrency: 4}", "not json", "", ""),
    ],
)
def test_settings_fixed_at_injection(mesh: str, env: str, annotation: str, found: str) -> None:
    config = one(
        ConfigMap,
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio"},
                "data": {"mesh": f"defaultConfig: {mesh}"},
            }
        ),
    )
    pod = one(
        Pod,
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "a", "annotations": {"proxy.istio.io/config": annotation}},
                "spec": {
                    "containers": [
                        {"name": "istio-proxy", "env": [{"name": "PROXY_CONFIG", "value": env}]}
                    ]
                },
            }
        ),
    )
    assert proxy_bootstrap.outdated(pod, config) == found


@pytest.mark.parametrize(
    ("started", "restarts", "starting"),
    [("03:39:48", 0, True), ("03:38:59", 0, False), ("03:39:48", 1, False), ("", 0, False)],
)
def test_a_pod_that_has_had_no_time_to_become_ready(
    started: str, restarts: int, starting: bool
) -> None:
    at = f"startTime: '2026-11-20T{started}Z', " if started else ""
    text = f"{{kind: Pod, apiVersion: v1, metadata: {{name: p, namespace: x}}, spec: {{containers: [{{name: app}}]}}, status: {{{at}containerStatuses: [{{name: app, ready: false, restartCount: {restarts}}}]}}}}"  # noqa: E501
    now = datetime(2026, 11, 20, 3, 40, tzinfo=UTC)
    assert endpoints.starting([one(Pod, text)], now) is starting


FILTERS = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limits, namespace: shop}
spec: {configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: envoy.filters.http.ratelimit}}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: script, namespace: shop}
spec: {configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: envoy.lua}}}]}
"""
ABORTED = "critical\tenvoy backtrace\tCaught Aborted, suspect faulting address 0x5\n"
IN_LIMITS = "#3: Envoy::Extensions::Filters::Common::RateLimit::GrpcClientImpl::limit() [0x5]\n"
IN_WASM = "#4: Envoy::Extensions::Common::Wasm::Context::onDone() [0x5]\n"
IN_CORE = "#4: Envoy::Server::WorkerImpl::threadRoutine() [0x5]\n"
SPOKE = "[warning][lua] script log: sending\n"


@pytest.mark.parametrize(
    ("log", "names", "blamed"),
    [
        (ABORTED + IN_LIMITS, ["limits", "script"], "limits"),
        (SPOKE + ABORTED + IN_WASM, ["limits", "script"], "script"),
        (ABORTED + IN_WASM, ["limits", "script"], ""),
        (ABORTED + IN_WASM, ["limits"], ""),
        (ABORTED + IN_CORE, ["limits"], "limits"),
        (ABORTED + IN_CORE, ["limits", "script"], ""),
    ],
)
def test_which_filter_brings_in_what_crashed(log: str, names: list[str], blamed: str) -> None:
    some = [f for f in many(EnvoyFilter, FILTERS) if f.name in names]
    seen = envoy_crash.crash(log)
    found = envoy_crash.blamed(seen, some)
    assert (found.name if found is not None else "") == blamed
    assert seen.reason == "Caught Aborted"
    assert envoy_crash.crash(SPOKE).reason == ""


def test_a_panic_is_told_with_where_it_happened() -> None:
    before = "info\tads\tPush debounce stable[5] 1 for config ServiceEntry/shop/db: 101ms\n"
    frames = "\ngoroutine 7 [running]:\nruntime.gopanic({0x1})\nistio.io/istio/pilot/pkg/model.(*PushContext).Of(...)\nistio.io/istio/pilot/pkg/xds.Push(0xc0)\n"  # noqa: E501
    after = "info\tads\tPush debounce stable[6] 1 for config Sidecar/shop/default: 101ms\n"
    text = f"{before}panic: runtime error: nil pointer{frames}{after}"
    found = go_panic.panic(text)
    place = "istio.io/istio/pilot/pkg/model.(*PushContext).Of"
    assert (found.reason, found.place, found.pushed) == (
        "runtime error: nil pointer",
        place,
        "ServiceEntry/shop/db",
    )
    assert go_panic.panic(before + after) == go_panic.Panic()


def test_doctests() -> None:
    for module in (
        rejections,
        go_panic,
        pod_identity,
        envoy_crash,
        envoy_killed,
        ipamd_log,
        istiod_log,
        dead_calls,
    ):
        assert doctest.testmod(module).failed == 0
