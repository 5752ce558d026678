"""Whose service account did the API server refuse, and which binding would have to name it?

The words are those of Kubernetes' RBAC authorizer, which whoever asked hands on.
"""

from collections.abc import Iterable

from meshdoctor.model.kubernetes import ClusterRoleBinding
from meshdoctor.model.patterns import pattern

_REFUSED = pattern(
    r'User \\?"system:serviceaccount:([\w.-]{1,63}):([\w.-]{1,253})\\?" cannot \w+ resource'
)


def refused_account(text: str) -> tuple[str, str]:
    """(namespace, name) of the account that may not; ("", ""): the text says no such thing.

    >>> refused_account('User "system:serviceaccount:kube-system:istio-cni" cannot get resource')
    ('kube-system', 'istio-cni')
    """
    found = _REFUSED.search(text)
    return (found[1], found[2]) if found is not None else ("", "")


def binding_to_mend(
    bindings: Iterable[ClusterRoleBinding], namespace: str, name: str
) -> tuple[str, str]:
    """What would have to change for the account to have its rights, and why, in words: the role
    that a binding gives it already; a binding that names an account of that name in another
    namespace; else the account itself."""
    known = sorted(bindings, key=lambda b: b.name)
    for one in known:
        if (namespace, name) in accounts_in(one) and one.role_ref.kind == "ClusterRole":
            return f"ClusterRole//{one.role_ref.name}", f"{one.ref} gives it that role"
    for one in known:
        spaces = sorted(space for space, other in accounts_in(one) if other == name)
        if spaces:
            return one.ref, f"it names {name} of namespace {spaces[0]}, not of {namespace}"
    return f"ServiceAccount/{namespace}/{name}", "no ClusterRoleBinding names it"


def accounts_in(binding: ClusterRoleBinding) -> frozenset[tuple[str, str]]:
    """(namespace, name) of the service accounts that a binding names."""
    found = (s for s in binding.subjects if s.kind == "ServiceAccount")
    return frozenset((s.namespace, s.name) for s in found)
