"""Which workloads does the selector of one AuthorizationPolicy find?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.authz_call import Settings
from meshdoctor.mesh.authz_object import Reach, Surroundings, pruned_fields
from meshdoctor.mesh.workloads import group
from meshdoctor.model.istio import AuthorizationPolicy, AuthorizationPolicySpec, WorkloadSelector
from meshdoctor.model.kubernetes import Container, Meta, Pod, PodSpec
from meshdoctor.model.snapshot import selects


def pod(namespace: str, name: str, labels: dict[str, str], role: str = "sidecar") -> Pod:
    proxy = Container(name="istio-proxy", args=("proxy", role))
    return Pod(
        metadata=Meta(namespace=namespace, name=name, labels=labels),
        spec=PodSpec(containers=(proxy,)),
    )


def policy(namespace: str, labels: dict[str, str] | None) -> AuthorizationPolicy:
    selector = WorkloadSelector(match_labels=labels) if labels is not None else None
    return AuthorizationPolicy(
        metadata=Meta(namespace=namespace, name="p"),
        spec=AuthorizationPolicySpec(selector=selector),
    )


AROUND = Surroundings(
    group(
        [
            pod("shop", "cart", {"app": "cart", "tier": "web"}),
            pod("shop", "point", {"role": "point"}, "waypoint"),
            pod("pay", "pay", {"app": "pay"}),
        ]
    ).values()
)


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("shop", None, Reach(selected=2, here=2)),
        ("shop", {"app": "cart"}, Reach(selected=1, here=2)),
        ("shop", {"role": "point"}, Reach(selected=1, here=2, waypoint="Pod/shop/point")),
        (
            "shop",
            {"app": "pay"},
            Reach(selected=0, here=2, away="Pod/pay/pay", away_namespace="pay"),
        ),
        ("pay", {"app": "pay"}, Reach(selected=1, here=1)),
        (
            "shop",
            {"app": "cart", "tier": "db"},
            Reach(selected=0, here=2, near="Pod/shop/cart"),
        ),
        ("istio-system", {"app": "pay"}, Reach(selected=1, here=3)),
        ("empty", None, Reach(selected=0, here=0)),
    ],
)
def test_reach(namespace: str, labels: dict[str, str] | None, expected: Reach) -> None:
    for _ in ("worked out", "remembered"):
        assert AROUND.reach(policy(namespace, labels), Settings()) == expected


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"))


@given(st.lists(st.tuples(st.sampled_from(["shop", "pay"]), LABELS), max_size=8), LABELS)
def test_selected_are_those_that_the_selector_selects(
    pods: list[tuple[str, dict[str, str]]], labels: dict[str, str]
) -> None:
    made = [pod(space, f"p{number}", found) for number, (space, found) in enumerate(pods)]
    found = Surroundings(group(made).values()).reach(policy("shop", labels), Settings())
    assert found.here == sum(space == "shop" for space, _ in pods)
    assert found.selected == sum(space == "shop" and selects(labels, own) for space, own in pods)


def test_nothing_is_pruned_from_what_was_never_applied() -> None:
    assert pruned_fields(policy("shop", None)) == ()
