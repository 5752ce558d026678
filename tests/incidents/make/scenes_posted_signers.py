"""Which incidents of signers beside istiod, and of rules for hosts outside, are rebuilt from public
reports?"""

from collections.abc import Callable

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at, whole

SIGNER = "clusterissuers.cert-manager.io/istio-system"
UNSIGNED = "create certificate: rpc error: code = DeadlineExceeded desc = context deadline exceeded"


def istio_csr_of_another_cluster() -> Posted:
    """cert-manager/istio-csr#27."""
    world = Posted(
        name="istio-csr-of-another-cluster",
        version="1.8.2",
        apis=BETA,
        summary="The mesh calls its cluster cluster-1; istio-csr takes callers of Kubernetes only.",
        at_fault=["Deployment/cert-manager/cert-manager-istio-csr"],
        fix="Start istio-csr with --cluster-id=cluster-1.",
        from_="shop/web",
        to="shop/cart:80",
    )
    client, server = _shop(world)
    world.namespace("cert-manager", inject=False)
    name = "cert-manager-istio-csr"
    image = f"registry.example/{name}:v0.1.0"
    signer = world.workload("cert-manager", name, [6443], injected=False, image=image)
    world.service("cert-manager", name, [("https", 443, 6443)])
    flags = ["--serving-address=0.0.0.0:6443", "--issuer-name=istio-ca", "--issuer-kind=Issuer"]
    _change(world, signer, _args(flags))
    for pod in (client, server):
        wanted = {
            "ISTIO_META_CLUSTER_ID": "cluster-1",
            "CA_ADDR": f"{name}.cert-manager.svc:443",
        }
        _change(world, pod, _env("istio-proxy", wanted))
        _starts(pod)
        world.log(
            pod,
            "istio-proxy",
            f"{at(8)}\terror\tcache\tresource:default CSR hit non-retryable error (HTTP code: 0). "
            "Error: rpc error: code = Unauthenticated desc = request authenticate failure",
        )
    for minute in (8, 6, 4):
        world.log(
            signer,
            name,
            f'{at(minute)}\terror\tklog\tcertificate-provider "msg"="failed to authenticate '
            'request" "error"="could not get cluster cluster-1\'s kube client" '
            '"serving_addr"="0.0.0.0:6443"',
        )
    return world


def requests_that_nobody_signs() -> Posted:
    """cert-manager/cert-manager#5827."""
    world = Posted(
        name="requests-that-nobody-signs",
        version="1.16.1",
        apis=BETA,
        summary="istiod has cert-manager sign Kubernetes' requests, which it does behind a feature "
        "gate only: they are approved and never signed.",
        at_fault=["Deployment/cert-manager/cert-manager"],
        fix="Give cert-manager the gate ExperimentalCertificateSigningRequestControllers.",
        from_="shop/web",
        to="shop/cart:80",
    )
    pods = _shop(world)
    world.namespace("cert-manager", inject=False)
    image = "registry.example/cert-manager-controller:v1.11.0"
    signer = world.workload("cert-manager", "cert-manager", [9402], injected=False, image=image)
    _change(world, signer, _args(["--v=2", "--leader-election-namespace=kube-system"]))
    asks = {
        "EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API",
        "CERT_SIGNER_DOMAIN": "clusterissuers.cert-manager.io",
        "PILOT_CERT_PROVIDER": f"k8s.io/{SIGNER}",
    }
    _change(world, world.istiod, _env("discovery", asks))
    for name in ("csr-workload-f9pkb9vx", "csr-workload-9t4l6dx2"):
        approved = {"type": "Approved", "status": "True", "reason": "AutoApproved"}
        world.objects.append(
            o.make(
                "CertificateSigningRequest",
                "",
                name,
                created=whole(9),
                spec={
                    "signerName": SIGNER,
                    "username": "system:serviceaccount:istio-system:istiod",
                },
                status={"conditions": [approved]},
            )
        )
    for pod in pods:
        _starts(pod)
        world.log(
            pod,
            "istio-proxy",
            f"{at(7)}\twarn\tsds\tfailed to warm certificate: failed to generate workload "
            f"certificate: {UNSIGNED}",
        )
    world.log(
        world.istiod,
        "discovery",
        f"{at(7)}\terror\tserverca\tCSR signing error: timed out waiting for certificate "
        "csr-workload-f9pkb9vx",
    )
    return world


def rule_for_a_misspelt_host() -> Posted:
    """istio/istio#36074."""
    host = "10.67.31.146.9999.IP"
    world = Posted(
        name="rule-for-a-misspelt-host",
        version="1.17.6",
        apis=BETA,
        summary="The rule that originates TLS is for 10.76..., the ServiceEntry for 10.67...",
        at_fault=["DestinationRule/core/partner"],
        fix="Write the host as the ServiceEntry has it.",
        from_="core/smf",
        to=f"{host}:9999",
        request={"method": "POST", "path": "/npcf", "host": host},
    )
    world.namespace("core")
    client = world.workload("core", "smf", [8080])
    entry = {
        "hosts": [host],
        "addresses": ["10.67.31.146/32"],
        "endpoints": [{"address": "10.67.31.146"}],
        "location": "MESH_EXTERNAL",
        "ports": [{"number": 9999, "name": "http2-9999", "protocol": "HTTP2"}],
        "resolution": "STATIC",
    }
    world.config("ServiceEntry", "core", "partner", entry)
    tls = {
        "mode": "MUTUAL",
        "clientCertificate": "/etc/certs/tls.crt",
        "privateKey": "/etc/certs/tls.key",
    }
    settings = {"portLevelSettings": [{"port": {"number": 9999}, "tls": tls}]}
    rule = {"host": "10.76.31.146.9999.IP", "trafficPolicy": settings}
    world.config("DestinationRule", "core", "partner", rule)
    for minute in (8, 6, 4):
        world.log(
            client,
            "istio-proxy",
            access(
                at(minute),
                "POST /npcf HTTP/2",
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
                agent="smf",
                authority=host,
                upstream="10.67.31.146:9999",
                cluster=f"outbound|9999||{host}",
                local=f"{client.ip}:30444",
                downstream="10.67.31.146:9999",
                peer=f"{client.ip}:40110",
            ),
        )
    return world


def _shop(world: Posted) -> tuple[Pod, Pod]:
    world.namespace("shop")
    client = world.workload("shop", "web", [8080])
    server = world.workload("shop", "cart", [8080])
    for name in ("web", "cart"):
        world.service("shop", name, [("http", 80, 8080)])
    return client, server


def _starts(pod: Pod) -> None:
    running = {"started": True, "state": {"running": {"startedAt": whole(25)}}}
    waiting(pod, "istio-proxy", running)


def _change(world: Posted, pod: Pod, act: Callable[[Manifest], None]) -> None:
    """Changes the containers in a pod and in its Deployment's template."""

    def in_spec(one: Manifest) -> None:
        spec = one["spec"]
        act(spec["template"]["spec"] if "template" in spec else spec)

    world.change("Pod", pod.namespace, pod.name, in_spec)
    world.change("Deployment", pod.namespace, pod.workload, in_spec)


def _args(flags: list[str]) -> Callable[[Manifest], None]:
    return lambda spec: spec["containers"][0].update(args=flags)


def _env(container: str, values: dict[str, str]) -> Callable[[Manifest], None]:
    def act(spec: Manifest) -> None:
        for one in spec["containers"]:
            if one["name"] == container:
                kept = [e for e in one.get("env", []) if e["name"] not in values]
                one["env"] = [*kept, *({"name": k, "value": v} for k, v in values.items())]

    return act


POSTED_SIGNERS = (
    istio_csr_of_another_cluster,
    requests_that_nobody_signs,
    rule_for_a_misspelt_host,
)
