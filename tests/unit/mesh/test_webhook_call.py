"""The road from the API server to istiod, and what a sidecar and ambient mode ask of a pod."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshdoctor.mesh import ambient, proxy_setup
from meshdoctor.mesh.ambient import Wanted
from meshdoctor.mesh.webhook_call import (
    CaBundle,
    ca_bundle,
    closing_policy,
    ready_endpoints,
    target_port,
)
from meshdoctor.model.kubernetes import (
    Container,
    ContainerPort,
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    IPBlock,
    LabelSelector,
    Meta,
    NetworkPolicy,
    NetworkPolicyIngress,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    Pod,
    PodSpec,
    SecurityContext,
    Service,
    ServicePort,
    ServiceSpec,
    WebhookService,
)


def root(key: ec.EllipticCurvePrivateKey, serial: int, name: str = "cluster.local") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


ONE, TWO = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def encoded(*pems: str) -> str:
    return base64.b64encode("".join(pems).encode()).decode()


@pytest.mark.parametrize(
    ("bundle", "roots", "verdict"),
    [
        (encoded(root(ONE, 1)), [root(ONE, 1)], CaBundle.MATCHES),
        (encoded(root(ONE, 1)), [root(ONE, 2)], CaBundle.MATCHES),  # renewed with its own key
        (encoded(root(TWO, 1), root(ONE, 1)), [root(ONE, 1)], CaBundle.MATCHES),
        (encoded(root(ONE, 1)), [root(TWO, 1)], CaBundle.DIFFERS),
        ("", [root(ONE, 1)], CaBundle.EMPTY),
        ("not base64 !", [root(ONE, 1)], CaBundle.UNREADABLE),
        (encoded(root(ONE, 1)), [], CaBundle.NOT_COMPARED),
        (encoded(root(ONE, 1)), ["nonsense"], CaBundle.NOT_COMPARED),
    ],
)
def test_ca_bundle(bundle: str, roots: list[str], verdict: CaBundle) -> None:
    assert ca_bundle(bundle, roots) is verdict


ISTIOD = Pod(metadata=Meta(name="istiod-1", namespace="istio-system", labels={"app": "istiod"}))
ANY = NetworkPolicyPeer(namespace_selector=LabelSelector())
BLOCK = NetworkPolicyPeer(ip_block=IPBlock(cidr="10.0.0.0/8"))


def policy(*rules: NetworkPolicyIngress, **more: Any) -> NetworkPolicy:
    spec = NetworkPolicySpec(ingress=rules, policy_types=("Ingress",), **more)
    return NetworkPolicy(metadata=Meta(name="np", namespace="istio-system"), spec=spec)


def rule(*ports: int | str, peers: tuple[NetworkPolicyPeer, ...] = ()) -> NetworkPolicyIngress:
    return NetworkPolicyIngress(
        from_=peers, ports=tuple(NetworkPolicyPort(port=port) for port in ports)
    )


@pytest.mark.parametrize(
    ("why", "policies", "closed"),
    [
        ("no policy", [], False),
        ("deny all", [policy()], True),
        ("15017 from anywhere", [policy(rule(15012, 15017))], False),
        ("T54 only pods are admitted", [policy(rule(15017, peers=(ANY,)))], True),
        ("an address block may hold the API server", [policy(rule(15017, peers=(BLOCK,)))], False),
        ("another port", [policy(rule(15012))], True),
        ("all ports", [policy(rule())], False),
        ("policies add up", [policy(), policy(rule(15017))], False),
        ("not these pods",
         [policy(pod_selector=LabelSelector(match_labels={"app": "x"}))], False),
    ],
)  # fmt: skip
def test_network_policies(why: str, policies: list[NetworkPolicy], closed: bool) -> None:
    assert (closing_policy(policies, [ISTIOD]) is not None) is closed, why
    assert (closing_policy(policies[::-1], [ISTIOD]) is not None) is closed, why


def test_ports_and_endpoints() -> None:
    called = WebhookService(namespace="istio-system", name="istiod", port=443)
    service = Service(spec=ServiceSpec(ports=(ServicePort(port=443, target_port=15017),)))
    assert target_port(service, called) == 15017
    assert target_port(Service(), called) == 0
    slices = [
        EndpointSlice(
            metadata=Meta(
                namespace="istio-system", labels={"kubernetes.io/service-name": "istiod"}
            ),
            endpoints=(
                Endpoint(addresses=("10.0.0.1",)),
                Endpoint(addresses=("10.0.0.2",), conditions=EndpointConditions(ready=False)),
            ),
        )
    ]
    assert ready_endpoints(slices, "istio-system", "istiod") == 1
    assert ready_endpoints(slices, "istio-system", "istiod-x") == 0


def ambient_pod(labels: dict[str, str], **spec: Any) -> Pod:
    return Pod(metadata=Meta(namespace="shop", labels=labels), spec=PodSpec(**spec))


ON = {"istio.io/dataplane-mode": "ambient"}
SIDECAR = (Container(name="istio-proxy", args=("proxy", "sidecar")),)


@pytest.mark.parametrize(
    ("one", "namespace", "verdict"),
    [
        (ambient_pod({}), ON, Wanted.YES),
        (ambient_pod(ON), {}, Wanted.YES),
        (ambient_pod({}), {}, Wanted.NOT_LABELLED),
        (ambient_pod({"istio.io/dataplane-mode": "none"}), ON, Wanted.POD_LABEL),
        (ambient_pod({}), {"istio.io/dataplane-mode": "Ambient"}, Wanted.VALUE),
        (ambient_pod({}, containers=SIDECAR), ON, Wanted.SIDECAR),
        (ambient_pod({}, host_network=True), ON, Wanted.HOST_NETWORK),
    ],
)
def test_enrolment(one: Pod, namespace: dict[str, str], verdict: Wanted) -> None:
    assert ambient.wanted(one, namespace, ("kube-system",)) is verdict


def test_enrolment_of_an_excluded_namespace() -> None:
    assert ambient.wanted(ambient_pod({}), ON, ("shop",)) is Wanted.EXCLUDED


def test_kubelet_probes_of_ambient_pods() -> None:
    def shop(*rules: NetworkPolicyIngress) -> NetworkPolicy:
        return NetworkPolicy(metadata=Meta(name="np", namespace="shop"), spec=policy(*rules).spec)

    local = NetworkPolicyPeer(ip_block=IPBlock(cidr="169.254.7.127/32"))
    one = ambient_pod({})
    assert ambient.probe_blocking_policy([shop(rule(peers=(ANY,)))], one) is not None
    assert ambient.probe_blocking_policy([shop(rule(peers=(ANY, local)))], one) is None
    assert ambient.probe_blocking_policy([], one) is None


def test_ports_of_the_proxy() -> None:
    proxy = Container(name="istio-proxy", security_context=SecurityContext(run_as_user=1337))
    taken = Container(name="a", ports=(ContainerPort(container_port=15090),))
    assert proxy_setup.reserved_port([proxy, taken]) == ("a", 15090)
    assert proxy_setup.reserved_port([proxy]) == ("", 0)


@pytest.mark.parametrize(
    ("own", "theirs", "verdict"),
    [
        ((1, 30), (1, 30), False),
        ((1, 28), (1, 30), False),
        ((1, 27), (1, 30), True),
        ((1, 31), (1, 30), True),
        (None, (1, 30), None),
    ],
)
def test_skew(
    own: tuple[int, int] | None, theirs: tuple[int, int] | None, verdict: bool | None
) -> None:
    assert proxy_setup.skewed(own, theirs) is verdict


def test_texts_of_proxy_config() -> None:
    said = proxy_setup.proxy_config
    minute, half = (
        said('{"terminationDrainDuration": "1m5s"}'),
        said("terminationDrainDuration: 500ms"),
    )
    assert proxy_setup.drain_seconds([said(""), minute, half]) == 65
    assert proxy_setup.drain_seconds([half]) == 0.5
    assert proxy_setup.drain_seconds([said("")]) == 5
    assert said("holdApplicationUntilProxyStarts: true").holds and not minute.holds
    assert said('{"proxyMetadata":{"EXIT_ON_ZERO_ACTIVE_CONNECTIONS":"true"}}').exits_on_zero
    assert not said("EXIT_ON_ZERO_ACTIVE_CONNECTIONS: ").exits_on_zero
    assert proxy_setup.release("docker.io/istio/proxyv2:1.30.3-distroless") == (1, 30)
    assert proxy_setup.release("reg:5000/proxyv2:latest") is None


@pytest.mark.parametrize(
    ("settings", "drops"),
    [
        ({}, False),
        ({"enable-bpf-masquerade": "true"}, True),
        ({"enable-bpf-masquerade": "false", "kube-proxy-replacement": "false"}, False),
        ({"kube-proxy-replacement": "true"}, True),
        ({"kube-proxy-replacement": "strict"}, True),
        ({"kube-proxy-replacement": "true", "enable-host-legacy-routing": "true"}, False),
    ],
)
def test_cilium_drops_probes(settings: dict[str, str], drops: bool) -> None:
    assert ambient.cilium_drops_probes(settings) is drops
