"""What does the node's network agent say, where it sets up no network for a pod?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.ipamd_log import why_no_address
from meshdoctor.mesh.pod_startup import Stage
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs
from meshdoctor.probes.eks_reads import AGENT
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, probe

PLUGIN = "aws-cni"


class NetworkAgent(Struct, frozen=True, kw_only=True):
    """Of the VPC CNI's agent on the node of the workload's worst pod, where that pod's sandbox
    fails; else empty."""

    said: Annotated[
        Fact[str], "why it gives no address, as the end of a sentence; empty: not told", OBSERVED
    ]


@probe(
    "network-agent",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Deployment", "Event", "Job", "Pod", "StatefulSet", "log"),
)
def network_agent(view: View, subject: WorkloadSubject) -> NetworkAgent:
    """What does the node's network agent say, where it sets up no network for a pod?"""
    one = startups(view, subject).worst
    if one.stage is not Stage.SANDBOX or one.plugin != PLUGIN:
        return NetworkAgent(said="")
    return NetworkAgent(said=attempt(lambda: _said(view, one.pod)))


def _said(view: View, pod: Pod) -> str:
    """It only adds to a sentence: a log that cannot be read tells nothing."""
    for agent in view.objects("Pod", Pod, AGENT[0]):
        if agent.spec.node_name != pod.spec.node_name or not agent.name.startswith(AGENT[1]):
            continue
        for text in container_logs.readable(view, agent, agent.spec.containers):
            if found := why_no_address(text):
                return f"; {agent.name} says: {found}"
    return ""
