# ruff: noqa: E501
"""VirtualServices, DestinationRules, Gateways, ServiceEntries and Sidecars that never apply."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import (
    entries,
    exports,
    gateway_binding,
    hosts,
    route_targets,
    routes,
    rules,
    sidecar_choice,
)
from meshdoctor.mesh.filter_match import (
    asks_for_vhost,
    dead_match,
    gateway_vhosts,
    inbound_ports,
    selects_workloads,
)
from meshdoctor.mesh.hosts import catalogue, misread
from meshdoctor.model.istio import (
    DestinationRule,
    EnvoyFilter,
    Gateway,
    ServiceEntry,
    Sidecar,
    VirtualService,
)
from meshdoctor.model.kubernetes import Pod, Service
from tests.unit.mesh.objects import many, one

SERVICES = """
{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: old}, spec: {ports: [{port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: shop}
spec: {hosts: [legacy.corp, "*.example.com"]}
"""


@pytest.mark.parametrize(
    ("host", "namespace", "meant"),
    [
        ("pay", "shop", ""),
        ("pay", "config", "shop/pay"),  # T11: completed with the config's namespace
        ("pay.shop", "config", "shop/pay"),  # T11: svc.ns stays literal
        ("pay.shop.svc", "config", "shop/pay"),
        ("pay.shop.svc.cluster.local", "config", ""),
        ("cart", "config", ""),  # two of that name: nobody can tell which was meant
        ("legacy.corp", "config", ""),  # a ServiceEntry has it
        ("api.example.com", "config", ""),
        ("*.shop", "config", ""),
        ("unknown", "config", ""),
        ("pay.example", "config", ""),
    ],
)
def test_short_names(host: str, namespace: str, meant: str) -> None:
    known = catalogue(many(Service, SERVICES), many(ServiceEntry, SERVICES))
    found = misread(host, namespace, known)
    assert (f"{found.meant.namespace}/{found.meant.name}" if found else "") == meant


def vs(name: str, spec: str, *, ns: str = "shop", day: int = 1) -> VirtualService:
    return one(
        VirtualService,
        f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {ns}, creationTimestamp: "2026-01-{day:02}T00:00:00Z"}}
spec: {spec}
""",
    )


HTTP = "http: [{route: [{destination: {host: pay}}]}]"


@pytest.mark.parametrize(
    ("young", "old", "loses"),
    [
        (f"{{hosts: [pay], {HTTP}}}", f"{{hosts: [pay.shop.svc.cluster.local], {HTTP}}}", True),
        (f"{{hosts: [pay], {HTTP}}}", f"{{hosts: [cart], {HTTP}}}", False),
        (f"{{hosts: [pay], gateways: [g], {HTTP}}}", f"{{hosts: [pay], {HTTP}}}", False),
        (f"{{hosts: [pay], gateways: [g, mesh], {HTTP}}}", f"{{hosts: [pay], {HTTP}}}", True),
        (f"{{hosts: [pay], exportTo: ['~'], {HTTP}}}", f"{{hosts: [pay], {HTTP}}}", False),
        (f"{{hosts: [pay], exportTo: [a], {HTTP}}}", f"{{hosts: [pay], exportTo: [b], {HTTP}}}", 0),
        (f"{{hosts: [pay], {HTTP}}}", "{hosts: [pay], tcp: [{route: []}]}", False),
    ],
)
def test_the_oldest_serves_a_host_in_the_mesh(young: str, old: str, loses: bool) -> None:
    found = routes.loses_to(vs("young", young, day=2), [vs("old", old)])
    assert bool(found) == bool(loses)


def test_the_older_one_loses_to_nobody() -> None:
    spec = f"{{hosts: [pay], {HTTP}}}"
    assert routes.loses_to(vs("old", spec), [vs("young", spec, day=2)]) is None


GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: ingress}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com", "shop/only.io", "./own"]}
"""  # noqa: E501


def test_gateway_references() -> None:
    known = many(Gateway, GATEWAYS)
    assert routes.dangling(vs("a", "{hosts: [x], gateways: [ingress/web]}"), known) is None
    for old in ("web.ingress", "web.ingress.svc.cluster.local", "mesh"):
        assert routes.dangling(vs("a", f"{{hosts: [x], gateways: [{old}]}}"), known) is None
    lost = routes.dangling(vs("a", "{hosts: [x], gateways: [web]}"), known)
    assert lost is not None and (lost.namespace, lost.exists_in) == ("shop", "ingress")
    gone = routes.dangling(vs("a", "{hosts: [x], gateways: [mesh, ingress/none]}"), known)
    assert gone is not None and gone.exists_in == ""
    assert routes.dangling(vs("a", "{hosts: [x]}"), known) is None


@pytest.mark.parametrize(
    ("host", "ns", "outside"),
    [
        ("api.example.com", "shop", ""),
        ("*.example.com", "shop", ""),
        ("example.com", "shop", "example.com"),
        ("only.io", "shop", ""),
        ("only.io", "other", "only.io"),
        ("own", "ingress", "own.ingress.svc.cluster.local"),
        ("*", "shop", ""),
    ],
)
def test_hosts_that_a_gateway_admits(host: str, ns: str, outside: str) -> None:
    route = vs("a", f"{{hosts: ['{host}'], gateways: [ingress/web]}}", ns=ns)
    gateway = many(Gateway, GATEWAYS)[0]
    assert routes.host_outside(route, gateway) == outside
    assert routes.serves(route, gateway) is (outside == "")
    both = vs("a", f"{{hosts: ['{host}', api.example.com], gateways: [ingress/web]}}", ns=ns)
    assert routes.serves(both, gateway)


@pytest.mark.parametrize(
    ("rules_", "found"),
    [
        ("[{match: [{headers: {':uri': {exact: /a}}}]}]", (1, ":uri")),
        ("[{}, {match: [{headers: {':uri': {exact: /a}}}]}]", (2, ":uri")),
        ("[{match: [{headers: {':uri': {exact: /a}}}, {uri: {exact: /a}}]}]", (0, "")),
        ("[{match: [{headers: {':path': {exact: /a}, x-user: {exact: a}}}]}]", (0, "")),
        ("[{}]", (0, "")),
    ],
)
def test_a_header_that_nobody_sends(rules_: str, found: tuple[int, str]) -> None:
    assert routes.impossible(vs("a", f"{{hosts: [x.y], http: {rules_}}}")) == found


@pytest.mark.parametrize(
    ("rules_", "found"),
    [
        ("[{match: [{uri: {prefix: '/api/*'}}]}]", (1, "uri prefix /api/*")),
        ("[{}, {match: [{uri: {exact: '*'}}]}]", (2, "uri exact *")),
        ("[{match: [{uri: {regex: '/api/*'}}]}]", (1, "uri regex /api/*")),
        ("[{match: [{uri: {regex: '^/api/.*'}}]}]", (0, "")),
        ("[{match: [{uri: {regex: '^/api/*.*'}}]}]", (0, "")),
        ("[{match: [{authority: {prefix: '*.a.b'}}]}]", (1, "authority prefix *.a.b")),
        ("[{match: [{uri: {prefix: '/api/*'}}, {uri: {prefix: /api}}]}]", (0, "")),
        ("[{match: [{uri: {prefix: /api}}]}]", (0, "")),
        ("[{}]", (0, "")),
    ],
)
def test_a_star_that_is_no_wildcard(rules_: str, found: tuple[int, str]) -> None:
    assert routes.starred(vs("a", f"{{hosts: [x.y], http: {rules_}}}")) == found


HTTP, TCP = "http: [{}]", "tcp: [{}]"


@pytest.mark.parametrize(
    ("host", "servers", "rules_", "port"),
    [
        ("db.io", "TCP 5432 db.io", HTTP, 5432),
        ("db.io", "TLS 5432 db.io", HTTP, 5432),
        ("db.io", "TCP 5432 db.io", TCP, 0),
        ("db.io", "TCP 5432 db.io", f"{HTTP}, {TCP}", 0),
        ("db.io", "HTTP 80 db.io", HTTP, 0),
        ("db.io", "TCP 5432 db.io, HTTP 80 *", HTTP, 0),  # port 80 takes its rules
        ("db.io", "TCP 5432 other.io", HTTP, 0),
        ("db.io", "TLS 443 db.io PASSTHROUGH", HTTP, 0),
        ("db.io", "TCP 5432 db.io, HTTP 80 other.io", HTTP, 5432),
    ],
)
def test_http_rules_for_a_server_that_takes_bytes(
    host: str, servers: str, rules_: str, port: int
) -> None:
    route = vs("a", f"{{hosts: ['{host}'], gateways: [ingress/web], {rules_}}}")
    parts = [one.split() for one in servers.split(", ")]
    spec = ", ".join(
        f"{{port: {{number: {number}, protocol: {protocol}}}, hosts: ['{own}']"
        + (f", tls: {{mode: {mode[0]}}}" if mode else "")
        + "}"
        for protocol, number, own, *mode in parts
    )
    gateway = many(
        Gateway,
        "kind: Gateway\napiVersion: networking.istio.io/v1\n"
        f"metadata: {{name: web, namespace: ingress}}\nspec: {{servers: [{spec}]}}",
    )[0]
    assert routes.tcp_only(route, gateway) == port


@pytest.mark.parametrize(
    ("rules_", "found"),
    [
        ("[{}, {match: [{uri: {prefix: /a}}]}]", (0, 1)),
        ("[{match: [{uri: {prefix: /a}}]}, {}]", None),
        ("[{match: [{uri: {prefix: /}}]}, {match: [{uri: {exact: /b}, method: {exact: GET}}]}]", (0, 1)),
        ("[{match: [{uri: {prefix: /a}}]}, {match: [{uri: {prefix: /ab}}]}]", (0, 1)),
        ("[{match: [{uri: {prefix: /ab}}]}, {match: [{uri: {prefix: /a}}]}]", None),
        ("[{match: [{uri: {prefix: /a}, headers: {x: {exact: '1'}}}]}, {match: [{uri: {prefix: /a}}]}]", None),
        ("[{match: [{uri: {exact: /a}}]}, {match: [{uri: {exact: /a}}, {uri: {exact: /b}}]}]", None),
        ("[{match: [{uri: {exact: /a}}, {uri: {exact: /b}}]}, {match: [{uri: {exact: /b}}]}]", (0, 1)),
        ("[{match: [{gateways: [g]}]}, {match: [{uri: {exact: /b}}]}]", None),
        ("[{match: [{port: 80}]}, {match: [{port: 80, uri: {exact: /b}}]}]", (0, 1)),
        ("[{match: [{uri: {regex: '.*'}}]}, {match: [{uri: {exact: /b}}]}]", (0, 1)),
        ("[{match: [{withoutHeaders: {x: {}}}]}, {match: [{uri: {exact: /b}}]}]", None),
    ],
)  # fmt: skip
def test_rules_that_an_earlier_one_covers(rules_: str, found: tuple[int, int] | None) -> None:
    shadow = routes.shadowed(vs("a", f"{{hosts: [pay], http: {rules_}}}"))
    assert ((shadow.earlier, shadow.later) if shadow else None) == found


def test_destinations_that_get_requests() -> None:
    route = vs(
        "a",
        "{hosts: [pay], http: [{route: [{destination: {host: a}, weight: 0}, "
        "{destination: {host: b}, weight: 100}]}, {route: [{destination: {host: c}}]}]}",
    )
    assert [d.host for d in routes.destinations(route)] == ["b", "c"]


def dr(name: str, ns: str, spec: str, day: int = 1) -> DestinationRule:
    return one(
        DestinationRule,
        f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {ns}, creationTimestamp: "2026-01-{day:02}T00:00:00Z"}}
spec: {spec}
""",
    )


FQDN = "pay.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("ns", "host", "clients", "never"),
    [
        ("config", FQDN, [], True),
        ("config", FQDN, ["config"], False),
        ("shop", "pay", [], False),
        ("istio-system", FQDN, [], False),
        ("config", "*.local", [], False),
        ("config", "api.example.com", [], False),
    ],
)
def test_rules_that_no_proxy_can_choose(
    ns: str, host: str, clients: list[str], never: bool
) -> None:
    rule = dr("a", ns, f"{{host: '{host}'}}")
    assert rules.never_chosen(rule, "istio-system", clients) is never


TP = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"


@pytest.mark.parametrize(
    ("old", "young", "lost"),
    [
        (f"{{host: pay, {TP}}}", f"{{host: pay, {TP}}}", "its trafficPolicy"),
        ("{host: pay}", f"{{host: pay, {TP}}}", ""),
        ("{host: pay, subsets: [{name: v1}]}", "{host: pay, subsets: [{name: v2}]}", ""),
        (
            "{host: pay, subsets: [{name: v1}]}",
            "{host: pay, subsets: [{name: v1}]}",
            "its subset v1",
        ),
        (f"{{host: pay, {TP}}}", f"{{host: cart, {TP}}}", ""),
        (f"{{host: pay, exportTo: ['.'], {TP}}}", f"{{host: {FQDN}, {TP}}}", "everything"),
    ],
)
def test_what_merging_loses(old: str, young: str, lost: str) -> None:
    found = rules.lost_in_merge(dr("b", "shop", young, 2), [dr("a", "shop", old)])
    assert (found.lost if found else "").startswith(lost) and bool(found) == bool(lost)


POD = """
apiVersion: v1
kind: Pod
metadata: {name: gw-1, namespace: ingress, labels: {istio: ingressgateway, app: gw}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: ingress}
spec: {selector: {app: gw}, ports: [{port: 443, targetPort: 8443}]}
"""


def test_gateway_ports_are_service_ports() -> None:
    gateway, pods = many(Gateway, GATEWAYS)[0], many(Pod, POD)
    services = many(Service, POD)
    chosen = gateway_binding.gateway_pods(gateway, pods)
    assert [p.name for p in chosen] == ["gw-1"]
    miss = gateway_binding.missing_port(gateway, chosen, services)
    assert miss is not None and miss.port == 80 and miss.service is not None
    alone = gateway_binding.missing_port(gateway, chosen, [])
    assert alone is not None and alone.service is None
    near = gateway_binding.nearest(gateway, pods)
    assert near is not None and near.name == "gw-1"


@pytest.mark.parametrize(
    ("target", "env", "skipped", "port"),
    [
        ("443", "", (), 0),
        ("443", "env: [{name: ISTIO_META_UNPRIVILEGED_POD, value: 'true'}],", (), 443),
        ("443", "env: [{name: ISTIO_META_UNPRIVILEGED_POD, value: 'false'}],", (), 0),
        ("8443", "env: [{name: ISTIO_META_UNPRIVILEGED_POD, value: 'true'}],", (), 0),
        ("443", "", (("gw-1.ingress", 443),), 443),
        ("443", "", (("other.ingress", 443),), 0),
        ("8443", "", (("gw-1.ingress", 443),), 0),
    ],
)
def test_ports_that_gateway_pods_may_not_bind(
    target: str, env: str, skipped: tuple[tuple[str, int], ...], port: int
) -> None:
    text = POD.replace("targetPort: 8443", f"targetPort: {target}")
    text = text.replace("{name: istio-proxy,", "{name: istio-proxy, " + env)
    gateway = one(
        Gateway,
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
        "metadata: {name: g, namespace: shop}\nspec:\n"
        "  selector: {istio: ingressgateway}\n"
        "  servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: ['*']}]\n",
    )
    found = gateway_binding.privileged_port(gateway, many(Pod, text), many(Service, text), skipped)
    assert (found.port if found is not None else 0) == port


@pytest.mark.parametrize(
    ("gateways", "rules_", "found"),
    [
        ("ingress/web", "[{match: [{port: 80}]}]", (1, False, True)),
        ("ingress/web", "[{match: [{port: 443}]}]", None),
        ("ingress/web", "[{match: [{port: 80}]}, {}]", (1, False, False)),
        ("ingress/web", "[{match: [{port: 80}, {uri: {prefix: /}}]}]", None),
        ("ingress/web", "[{match: [{gateways: [web]}]}]", (1, True, True)),
        ("ingress/web", "[{match: [{gateways: [ingress/web]}]}]", None),
        ("ingress/web, mesh", "[{match: [{port: 80}]}]", None),
        ("ingress/web, mesh", "[{match: [{gateways: [mesh], port: 80}]}]", None),
        ("ingress/web, mesh", "[{match: [{gateways: [web]}]}]", (1, True, True)),
        (
            "ingress/web, mesh",
            "[{match: [{gateways: [mesh]}]}, {match: [{gateways: [ingress/web], port: 80}]}]",
            (2, False, True),
        ),
        ("ingress/web, ingress/other", "[{match: [{port: 80}]}]", None),
        ("mesh", "[{match: [{port: 80}]}]", None),
    ],
)
def test_rules_that_no_gateway_uses(
    gateways: str, rules_: str, found: tuple[int, bool, bool] | None
) -> None:
    spec = "{servers: [{port: {number: 443, name: s, protocol: HTTPS}, hosts: ['*']}]}"
    text = f"{{kind: Gateway, apiVersion: networking.istio.io/v1, metadata: {{name: web, namespace: ingress}}, spec: {spec}}}"  # noqa: E501
    route = vs("a", f"{{hosts: [x.y], gateways: [{gateways}], http: {rules_}}}")
    dead = routes.dead_rule(route, many(Gateway, text))
    assert (dead and (dead.rule, dead.foreign, dead.every)) == found


UP = "{http: {h2UpgradePolicy: UPGRADE}}"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (f"trafficPolicy: {{connectionPool: {UP}}}", True),
        (
            f"trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, connectionPool: {UP}}}]}}",
            True,
        ),
        (f"subsets: [{{name: v1, trafficPolicy: {{connectionPool: {UP}}}}}]", True),
        ("trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}", False),
        ("trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}", False),
        ("subsets: [{name: v1}]", False),
    ],
)
def test_rules_that_upgrade_to_http2(spec: str, found: bool) -> None:
    assert rules.upgrades(dr("a", "shop", f"{{host: pay, {spec}}}")) is found


def se(name: str, ns: str, spec: str, day: int = 1) -> ServiceEntry:
    return one(
        ServiceEntry,
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {ns}, creationTimestamp: "2026-01-{day:02}T00:00:00Z"}}
spec: {spec}
""",
    )


def test_host_collisions() -> None:
    mine = se("a", "web", f"{{hosts: [{FQDN}]}}")
    known = catalogue(many(Service, SERVICES), [mine])
    found = entries.collision(mine, known, frozenset({"web"}))
    assert found is not None and found.rival == "Service/shop/pay" and found.takes_over
    own = se("a", "shop", f"{{hosts: [{FQDN}]}}")
    assert entries.collision(own, known) is None
    first, second = se("a", "x", "{hosts: [a.io]}"), se("b", "y", "{hosts: [A.io]}", 2)
    both = catalogue([], [first, second])
    assert entries.collision(first, both) is None
    late = entries.collision(second, both)
    assert late is not None and late.rival == first.ref
    private = se("b", "y", "{hosts: [a.io], exportTo: ['.']}", 2)
    hidden = se("a", "x", "{hosts: [a.io], exportTo: ['.']}")
    assert entries.collision(private, catalogue([], [hidden, private])) is None


@pytest.mark.parametrize(
    ("spec", "shares"),
    [
        ("{hosts: [b], ports: [{number: 5432, protocol: TCP}]}", True),
        ("{hosts: [b], ports: [{number: 5433, protocol: TCP}]}", False),
        ("{hosts: [b], ports: [{number: 5432, protocol: TLS}]}", False),
        ("{hosts: [b], addresses: [10.0.0.1], ports: [{number: 5432, protocol: TCP}]}", False),
        ("{hosts: [b], exportTo: ['.'], ports: [{number: 5432, protocol: mysql}]}", True),
    ],
)
def test_tcp_entries_without_addresses(spec: str, shares: bool) -> None:
    first = se("a", "shop", "{hosts: [a], ports: [{number: 5432, protocol: TCP}]}")
    found = entries.shared_listener(se("b", "shop", spec, 2), [first])
    assert bool(found) is shares
    assert entries.shared_listener(first, [se("b", "shop", spec, 2)]) is None


def sidecar(name: str, spec: str, day: int = 1, ns: str = "shop") -> Sidecar:
    return one(
        Sidecar,
        f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {ns}, creationTimestamp: "2026-01-{day:02}T00:00:00Z"}}
spec: {spec}
""",
    )


def test_one_sidecar_per_proxy() -> None:
    plain, late = sidecar("a", "{}"), sidecar("b", "{workloadSelector: {}}", 2)
    assert sidecar_choice.loses_to(late, [plain], []) == plain
    assert sidecar_choice.loses_to(plain, [late], []) is None
    app, version = (
        sidecar("c", "{workloadSelector: {labels: {app: pay}}}"),
        sidecar("d", "{workloadSelector: {labels: {version: v1}}}", 2),
    )
    both, apart = [{"app": "pay", "version": "v1"}], [{"app": "pay"}, {"version": "v1"}]
    assert sidecar_choice.loses_to(version, [app, plain], both) == app
    assert sidecar_choice.loses_to(version, [app], apart) is None
    assert sidecar_choice.loses_to(late, [sidecar("a", "{}", 1, "other")], []) is None


def ef(spec: str, ns: str = "shop") -> EnvoyFilter:
    return one(
        EnvoyFilter,
        f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: a, namespace: {ns}}}
spec: {spec}
""",
    )


@pytest.mark.parametrize(
    ("match", "types", "dead"),
    [
        ("{context: GATEWAY}", {"sidecar"}, True),
        ("{context: GATEWAY}", {"sidecar", "router"}, False),
        ("{context: GATEWAY}", set(), False),
        ("{context: SIDECAR_INBOUND}", {"router"}, True),
        ("{}", {"sidecar"}, False),
        (r"{proxy: {proxyVersion: '^1\.9.*'}}", {"sidecar"}, True),
        (r"{proxy: {proxyVersion: '^1\.24.*'}}", {"sidecar"}, False),
        ("{proxy: {proxyVersion: '('}}", {"sidecar"}, False),
        ("{listener: {filterChain: {filter: {name: envoy.http_connection_manager}}}}", set(), True),
        ("{listener: {filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}}", set(), 0),
    ],
)
def test_patches_that_match_nothing(match: str, types: set[str], dead: bool) -> None:
    filter_ = ef(f"{{configPatches: [{{applyTo: HTTP_FILTER, match: {match}}}]}}")
    assert bool(dead_match(filter_, frozenset(types), ["1.24.1"])) is bool(dead)


def test_a_name_that_envoy_gave_up_matches_up_to_1_18() -> None:
    name = "{listener: {filterChain: {filter: {name: envoy.http_connection_manager}}}}"
    filter_ = ef(f"{{configPatches: [{{applyTo: HTTP_FILTER, match: {name}}}]}}")
    assert not dead_match(filter_, frozenset({"sidecar"}), ["1.18.7"])
    assert dead_match(filter_, frozenset({"sidecar"}), ["1.19.0"])
    assert dead_match(filter_, frozenset({"sidecar"}), ["1.18.7", "1.19.0"])
    assert dead_match(filter_, frozenset({"sidecar"}), [])


@pytest.mark.parametrize(
    ("context", "kind", "port", "dead"),
    [
        ("SIDECAR_INBOUND", "HTTP_FILTER", 80, True),  # the Service's port, not the pod's
        ("SIDECAR_INBOUND", "HTTP_FILTER", 8081, False),
        ("SIDECAR_INBOUND", "HTTP_FILTER", 9090, False),  # a Sidecar's own listener
        ("SIDECAR_INBOUND", "HTTP_FILTER", 7070, False),  # of an entry that selects pods
        ("SIDECAR_INBOUND", "NETWORK_FILTER", 15006, False),
        ("SIDECAR_INBOUND", "LISTENER", 80, False),
        ("SIDECAR_OUTBOUND", "HTTP_FILTER", 80, False),
    ],
)
def test_an_inbound_patch_for_a_port_without_chain(
    context: str, kind: str, port: int, dead: bool
) -> None:
    pods = many(
        Pod,
        "{apiVersion: v1, kind: Pod, metadata: {name: pay, namespace: shop, labels: {app: pay}},"
        " spec: {containers: [{name: pay, ports: [{name: web, containerPort: 8081}]}]}}",
    )
    services = many(
        Service,
        "{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: shop},"
        " spec: {selector: {app: pay}, ports: [{port: 80, targetPort: web}]}}",
    )
    entries_ = (
        se(
            "a",
            "shop",
            "{hosts: [a.b], workloadSelector: {labels: {app: pay}}, ports: [{number: 7070}]}",
        ),
    )
    sidecars = (sidecar("s", "{ingress: [{port: {number: 9090}}]}"),)
    inbound = inbound_ports(pods, services, entries_, sidecars)
    filter_ = ef(
        f"{{configPatches: [{{applyTo: {kind}, match: {{context: {context}, listener: {{portNumber: {port}}}}}}}]}}"
    )
    assert bool(dead_match(filter_, frozenset({"sidecar"}), [], inbound)) is dead
    assert not dead_match(filter_, frozenset({"sidecar"}), [])


def test_pods_without_any_service_tell_nothing_of_ports() -> None:
    assert inbound_ports((), (), (), ()) == frozenset()


def test_whom_an_envoy_filter_selects() -> None:
    near = ef("{workloadSelector: {labels: {app: pay}}}")
    assert selects_workloads(near, "istio-system", [("shop", {"app": "pay"})])
    assert not selects_workloads(near, "istio-system", [("web", {"app": "pay"})])
    assert selects_workloads(ef("{}", "istio-system"), "istio-system", [("web", {})])
    assert not selects_workloads(ef("{}"), "istio-system", [])


@given(st.lists(st.sampled_from(["*", ".", "~", "a", "b"]), max_size=3))
def test_audiences(export_to: list[str]) -> None:
    found = exports.audience(export_to, "a")
    assert exports.sees(found, "zzz") == ("*" in found)
    assert exports.overlap(found, frozenset({"*"})) == bool(found)
    if "." in export_to:
        assert exports.sees(found, "a")


def test_doctests() -> None:
    for module in (hosts, exports):
        assert doctest.testmod(module).failed == 0


TARGETS = """
{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: old, namespace: shop}, spec: {type: ExternalName, externalName: pay.example}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: shop}
spec: {hosts: [legacy.corp, "*.example.com"], ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: alias, namespace: shop}
spec: {hosts: [alias.shop.svc.cluster.local], ports: [{number: 80, name: http, protocol: HTTP}]}
"""


@pytest.mark.parametrize(
    ("ports", "destination", "called", "lost"),
    [
        ("[{port: 8080}, {port: 9000}]", "{host: pay}", {80}, 80),
        ("[{port: 8080}, {port: 9000}]", "{host: pay}", {443, 80}, 80),
        ("[{port: 8080}, {port: 9000}]", "{host: pay, port: {number: 8080}}", {80}, 0),
        ("[{port: 8080}, {port: 80}]", "{host: pay}", {80}, 0),
        ("[{port: 8080}]", "{host: pay}", {80}, 0),  # its only port
        ("[{port: 8080}, {port: 9000}]", "{host: pay}", set(), 0),  # nobody knows what is called
    ],
)
def test_a_destination_without_a_port(
    ports: str, destination: str, called: set[int], lost: int
) -> None:
    service = one(
        Service,
        "{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: shop},"
        f" spec: {{ports: {ports}}}}}",
    )
    route = vs("r", f"{{hosts: [x.example], http: [{{route: [{{destination: {destination}}}]}}]}}")
    known = catalogue([service], [])
    found = route_targets.lost(route, known, lambda *_: None, called=called)
    assert (found.port if found is not None else 0) == lost
    assert found is None or found.unsaid


@pytest.mark.parametrize(
    ("destination", "lost"),
    [
        ("{host: pay}", ""),
        ("{host: pay, port: {number: 80}}", ""),
        ("{host: pay, port: {number: 81}}", "pay.shop.svc.cluster.local 81 Service/shop/pay"),
        ("{host: old}", "old.shop.svc.cluster.local 0 Service/shop/old"),
        ("{host: gone}", "gone.shop.svc.cluster.local 0 "),
        ("{host: elsewhere.far.svc.cluster.local}", ""),  # outside the scope, found by name
        ("{host: pay.shop.svc.other.domain}", ""),  # of another cluster domain
        ("{host: pay.shop.svc.clusterset.local}", ""),
        ("{host: pay.shop.global}", ""),
        ("{host: legacy.corp, port: {number: 443}}", ""),
        ("{host: legacy.corp, port: {number: 80}}", "legacy.corp 80 "),
        ("{host: alias}", ""),
        (
            "{host: api.example.com, port: {number: 80}}",
            "api.example.com 80 ",
        ),  # a wildcard is no help
        ("{host: api.example.org}", "api.example.org 0 "),
    ],
)
def test_destinations_without_a_cluster(destination: str, lost: str) -> None:
    known = catalogue(many(Service, TARGETS), many(ServiceEntry, TARGETS))
    far = one(
        Service,
        "{apiVersion: v1, kind: Service, metadata: {name: elsewhere, namespace: far}, spec: {ports: [{port: 80}]}}",
    )
    outside = {("far", "elsewhere"): far}
    route = vs("r", f"{{hosts: [x.example], http: [{{route: [{{destination: {destination}}}]}}]}}")
    found = route_targets.lost(route, known, lambda *own: outside.get(own))
    shown = (
        f"{found.host} {found.port} {found.service.ref if found.service else ''}" if found else ""
    )
    assert shown == lost


@pytest.mark.parametrize(
    ("target", "ports", "called", "lost"),
    [
        ("b.shop.svc.cluster.local", "[{port: 80}]", {80, 8081}, 8081),
        ("b.shop.svc.cluster.local", "[{port: 80}]", {80}, 0),
        ("b.shop.svc.cluster.local", "[{port: 80}, {port: 8081}]", {8081}, 0),
        ("b.shop.svc.cluster.local", "[]", {8081}, 0),  # no port at all is another fault
        ("b.example.com", "[{port: 80}]", {8081}, 0),  # outside, and no alias of a service
    ],
)
def test_an_alias_without_the_port_that_is_called(
    target: str, ports: str, called: set[int], lost: int
) -> None:
    alias = one(
        Service,
        "{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop},"
        f" spec: {{type: ExternalName, externalName: {target}, ports: {ports}}}}}",
    )
    route = vs("r", "{hosts: [c], http: [{route: [{destination: {host: alias}}]}]}")
    find = {("shop", "alias"): alias}.get
    found = route_targets.unlisted_alias(route, lambda *own: find(own), called=called)
    assert (found.port if found is not None else 0) == lost


@pytest.mark.parametrize(
    ("endpoint", "port", "astray"),
    [
        ("127.0.0.1:9999", 8080, "127.0.0.1:9999"),
        ("127.0.0.1:8080", 8080, ""),
        ("127.0.0.1:9090", 8080, ""),
        ("unix:///var/run/a.sock", 8080, ""),
        ("127.0.0.1:9999", 9090, ""),
    ],
)
def test_an_ingress_listener_that_leads_nowhere(endpoint: str, port: int, astray: str) -> None:
    found = sidecar(
        "a", f"{{ingress: [{{port: {{number: 8080}}, defaultEndpoint: '{endpoint}'}}]}}"
    )
    pod = one(
        Pod,
        "{kind: Pod, apiVersion: v1, metadata: {name: a, namespace: shop}, spec: {containers: "
        "[{name: a, ports: [{containerPort: 8080}, {containerPort: 9090}]}]}}",
    )
    assert sidecar_choice.astray(found, port, pod) == astray


@pytest.mark.parametrize(
    ("context", "name", "dead"),
    [
        ("GATEWAY", "*:80", True),
        ("GATEWAY", "a.example.com:80", False),
        ("GATEWAY", "a.example.com:443", True),
        ("GATEWAY", "blackhole:80", False),
        ("GATEWAY", "", False),
        ("ANY", "*:80", False),  # sidecars have others
    ],
)
def test_a_virtual_host_that_is_not_there(context: str, name: str, dead: bool) -> None:
    gateway = one(
        Gateway,
        "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: shop},"
        " spec: {servers: [{port: {number: 80}, hosts: ['*']}]}}",
    )
    names = gateway_vhosts([gateway], [vs("r", "{hosts: [a.example.com], gateways: [g]}")])
    filter_ = ef(
        f"{{configPatches: [{{applyTo: VIRTUAL_HOST, match: {{context: {context}, "
        f"routeConfiguration: {{vhost: {{name: '{name}'}}}}}}}}]}}"
    )
    assert asks_for_vhost(filter_) is (context == "GATEWAY" and bool(name))
    assert bool(dead_match(filter_, frozenset({"router"}), [], vhosts=names)) is dead
    assert not dead_match(filter_, frozenset({"router"}), [])
