"""Which connections of a pod miss its sidecar?"""

import pytest

from meshdoctor.mesh import capture
from meshdoctor.model.kubernetes import Container, Meta, Pod, PodSpec, SecurityContext

T = "traffic.sidecar.istio.io/"


def pod(
    notes: dict[str, str] | None = None,
    args: tuple[str, ...] | None = None,
    *,
    user: int | None = None,
    group: int | None = None,
    proxy: bool = True,
    host: bool = False,
) -> Pod:
    app = Container(
        name="app", security_context=SecurityContext(run_as_user=user, run_as_group=group)
    )
    sidecar = Container(name="istio-proxy", args=("proxy", "sidecar"))
    init = () if args is None else (Container(name="istio-init", args=args),)
    return Pod(
        metadata=Meta(name="cart-1", namespace="web", annotations=notes or {}),
        spec=PodSpec(
            containers=(app, sidecar) if proxy else (app,), init_containers=init, host_network=host
        ),
    )


DEFAULT = ("istio-iptables", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021")
OPENSHIFT = (*DEFAULT, "-u", "1000700001")
OUT = [
    ("nothing said", pod(), ""),
    ("defaults", pod(args=DEFAULT), ""),
    ("excluded port", pod({T + "excludeOutboundPorts": "9090, 8080"}), "excludeOutboundPorts"),
    ("another port", pod({T + "excludeOutboundPorts": "9090"}), ""),
    ("excluded range", pod({T + "excludeOutboundIPRanges": "10.0.0.0/8"}), "excludeOutboundIP"),
    ("another range", pod({T + "excludeOutboundIPRanges": "172.16.0.0/12"}), ""),
    ("included range", pod({T + "includeOutboundIPRanges": "10.0.0.0/8"}), ""),
    ("outside it", pod({T + "includeOutboundIPRanges": "172.16.0.0/12"}), "includeOutboundIP"),
    ("nothing included", pod({T + "includeOutboundIPRanges": ""}), "includeOutboundIP"),
    (
        "port included all the same",
        pod({T + "includeOutboundIPRanges": "", T + "includeOutboundPorts": "8080"}),
        "",
    ),
    ("NONE", pod({"sidecar.istio.io/interceptionMode": "NONE"}), "interceptionMode"),
    ("proxy's user", pod(user=1337), "runAsUser"),
    ("other user", pod(user=1000), ""),
    ("proxy's group", pod(user=1000, group=1337), "runAsGroup"),
    ("OpenShift's user of the proxy", pod(user=1000700001, args=OPENSHIFT), "runAsUser"),
    ("OpenShift's user of the application", pod(user=1000700000, args=OPENSHIFT), ""),
    ("1337 where the proxy is another", pod(user=1337, args=OPENSHIFT), ""),
    ("host network", pod(host=True), "hostNetwork"),
    ("no proxy", pod({T + "excludeOutboundPorts": "8080"}, proxy=False), ""),
    (
        "what istio-init was told wins",
        pod({T + "excludeOutboundPorts": "9"}, (*DEFAULT, "-o", "8080")),
        "excludeOutboundPorts",
    ),
]


@pytest.mark.parametrize("row", OUT, ids=[r[0] for r in OUT])
def test_outbound(row: tuple[str, Pod, str]) -> None:
    _, given, by = row
    found = capture.outbound_bypass(given, ("10.1.2.3",), 8080)
    assert (by in found.by) if by else not found


IN = [
    ("defaults", pod(args=DEFAULT), 8080, ""),
    ("proxy's own port", pod(args=DEFAULT), 15090, "proxy itself"),
    ("excluded", pod({T + "excludeInboundPorts": "8080"}), 8080, "excludeInboundPorts"),
    ("included", pod({T + "includeInboundPorts": "8080"}), 8080, ""),
    ("not included", pod({T + "includeInboundPorts": "9090"}), 8080, "includeInboundPorts"),
    ("none included", pod({T + "includeInboundPorts": ""}), 8080, "includeInboundPorts"),
    ("no proxy", pod(proxy=False), 8080, ""),
]


@pytest.mark.parametrize("row", IN, ids=[r[0] for r in IN])
def test_inbound(row: tuple[str, Pod, int, str]) -> None:
    _, given, port, by = row
    found = capture.inbound_bypass(given, port)
    assert (by in found.by) if by else not found


def test_redirect_missing() -> None:
    assert capture.redirect_missing(pod())
    assert not capture.redirect_missing(pod(args=DEFAULT))
    assert not capture.redirect_missing(pod(proxy=False))
    assert not capture.redirect_missing(pod({"sidecar.istio.io/interceptionMode": "NONE"}))


def test_the_pods_own_security_context_holds_for_its_containers() -> None:
    as_proxy = SecurityContext(run_as_user=1337)
    whole = PodSpec(containers=(Container(name="a"),), security_context=as_proxy)
    assert capture.runs_as_proxy(Pod(spec=whole)) == ("a", "runAsUser", 1337)
    proxy = Container(name="istio-proxy", security_context=as_proxy)
    assert capture.runs_as_proxy(Pod(spec=PodSpec(containers=(proxy,)))) == ("", "", 0)
