"""Which kinds do we read, and where does the API serve them?

One row per kind: the name reports use, API group, plural, struct, scope. `versions` lists what
supported releases serve, preferred first.
"""

from dataclasses import dataclass

from meshdoctor.model import istio as i
from meshdoctor.model import kubernetes as k
from meshdoctor.model.kubernetes import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`name` is unique here; the Gateway API's Gateway is `K8sGateway`, reported `Gateway`."""

    name: str
    group: str
    versions: tuple[str, ...]
    plural: str
    type: type[Object]
    namespaced: bool = True
    wire_kind: str = ""

    @property
    def wire(self) -> str:
        """The `kind` text in a manifest."""
        return self.wire_kind or self.name

    @property
    def resource(self) -> str:
        """`plural.group`, as kubectl and RBAC name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_SEC = "security.istio.io"
_NET = "networking.istio.io"
_GW = "gateway.networking.k8s.io"
_V1 = ("v1", "v1beta1")
_NETV = ("v1", "v1beta1", "v1alpha3")


def _kind(
    name: str,
    group: str,
    versions: tuple[str, ...],
    plural: str,
    type_: type[Object],
    *,
    cluster: bool = False,
    wire: str = "",
) -> Kind:
    return Kind(
        name=name,
        group=group,
        versions=versions,
        plural=plural,
        type=type_,
        namespaced=not cluster,
        wire_kind=wire,
    )


KINDS: tuple[Kind, ...] = (
    _kind(
        "APIService", "apiregistration.k8s.io", ("v1",), "apiservices", k.APIService, cluster=True
    ),
    _kind("AuthorizationPolicy", _SEC, _V1, "authorizationpolicies", i.AuthorizationPolicy),
    _kind("BackendTLSPolicy", _GW, ("v1", "v1alpha3"), "backendtlspolicies", i.BackendTLSPolicy),
    _kind(
        "CertificateSigningRequest",
        "certificates.k8s.io",
        ("v1",),
        "certificatesigningrequests",
        k.CertificateSigningRequest,
        cluster=True,
    ),
    _kind(
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io",
        ("v1",),
        "clusterrolebindings",
        k.ClusterRoleBinding,
        cluster=True,
    ),
    _kind("ConfigMap", "", ("v1",), "configmaps", k.ConfigMap),
    _kind("CronJob", "batch", ("v1",), "cronjobs", k.CronJob),
    _kind(
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        ("v1",),
        "customresourcedefinitions",
        k.CustomResourceDefinition,
        cluster=True,
    ),
    _kind("DaemonSet", "apps", ("v1",), "daemonsets", k.Workload),
    _kind("Deployment", "apps", ("v1",), "deployments", k.Workload),
    _kind("DestinationRule", _NET, _NETV, "destinationrules", i.DestinationRule),
    _kind(
        "ENIConfig",
        "crd.k8s.amazonaws.com",
        ("v1alpha1",),
        "eniconfigs",
        k.EniConfig,
        cluster=True,
    ),
    _kind("EndpointSlice", "discovery.k8s.io", ("v1",), "endpointslices", k.EndpointSlice),
    _kind("EnvoyFilter", _NET, ("v1alpha3",), "envoyfilters", i.EnvoyFilter),
    _kind("Event", "", ("v1",), "events", k.Event),
    _kind("GRPCRoute", _GW, ("v1",), "grpcroutes", i.Route),
    _kind("Gateway", _NET, _NETV, "gateways", i.Gateway),
    _kind("GatewayClass", _GW, _V1, "gatewayclasses", i.GatewayClass, cluster=True),
    _kind("HTTPRoute", _GW, _V1, "httproutes", i.Route),
    _kind("Ingress", "networking.k8s.io", ("v1",), "ingresses", k.Ingress),
    _kind("Job", "batch", ("v1",), "jobs", k.Workload),
    _kind("K8sGateway", _GW, _V1, "gateways", i.K8sGateway, wire="Gateway"),
    _kind("LimitRange", "", ("v1",), "limitranges", k.LimitRange),
    _kind("ListenerSet", _GW, ("v1",), "listenersets", i.ListenerSet),
    _kind(
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io",
        ("v1",),
        "mutatingwebhookconfigurations",
        k.WebhookConfiguration,
        cluster=True,
    ),
    _kind("Namespace", "", ("v1",), "namespaces", k.Namespace, cluster=True),
    _kind("NetworkPolicy", "networking.k8s.io", ("v1",), "networkpolicies", k.NetworkPolicy),
    _kind("Node", "", ("v1",), "nodes", k.Node, cluster=True),
    _kind("PeerAuthentication", _SEC, _V1, "peerauthentications", i.PeerAuthentication),
    _kind("Pod", "", ("v1",), "pods", k.Pod),
    _kind("PodDisruptionBudget", "policy", ("v1",), "poddisruptionbudgets", k.PodDisruptionBudget),
    _kind("ProxyConfig", _NET, ("v1beta1",), "proxyconfigs", i.ProxyConfig),
    _kind("ReferenceGrant", _GW, _V1, "referencegrants", i.ReferenceGrant),
    _kind("ReplicaSet", "apps", ("v1",), "replicasets", k.Workload),
    _kind("RequestAuthentication", _SEC, _V1, "requestauthentications", i.RequestAuthentication),
    _kind("ResourceQuota", "", ("v1",), "resourcequotas", k.ResourceQuota),
    _kind("Secret", "", ("v1",), "secrets", k.Secret),
    _kind(
        "SecurityGroupPolicy",
        "vpcresources.k8s.aws",
        ("v1beta1",),
        "securitygrouppolicies",
        k.SecurityGroupPolicy,
    ),
    _kind("Service", "", ("v1",), "services", k.Service),
    _kind("ServiceAccount", "", ("v1",), "serviceaccounts", k.ServiceAccount),
    _kind("ServiceEntry", _NET, _NETV, "serviceentries", i.ServiceEntry),
    _kind("Sidecar", _NET, _NETV, "sidecars", i.Sidecar),
    _kind("StatefulSet", "apps", ("v1",), "statefulsets", k.Workload),
    _kind("TCPRoute", _GW, ("v1alpha2",), "tcproutes", i.Route),
    _kind("TLSRoute", _GW, ("v1", "v1alpha3", "v1alpha2"), "tlsroutes", i.Route),
    _kind(
        "TargetGroupBinding",
        "elbv2.k8s.aws",
        ("v1beta1",),
        "targetgroupbindings",
        k.TargetGroupBinding,
    ),
    _kind("Telemetry", "telemetry.istio.io", ("v1", "v1alpha1"), "telemetries", i.Telemetry),
    _kind(
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io",
        ("v1",),
        "validatingwebhookconfigurations",
        k.WebhookConfiguration,
        cluster=True,
    ),
    _kind("VirtualService", _NET, _NETV, "virtualservices", i.VirtualService),
    _kind("WasmPlugin", "extensions.istio.io", ("v1alpha1",), "wasmplugins", i.WasmPlugin),
    _kind("WorkloadEntry", _NET, _NETV, "workloadentries", i.WorkloadEntry),
    _kind("WorkloadGroup", _NET, _NETV, "workloadgroups", i.WorkloadGroup),
)

BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
_BY_WIRE: dict[tuple[str, str], Kind] = {(kind.group, kind.wire): kind for kind in KINDS}


def from_wire(api_version: str, kind: str) -> Kind | None:
    """The row for a manifest's apiVersion and kind; None when we do not read that kind."""
    group = api_version.rpartition("/")[0]
    return _BY_WIRE.get((group, kind))
