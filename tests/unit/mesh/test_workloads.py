"""What is known of a workload and its pods, and how are kubectl and istioctl told it?"""

from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from meshdoctor.mesh.workloads import WorkloadPods, group, owner_of, proxy_type
from meshdoctor.model.kubernetes import (
    Condition,
    Container,
    Meta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)
from meshdoctor.model.subjects import WorkloadSubject


@pytest.mark.parametrize(
    ("owner", "target"),
    [
        ("Deployment", "deployment/pay"),
        ("StatefulSet", "statefulset/pay"),
        ("Rollout", "pod/pay-1"),
        ("CronJob", "pod/pay-1"),
        ("Pod", "pod/pay-1"),
    ],
)
def test_a_target_outlives_a_restart_where_it_can(owner: str, target: str) -> None:
    pod = Pod(metadata=Meta(name="pay-1", namespace="shop"))
    subject = WorkloadSubject("shop", "pay", owner)
    assert WorkloadPods(subject=subject, controller=None, pods=(pod,)).target == target


def test_no_pod_no_target() -> None:
    subject = WorkloadSubject("shop", "pay", "Rollout")
    assert WorkloadPods(subject=subject, controller=None, pods=()).target == ""


def made(name: str, role: str = "", *, ready: bool = True) -> Pod:
    proxy = (Container(name="istio-proxy", args=("proxy", role)),) if role else ()
    condition = Condition(type="Ready", status="True" if ready else "False")
    return Pod(
        metadata=Meta(name=name, namespace="shop"),
        spec=PodSpec(containers=(Container(name="app"), *proxy)),
        status=PodStatus(conditions=(Condition(type="Initialized", status="True"), condition)),
    )


def test_what_a_workload_knows_of_its_pods() -> None:
    pods = (made("bare"), made("one", "sidecar"), made("two", "router", ready=False))
    found = WorkloadPods(subject=WorkloadSubject("shop", "pay"), controller=None, pods=pods)
    assert found.proxy_types == tuple(map(proxy_type, pods)) == ("", "sidecar", "router")
    assert [p.name for p in found.proxies] == ["one", "two"]
    assert [p.name for p in found.sidecars] == ["one"]
    assert [p.name for p in found.ready] == ["bare", "one"]
    assert found.pod is pods[1], "the newest of those that are ready"
    assert found.proxy_type == "sidecar"
    assert [found.type_of(pod) for pod in pods] == ["", "sidecar", "router"]
    assert found.type_of(None) == ""


def test_of_pods_none_of_which_is_ready_the_newest_speaks() -> None:
    pods = (made("one", ready=False), made("two", ready=False))
    subject = WorkloadSubject("shop", "pay")
    assert WorkloadPods(subject=subject, controller=None, pods=pods).pod is pods[1]


@pytest.mark.parametrize(
    ("owners", "labels", "expected"),
    [
        ([], {}, "Pod/shop/p"),
        ([("ReplicaSet", "pay-5c9d8f7", True)], {}, "Deployment/shop/pay"),
        ([("ReplicaSet", "pay-x", True)], {"pod-template-hash": "x"}, "Deployment/shop/pay"),
        ([("ReplicaSet", "pay", True)], {}, "ReplicaSet/shop/pay"),
        ([("Job", "pay-28491840", True)], {}, "CronJob/shop/pay"),
        ([("Job", "pay", True)], {}, "Job/shop/pay"),
        ([("Node", "n1", False), ("DaemonSet", "log", True)], {}, "DaemonSet/shop/log"),
        ([("Rollout", "pay", False), ("Other", "x", False)], {}, "Rollout/shop/pay"),
    ],
)
def test_owner(owners: list[tuple[str, str, bool]], labels: dict[str, str], expected: str) -> None:
    references = tuple(OwnerReference(kind=k, name=n, controller=c) for k, n, c in owners)
    meta = Meta(name="p", namespace="shop", labels=labels, owner_references=references)
    assert owner_of(Pod(metadata=meta)).ref == expected


TIMES = st.none() | st.datetimes(
    min_value=datetime(2026, 1, 1),
    max_value=datetime(2026, 1, 1, 0, 0, 3),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=1))]),
)


@given(st.lists(TIMES, max_size=5), st.randoms(use_true_random=False))
def test_pods_are_ordered_by_the_text_of_their_age(
    times: list[datetime | None], random: Random
) -> None:
    pods = [
        Pod(metadata=Meta(name=f"p{n}", namespace="shop", creation_timestamp=at))
        for n, at in enumerate(times)
    ]
    random.shuffle(pods)
    owner = (OwnerReference(kind="DaemonSet", name="log", controller=True),)
    owned = [replace(p, metadata=replace(p.metadata, owner_references=owner)) for p in pods]
    found = group(owned)
    by_text = sorted(
        owned,
        key=lambda p: (
            at.isoformat() if (at := p.metadata.creation_timestamp) is not None else "",
            p.name,
        ),
    )
    assert [one.pods for one in found.values()] == ([tuple(by_text)] if owned else [])
