"""Which incidents of what callers' proxies send, and what is left to judge, are rebuilt from public
reports?"""

from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at


def authorizer_asked_about_connections() -> Posted:
    """istio/istio#33877."""
    world = Posted(
        name="authorizer-asked-about-connections",
        version="1.9.4",
        apis=BETA,
        summary="The application's own TLS on port 443 is not read, so the authorizer gets no "
        "headers and denies the connection.",
        at_fault=["AuthorizationPolicy/foo/ext-authz", "Service/foo/api"],
        fix="Plain HTTP between the proxies, or leave port 443 out of the policy.",
        from_="foo/sleep",
        to="foo/api:443",
    )
    world.namespace("foo")
    client = world.workload("foo", "sleep", [])
    server = world.workload("foo", "api", [8080, 8443])
    world.service("foo", "api", [("http", 80, 8080), ("https", 443, 8443)])
    world.workload("foo", "ext-authz", [9000])
    world.service("foo", "ext-authz", [("grpc", 9000, 9000)])
    world.change("ConfigMap", "istio-system", "istio", _provider)
    policy = {
        "selector": {"matchLabels": {"app": "api"}},
        "action": "CUSTOM",
        "provider": {"name": "ext-authz"},
        "rules": [{}],
    }
    world.config("AuthorizationPolicy", "foo", "ext-authz", policy)
    for minute in (8, 6, 4):
        world.log(
            server,
            "istio-proxy",
            access(
                at(minute),
                "- - -",
                0,
                "UAEX",
                "ext_authz_denied",
                agent="-",
                upstream="-",
                cluster="inbound|8443||",
                local="-",
                downstream=f"{server.ip}:8443",
                peer=f"{client.ip}:40110",
                sni="outbound_.443_._.api.foo.svc.cluster.local",
            ),
        )
    return world


def entry_takes_the_callers_identity() -> Posted:
    """istio/istio.io#14952."""
    host = "ledger.bank.svc.cluster.local"
    world = Posted(
        name="entry-takes-the-callers-identity",
        version="1.20.3",
        apis=BETA,
        summary="A ServiceEntry of resolution NONE has the Service's host for itself, so callers "
        "send plaintext and show no identity.",
        at_fault=["ServiceEntry/web/ledger", "AuthorizationPolicy/bank/ledger"],
        fix="Delete the ServiceEntry.",
        from_="web/front",
        to="bank/ledger:8080",
        request={"method": "GET", "path": "/test", "host": f"{host}:8080"},
    )
    client, server = _ends(world)
    entry = {
        "exportTo": ["."],
        "hosts": [host],
        "location": "MESH_INTERNAL",
        "ports": [{"name": "http-ledger", "number": 8080, "protocol": "HTTP"}],
        "resolution": "NONE",
    }
    world.config("ServiceEntry", "web", "ledger", entry)
    rules = [{"from": [{"source": {"principals": ["cluster.local/ns/web/sa/front"]}}]}]
    policy = {"selector": {"matchLabels": {"app": "ledger"}}, "rules": rules}
    world.config("AuthorizationPolicy", "bank", "ledger", policy)
    for minute in (8, 6, 4):
        world.log(
            server,
            "istio-proxy",
            access(
                at(minute),
                "GET /test HTTP/1.1",
                403,
                "-",
                "rbac_access_denied_matched_policy[none]",
                authority=f"{host}:8080",
                upstream="-",
                cluster="inbound|8080||",
                local="-",
                downstream=f"{server.ip}:8080",
                peer=f"{client.ip}:40110",
                route="default",
            ),
        )
    return world


def port_exception_of_a_headless_service() -> Posted:
    """istio/istio#39439."""
    world = Posted(
        name="port-exception-of-a-headless-service",
        version="1.14.1",
        apis=BETA,
        summary="Clients of a headless Service decide by namespace and mesh, and do not see that "
        "the port is DISABLE.",
        at_fault=["PeerAuthentication/bank/ledger"],
        fix="A DestinationRule with tls DISABLE for that host, or no exception.",
        from_="web/front",
        to="bank/ledger:8080",
        request={"method": "GET", "path": "/", "host": "ledger.bank:8080"},
    )
    client, server = _ends(world)
    world.change("Service", "bank", "ledger", _headless)
    policy = {
        "selector": {"matchLabels": {"app": "ledger"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"8080": {"mode": "DISABLE"}},
    }
    world.config("PeerAuthentication", "bank", "ledger", policy)
    error = "TLS_error:_268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
    for minute in (8, 6, 4):
        world.log(
            client,
            "istio-proxy",
            access(
                at(minute),
                "GET / HTTP/1.1",
                503,
                "UF,URX",
                f"upstream_reset_before_response_started{{connection_failure,{error}}}",
                transport=error.replace("_", " "),
                authority="ledger.bank:8080",
                upstream=f"{server.ip}:8080",
                cluster="outbound|8080||ledger.bank.svc.cluster.local",
                local=f"{client.ip}:30444",
                downstream=f"{server.ip}:8080",
                peer=f"{client.ip}:40110",
                route="default",
            ),
        )
    return world


def _ends(world: Posted) -> tuple[Pod, Pod]:
    world.namespace("web")
    world.namespace("bank")
    client = world.workload("web", "front", [3000])
    world.service("web", "front", [("http", 80, 3000)])
    server = world.workload("bank", "ledger", [8080])
    world.service("bank", "ledger", [("http", 8080, 8080)])
    return client, server


def _headless(service: Manifest) -> None:
    service["spec"].update(clusterIP="None")


def _provider(config: Manifest) -> None:
    config["data"]["mesh"] += (
        "extensionProviders:\n- name: ext-authz\n  envoyExtAuthzGrpc:\n"
        "    service: ext-authz.foo.svc.cluster.local\n    port: 9000\n"
    )


POSTED_CALLERS = (
    authorizer_asked_about_connections,
    entry_takes_the_callers_identity,
    port_exception_of_a_headless_service,
)
