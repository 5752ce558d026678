"""What is the VPC CNI told? Its settings are variables of the DaemonSet aws-node."""

from meshdoctor.model.kubernetes import Workload


def settings(agent: Workload) -> dict[str, str]:
    """The variables of its containers by name, those of init containers among them; "" where one
    has no value of its own."""
    spec = agent.spec.template.spec
    return {e.name: e.value or "" for c in (*spec.init_containers, *spec.containers) for e in c.env}
