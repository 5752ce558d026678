"""May istio-cni's plugin ask the API server about a pod whose sandbox it fails?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.cni import ISTIO
from meshdoctor.mesh.pod_startup import Stage
from meshdoctor.mesh.refused_account import binding_to_mend, refused_account
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ClusterRoleBinding
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, probe


class CniRights(Struct, frozen=True, kw_only=True):
    """Of the workload's worst pod, where istio-cni fails its sandbox; else empty."""

    account: Annotated[
        Fact[Ref], "ServiceAccount of the plugin that the API server refused; or empty", OBSERVED
    ]
    to_mend: Annotated[Fact[Ref], "binding or role that would have to change, else the account"]
    said: Annotated[Fact[str], "why that, as the end of a clause"]


NOTHING = CniRights(account=Ref(""), to_mend=Ref(""), said="")


@probe(
    "cni-rights",
    subject=SubjectKind.WORKLOAD,
    reads=("ClusterRoleBinding", "Deployment", "Event", "Pod"),
)
def cni_rights(view: View, subject: WorkloadSubject) -> CniRights:
    """May istio-cni's plugin ask the API server about a pod whose sandbox it fails?"""
    one = startups(view, subject).worst
    if one.stage is not Stage.SANDBOX or one.plugin != ISTIO:
        return NOTHING
    namespace, name = refused_account(one.event)
    if not name:
        return NOTHING
    found = attempt(
        lambda: binding_to_mend(
            view.objects("ClusterRoleBinding", ClusterRoleBinding), namespace, name
        )
    )
    account = Ref(f"ServiceAccount/{namespace}/{name}")
    if isinstance(found, Unavailable):
        return CniRights(account=account, to_mend=account, said="")
    return CniRights(account=account, to_mend=Ref(found[0]), said=f": {clean(found[1])}")
