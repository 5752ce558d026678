"""How kubectl and istioctl are told a workload."""

import pytest

from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.kubernetes import Meta, Pod
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
