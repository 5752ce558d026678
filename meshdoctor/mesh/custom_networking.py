"""Which ENIConfig gives pods on a node their subnet and security groups?

With AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG the VPC CNI takes both from an ENIConfig instead of from the
node: the one that the node's annotation or label names (k8s.amazonaws.com/eniConfig, or as
ENI_CONFIG_ANNOTATION_DEF and ENI_CONFIG_LABEL_DEF say), else `default` (amazon-vpc-cni-k8s
pkg/eniconfig; 1.7 to 1.20). Where a record lacks these names, the node's zone, which is the usual
name, or the only ENIConfig that there is. Pods on the host's network keep the node's.
"""

from collections.abc import Iterable

from meshdoctor.mesh.vpc_cni import settings
from meshdoctor.model.kubernetes import EniConfig, Node, Workload

_KEY = "k8s.amazonaws.com/eniConfig"
_DEFAULT = "default"
_ZONE = "topology.kubernetes.io/zone"


def custom(agent: Workload) -> bool:
    """Whether the DaemonSet aws-node gives pods networks of their own."""
    return settings(agent).get("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "").lower() == "true"


def of_node(agent: Workload, node: Node, configs: Iterable[EniConfig]) -> EniConfig | None:
    """The ENIConfig that pods of the node get; None: none is known."""
    env = settings(agent)
    by_note = node.annotations.get(env.get("ENI_CONFIG_ANNOTATION_DEF", _KEY), "")
    by_label = node.labels.get(env.get("ENI_CONFIG_LABEL_DEF", _KEY), "")
    wanted = by_note or by_label or node.labels.get(_ZONE, "")
    known = tuple(configs)
    named = next((c for name in (wanted, _DEFAULT) for c in known if c.name == name), None)
    return named or (known[0] if len(known) == 1 else None)
