"""Who expects a sidecar, and is a pod older than what asks for it?"""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.enablement import (
    expected_by,
    expected_in,
    expecting_policy,
    injected,
    near_miss,
    older_than_enablement,
)
from meshdoctor.mesh.injection import NewPod
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.kubernetes import (
    Container,
    ManagedField,
    Meta,
    Namespace,
    Pod,
    PodSpec,
    PodStatus,
    WebhookConfiguration,
)
from meshdoctor.model.subjects import WorkloadSubject

DAY = datetime(2026, 1, 10, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def pod(number: int, *, sidecar: bool = False, labels: dict[str, str] | None = None) -> Pod:
    containers: tuple[Container, ...] = (Container(name="a"),)
    if sidecar:
        containers += (Container(name="istio-proxy", args=("proxy", "sidecar")),)
    return Pod(
        metadata=Meta(name="p", labels=labels or {}, creation_timestamp=day(number)),
        spec=PodSpec(containers=containers),
    )


def labelled(number: int) -> Namespace:
    written = ManagedField(manager="kubectl", time=day(number))
    status = ManagedField(manager="kube-controller", subresource="status", time=day(90))
    return Namespace(metadata=Meta(name="shop", managed_fields=(written, status)))


UNTOLD = Namespace(metadata=Meta(name="shop"))
HOOK = WebhookConfiguration(metadata=Meta(name="x", creation_timestamp=day(2)))


@pytest.mark.parametrize(
    ("why", "namespace", "siblings", "verdict"),
    [
        ("before the label", labelled(7), [], True),
        ("after the label", labelled(4), [], False),
        ("nothing tells", UNTOLD, [], None),
        ("a younger pod is injected", UNTOLD, [pod(6, sidecar=True)], True),
        ("an older pod is injected", UNTOLD, [pod(4, sidecar=True)], False),
        ("older and younger ones are", UNTOLD, [pod(4, sidecar=True), pod(6, sidecar=True)], False),
        ("a younger pod opted in by itself", UNTOLD,
         [pod(6, sidecar=True, labels={"sidecar.istio.io/inject": "true"})], None),
        ("a younger pod is bare too", UNTOLD, [pod(6)], None),
    ],
)  # fmt: skip
def test_older(why: str, namespace: Namespace, siblings: list[Pod], verdict: bool | None) -> None:
    assert older_than_enablement(pod(5), namespace, HOOK, injected(siblings)) is verdict, why


def test_older_than_the_webhook() -> None:
    assert older_than_enablement(pod(1), UNTOLD, HOOK, injected([])) is True
    assert older_than_enablement(Pod(), UNTOLD, HOOK, injected([])) is None


def test_a_gateway_whose_image_is_auto_lacks_its_proxy() -> None:
    proxy = Container(name="istio-proxy", image="auto")
    auto, none, good = Pod(spec=PodSpec(containers=(proxy,))), pod(1), pod(1, sidecar=True)
    gone = replace(none, status=PodStatus(phase="Failed"))
    subject = WorkloadSubject("shop", "cart")
    found = WorkloadPods(subject=subject, controller=None, pods=(auto, none, good, gone))
    assert found.bare == (auto, none)
    assert found.live == (auto, none, good)
    assert found.sidecars == (good,)


@pytest.mark.parametrize(
    ("labels", "notes", "found"),
    [
        ({"istio-injection": "enabled"}, {}, ""),
        ({"istio.io/rev": "x"}, {}, ""),
        ({"istio.io/dataplane-mode": "ambient"}, {}, ""),
        ({"istio-inject": "enabled"}, {}, "the label istio-inject=enabled"),
        ({"istio.io/revision": "x"}, {}, "the label istio.io/revision=x"),
        ({"sidecar.istio.io/inject": "true"}, {}, "the label sidecar.istio.io/inject=true"),
        ({}, {"istio-injection": "enabled"}, "the annotation istio-injection=enabled"),
        ({"team": "istio"}, {}, ""),
    ],
)
def test_labels_that_look_like_the_right_one(
    labels: dict[str, str], notes: dict[str, str], found: str
) -> None:
    assert near_miss(Namespace(metadata=Meta(labels=labels, annotations=notes))) == found


def test_who_expects_a_sidecar() -> None:
    plain = NewPod(namespace="shop", namespace_labels={}, labels={}, annotations={})
    noted = NewPod(
        namespace="shop",
        namespace_labels={},
        labels={},
        annotations={"proxy.istio.io/config": "concurrency: 2"},
    )
    strict = PeerAuthentication(
        kind="PeerAuthentication", metadata=Meta(name="default", namespace="shop")
    )
    assert expected_by(plain, "") == ""
    assert expected_by(plain, "somebody does") == "somebody does"
    assert "proxy.istio.io/config" in expected_by(noted, "somebody does")
    assert expected_in(UNTOLD, injected([pod(1)]), []) == ""
    asked = pod(1, sidecar=True, labels={"sidecar.istio.io/inject": "true"})
    assert expected_in(UNTOLD, injected([asked]), []) == ""
    assert "has a sidecar" in expected_in(UNTOLD, injected([pod(1, sidecar=True)]), [strict])
    words = expected_in(UNTOLD, injected([]), [strict])
    assert expecting_policy(words) == "PeerAuthentication/shop/default"
    assert expecting_policy("pod cart-1 of the namespace has a sidecar") == ""
