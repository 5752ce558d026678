# ruff: noqa: E501
"""What does the AWS load balancer controller say that it cannot do?"""

import pytest

from meshdoctor.mesh.aws_controller_log import about, complaints, is_target_group
from meshdoctor.model.kubernetes import Ingress, Meta, Service

GROUP = '{"level":"error","ts":1763456400.9,"msg":"Reconciler error","reconcilerKind":"TargetGroupBinding","controller":"targetGroupBinding","name":"k8s-ingress-gw-737679f196","namespace":"ingress","error":"expect exactly one securityGroup"}'
ALB = '{"level":"error","ts":"2026-11-18T09:20:00Z","msg":"Reconciler error","controller":"ingress","namespace":"","name":"ingress/alb","error":"no subnet"}'
OTHER = '{"level":"info","ts":"2026-11-18T09:20:00Z","msg":"registered targets"}\nI1118 Reconciler error\n{"msg":"Reconciler error","controller":"pod"}\n'


def test_failed_reconciliations() -> None:
    group, alb = complaints(f"{GROUP}\n{OTHER}{ALB}")
    assert (group.kind, group.reason) == ("TargetGroupBinding", "expect exactly one securityGroup")
    assert group.at is not None and group.at.year == 2025
    assert (alb.namespace, alb.name, alb.at is not None) == ("ingress", "alb", True)
    service = Service(kind="Service", metadata=Meta(name="gw", namespace="ingress"))
    ingress = Ingress(kind="Ingress", metadata=Meta(name="alb", namespace="ingress"))
    assert about(service, (group, alb)) == (group,)
    assert about(ingress, (group, alb)) == (alb,)
    elsewhere = Service(kind="Service", metadata=Meta(name="gw", namespace="other"))
    assert about(elsewhere, (group, alb)) == ()
    conflict = "Operation cannot be fulfilled on x: the object has been modified; please apply"
    assert complaints(GROUP.replace("expect exactly one securityGroup", conflict)) == ()


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("k8s-istiosys-istioing-737679f196", True),
        ("k8s-istiosys-istioegr-737679f196", False),
        ("k8s-istiosys-istioing-mine", False),
        ("mine", False),
    ],
)
def test_target_groups_are_named_after_their_service(name: str, fits: bool) -> None:
    assert is_target_group(name, "istio-system", "istio-ingressgateway") is fits
