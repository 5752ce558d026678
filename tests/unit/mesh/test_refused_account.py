"""Which binding would have to name the account that the API server refused?"""

import pytest

from meshdoctor.mesh.refused_account import binding_to_mend, refused_account
from meshdoctor.model.kubernetes import ClusterRoleBinding, Meta, RoleRef, RoleSubject

TEXT = (
    'plugin type="istio-cni" failed (add): pods "x" is forbidden: User '
    '"system:serviceaccount:kube-system:istio-cni" cannot get resource "pods" in API group ""'
)


def binding(name: str, namespace: str, account: str = "istio-cni") -> ClusterRoleBinding:
    return ClusterRoleBinding(
        kind="ClusterRoleBinding",
        metadata=Meta(name=name),
        role_ref=RoleRef(kind="ClusterRole", name="istio-cni"),
        subjects=(RoleSubject(kind="ServiceAccount", name=account, namespace=namespace),),
    )


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (TEXT, ("kube-system", "istio-cni")),
        (TEXT.replace('"', '\\"'), ("kube-system", "istio-cni")),
        ('User "jane" cannot get resource "pods"', ("", "")),
        ("Unauthorized", ("", "")),
    ],
)
def test_whom_the_text_names(text: str, account: tuple[str, str]) -> None:
    assert refused_account(text) == account


@pytest.mark.parametrize(
    ("bindings", "found"),
    [
        ([binding("a", "kube-system")], "ClusterRole//istio-cni"),
        ([binding("a", "istio-system")], "ClusterRoleBinding//a"),
        ([binding("a", "istio-system"), binding("b", "kube-system")], "ClusterRole//istio-cni"),
        ([binding("a", "kube-system", "other")], "ServiceAccount/kube-system/istio-cni"),
        ([], "ServiceAccount/kube-system/istio-cni"),
    ],
)
def test_what_is_to_be_mended(bindings: list[ClusterRoleBinding], found: str) -> None:
    assert binding_to_mend(bindings, "kube-system", "istio-cni")[0] == found
