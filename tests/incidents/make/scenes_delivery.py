"""Which incidents concern delivery of configuration and of sidecars?"""

from typing import Any

from tests.incidents.make import objects as o
from tests.incidents.make.demos import HTTP, LEDGER, shop
from tests.incidents.make.lines import exchange, request
from tests.incidents.make.world import Pod, World, at, whole


def subset_missing() -> World:
    world = World(
        name="subset-missing",
        summary="The VirtualService routes to subset v2, which the DestinationRule does not have.",
        at_fault=["VirtualService/payments/ledger", "DestinationRule/payments/ledger"],
        fix="Add the subset v2 to the DestinationRule.",
    )
    checkout, _ = shop(world)
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    world.config("DestinationRule", "payments", "ledger", {"host": LEDGER, "subsets": subsets})
    route = [{"destination": {"host": LEDGER, "subset": "v2"}}]
    world.config(
        "VirtualService",
        "payments",
        "ledger",
        {"hosts": [LEDGER], "http": [{"route": route}]},
        changed=whole(9),
    )
    _failing(world, checkout, 503, "NC", "cluster_not_found", cluster=f"outbound|8080|v2|{LEDGER}")
    return world


def _failing(
    world: World, client: Pod, code: int, flags: str, details: str, cluster: str = ""
) -> None:
    for i in range(8):
        line = request(
            8 - i,
            client=client,
            server=None,
            host=LEDGER,
            port=8080,
            side="outbound",
            code=code,
            flags=flags,
            details=details,
        )
        if cluster:
            line = line.replace(f"outbound|8080||{LEDGER}", cluster)
        world.log(client, "istio-proxy", line)


def gateway_not_bound() -> World:
    world = World(
        name="virtual-service-not-bound",
        summary="The VirtualService names a Gateway of its own namespace; there is none.",
        at_fault=["VirtualService/orders/checkout"],
        fix="Name the gateway as edge/public.",
        from_="edge/ingress",
        to="orders/checkout:8080",
        request={"method": "GET", "path": "/cart", "host": "shop.example"},
    )
    shop(world)
    world.namespace("edge")
    ingress = world.workload(
        "edge", "ingress", [80, 15021], role="router", labels={"app": "ingress", "istio": "ingress"}
    )
    world.service("edge", "ingress", [("http2", 80, 80)], {"istio": "ingress"})
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    selector = {"istio": "ingress"}
    world.config("Gateway", "edge", "public", {"selector": selector, "servers": servers})
    target = {"host": "checkout.orders.svc.cluster.local", "port": {"number": 8080}}
    world.config(
        "VirtualService",
        "orders",
        "checkout",
        {
            "hosts": ["shop.example"],
            "gateways": ["public"],
            "http": [{"route": [{"destination": target}]}],
        },
        changed=whole(12),
    )
    for i in range(8):
        world.log(
            ingress,
            "istio-proxy",
            f'[{at(11 - i)}] "GET /cart HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - '
            f'"203.0.113.{9 + i}" "Mozilla/5.0" "c0ffee0{i}-4b1d-9e55-8a77-0d9b5f3a6e1{i}" '
            f'"shop.example" "-" - - {ingress.ip}:80 203.0.113.{9 + i}:51{i}44 - -',
        )
    return world


def selects_nothing() -> World:
    world = World(
        name="service-selects-nothing",
        summary="A release renamed the pods' label, and the Service still selects the old one.",
        at_fault=["Service/payments/ledger"],
        fix="Select app=ledger in the Service.",
    )
    checkout, _ = shop(world)
    world.services = [s for s in world.services if s[1] != "ledger"]
    world.service("payments", "ledger", HTTP, {"app": "ledger-api"})
    _failing(world, checkout, 503, "UH", "no_healthy_upstream")
    return world


def rejected_listener() -> World:
    world = World(
        name="envoyfilter-rejected",
        summary="An EnvoyFilter adds a Lua filter that does not parse: proxies keep old listeners.",
        at_fault=["EnvoyFilter/payments/tag-requests"],
        fix="Correct the script, or delete the EnvoyFilter.",
        from_="payments/ledger",
        to="",
    )
    _, ledger = shop(world)
    lua = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND"},
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {
                "name": "tag-requests",
                "typed_config": {"@type": lua, "inlineCode": "function envoy_on_request(h\n"},
            },
        },
    }
    world.config(
        "EnvoyFilter",
        "payments",
        "tag-requests",
        {"workloadSelector": {"labels": {"app": "ledger"}}, "configPatches": [patch]},
        changed=whole(33),
    )
    problem = (
        "Error adding/updating listener(s) virtualInbound: script load error: "
        "[string \"function envoy_on_request(h...\"]:2: ')' expected near '<eof>'"
    )
    world.status_overrides[ledger.name] = {"LDS": "ERROR"}
    for i in range(4):
        world.log(
            ledger,
            "istio-proxy",
            f"{at(33 - i * 7)}\twarning\tenvoy config external/envoy/source/extensions/"
            "config_subscription/grpc/grpc_subscription_impl.cc:138\tdelta config for "
            f"type.googleapis.com/envoy.config.listener.v3.Listener rejected: {problem}\tthread=16",
        )
        world.log(
            world.istiod,
            "discovery",
            f"{at(33 - i * 7)}\twarn\tads\tADS:LDS: ACK ERROR {ledger.name}.payments-2 "
            f"Internal:{problem}",
        )
    return world


def namespace_not_enabled() -> World:
    world = World(
        name="namespace-not-enabled",
        summary="The new namespace was created without the injection label.",
        at_fault=["Namespace//returns"],
        fix="Label the namespace istio-injection=enabled and restart its workloads.",
        from_="returns/refunds",
        to="",
    )
    shop(world)
    world.namespace("returns", inject=False, **{"app.kubernetes.io/part-of": "shop"})
    world.workload("returns", "refunds", [8080], injected=False)
    world.service("returns", "refunds", HTTP)
    return world


def opted_out() -> World:
    world = World(
        name="pod-opted-out",
        summary="The pod template says sidecar.istio.io/inject: false.",
        at_fault=["Deployment/orders/invoices"],
        fix="Remove the label from the template.",
        from_="orders/invoices",
        to="",
    )
    shop(world)
    labels = {"app": "invoices", "sidecar.istio.io/inject": "false"}
    world.workload("orders", "invoices", [8080], injected=False, labels=labels)
    world.service("orders", "invoices", HTTP, {"app": "invoices"})
    return world


def _without_pods(world: World, namespace: str, name: str, message: str) -> None:
    """Takes the pod away again, and lets its ReplicaSet say why there is none."""
    pod = next(p for p in world.pods if p.namespace == namespace and p.workload == name)
    world.pods.remove(pod)
    world.objects.remove(pod.manifest)
    replica = pod.name.rpartition("-")[0]
    for one in world.objects:
        if one["metadata"]["name"] == replica and one["kind"] == "ReplicaSet":
            one["status"] = {
                "replicas": 0,
                "conditions": [
                    {
                        "type": "ReplicaFailure",
                        "status": "True",
                        "reason": "FailedCreate",
                        "message": message,
                        "lastTransitionTime": whole(31),
                    }
                ],
            }
        if one["metadata"]["name"] == name and one["kind"] == "Deployment":
            one["status"] = {
                "replicas": 0,
                "unavailableReplicas": 1,
                "conditions": [
                    {
                        "type": "Available",
                        "status": "False",
                        "reason": "MinimumReplicasUnavailable",
                    },
                    {
                        "type": "ReplicaFailure",
                        "status": "True",
                        "reason": "FailedCreate",
                        "message": message,
                    },
                ],
            }
    world.objects.append(_event(namespace, replica, message))


def _event(namespace: str, replica: str, message: str) -> dict[str, Any]:
    return o.make(
        "Event",
        namespace,
        f"{replica}.{o.code(replica + message, 16, '0123456789abcdef')}",
        created=whole(31),
        by="kube-controller-manager",
        type="Warning",
        reason="FailedCreate",
        message=f"Error creating: {message}",
        count=14,
        firstTimestamp=whole(31),
        lastTimestamp=whole(2),
        involvedObject={
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": replica,
            "namespace": namespace,
        },
        source={"component": "replicaset-controller"},
        reportingComponent="replicaset-controller",
    )


def quota() -> World:
    world = World(
        name="quota-refuses",
        summary="The namespace's quota wants CPU limits on all containers; one has none left.",
        at_fault=["ResourceQuota/orders/compute"],
        fix="Raise the quota by what the sidecars ask for.",
        from_="orders/basket",
        to="",
    )
    shop(world)
    world.workload("orders", "basket", [8080])
    world.service("orders", "basket", HTTP)
    hard = {"limits.cpu": "4", "limits.memory": "4Gi"}
    world.config(
        "ResourceQuota",
        "orders",
        "compute",
        {"hard": hard},
        status={"hard": hard, "used": {"limits.cpu": "4", "limits.memory": "2Gi"}},
    )
    _without_pods(
        world,
        "orders",
        "basket",
        'pods "basket-' + o.code("rs orders/basket", 10) + '-x2k4d" is forbidden: exceeded quota: '
        "compute, requested: limits.cpu=2, used: limits.cpu=4, limited: limits.cpu=4",
    )
    return world


def no_istiod() -> World:
    world = World(
        name="injection-webhook-without-endpoints",
        summary="istiod was scaled to zero, and no pod can be created in injected namespaces.",
        at_fault=["Deployment/istio-system/istiod", "Service/istio-system/istiod"],
        fix="Scale istiod up again.",
        from_="orders/basket",
        to="",
    )
    world.connected = False
    shop(world)
    world.workload("orders", "basket", [8080])
    world.service("orders", "basket", HTTP)
    _without_pods(
        world,
        "orders",
        "basket",
        'Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": '
        'failed to call webhook: Post "https://istiod.istio-system.svc:443/inject?timeout=10s": '
        'no endpoints available for service "istiod"',
    )
    istiod = world.istiod
    world.pods.remove(istiod)
    world.objects.remove(istiod.manifest)
    for one in world.objects:
        name, kind = one["metadata"]["name"], one["kind"]
        if (
            kind == "Deployment"
            and name == "istiod"
            or (kind == "ReplicaSet" and name.startswith("istiod-"))
        ):
            one["spec"]["replicas"] = 0
            one["status"] = {"replicas": 0}
    return world


def host_network() -> World:
    world = World(
        name="healthy-host-network",
        summary="A node agent on the host network has no sidecar, as designed.",
        at_fault=[],
        healthy=True,
        fix="Nothing to do.",
        from_="orders/node-agent",
        to="",
    )
    checkout, ledger = shop(world)
    agent = world.workload("orders", "node-agent", [9100], injected=False)
    for one in world.objects:
        if one["metadata"]["name"] == "node-agent" and one["kind"] == "Deployment":
            one["spec"]["template"]["spec"]["hostNetwork"] = True
    agent.manifest["spec"]["hostNetwork"] = True
    agent.manifest["status"]["podIP"] = agent.manifest["status"]["hostIP"]
    agent.manifest["status"]["podIPs"] = [{"ip": agent.manifest["status"]["hostIP"]}]
    for i in range(4):
        out, inside = exchange(9 - i, checkout, ledger, LEDGER, 8080, "/v1/balance")
        world.log(checkout, "istio-proxy", out)
        world.log(ledger, "istio-proxy", inside)
    return world


DELIVERY = (
    gateway_not_bound,
    host_network,
    namespace_not_enabled,
    no_istiod,
    opted_out,
    quota,
    rejected_listener,
    selects_nothing,
    subset_missing,
)
