"""Which further incidents test whole runs? Mutual TLS and authorization; the others are beside."""

from tests.incidents.make.demos import HTTP, LEDGER, shop
from tests.incidents.make.lines import exchange, refused, request, reset
from tests.incidents.make.scenes_delivery import DELIVERY
from tests.incidents.make.scenes_healthy_gateways import HEALTHY_GATEWAYS
from tests.incidents.make.scenes_posted import POSTED
from tests.incidents.make.scenes_posted_ambient import POSTED_AMBIENT
from tests.incidents.make.scenes_posted_callers import POSTED_CALLERS
from tests.incidents.make.scenes_posted_calls import POSTED_CALLS
from tests.incidents.make.scenes_posted_control import POSTED_CONTROL
from tests.incidents.make.scenes_posted_eks import POSTED_EKS
from tests.incidents.make.scenes_posted_ends import POSTED_ENDS
from tests.incidents.make.scenes_posted_gateways import POSTED_GATEWAYS
from tests.incidents.make.scenes_posted_identities import POSTED_IDENTITIES
from tests.incidents.make.scenes_posted_injection import POSTED_INJECTION
from tests.incidents.make.scenes_posted_names import POSTED_NAMES
from tests.incidents.make.scenes_posted_nodes import POSTED_NODES
from tests.incidents.make.scenes_posted_outside import POSTED_OUTSIDE
from tests.incidents.make.scenes_posted_paths import POSTED_PATHS
from tests.incidents.make.scenes_posted_pods import POSTED_PODS
from tests.incidents.make.scenes_posted_requests import POSTED_REQUESTS
from tests.incidents.make.scenes_posted_routes import POSTED_ROUTES
from tests.incidents.make.scenes_posted_setup import POSTED_SETUP
from tests.incidents.make.scenes_posted_signers import POSTED_SIGNERS
from tests.incidents.make.scenes_posted_templates import POSTED_TEMPLATES
from tests.incidents.make.scenes_posted_trust import POSTED_TRUST
from tests.incidents.make.scenes_posted_upgrades import POSTED_UPGRADES
from tests.incidents.make.scenes_posted_upkeep import POSTED_UPKEEP
from tests.incidents.make.world import Pod, World, at, whole

CALL = {"method": "POST", "path": "/v1/entries", "host": "ledger.payments:8080"}


def mutual_to_unmeshed() -> World:
    world = World(
        name="mutual-to-unmeshed",
        summary="A DestinationRule forces mutual TLS towards a server that has no proxy.",
        at_fault=["DestinationRule/orders/legacy-db-api"],
        fix="Remove the tls block: automatic mTLS sees that the server has no proxy.",
        from_="orders/checkout",
        to="legacy/db-api:8080",
    )
    checkout, _ = shop(world)
    world.namespace("legacy", inject=False)
    api = world.workload("legacy", "db-api", [8080], injected=False)
    world.service("legacy", "db-api", HTTP)
    host = "db-api.legacy.svc.cluster.local"
    world.config(
        "DestinationRule",
        "orders",
        "legacy-db-api",
        {"host": host, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
        changed=whole(41),
    )
    wrong = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"
    for i in range(9):
        line = reset(
            38 - i * 4,
            checkout,
            api,
            host,
            8080,
            flags="URX,UF",
            details="upstream_reset_before_response_started{remote_connection_failure|"
            + wrong
            + "}",
            transport=wrong,
        )
        world.log(checkout, "istio-proxy", line)
    world.log(api, "db-api", f"{at(38)} WARN malformed request line: \\x16\\x03\\x01\\x02\\x00")
    return world


def port_exception_by_service_port() -> World:
    world = World(
        name="port-exception-by-service-port",
        summary="The PERMISSIVE exception is keyed by the service port, not by the container's.",
        at_fault=["PeerAuthentication/payments/metrics-open"],
        fix="Key portLevelMtls by 9100, the port the container listens on.",
        from_="monitoring/scraper",
        to="payments/ledger:80",
    )
    checkout, ledger = shop(world)
    world.services = [s for s in world.services if s[1] != "ledger"]
    ledger.manifest["spec"]["containers"][0]["ports"].append(
        {"containerPort": 9100, "protocol": "TCP"}
    )
    world.service("payments", "ledger", [("http", 8080, 8080), ("http-stats", 80, 9100)])
    world.namespace("monitoring", inject=False)
    scraper = world.workload("monitoring", "scraper", [9090], injected=False)
    world.config(
        "PeerAuthentication",
        "payments",
        "metrics-open",
        {
            "selector": {"matchLabels": {"app": "ledger"}},
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {"80": {"mode": "PERMISSIVE"}},
        },
        changed=whole(190),
    )
    for i in range(20):
        world.log(ledger, "istio-proxy", refused(20 - i, ledger, scraper.ip, target=9100))
    world.log(scraper, "scraper", f'{at(1)} level=warn msg="scrape failed" err="connection reset"')
    return world


def plaintext_between_permissive() -> World:
    world = World(
        name="healthy-plaintext-between-permissive",
        summary="A DestinationRule turns TLS off, and the server accepts it: it works.",
        at_fault=[],
        healthy=True,
        fix="Nothing to do.",
    )
    checkout, ledger = shop(world)
    strict = next(o for o in world.objects if o["kind"] == "PeerAuthentication")
    strict["spec"]["mtls"]["mode"] = "PERMISSIVE"
    tls = {"tls": {"mode": "DISABLE"}}
    world.config("DestinationRule", "payments", "ledger", {"host": LEDGER, "trafficPolicy": tls})
    common = {"client": checkout, "server": ledger, "host": LEDGER, "port": 8080, "path": "/v1"}
    for i in range(6):
        for side, pod in (("outbound", checkout), ("inbound", ledger)):
            line = request(14 - i * 2, side=side, mtls=False, **common)  # type: ignore[arg-type]
            world.log(pod, "istio-proxy", line)
    return world


def _denied(world: World, client: Pod, server: Pod, policy: str, path: str, method: str) -> None:
    details = f"rbac_access_denied_matched_policy[{policy}]"
    common = {"client": client, "server": server, "host": LEDGER, "port": 8080, "path": path}
    for i in range(7):
        for side, pod in (("outbound", client), ("inbound", server)):
            line = request(
                16 - i * 2,
                side=side,
                method=method,
                code=403,
                details=details if side == "inbound" else "via_upstream",
                **common,  # type: ignore[arg-type]
            )
            world.log(pod, "istio-proxy", line)


def _policy(world: World, name: str, action: str, rules: list[dict[str, object]]) -> None:
    world.config(
        "AuthorizationPolicy",
        "payments",
        name,
        {"selector": {"matchLabels": {"app": "ledger"}}, "action": action, "rules": rules},
        changed=whole(17),
        by="argocd-controller",
    )


def deny_policy() -> World:
    world = World(
        name="deny-policy-matched",
        summary="A DENY policy meant for /v1/admin ends in a star that takes /v1/entries too.",
        at_fault=["AuthorizationPolicy/payments/no-admin"],
        fix="Name the admin paths instead of /v1/*.",
        request=CALL,
    )
    checkout, ledger = shop(world)
    _policy(world, "no-admin", "DENY", [{"to": [{"operation": {"paths": ["/v1/*"]}}]}])
    _denied(world, checkout, ledger, "ns[payments]-policy[no-admin]-rule[0]", "/v1/entries", "POST")
    return world


def other_account() -> World:
    world = World(
        name="other-service-account",
        summary="The policy allows sa/checkout-api; the caller runs as sa/checkout.",
        at_fault=["AuthorizationPolicy/payments/ledger-callers"],
        fix="Allow cluster.local/ns/orders/sa/checkout.",
        request=CALL,
    )
    checkout, ledger = shop(world)
    source = {"source": {"principals": ["cluster.local/ns/orders/sa/checkout-api"]}}
    _policy(world, "ledger-callers", "ALLOW", [{"from": [source]}])
    _denied(world, checkout, ledger, "none", "/v1/entries", "POST")
    return world


def method_missing() -> World:
    world = World(
        name="method-not-allowed",
        summary="The only ALLOW policy lets GET through; the caller uses POST.",
        at_fault=["AuthorizationPolicy/payments/ledger-readers"],
        fix="Add POST to the methods of the rule for /v1/entries.",
        request=CALL,
    )
    checkout, ledger = shop(world)
    operation = {"operation": {"methods": ["GET"], "paths": ["/v1/*"]}}
    source = {"source": {"principals": ["cluster.local/ns/orders/sa/checkout"]}}
    _policy(world, "ledger-readers", "ALLOW", [{"from": [source], "to": [operation]}])
    _denied(world, checkout, ledger, "none", "/v1/entries", "POST")
    return world


def token_absent() -> World:
    world = World(
        name="token-absent",
        summary="The policy wants a token, and the request carries none.",
        at_fault=["AuthorizationPolicy/payments/need-token"],
        fix="Send the token, or do not ask for one from workloads inside the mesh.",
        request=CALL,
    )
    checkout, ledger = shop(world)
    world.config(
        "RequestAuthentication",
        "payments",
        "tokens",
        {
            "selector": {"matchLabels": {"app": "ledger"}},
            "jwtRules": [
                {
                    "issuer": "https://id.example",
                    "jwksUri": "https://id.example/.well-known/jwks.json",
                }
            ],
        },
    )
    _policy(world, "need-token", "ALLOW", [{"from": [{"source": {"requestPrincipals": ["*"]}}]}])
    _denied(world, checkout, ledger, "none", "/v1/entries", "POST")
    return world


def denies_others() -> World:
    world = World(
        name="healthy-deny-for-others",
        summary="A DENY policy exists, and it concerns other callers only.",
        at_fault=[],
        healthy=True,
        fix="Nothing to do.",
        request={"method": "GET", "path": "/v1/balance", "host": "ledger.payments:8080"},
    )
    checkout, ledger = shop(world)
    others = {"source": {"notPrincipals": ["cluster.local/ns/orders/sa/checkout"]}}
    _policy(world, "only-checkout", "DENY", [{"from": [others]}])
    for i in range(6):
        out, inside = exchange(12 - i, checkout, ledger, LEDGER, 8080, "/v1/balance")
        world.log(checkout, "istio-proxy", out)
        world.log(ledger, "istio-proxy", inside)
    return world


SCENES = (
    deny_policy,
    denies_others,
    method_missing,
    mutual_to_unmeshed,
    other_account,
    plaintext_between_permissive,
    port_exception_by_service_port,
    token_absent,
    *DELIVERY,
    *HEALTHY_GATEWAYS,
    *POSTED,
    *POSTED_AMBIENT,
    *POSTED_CALLERS,
    *POSTED_CALLS,
    *POSTED_NAMES,
    *POSTED_CONTROL,
    *POSTED_GATEWAYS,
    *POSTED_INJECTION,
    *POSTED_EKS,
    *POSTED_OUTSIDE,
    *POSTED_PATHS,
    *POSTED_PODS,
    *POSTED_REQUESTS,
    *POSTED_ROUTES,
    *POSTED_SETUP,
    *POSTED_TEMPLATES,
    *POSTED_UPGRADES,
    *POSTED_ENDS,
    *POSTED_SIGNERS,
    *POSTED_UPKEEP,
    *POSTED_IDENTITIES,
    *POSTED_NODES,
    *POSTED_TRUST,
)
