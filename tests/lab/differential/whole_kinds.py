"""Which mistakes of which kind are drawn, beside those around a server?

Each kind draws what people get wrong about one thing, right ones among them, and the call that
shows it. Hosts, names and pods are a case's own, so that the cases of one round do not meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.lab.differential import asks, mtls_cases, policies, tokens, whole_cases, whole_scopes
from tests.lab.differential.case import (
    ALICE,
    BOB,
    GATE,
    HTTP,
    NOBODY,
    ROOT,
    SERVICE,
    SPACES,
    TARGETS,
    TCP,
    TLS,
    Ask,
    Object,
    meta,
)
from tests.lab.differential.dice import Dice
from tests.lab.differential.whole_cases import Drawn, WholeCase
from tests.lab.differential.world import APP_ARGUMENTS, GATE_TLS, outside, workload

LATER = "second"
"""The workload that a case adds: another version of the server, or what took its place."""
EAST, WEST = ALICE.split("/")[0], BOB.split("/")[0]
FILTERS = "type.googleapis.com/envoy.extensions.filters"
MANAGER = "envoy.filters.network.http_connection_manager"


def draw(seed: int, index: int) -> WholeCase:
    """One case of a run, which the seed and its number decide alone."""
    dice = Dice("whole", seed, index)
    space = SPACES[index % len(SPACES)]
    kind = dice.weighted({name: weight for name, (weight, _) in KINDS.items()})
    found = KINDS[kind][1](dice, f"dif-{index}", space)
    return WholeCase(
        seed=seed,
        index=index,
        space=space,
        objects=tuple(found.objects),
        service=found.service,
        pods=tuple(found.pods),
        ask=found.ask,
        kind=kind,
    )


def gateway(dice: Dice, name: str, space: str) -> Drawn:
    """A call through the ingress gateway: what it listens for, and where it leads."""
    host = f"shop.{space}.example"
    secure = dice.chance(35)
    port = TLS if secure else HTTP
    inner = whole_cases.ask(dice, space)
    inner = replace(inner, client=NOBODY, port=HTTP, http=True)
    outer = replace(inner, space=GATE, port=port, tls=secure, sni=host if secure else "", host=host)
    home = dice.weighted({GATE: 60, space: 40})
    other = f"www.{space}.example"
    hosts = {host: 62, f"*.{space}.example": 12, f"{space}/{host}": 8, f"./{host}": 6, other: 6}
    scheme = "HTTPS" if secure else "HTTP"
    server: Object = {
        "port": {
            "number": dice.weighted({port: 92, 8443: 4, 8080: 4}),
            "name": scheme.lower(),
            "protocol": dice.weighted({scheme: 92, "HTTP2" if not secure else "TLS": 8}),
        },
        "hosts": [dice.weighted({**hosts, f"{EAST}/{host}": 6})],
    }
    if secure:
        server["tls"] = _gateway_tls(dice)
    elif dice.chance(8):
        server["tls"] = {"httpsRedirect": True}
    selector = dice.weighted({"istio": 84, "other": 8, "app": 8})
    chosen = {"istio": {"istio": GATE}, "app": {"app": "ingress"}}
    labels = chosen.get(selector, {"istio": "ingressgateway"})
    found = Drawn(ask=outer)
    found.objects.append(
        meta("Gateway", f"{name}-gate", home, {"selector": labels, "servers": [server]})
    )
    found.objects.append(
        _behind(dice, f"{name}-route", inner, f"{home}/{name}-gate", secure, server)
    )
    if dice.chance(35):
        around = Drawn(ask=inner, objects=found.objects)
        whole_cases.mistake(dice, f"{name}-more", around)
        found.service = around.service
    return found


def _gateway_tls(dice: Dice) -> Object:
    secret = dice.weighted({GATE_TLS: 82, "gate-tsl": 18})
    mode = dice.weighted({"SIMPLE": 76, "PASSTHROUGH": 14, "MUTUAL": 10})
    return {"mode": mode} | ({} if mode == "PASSTHROUGH" else {"credentialName": secret})


def _behind(
    dice: Dice, name: str, inner: Ask, gateway: str, secure: bool, server: Object
) -> Object:
    """The VirtualService of a Gateway."""
    space, host = inner.space, f"shop.{inner.space}.example"
    home = dice.weighted({space: 60, GATE: 40})
    other = f"www.{space}.example"
    short = gateway.split("/")[1]
    bound: list[str] | None = dice.one(
        (*[[gateway]] * 13, [short], [short], ["mesh"], None, [f"{GATE}/ingress"], [f"x{gateway}"])
    )
    hosts = dice.weighted({host: 76, other: 8, "*": 6, f"*.{space}.example": 10})
    spec: Object = {"hosts": [hosts]}
    if bound:
        spec["gateways"] = bound
    if dice.chance(10):
        spec["exportTo"] = dice.one((["."], [GATE], [space]))
    passed = secure and server["tls"]["mode"] == "PASSTHROUGH"
    if passed and dice.chance(60):
        match = {
            "port": server["port"]["number"],
            "sniHosts": [dice.weighted({host: 80, other: 20})],
        }
        towards = {"host": f"{SERVICE}.{space}.svc.cluster.local", "port": {"number": TLS}}
        spec["tls"] = [{"match": [match], "route": [{"destination": towards}]}]
    else:
        spec["http"] = [whole_cases.http(dice, inner, home) for _ in range(dice.number(1, 2))]
        for one in spec["http"]:
            if not dice.chance(20):
                one.pop("match", None)
            for towards in one.get("route", ()):
                towards["destination"].setdefault("port", {"number": HTTP})
    return meta("VirtualService", name, home, spec)


def filters(dice: Dice, name: str, space: str) -> Drawn:
    """An EnvoyFilter that does nothing, one thing too many, or what it should."""
    call = replace(
        whole_cases.ask(dice, space), client=dice.weighted({ALICE: 60, BOB: 25, NOBODY: 15})
    )
    found = Drawn(ask=call)
    outbound = call.http and call.port == HTTP and call.client != NOBODY and dice.chance(35)
    if outbound:
        home = call.client.split("/")[0]
        labels = {"app": call.client.split("/")[1]}
        patch = _outbound(dice, space)
    else:
        home, labels = dice.weighted({space: 90, EAST: 10}), {"app": SERVICE}
        patch = _inbound(dice, call)
    spec: Object = {"configPatches": [patch]}
    if dice.chance(60):
        wrong = {"app": "srver"}
        spec["workloadSelector"] = {"labels": wrong if dice.chance(12) else labels}
    found.objects.append(meta("EnvoyFilter", f"{name}-filter", home, spec))
    if dice.chance(25):
        whole_cases.mistake(dice, f"{name}-more", found)
    return found


def _inbound(dice: Dice, call: Ask) -> Object:
    """A filter at the server; its port is the workload's, though some write the Service's."""
    match: Object = {"context": dice.weighted({"SIDECAR_INBOUND": 88, "GATEWAY": 7, "ANY": 5})}
    port = dice.weighted({TARGETS[call.port]: 40, 0: 40, call.port: 20})
    listener: Object = {"portNumber": port} if port else {}
    if dice.chance(10):
        match["proxy"] = {"proxyVersion": dice.one((r"^1\.2.*", r"^1\.31.*"))}
    if not call.http:
        rbac = {"action": "DENY", "policies": {"all": {}}}
        rbac["policies"]["all"] = {"permissions": [{"any": True}], "principals": [{"any": True}]}  # type: ignore[index]
        value = _filter("network.rbac", "network.rbac.v3.RBAC", rules=rbac, stat_prefix="deny_")
        listener["filterChain"] = {"filter": {"name": "envoy.filters.network.tcp_proxy"}}
        return _patch("NETWORK_FILTER", {**match, "listener": listener}, "INSERT_BEFORE", value)
    router = dice.weighted({"envoy.filters.http.router": 88, "envoy.router": 12})
    listener["filterChain"] = {"filter": {"name": MANAGER, "subFilter": {"name": router}}}
    denies = "handle:respond({[':status'] = '403'}, 'not for you')"
    stamp = "handle:headers():add('x-stamp', 'yes')"
    on = f"if handle:headers():get(':path') == '/admin' then {denies} end"
    code = dice.one((denies, stamp, stamp, on))
    lua = f"function envoy_on_request(handle) {code} end"
    value = _filter("http.lua", "http.lua.v3.Lua", inline_code=lua)
    if dice.chance(30):
        share = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        value = _filter(
            "http.local_ratelimit",
            "http.local_ratelimit.v3.LocalRateLimit",
            stat_prefix="limit",
            token_bucket={"max_tokens": dice.one((1, 1000)), "fill_interval": "600s"},
            filter_enabled=share,
            filter_enforced=share,
        )
    return _patch("HTTP_FILTER", {**match, "listener": listener}, "INSERT_BEFORE", value)


def _outbound(dice: Dice, space: str) -> Object:
    """A change of the caller's route to the server, or of its cluster."""
    full = f"{SERVICE}.{space}.svc.cluster.local"
    match: Object = {"context": "SIDECAR_OUTBOUND"}
    if dice.chance(35):
        match["cluster"] = {"service": full, "portNumber": dice.weighted({HTTP: 80, 8080: 20})}
        timeout = {"connect_timeout": "1s"}
        operation = dice.weighted({"MERGE": 55, "REMOVE": 45})
        return _patch("CLUSTER", match, operation, timeout if operation == "MERGE" else None)
    vhost = dice.weighted({f"{full}:80": 80, full: 20})
    match["routeConfiguration"] = {"name": dice.weighted({"80": 88, "http.80": 12})}
    match["routeConfiguration"]["vhost"] = {"name": vhost}
    values: tuple[Object, ...] = (
        {"direct_response": {"status": 503}},
        {"route": {"cluster": f"outbound|80||gone.{space}.svc.cluster.local"}},
        {"route": {"timeout": "20s"}},
        {"request_headers_to_remove": ["x-tenant"]},
    )
    return _patch("HTTP_ROUTE", match, "MERGE", dice.one(values))


def _filter(name: str, kind: str, **fields: object) -> Object:
    return {
        "name": f"envoy.filters.{name}",
        "typed_config": {"@type": f"{FILTERS}.{kind}", **fields},
    }


def _patch(where: str, match: Object, operation: str, value: Object | None) -> Object:
    patch: Object = {"operation": operation} | ({"value": value} if value is not None else {})
    return {"applyTo": where, "match": match, "patch": patch}


def versions(dice: Dice, name: str, space: str) -> Drawn:
    """A second version behind the same Service, and what chooses between them."""
    found = Drawn(ask=whole_cases.ask(dice, space), pods=[_later(dice, space)])
    found.service = {"selector": {"dif": space}}
    full = f"{SERVICE}.{space}.svc.cluster.local"
    wrong = {"version": dice.one(("v2", "v3"))}
    later = dice.weighted({"right": 85, "wrong": 15})
    subsets: list[Object] = [
        {"name": "v1", "labels": {"app": SERVICE}},
        {"name": "v2", "labels": {"app": LATER} if later == "right" else wrong},
    ]
    for one in subsets:
        if dice.chance(25):
            one["trafficPolicy"] = mtls_cases.traffic_policy(dice)
    rule: Object = {"host": full, "subsets": subsets}
    if dice.chance(20):
        rule["trafficPolicy"] = mtls_cases.traffic_policy(dice)
    if dice.chance(92):
        found.objects.append(meta("DestinationRule", f"{name}-rule", space, rule))
    shares = dice.weighted({("v2",): 70, ("v1", "v2"): 15, ("v1",): 15})
    routes: list[Object] = [{"destination": {"host": full, "subset": one}} for one in shares]
    for one in routes:
        one["weight"] = 100 // len(routes)
        if dice.chance(20):
            one["destination"]["port"] = {"number": found.ask.port}
    spec = {"hosts": [full], "http" if found.ask.http else "tcp": [{"route": routes}]}
    found.objects.append(meta("VirtualService", f"{name}-route", space, spec))
    if dice.chance(35):
        found.objects.append(_of_version(dice, f"{name}-peer", found.ask))
    return found


def _of_version(dice: Dice, name: str, call: Ask) -> Object:
    """A policy for one version."""
    spec: Object = {"selector": {"matchLabels": {"app": dice.one((LATER, LATER, SERVICE))}}}
    if dice.chance(50):
        found = policies.policy(dice, call, {}, name)
        found["metadata"]["namespace"] = call.space
        found["spec"].pop("targetRefs", None)
        found["spec"] |= spec
        return found
    spec["mtls"] = {"mode": dice.weighted(mtls_cases.MODES)}
    if dice.chance(40):
        spec["portLevelMtls"] = {str(TARGETS[call.port]): {"mode": dice.one(("STRICT", "DISABLE"))}}
    return meta("PeerAuthentication", name, call.space, spec)


def _later(dice: Dice, space: str) -> Object:
    """The Deployment that a case adds, with something wrong in it or not."""
    found = workload(space, LATER, {"dif": space})[1]
    template = found["spec"]["template"]
    template["spec"]["serviceAccountName"] = SERVICE
    container = template["spec"]["containers"][0]
    wrong = dice.weighted(
        {
            "": 16,
            "bare": 16,
            "ports": 14,
            "bind": 12,
            "unready": 12,
            "answer": 12,
            "tls": 9,
            "silent": 9,
        }
    )
    moved = [one.replace("=80", "=180").replace("=90", "=190") for one in APP_ARGUMENTS]
    match wrong:
        case "bare":
            template["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
        case "ports":
            container["args"][1 : 1 + len(moved)] = moved
            container.pop("readinessProbe")
        case "bind":
            container["args"].append("--bind=127.0.0.1")
            container.pop("readinessProbe")
        case "unready":
            container["readinessProbe"]["httpGet"]["path"] = "/status/503"
        case "answer":
            container["args"].append(f"--answer={dice.one((500, 503, 502))}")
            container.pop("readinessProbe")
        case "tls":
            container["args"] = [
                one.replace("--http=8080", "--https=8080") for one in container["args"]
            ]
            container.pop("readinessProbe")
        case "silent":
            container["args"] = [one.replace("--http=", "--tcp=") for one in container["args"]]
            container.pop("readinessProbe")
    return found


def servers(dice: Dice, name: str, space: str) -> Drawn:
    """The server's place is taken by another one, or its Service says something else."""
    found = Drawn(ask=whole_cases.ask(dice, space))
    if dice.chance(70):
        found.pods.append(_later(dice, space))
        found.service = {"selector": {"app": LATER}}
    if dice.chance(40):
        found.service["appProtocol"] = dice.one(
            ("http", "http", "tcp", "tls", "https", "grpc", "kubernetes.io/h2c", "HTTP", "mysql")
        )
    if found.ask.http and found.ask.port == HTTP and not found.pods:
        found.pods.append(_headless(dice, space, {"app": SERVICE}))
        port = dice.weighted({8080: 70, HTTP: 30})
        found.pods[-1]["spec"]["ports"][0]["port"] = port
        found.ask = replace(found.ask, service="heads", port=port, client=dice.one((ALICE, NOBODY)))
    elif dice.chance(40):
        whole_cases.mistake(dice, name, found)
    return found


def _headless(dice: Dice, space: str, selector: Object) -> Object:
    here = {"name": "heads", "namespace": space}
    port = {"name": dice.weighted({"http": 70, "web": 15, "tcp-web": 15}), "targetPort": 8080}
    spec = {"clusterIP": "None", "selector": selector, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": here, "spec": spec}


def identities(dice: Dice, name: str, space: str) -> Drawn:
    """Tokens and external authorizers, together with routes."""
    call = whole_cases.ask(dice, space)
    if call.port == TCP:
        call = replace(call, port=HTTP, http=True)
    said: Object = {}
    if dice.chance(70):
        call, said = asks.with_token(dice, call)
    if dice.chance(25):
        call = replace(call, headers=(*call.headers, ("x-deny", "1")))
    found = Drawn(ask=call)
    where, selector = policies.place(dice, space)
    if dice.chance(85):
        one = tokens.authentication(dice, where, 0, selector)
        one["metadata"]["name"] = f"{name}-token"
        found.objects.append(one)
    if dice.chance(60):
        found.objects.append(policies.policy(dice, call, said, f"{name}-policy"))
    if dice.chance(40):
        found.objects.append(policies.custom(dice, call, said, f"{name}-custom"))
    if dice.chance(40):
        found.objects.append(whole_cases.route(dice, f"{name}-route", call))
    return found


def rules(dice: Dice, name: str, space: str) -> Drawn:
    """DestinationRules with TLS for ports and subsets, pools, outlier detection."""
    call = whole_cases.ask(dice, space)
    if call.http and dice.chance(20):
        call = replace(call, path=dice.one(("/status/503", "/status/500", "/delay/1")))
    found = Drawn(ask=call)
    for number in range(dice.number(1, 2)):
        one = mtls_cases.destination_rule(dice, f"{name}-rule-{number}", space)
        spec = one["spec"]
        spec["subsets"] = [
            {"name": "v1", "labels": {"app": SERVICE}, "trafficPolicy": _traffic(dice, call)}
        ]
        if dice.chance(70):
            spec["trafficPolicy"] = spec.get("trafficPolicy", {}) | _traffic(dice, call)
        found.objects.append(one)
    if dice.chance(50):
        full = f"{SERVICE}.{space}.svc.cluster.local"
        towards = {"destination": {"host": full, "subset": "v1"}}
        spec = {"hosts": [full], "http" if call.http else "tcp": [{"route": [towards]}]}
        found.objects.append(meta("VirtualService", f"{name}-route", space, spec))
    if dice.chance(40):
        found.objects.append(mtls_cases.peer_authentication(dice, f"{name}-peer", space))
    return found


def _traffic(dice: Dice, call: Ask) -> Object:
    """What a traffic policy says beside TLS."""
    few = {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1}
    outlier = {"consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "60s"}
    choices: tuple[Object, ...] = (
        {"connectionPool": {"tcp": {"maxConnections": 1}, "http": few}},
        {"connectionPool": {"tcp": {"connectTimeout": dice.one(("1ms", "2s"))}}},
        {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}},
        {"connectionPool": {"http": {"idleTimeout": "1s"}}},
        {"connectionPool": {"tcp": {"maxConnectionDuration": "1ms"}}},
        {"outlierDetection": {**outlier, "maxEjectionPercent": dice.one((10, 100))}},
        {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-tenant"}}},
        {"tls": {"mode": "SIMPLE", "sni": "server.example", "insecureSkipVerify": True}},
        {"tls": {"mode": "MUTUAL", "clientCertificate": "/etc/a.pem", "privateKey": "/etc/b.pem"}},
    )
    found = dict(dice.one(choices))
    if dice.chance(30):
        port = {"number": dice.weighted({call.port: 70, TARGETS[call.port]: 30})}
        mode = dice.one(("DISABLE", "ISTIO_MUTUAL"))
        found["portLevelSettings"] = [{"port": port, "tls": {"mode": mode}}]
    return found


def leaving(dice: Dice, name: str, space: str) -> Drawn:
    """A call to a host outside the mesh, and what was said about that host."""
    host = outside(space)
    port = dice.weighted({HTTP: 55, TLS: 33, TCP: 12})
    tls = port == TLS and dice.chance(75)
    call = Ask(
        client=dice.weighted({ALICE: 65, BOB: 35}),
        space=space,
        port=port,
        http=port != TCP,
        tls=tls,
        sni=host if tls else "",
        path=dice.one(whole_cases.PATHS),
        outside=host,
    )
    found = Drawn(ask=call)
    if dice.chance(88):
        found.objects.append(_entry(dice, f"{name}-entry", call))
    if dice.chance(50):
        modes = {"SIMPLE": 50, "DISABLE": 15, "ISTIO_MUTUAL": 15, "MUTUAL": 10, "": 10}
        mode = dice.weighted(modes)
        policy: Object = {"tls": {"mode": mode}} if mode else {"connectionPool": {}}
        if mode == "SIMPLE":
            policy["tls"] |= dice.one(({"insecureSkipVerify": True}, {}, {"sni": host}))
        if mode == "MUTUAL":
            policy["tls"] |= {"clientCertificate": "/etc/a.pem", "privateKey": "/etc/b.pem"}
        if dice.chance(25):
            policy = {"portLevelSettings": [{"port": {"number": dice.one((port, 443))}, **policy}]}
        rule = {"host": dice.weighted({host: 85, f"*.{space}.vendor.example": 15})}
        spec = {**rule, "trafficPolicy": policy}
        found.objects.append(meta("DestinationRule", f"{name}-rule", _place(dice, call), spec))
    if dice.chance(30):
        found.objects.append(_onwards(dice, f"{name}-route", call))
    return found


def _place(dice: Dice, call: Ask) -> str:
    own = call.client.split("/")[0]
    return dice.weighted({own: 75, call.space: 10, ROOT: 5, WEST if own == EAST else EAST: 10})


def _entry(dice: Dice, name: str, call: Ask) -> Object:
    host = call.outside
    usual = {HTTP: "HTTP", TLS: "TLS", TCP: "TCP"}[call.port]
    protocols = {usual: 66, "TCP": 10, "HTTPS": 12, "HTTP": 12}
    port: Object = {
        "number": dice.weighted({call.port: 90, 8080: 5, TLS: 5}),
        "name": "main",
        "protocol": dice.weighted(protocols),
    }
    if dice.chance(15):
        port["targetPort"] = dice.one((TLS, HTTP, 8080))
    names = {host: 80, f"*.{call.space}.vendor.example": 12, f"www.{call.space}.vendor.example": 8}
    chosen = dice.weighted(names)
    spec: Object = {
        "hosts": [chosen],
        "ports": [port],
        "location": dice.weighted({"MESH_EXTERNAL": 85, "MESH_INTERNAL": 15}),
        "resolution": dice.weighted({"DNS": 55, "NONE": 30, "STATIC": 15}),
    }
    if chosen.startswith("*"):
        spec["resolution"] = "NONE"
    if spec["resolution"] == "STATIC":
        spec["endpoints"] = [{"address": dice.one(("%ip:dif-out/vendor%", "10.88.31.99"))}]
    if spec["resolution"] == "DNS" and dice.chance(15):
        spec["endpoints"] = [{"address": dice.one((host, f"gone.{host}"))}]
    if dice.chance(15):
        spec["exportTo"] = dice.one((["."], ["*"], [EAST]))
    return meta("ServiceEntry", name, _place(dice, call), spec)


def _onwards(dice: Dice, name: str, call: Ask) -> Object:
    """A VirtualService for a host outside."""
    host = call.outside
    towards: Object = {"destination": {"host": dice.weighted({host: 85, f"x{host}": 15})}}
    if dice.chance(40):
        towards["destination"]["port"] = {"number": dice.weighted({call.port: 70, TLS: 30})}
    spec: Object = {"hosts": [host]}
    if call.tls:
        match = {"port": TLS, "sniHosts": [host]}
        spec["tls"] = [{"match": [match], "route": [towards]}]
    elif call.http:
        more: Object = dice.one(
            ({"timeout": "5s"}, {"match": [{"uri": {"prefix": "/orders"}}]}, {})
        )
        spec["http"] = [{**more, "route": [towards]}]
    else:
        spec["tcp"] = [{"route": [towards]}]
    return meta("VirtualService", name, _place(dice, call), spec)


KINDS: dict[str, tuple[int, Callable[[Dice, str, str], Drawn]]] = {
    "mixed": (20, whole_cases.mixed),
    "gateway": (16, gateway),
    "filters": (12, filters),
    "versions": (12, versions),
    "servers": (12, servers),
    "identities": (8, identities),
    "rules": (10, rules),
    "leaving": (14, leaving),
    "scoped": (10, whole_scopes.scoped),
    "delegated": (8, whole_scopes.delegated),
    "inbound": (8, whole_scopes.inbound),
}
"""The kinds of cases, with their weights."""


def everywhere(seed: int, number: int) -> list[Object]:
    """What a round has for all its cases: now and then a caller's Sidecar."""
    dice = Dice("whole-everywhere", seed, number)
    found = [
        mtls_cases.sidecar(dice, f"dif-round-{number}", client)
        for client in (ALICE, BOB)
        if dice.chance(12)
    ]
    for client in (EAST, WEST):
        if dice.chance(15) and all(one["metadata"]["namespace"] != client for one in found):
            policy = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
            spec = {**policy, "egress": [{"hosts": ["*/*"]}]}
            found.append(meta("Sidecar", f"dif-round-{number}", client, spec))
    return found
