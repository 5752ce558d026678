"""`gateway-tls` on Istio and Gateway API gateways."""

from typing import Any

import yaml

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import ConfigSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.gateway_tls import GatewayTls, gateway_tls
from tests.unit.mesh.certs import DAY, NOW, Ca
from tests.unit.world import world

API = "gateway.networking.k8s.io"
NET = "networking.istio.io/v1"


def obj(kind: str, version: str, namespace: str, name: str, **body: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "apiVersion": version,
        "metadata": {"name": name, "namespace": namespace},
        **body,
    }


def gateway(mode: str = "SIMPLE", credential: str = "web") -> dict[str, Any]:
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["shop.example.com"],
        "tls": {"mode": mode, "credentialName": credential},
    }
    return obj(
        "Gateway", NET, "shop", "web", spec={"selector": {"istio": "gw"}, "servers": [server]}
    )


POD = obj(
    "Pod",
    "v1",
    "istio-system",
    "gw-1",
    spec={"containers": [{"name": "istio-proxy", "args": ["proxy", "router"]}]},
    status={"phase": "Running"},
)
POD["metadata"]["labels"] = {"istio": "gw"}


def secret(namespace: str, name: str, *hosts: str, days: int = 30, **more: Any) -> dict[str, Any]:
    leaf = Ca().leaf(*(hosts or ("shop.example.com",)), start=NOW - 20 * DAY, life=days * DAY)
    return obj(
        "Secret",
        "v1",
        namespace,
        name,
        data={"tls.crt": leaf, "tls.key": "x", **{f"{k}.crt": v for k, v in more.items()}},
    )


OTHER = secret("istio-system", "other")


def judge(*objects: dict[str, Any], kind: str = "Gateway", **rest: Any) -> GatewayTls:
    view = world(yaml.safe_dump_all([POD, *objects]), **rest)
    found = gateway_tls.run(view, ConfigSubject(kind, "shop", "web"))
    assert isinstance(found, GatewayTls)
    return found


def test_good() -> None:
    found = judge(gateway(), secret("istio-system", "web"))
    assert found.served and not found.missing and not found.refused and not found.skipped
    assert (found.cert_state, found.uncovered, found.ca_missing) == ("", "", False)


def test_of_two_gateways_for_one_port_and_host_the_second_is_left_out() -> None:
    first = gateway()
    first["metadata"] |= {"name": "first", "creationTimestamp": "2026-01-01T00:00:00Z"}
    second = gateway()
    second["metadata"] |= {"creationTimestamp": "2026-02-01T00:00:00Z"}
    view = world(yaml.safe_dump_all([POD, first, second, secret("istio-system", "web")]))
    names = ("first", "web", "first")
    found = [gateway_tls.run(view, ConfigSubject("Gateway", "shop", name)) for name in names]
    assert [one.skipped for one in found] == [False, True, False]
    assert found[1].winner == "Gateway/shop/first"


def test_secret_beside_the_gateway_is_of_no_use() -> None:
    found = judge(gateway(), secret("shop", "web"), OTHER)
    assert found.missing and found.secret == "Secret/istio-system/web"
    assert found.elsewhere == "Secret/shop/web"


def test_no_secret_recorded_at_all() -> None:
    assert isinstance(judge(gateway()).missing, Unavailable)
    found = judge(gateway(), failing={"Secret": ForbiddenError("secrets")})
    assert isinstance(found.missing, Unavailable)


def test_wrong_certificates() -> None:
    assert judge(gateway(), secret("istio-system", "web", days=3)).cert_state == "expired"
    found = judge(gateway(), secret("istio-system", "web", "b.example.com"))
    assert (found.uncovered, found.cert_names) == ("shop.example.com", "b.example.com")
    assert judge(gateway("MUTUAL"), secret("istio-system", "web")).ca_missing
    with_ca = secret("istio-system", "web", ca=Ca().pem)
    assert not judge(gateway("MUTUAL"), with_ca).ca_missing


def test_the_secret_without_a_ca_is_named() -> None:
    """NAME-cacert where there is one, for istiod asks no other for a CA then; else NAME."""
    alone = judge(gateway("MUTUAL"), secret("istio-system", "web"))
    assert (alone.secret, alone.ca_name) == ("Secret/istio-system/web", "web-cacert")
    assert "no web-cacert exists" in str(alone.ca_why)
    wrong = secret("istio-system", "web-cacert")
    found = judge(gateway("MUTUAL"), secret("istio-system", "web", ca=Ca().pem), wrong)
    assert (found.ca_missing, found.secret) == (True, "Secret/istio-system/web-cacert")
    assert "Secret/istio-system/web-cacert has neither ca.crt nor cacert" in str(found.ca_why)
    right = secret("istio-system", "web-cacert", ca=Ca().pem)
    assert not judge(gateway("MUTUAL"), secret("istio-system", "web"), right).ca_missing


ISTIOD = obj("Pod", "v1", "istio-system", "istiod-1", spec={"containers": [{"name": "discovery"}]})
ISTIOD["metadata"]["labels"] = {"app": "istiod"}
MISSED = (
    "2026-11-18T09:00:00Z\twarn\tads\tfailed to fetch key and certificate for kubernetes://web: "
    "secret istio-system/web not found\n"
)
DENIED = (
    "2026-11-18T09:00:00Z\twarn\tads\tproxy gw-1.istio-system attempted to access unauthorized "
    "certificates web: default/istio-system is not authorized to read secrets\n"
)


def test_istiod_says_so() -> None:
    for line, missed, denied in ((MISSED, True, False), (DENIED, False, True), ("", False, False)):
        log = {("istio-system", "istiod-1", "discovery"): line + MISSED.replace("//web", "//b")}
        found = judge(gateway(), ISTIOD, secret("istio-system", "web"), logs=log)
        assert (found.logged_missing, found.logged_denied) == (missed, denied)
        assert not found.logged_no_ca


def test_istiod_misses_the_ca_of_clients() -> None:
    line = MISSED.replace("key and", "ca").replace("//web", "//web-cacert")
    log = {("istio-system", "istiod-1", "discovery"): line}
    found = judge(gateway("MUTUAL"), ISTIOD, secret("istio-system", "web"), logs=log)
    assert found.ca_missing and found.logged_no_ca
    assert not judge(gateway(), ISTIOD, OTHER).logged_missing
    for name, denied in (("web-cacert", True), ("b-cacert", False)):
        ca = {("istio-system", "istiod-1", "discovery"): DENIED.replace("web:", f"{name}:")}
        found = judge(gateway(), ISTIOD, secret("istio-system", "web"), logs=ca)
        assert found.logged_denied is denied


def test_a_gateway_that_fetched_its_secrets_itself_says_so() -> None:
    said = (
        "2026-11-18T09:00:00Z\twarn\tsecretfetcher\tCannot find secret %s, searching for fallback\n"
    )

    def missed(release: str, name: str) -> tuple[Any, ...]:
        pod = obj("Pod", "v1", "istio-system", "gw-1", status={"phase": "Running"})
        image = f"docker.io/istio/proxyv2:{release}"
        args = ["proxy", "router"]
        pod["spec"] = {"containers": [{"name": "istio-proxy", "image": image, "args": args}]}
        pod["metadata"]["labels"] = {"istio": "gw"}
        log = {("istio-system", "gw-1", "istio-proxy"): said % name}
        text = yaml.safe_dump_all([pod, gateway(), secret("shop", "web")])
        found = gateway_tls.run(world(text, logs=log), ConfigSubject("Gateway", "shop", "web"))
        return (found.logged_missing, found.secret, found.elsewhere)

    assert missed("1.7.3", "web") == (True, "Secret/istio-system/web", "Secret/shop/web")
    assert missed("1.7.3", "other")[0] is False
    assert missed("1.9.0", "web")[0] is False


def test_gateway_without_pod_and_other_kinds() -> None:
    lonely = gateway()
    lonely["spec"]["selector"] = {"istio": "nobody"}
    assert not judge(lonely, OTHER).served
    assert not judge(gateway(), kind="Sidecar").served


def test_gateway_api() -> None:
    condition = {"type": "ResolvedRefs", "status": "False", "reason": "RefNotPermitted"}
    k8s = obj(
        "Gateway",
        "gateway.networking.k8s.io/v1",
        "shop",
        "web",
        spec={
            "listeners": [
                {
                    "name": "https",
                    "port": 443,
                    "protocol": "HTTPS",
                    "tls": {"certificateRefs": [{"name": "web", "namespace": "certs"}]},
                }
            ]
        },
        status={"listeners": [{"name": "https", "conditions": [condition]}]},
    )
    found = judge(k8s, secret("certs", "web"), kind="K8sGateway")
    assert found.refused and found.status_refused and found.secret == "Secret/certs/web"
    grant = obj(
        "ReferenceGrant",
        "gateway.networking.k8s.io/v1beta1",
        "certs",
        "g",
        spec={
            "from": [
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop"}
            ],
            "to": [{"group": "", "kind": "Secret"}],
        },
    )
    assert not judge(k8s, secret("certs", "web"), grant, kind="K8sGateway").refused


LEFT_OUT = (
    "2026-11-18T0{}:20:00.000000Z\tinfo\tmodel\tskipping server on gateway {} port {}: "
    "conflict with existing server 443.HTTPS\n"
)


def said(*lines: tuple[str, str, str]) -> dict[tuple[str, str, str], str]:
    text = "".join(LEFT_OUT.format(*one) for one in lines)
    return {("istio-system", "istiod-1", "discovery"): text}


def test_istiod_says_that_it_leaves_a_listener_out() -> None:
    https = {"name": "https", "port": 443, "protocol": "HTTPS"}
    k8s = obj("Gateway", f"{API}/v1", "shop", "web", spec={"listeners": [https]})
    above = {"name": "web", "namespace": "shop"}
    more = obj(
        "ListenerSet", f"{API}/v1", "team", "more", spec={"parentRef": above, "listeners": [https]}
    )
    other = obj(
        "ListenerSet",
        f"{API}/v1",
        "bank",
        "x",
        spec={"parentRef": {"name": "web"}, "listeners": [https]},
    )
    line = ("9", "web~istio-autogenerated-k8s-gateway~https", "default.443.HTTPS")
    found = judge(k8s, ISTIOD, other, more, kind="K8sGateway", logs=said(line))
    assert found.logged_skipped and found.winner == "ListenerSet/team/more"
    assert (found.server, found.skipped_why) == (
        "https",
        "istiod says, conflict with existing server 443.HTTPS",
    )
    alone = judge(k8s, ISTIOD, kind="K8sGateway", logs=said(line))
    assert alone.logged_skipped and alone.winner == ""
    old = ("7", *line[1:])
    far = ("9", "webs~istio-autogenerated-k8s-gateway~https", line[2])
    assert not judge(k8s, ISTIOD, kind="K8sGateway", logs=said(old, far)).logged_skipped
    twin = obj("Gateway", f"{API}/v1", "bank", "web", spec={"listeners": [https]})
    assert not judge(k8s, twin, ISTIOD, kind="K8sGateway", logs=said(line)).logged_skipped


def test_a_line_about_an_istio_gateway_makes_it_observed() -> None:
    good = secret("istio-system", "web")
    found = judge(gateway(), good, ISTIOD, logs=said(("9", "web", "https.443.HTTPS")))
    assert found.logged_skipped and (found.server, found.skipped) == ("https.443.HTTPS", False)
    assert not judge(
        gateway(), good, ISTIOD, logs=said(("9", "other", "x.443.HTTPS"))
    ).logged_skipped


def test_a_gateway_that_was_written_since_is_not_what_istiod_means() -> None:
    one = gateway()
    one["metadata"]["managedFields"] = [{"manager": "kubectl", "time": "2026-11-18T09:25:00Z"}]
    log = said(("9", "web", "https.443.HTTPS"))
    assert not judge(one, secret("istio-system", "web"), ISTIOD, logs=log).logged_skipped
