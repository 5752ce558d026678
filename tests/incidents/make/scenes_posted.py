"""Which incidents are rebuilt from public reports? The calls that fail; the pods are beside."""

from tests.incidents.make.lines import refused
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.world import Pod, at, whole

NETWORKING = ("Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "Sidecar")
SECURITY = ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication")
BETA = dict.fromkeys(NETWORKING, "networking.istio.io/v1beta1") | dict.fromkeys(
    SECURITY, "security.istio.io/v1beta1"
)
ALPHA = BETA | dict.fromkeys(NETWORKING, "networking.istio.io/v1alpha3")
SHOP = {"method": "GET", "path": "/", "host": "shop.example.com"}
NLB = "service.beta.kubernetes.io/aws-load-balancer-"


def load_balancer_calls_strict_pods() -> Posted:
    """istio/istio#43056."""
    world = Posted(
        name="load-balancer-calls-strict-pods",
        version="1.16.1",
        apis=BETA,
        summary="The ALB sends plaintext to pods that a mesh-wide STRICT tells to refuse it.",
        at_fault=["PeerAuthentication/istio-system/default", "Ingress/shop/web"],
        fix="Route the ALB to the ingress gateway, or accept plaintext on the port it reaches.",
        from_="",
        to="shop/web:80",
        request=SHOP,
    )
    world.namespace("shop")
    web = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    world.change("Service", "shop", "web", lambda one: one["spec"].update(type="NodePort"))
    strict = {"mtls": {"mode": "STRICT"}}
    world.config("PeerAuthentication", "istio-system", "default", strict, changed=whole(70))
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    hostname = "k8s-shop-web-6d1f.eu-west-1.elb.amazonaws.com"
    world.config(
        "Ingress",
        "shop",
        "web",
        {
            "ingressClassName": "alb",
            "rules": [{"host": "shop.example.com", "http": {"paths": [path]}}],
        },
        annotations={"alb.ingress.kubernetes.io/target-type": "instance"},
        status={"loadBalancer": {"ingress": [{"hostname": hostname}]}},
    )
    for i in range(8):
        node = ("10.20.2.201", "10.20.1.57")[i % 2]
        world.log(web, "istio-proxy", refused(30 - i * 2, web, node))
    world.status()
    return world


def tls_to_plaintext_port() -> Posted:
    """istio/istio#37348."""
    world = Posted(
        name="tls-to-plaintext-port",
        version="1.12.3",
        apis=BETA,
        summary="The egress gateway starts TLS towards port 80 of a host that speaks HTTP there.",
        at_fault=[
            "VirtualService/news/through-egress-gateway",
            "DestinationRule/news/originate-tls",
        ],
        fix="Route the egress gateway to port 443, and originate TLS there.",
        from_="istio-system/istio-egressgateway",
        to="",
        request={"method": "GET", "path": "/politics", "host": "news.example.com"},
    )
    world.namespace("news")
    reader = world.workload("news", "reader", [])
    labels = {"app": "istio-egressgateway", "istio": "egressgateway"}
    gateway = world.workload(
        "istio-system", "istio-egressgateway", [8080, 8443], role="router", labels=labels
    )
    ports = [("http2", 80, 8080), ("https", 443, 8443)]
    world.service("istio-system", "istio-egressgateway", ports, {"istio": "egressgateway"})
    http = {"number": 80, "name": "http", "protocol": "HTTP"}
    https = {"number": 443, "name": "https", "protocol": "HTTPS"}
    hosts = ["news.example.com"]
    entry = {"hosts": hosts, "ports": [http, https], "resolution": "DNS"}
    world.config("ServiceEntry", "news", "news", entry)
    servers = [{"port": http, "hosts": hosts}]
    selector = {"istio": "egressgateway"}
    world.config(
        "Gateway", "news", "istio-egressgateway", {"selector": selector, "servers": servers}
    )
    out = "istio-egressgateway.istio-system.svc.cluster.local"
    steps = (("mesh", out), ("istio-egressgateway", "news.example.com"))
    routes = [
        {
            "match": [{"gateways": [name], "port": 80}],
            "route": [{"destination": {"host": host, "port": {"number": 80}}}],
        }
        for name, host in steps
    ]
    spec = {"hosts": hosts, "gateways": ["istio-egressgateway", "mesh"], "http": routes}
    world.config("VirtualService", "news", "through-egress-gateway", spec, changed=whole(33))
    tls = {"port": {"number": 80}, "tls": {"mode": "SIMPLE", "sni": "news.example.com"}}
    rule = {"host": "news.example.com", "trafficPolicy": {"portLevelSettings": [tls]}}
    world.config("DestinationRule", "news", "originate-tls", rule, changed=whole(33))
    for i in range(4):
        _plaintext_answered(world, reader, gateway, 12 - i)
    return world


def _plaintext_answered(world: Posted, reader: Pod, gateway: Pod, minutes: int) -> None:
    """One call that failed at the egress gateway, as both proxies log it."""
    wrong = "TLS_error:_268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
    started = "upstream_reset_before_response_started"
    failed = access(
        at(minutes),
        "GET /politics HTTP/2",
        503,
        "UF,URX",
        f"{started}{{connection_failure,{wrong}}}",
        transport=wrong,
        authority="news.example.com",
        upstream="203.0.113.65:80",
        cluster="outbound|80||news.example.com",
        downstream=f"{gateway.ip}:8080",
        peer=f"{reader.ip}:39{minutes}",
        forwarded=reader.ip,
    )
    seen = access(
        at(minutes),
        "GET /politics HTTP/1.1",
        503,
        "-",
        "via_upstream",
        authority="news.example.com",
        upstream=f"{gateway.ip}:8080",
        cluster="outbound|80||istio-egressgateway.istio-system.svc.cluster.local",
        local=f"{reader.ip}:50{minutes}",
        downstream="203.0.113.65:80",
        peer=f"{reader.ip}:40{minutes}",
    )
    world.log(gateway, "istio-proxy", failed)
    world.log(reader, "istio-proxy", seen)


def sidecar_leaves_host_out() -> Posted:
    """istio/istio#28994."""
    host = "metadata.google.internal"
    world = Posted(
        name="sidecar-leaves-host-out",
        version="1.7.5",
        apis=ALPHA,
        summary="The ServiceEntry is in istio-system; the Sidecar imports its own namespace only.",
        at_fault=["Sidecar/cloudsql/default"],
        fix="Add istio-system/* to the egress hosts of the Sidecar.",
        from_="cloudsql/cloudsql-proxy",
        to="",
        request={"method": "GET", "path": "/computeMetadata/v1/instance", "host": host},
    )
    world.namespace("cloudsql")
    world.mesh["outboundTrafficPolicy"] = {"mode": "REGISTRY_ONLY"}
    pod = world.workload("cloudsql", "cloudsql-proxy", [3306])
    world.service("cloudsql", "cloudsql-proxy", [("tcp-mysql", 3306, 3306)])
    entry = {
        "hosts": [host],
        "addresses": ["169.254.169.254"],
        "location": "MESH_EXTERNAL",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "DNS",
    }
    world.config("ServiceEntry", "istio-system", host, entry)
    own = {"egress": [{"hosts": ["./*"]}]}
    world.config("Sidecar", "cloudsql", "default", own, changed=whole(200))
    for i in range(5):
        line = access(
            at(20 - i),
            "GET /computeMetadata/v1/instance HTTP/1.1",
            502,
            "-",
            "-",
            authority=host,
            downstream="169.254.169.254:80",
            peer=f"{pod.ip}:4{i}120",
            route="block_all",
            agent="Go-http-client/1.1",
        )
        world.log(pod, "istio-proxy", line)
    return world


def healthy_nodes_shut_to_each_other() -> Posted:
    """istio/istio#41197."""
    host = "httpbin.httpbin.svc.cluster.local"
    world = Posted(
        name="healthy-nodes-shut-to-each-other",
        version="1.15.0",
        apis=BETA,
        summary="A security group of AWS stops the node port's traffic before it meets the mesh.",
        at_fault=["SecurityGroup//node (of AWS, not of the cluster)"],
        healthy=True,
        fix="Allow node to node traffic on the gateway's port, or use target-type ip.",
        from_="istio-ingress/istio-ingressgateway",
        to="httpbin/httpbin:8000",
    )
    world.namespace("istio-ingress")
    world.namespace("httpbin")
    gateway = world.gateway("istio-ingress")

    def node_port(one: dict[str, object]) -> None:
        one["spec"] = {**dict(one["spec"]), "type": "NodePort"}  # type: ignore[call-overload]
        one["status"] = {"loadBalancer": {}}

    world.change("Service", "istio-ingress", "istio-ingressgateway", node_port)
    server = world.workload("httpbin", "httpbin", [80])
    world.service("httpbin", "httpbin", [("http", 8000, 80)])
    paths = [
        {
            "path": path,
            "pathType": "Prefix",
            "backend": {"service": {"name": "istio-ingressgateway", "port": {"name": port}}},
        }
        for path, port in (("/healthz/ready", "status-port"), ("/", "http2"))
    ]
    world.config(
        "Ingress",
        "istio-ingress",
        "alb",
        {"ingressClassName": "alb", "rules": [{"http": {"paths": paths}}]},
        annotations={"alb.ingress.kubernetes.io/healthcheck-path": "/healthz/ready"},
    )
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    hosts = ["httpbin.example.com"]
    servers = [{"port": port, "hosts": hosts}]
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "httpbin", "httpbin", {"selector": selector, "servers": servers})
    route = [{"destination": {"host": "httpbin", "port": {"number": 8000}}}]
    spec = {"hosts": hosts, "gateways": ["httpbin"], "http": [{"route": route}]}
    world.config("VirtualService", "httpbin", "httpbin", spec)
    for i in range(4):
        line = access(
            at(20 - i),
            "GET / HTTP/1.1",
            200,
            "-",
            "via_upstream",
            authority="httpbin.example.com",
            upstream=f"{server.ip}:80",
            cluster=f"outbound|8000||{host}",
            local=f"{gateway.ip}:3{i}333",
            downstream=f"{gateway.ip}:8080",
            peer=f"10.20.1.57:4{i}120",
            forwarded="203.0.113.5,10.20.1.57",
        )
        world.log(gateway, "istio-proxy", line)
    return world


def load_balancer_without_subnet() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#3212."""
    world = Posted(
        name="load-balancer-without-subnet",
        version="1.17.2",
        apis=BETA,
        summary="No subnet is tagged for the scheme of the Service: it never gets an address.",
        at_fault=["Service/istio-system/istio-ingressgateway"],
        fix="Tag the subnets, or name them in the annotation aws-load-balancer-subnets.",
        from_="istio-system/istio-ingressgateway",
        to="",
    )
    world.gateway()
    world.namespace("kube-system", inject=False)
    controller = "aws-load-balancer-controller"
    pod = world.workload("kube-system", controller, [9443], injected=False)

    def pending(one: dict[str, object]) -> None:
        one["status"] = {"loadBalancer": {}}
        _annotate(one, {f"{NLB}nlb-target-type": "ip", f"{NLB}scheme": "internet-facing"})

    gateway = "istio-ingressgateway"
    world.change("Service", "istio-system", gateway, pending)
    said = "unable to resolve at least one subnet"
    message = f"Failed build model due to {said}"
    world.event("Service", "istio-system", gateway, "FailedBuildModel", message)
    for i in range(3):
        world.log(
            pod,
            controller,
            f'{{"level":"error","ts":"{at(20 - i * 5)}","msg":"Reconciler error",'
            f'"controller":"service","namespace":"istio-system","name":"{gateway}",'
            f'"error":"{said}"}}',
        )
    return world


def proxy_protocol_on_status_port() -> Posted:
    """istio/istio#39868."""
    world = Posted(
        name="proxy-protocol-on-status-port",
        version="1.14.1",
        apis=BETA,
        summary="The balancer's health check sends PROXY protocol to 15021, which answers 400.",
        at_fault=[
            "Service/istio-system/istio-ingressgateway",
            "EnvoyFilter/istio-system/proxy-protocol",
        ],
        fix="Check health by TCP on the traffic port.",
        from_="istio-system/istio-ingressgateway",
        to="",
    )
    world.gateway()
    world.namespace("web")
    world.workload("web", "frontend", [8080])
    world.service("web", "frontend", [("http", 80, 8080)])
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": ["*"]}]
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "web", "frontend", {"selector": selector, "servers": servers})
    route = [{"destination": {"host": "frontend", "port": {"number": 80}}}]
    spec = {"hosts": ["*"], "gateways": ["frontend"], "http": [{"route": route}]}
    world.config("VirtualService", "web", "frontend", spec)
    notes = {
        f"{NLB}type": "nlb",
        f"{NLB}proxy-protocol": "*",
        f"{NLB}healthcheck-protocol": "http",
        f"{NLB}healthcheck-port": "15021",
        f"{NLB}healthcheck-path": "/healthz/ready",
    }
    world.change(
        "Service", "istio-system", "istio-ingressgateway", lambda one: _annotate(one, notes)
    )
    names = ("proxy_protocol", "tls_inspector")
    filters = [{"name": f"envoy.filters.listener.{n}"} for n in names]
    value = {"operation": "MERGE", "value": {"listener_filters": filters}}
    world.config(
        "EnvoyFilter",
        "istio-system",
        "proxy-protocol",
        {
            "workloadSelector": {"labels": selector},
            "configPatches": [{"applyTo": "LISTENER", "patch": value}],
        },
    )
    world.status()
    return world


def _annotate(one: dict[str, object], notes: dict[str, str]) -> None:
    metadata = one["metadata"]
    assert isinstance(metadata, dict)
    metadata["annotations"] = {**metadata.get("annotations", {}), **notes}


POSTED = (
    healthy_nodes_shut_to_each_other,
    load_balancer_calls_strict_pods,
    load_balancer_without_subnet,
    proxy_protocol_on_status_port,
    sidecar_leaves_host_out,
    tls_to_plaintext_port,
)
