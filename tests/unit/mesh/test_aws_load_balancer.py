"""What do a Service's annotations ask of AWS, and where does a call loop back?"""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.mesh import aws_load_balancer as aws
from meshdoctor.mesh.access_log import parse
from meshdoctor.mesh.branch_interface import enforcement, probe_timeouts
from meshdoctor.model.kubernetes import (
    Container,
    EnvVar,
    Event,
    Ingress,
    Meta,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplate,
    Service,
    ServicePort,
    ServiceSpec,
    TargetRef,
    Workload,
    WorkloadSpec,
)

NOW = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
PORTS = (
    ServicePort(name="status-port", port=15021, target_port=15021, node_port=30021),
    ServicePort(name="http2", port=80, target_port=8080, node_port=30080),
)


def service(kind: str = "LoadBalancer", class_: str = "", **notes: str) -> Service:
    annotations = {aws.PREFIX + k.replace("_", "-"): v for k, v in notes.items()}
    return Service(
        kind="Service",
        metadata=Meta(name="gw", namespace="ingress", annotations=annotations),
        spec=ServiceSpec(type=kind, load_balancer_class=class_, ports=PORTS),
    )


def of(found: Service) -> aws.Balancer:
    one = aws.balancer(found)
    assert one is not None
    return one


def test_a_service_of_another_type_asks_for_none() -> None:
    assert aws.balancer(service("NodePort", type="nlb")) is None


@pytest.mark.parametrize(
    ("found", "network", "to_pods", "keeps"),
    [
        (service(), False, False, True),
        (service(type="nlb"), True, False, True),
        (service(type="external", nlb_target_type="ip"), True, True, False),
        (service(type="nlb-ip"), True, True, False),
        (service(class_=aws.LBC_CLASS), True, False, True),
        (
            service(type="nlb", target_group_attributes="preserve_client_ip.enabled=false"),
            True,
            False,
            False,
        ),
        (
            service(type="nlb-ip", target_group_attributes="a=b, preserve_client_ip.enabled=true"),
            True,
            True,
            True,
        ),
    ],
)
def test_targets(found: Service, network: bool, to_pods: bool, keeps: bool) -> None:
    one = of(found)
    assert (one.network, one.to_pods, one.keeps_source) == (network, to_pods, keeps)


@pytest.mark.parametrize(
    ("found", "defaulted"),
    [
        (service(class_=aws.LBC_CLASS, type="nlb"), True),
        (service(type="nlb"), False),
        (service(class_=aws.LBC_CLASS, type="nlb", scheme="internet-facing"), False),
        (service(class_=aws.LBC_CLASS, type="nlb", internal="true"), False),
        (service(class_=aws.LBC_CLASS), False),
    ],
)
def test_scheme_left_to_the_controller(found: Service, defaulted: bool) -> None:
    one = of(found)
    assert (one.by_lbc and one.legacy and not one.scheme) is defaulted


@pytest.mark.parametrize(
    ("notes", "port"),
    [
        ({}, 0),
        ({"healthcheck_port": "15021"}, 0),
        ({"healthcheck_protocol": "http", "healthcheck_port": "15021"}, 15021),
        ({"healthcheck_protocol": "HTTP", "healthcheck_port": "30021"}, 15021),
        ({"healthcheck_protocol": "http", "healthcheck_port": "status-port"}, 15021),
        ({"healthcheck_protocol": "http", "healthcheck_port": "80"}, 8080),
        ({"healthcheck_protocol": "http", "healthcheck_port": "traffic-port"}, 0),
        ({"healthcheck_protocol": "http", "healthcheck_port": "9000"}, 9000),
    ],
)
def test_port_of_http_checks(notes: dict[str, str], port: int) -> None:
    assert of(service(type="nlb", **notes)).http_check_port == port


def event(reason: str, name: str = "gw", minutes: int = 1, kind: str = "Service") -> Event:
    return Event(
        metadata=Meta(namespace="ingress"),
        involved_object=TargetRef(kind=kind, name=name, namespace="ingress"),
        reason=reason,
        message=f"{reason} {minutes}",
        last_timestamp=NOW - timedelta(minutes=minutes),
    )


def test_the_newest_failure_of_the_service_itself() -> None:
    events = [
        event("FailedBuildModel", minutes=9),
        event("SyncLoadBalancerFailed", minutes=2),
        event("EnsuringLoadBalancer"),
        event("FailedBuildModel", name="other"),
        event("FailedBuildModel", kind="Ingress"),
    ]
    found = aws.failure(service(), events)
    assert found is not None and found.message == "SyncLoadBalancerFailed 2"
    assert aws.failure(service(), events[2:]) is None


def pod(node: str, ip: str) -> Pod:
    meta = Meta(name=ip, namespace="apps")
    return Pod(metadata=meta, spec=PodSpec(node_name=node), status=PodStatus(pod_ip=ip))


@pytest.mark.parametrize(
    ("found", "local", "client", "caught"),
    [
        (service(type="nlb"), True, pod("a", "10.0.0.1"), True),
        (service(type="nlb"), True, pod("b", "10.0.0.1"), False),
        (service(type="nlb"), False, pod("b", "10.0.0.1"), True),
        (service(), False, pod("a", "10.0.0.1"), False),
        (service(type="nlb-ip"), True, pod("a", "10.0.0.9"), False),
        (
            service(type="nlb-ip", target_group_attributes="preserve_client_ip.enabled=true"),
            True,
            pod("a", "10.0.0.9"),
            True,
        ),
    ],
)
def test_loops(found: Service, local: bool, client: Pod, caught: bool) -> None:
    assert aws.loops(of(found), local, client, [pod("a", "10.0.0.9")]) is caught


def test_timeouts_of_the_hosts_meant() -> None:
    text = (
        "curl: (28) Failed to connect to a.example port 80: Connection timed out\n"
        "dial tcp b.example: i/o timeout\n"
        "GET a.example 200\n"
    )
    assert aws.timeouts(text, {"a.example"}) == 1
    assert aws.timeouts(text, ()) == 2


@pytest.mark.parametrize(
    ("env", "strict", "reached"),
    [
        ({}, True, False),
        ({"POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}, False, True),
        ({"POD_SECURITY_GROUP_ENFORCING_MODE": "strict"}, True, False),
        ({"DISABLE_TCP_EARLY_DEMUX": "true"}, True, True),
    ],
)
def test_enforcement(env: dict[str, str], strict: bool, reached: bool) -> None:
    agent = Container(name="aws-node", env=tuple(EnvVar(name=k, value=v) for k, v in env.items()))
    spec = WorkloadSpec(template=PodTemplate(spec=PodSpec(containers=(agent,))))
    found = enforcement(Workload(spec=spec))
    assert (found.strict, found.reached) == (strict, reached)


def test_probe_timeouts() -> None:
    def unhealthy(message: str, name: str = "pay-1") -> Event:
        about = TargetRef(kind="Pod", name=name, namespace="shop")
        return Event(involved_object=about, reason="Unhealthy", message=message, count=3)

    slow = 'Readiness probe failed: Get "http://10.0.0.1:15021": dial tcp: i/o timeout'
    events = [unhealthy(slow), unhealthy("Readiness probe failed: statuscode: 503")]
    assert probe_timeouts(events, "pay-1") == (3, slow)
    assert probe_timeouts([unhealthy(slow, "other")], "pay-1") == (0, "")


@pytest.mark.parametrize(
    ("notes", "seconds"),
    [({}, 60), ({"connection_idle_timeout": "300"}, 300), ({"type": "nlb"}, 0)],
)
def test_how_long_a_balancer_waits(notes: dict[str, str], seconds: int) -> None:
    classic = service(**notes)
    assert aws.patience(classic, of(classic), None) == seconds


def test_how_long_an_application_balancer_waits() -> None:
    key = "alb.ingress.kubernetes.io/load-balancer-attributes"
    meta = Meta(name="a", annotations={key: "x=y,idle_timeout.timeout_seconds=120"})
    assert aws.patience(service(), None, Ingress(kind="Ingress", metadata=meta)) == 120
    assert aws.patience(service(), None, Ingress(kind="Ingress")) == 60
    assert aws.patience(service("ClusterIP"), None, None) == 0


@pytest.mark.parametrize(
    ("code", "flags", "took", "sent", "hung"),
    [
        (0, "DC", 60001, 0, True),
        (0, "DC", 61501, 0, False),
        (0, "DC", 59999, 0, False),
        (0, "DC", 60001, 5, False),
        (200, "DC", 60001, 0, False),
        (0, "UC", 60001, 0, False),
    ],
)
def test_requests_that_a_balancer_gave_up(
    code: int, flags: str, took: int, sent: int, hung: bool
) -> None:
    text = (
        f'[2026-11-18T09:24:00.502Z] "GET / HTTP/1.1" {code} {flags} - - "-" 0 {sent} {took} - "-" '
        '"curl" "id" "a.b" "1.2.3.4:80" outbound|80||a.b - 1.2.3.4:80 10.0.0.1:4000 - -'
    )
    assert bool(aws.hung_up(parse(text).lines, 60)) is hung
