"""Which incidents of an istiod that others do not take or reach are rebuilt from reports?"""

from typing import Any

from tests.incidents.make.objects import make
from tests.incidents.make.posted import Posted, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import at, whole

PROVIDER = "PILOT_CERT_PROVIDER"


def certificate_without_names() -> Posted:
    """istio/istio#24997, awslabs/amazon-eks-ami#341."""
    world = Posted(
        name="certificate-without-names",
        version="1.6.3",
        apis=BETA,
        summary="EKS before 1.16 signs istiod's certificate without its names; nobody takes it.",
        at_fault=["Deployment/istio-system/istiod"],
        fix="pilotCertProvider istiod.",
        from_="shop/web",
        to="",
    )
    world.namespace("shop")
    web = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    for pod in (world.istiod, web):
        for container in pod.manifest["spec"]["containers"]:
            if container["name"] in ("discovery", "istio-proxy"):
                kept = [e for e in container.get("env", []) if e["name"] != PROVIDER]
                container["env"] = [*kept, {"name": PROVIDER, "value": "kubernetes"}]
    running = {"running": {"startedAt": whole(25)}}
    waiting(web, "istio-proxy", {"started": True, "state": running})
    for minute in (9, 8, 7):
        world.log(
            world.istiod,
            "discovery",
            f"{at(minute)}\tinfo\thttp: TLS handshake error from 192.168.147.176:59130: "
            "remote error: tls: bad certificate",
            f"{at(minute)}\tinfo\tvalidationController\tNot ready to switch validation to "
            "fail-closed: dummy invalid config not rejected",
        )
        world.log(
            web,
            "istio-proxy",
            f"{at(minute)}\twarn\tEnvoy proxy is NOT ready: config not received from Pilot (is "
            "Pilot running?): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, "
            "0 rejected",
        )
    return world


def gateway_of_a_network_has_a_name() -> Posted:
    """istio/istio#36275."""
    name = "istio-eastwestgateway"
    world = Posted(
        name="gateway-of-a-network-has-a-name",
        version="1.11.4",
        apis=BETA,
        summary="The load balancer of an east-west gateway has a name, which istiod cannot use.",
        at_fault=[f"Service/istio-system/{name}"],
        fix="A release that resolves it, or fixed addresses in meshNetworks.",
        from_="",
        to="",
    )
    labels = {"app": name, "istio": "eastwestgateway", "topology.istio.io/network": "network2"}
    world.workload("istio-system", name, [15021, 15443], role="router", labels=labels)
    ports = [("status-port", 15021, 15021), ("tls", 15443, 15443)]
    world.service("istio-system", name, ports, labels)
    hostname = "a780ca83f0-506210761.eu-west-1.elb.amazonaws.com"

    def balanced(one: dict[str, Any]) -> None:
        one["metadata"]["labels"] = labels
        one["spec"]["type"] = "LoadBalancer"
        one["status"] = {"loadBalancer": {"ingress": [{"hostname": hostname}]}}

    world.change("Service", "istio-system", name, balanced)
    remote = "istio-remote-secret-cluster1"
    multi = {"istio/multiCluster": "true"}
    world.objects.append(make("Secret", "istio-system", remote, labels=multi, type="Opaque"))
    for minute in (9, 8, 7):
        world.log(
            world.istiod,
            "discovery",
            f"{at(minute)}\terror\tFailed parsing gateway address {hostname} from Service "
            "Registry. Hostnames are not supported for gateways",
        )
    return world


POSTED_TRUST = (certificate_without_names, gateway_of_a_network_has_a_name)
