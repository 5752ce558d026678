"""Which reads do the probes on Amazon EKS share? Not a probe: it judges nothing."""

from meshdoctor.mesh.control_path import BRANCH_INTERFACE, own_groups
from meshdoctor.mesh.custom_networking import custom, of_node
from meshdoctor.mesh.exposure import ALB, backends, class_of
from meshdoctor.model.istio import VirtualService
from meshdoctor.model.kubernetes import (
    EniConfig,
    Ingress,
    Node,
    Pod,
    SecurityGroupPolicy,
    Service,
    ServiceAccount,
    TargetGroupBinding,
    Workload,
)
from meshdoctor.probes.view import View

AGENT = ("kube-system", "aws-node")
NODE_DNS = frozenset({"node-local-dns", "nodelocaldns", "nodelocal-dns"})


def group_policy(view: View, pod: Pod) -> SecurityGroupPolicy | None:
    """The SecurityGroupPolicy that put the pod into security groups of its own."""
    return selecting(view, pod) if BRANCH_INTERFACE in pod.annotations else None


def selecting(view: View, pod: Pod) -> SecurityGroupPolicy | None:
    """The SecurityGroupPolicy that selects the pod, whether or not it took hold."""
    account = service_account(view, pod)
    policies = view.objects("SecurityGroupPolicy", SecurityGroupPolicy, pod.namespace)
    return own_groups(policies, pod, account.labels if account is not None else {})


def service_account(view: View, pod: Pod) -> ServiceAccount | None:
    """The account that the pod runs as."""
    name = pod.spec.service_account_name or "default"
    return view.object("ServiceAccount", ServiceAccount, pod.namespace, name)


def node_dns(view: View) -> Workload | None:
    """The DaemonSet of NodeLocal DNSCache."""
    found = view.objects("DaemonSet", Workload, AGENT[0])
    own = (w for w in found if w.name in NODE_DNS or w.labels.get("k8s-app") in NODE_DNS)
    return next(own, None)


def balancer_names(view: View, service: Service) -> frozenset[str]:
    """The names of a Service's load balancer: its own, and those that gateways route."""
    routed = {
        host.removeprefix("*.")
        for one in view.objects("VirtualService", VirtualService)
        if any(g != "mesh" for g in one.spec.gateways)
        for host in one.spec.hosts
        if host != "*"
    }
    own = {i.hostname or i.ip for i in service.status.load_balancer.ingress}
    return frozenset((routed | own) - {""})


def alb_ingress(view: View, service: Service) -> Ingress | None:
    """The Ingress whose application load balancer leads to the Service."""
    found = view.objects("Ingress", Ingress, service.namespace)
    return next((i for i in found if class_of(i) == ALB and service.name in backends(i)), None)


def target_group(view: View, service: Service) -> TargetGroupBinding | None:
    """What fills a target group of a load balancer that was made by hand with the Service's pods
    or nodes."""
    found = view.objects("TargetGroupBinding", TargetGroupBinding, service.namespace)
    return next((one for one in found if one.spec.service_ref.name == service.name), None)


def vpc_cni(view: View) -> Workload | None:
    """The DaemonSet of the VPC CNI."""
    return view.object("DaemonSet", Workload, *AGENT)


def eni_config(view: View, pod: Pod) -> EniConfig | None:
    """The ENIConfig that gives the pod its subnet and security groups; None: it has its node's."""
    agent = vpc_cni(view)
    if agent is None or not custom(agent) or pod.spec.host_network:
        return None
    node = view.object("Node", Node, "", pod.spec.node_name)
    return of_node(agent, node, view.objects("ENIConfig", EniConfig)) if node is not None else None
