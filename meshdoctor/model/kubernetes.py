"""Which fields of Kubernetes objects do we read?

Partial, frozen structs: unknown fields are skipped while decoding, absent fields take the
default, and `null` is read as absent (see `decode.py`). Every field keeps the name it has in the
API, in snake case. All structs share `Object`: kind, metadata.
"""

from datetime import datetime

import msgspec

IntOrString = int | str
Quantity = str | int | float


class Partial(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False
):
    """Base of every decoded struct: frozen, keyword-only, camelCase on the wire.

    Decoded data has no cycles, so the collector need not know it (`gc`).
    """


class ManagedField(Partial, frozen=True):
    """One writer of an object: who, how and when."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: datetime | None = None


class OwnerReference(Partial, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(Partial, frozen=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    generation: int = 0
    resource_version: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    managed_fields: tuple[ManagedField, ...] = ()
    finalizers: tuple[str, ...] = ()


class Object(Partial, frozen=True):
    """What every object has. `ref` is how reports name it: Kind/namespace/name."""

    api_version: str = ""
    kind: str = ""
    metadata: Meta = Meta()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations

    @property
    def ref(self) -> str:
        """`Kind/namespace/name`; cluster-scoped objects read `Kind//name`."""
        return f"{self.kind}/{self.metadata.namespace}/{self.metadata.name}"


class LabelRequirement(Partial, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(Partial, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()


class Condition(Partial, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int = 0


# --- pods --------------------


class ObjectFieldSelector(Partial, frozen=True):
    field_path: str = ""


class KeySelector(Partial, frozen=True):
    name: str = ""
    key: str = ""


class EnvVarSource(Partial, frozen=True):
    field_ref: ObjectFieldSelector | None = None
    secret_key_ref: KeySelector | None = None
    config_map_key_ref: KeySelector | None = None


class EnvVar(Partial, frozen=True):
    """Name and literal value. Values are dropped by the recorder unless they are Istio's own."""

    name: str = ""
    value: str | None = None
    value_from: EnvVarSource | None = None


class ContainerPort(Partial, frozen=True):
    name: str = ""
    container_port: int = 0
    protocol: str = "TCP"
    host_port: int = 0


class HttpHeader(Partial, frozen=True):
    name: str = ""
    value: str = ""


class HttpGet(Partial, frozen=True):
    path: str = ""
    port: IntOrString = 0
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Partial, frozen=True):
    port: IntOrString = 0
    host: str = ""


class Grpc(Partial, frozen=True):
    port: int = 0
    service: str = ""


class Exec(Partial, frozen=True):
    command: tuple[str, ...] = ()


class Probe(Partial, frozen=True):
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    exec: Exec | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class Handler(Partial, frozen=True):
    exec: Exec | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None


class Lifecycle(Partial, frozen=True):
    post_start: Handler | None = None
    pre_stop: Handler | None = None


class Resources(Partial, frozen=True):
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class Capabilities(Partial, frozen=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SecurityContext(Partial, frozen=True):
    """Of a container or of a pod; fields the other kind lacks stay None."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    fs_group: int | None = None


class Container(Partial, frozen=True):
    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = Resources()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None
    restart_policy: str = ""


class NamedSource(Partial, frozen=True):
    """A volume's reference to a ConfigMap (`name`) or a Secret (`secretName`)."""

    name: str = ""
    secret_name: str = ""
    optional: bool = False


class TokenProjection(Partial, frozen=True):
    audience: str = ""
    expiration_seconds: int = 0
    path: str = ""


class Projection(Partial, frozen=True):
    config_map: NamedSource | None = None
    secret: NamedSource | None = None
    service_account_token: TokenProjection | None = None


class Projected(Partial, frozen=True):
    sources: tuple[Projection, ...] = ()


class Csi(Partial, frozen=True):
    driver: str = ""


class Volume(Partial, frozen=True):
    name: str = ""
    config_map: NamedSource | None = None
    secret: NamedSource | None = None
    projected: Projected | None = None
    csi: Csi | None = None


class Toleration(Partial, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class DnsConfig(Partial, frozen=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()


class LocalReference(Partial, frozen=True):
    name: str = ""


class PodSpec(Partial, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_name: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    host_network: bool = False
    restart_policy: str = "Always"
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    security_context: SecurityContext | None = None
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[LocalReference, ...] = ()
    scheduler_name: str = ""
    priority_class_name: str = ""
    runtime_class_name: str = ""


class Terminated(Partial, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Waiting(Partial, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Partial, frozen=True):
    started_at: datetime | None = None


class ContainerState(Partial, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Partial, frozen=True):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodIP(Partial, frozen=True):
    ip: str = ""


class PodStatus(Partial, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers first: a native sidecar lives there."""
        return self.spec.init_containers + self.spec.containers

    @property
    def all_statuses(self) -> tuple[ContainerStatus, ...]:
        return self.status.init_container_statuses + self.status.container_statuses

    def container(self, name: str) -> Container | None:
        """The container of that name, init containers included."""
        for found in self.spec.containers:
            if found.name == name:
                return found
        for found in self.spec.init_containers:
            if found.name == name:
                return found
        return None

    def container_status(self, name: str) -> ContainerStatus | None:
        """The status of that container, init containers first."""
        for found in self.status.init_container_statuses:
            if found.name == name:
                return found
        for found in self.status.container_statuses:
            if found.name == name:
                return found
        return None

    def condition(self, type_: str) -> Condition | None:
        for found in self.status.conditions:
            if found.type == type_:
                return found
        return None


# --- workloads --------------------


class PodTemplate(Partial, frozen=True):
    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()


class WorkloadSpec(Partial, frozen=True):
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplate = PodTemplate()
    paused: bool = False
    service_name: str = ""
    completions: int | None = None


class WorkloadStatus(Partial, frozen=True):
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    unavailable_replicas: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0


class Workload(Object, frozen=True):
    """Deployment, ReplicaSet, StatefulSet, DaemonSet and Job alike."""

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class JobTemplate(Partial, frozen=True):
    spec: WorkloadSpec = WorkloadSpec()


class CronJobSpec(Partial, frozen=True):
    job_template: JobTemplate = JobTemplate()


class CronJob(Object, frozen=True):
    spec: CronJobSpec = CronJobSpec()


# --- services and endpoints --------------------


class ServicePort(Partial, frozen=True):
    name: str = ""
    port: int = 0
    target_port: IntOrString = 0
    protocol: str = "TCP"
    app_protocol: str = ""
    node_port: int = 0


class ServiceSpec(Partial, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    external_name: str = ""
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    external_traffic_policy: str = ""
    health_check_node_port: int = 0
    internal_traffic_policy: str = ""
    load_balancer_class: str = ""
    publish_not_ready_addresses: bool = False
    traffic_distribution: str = ""


class LoadBalancerIngress(Partial, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Partial, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Partial, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Object, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def headless(self) -> bool:
        return self.spec.cluster_ip == "None"


class TargetRef(Partial, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class EndpointConditions(Partial, frozen=True):
    """`ready` absent means ready (Kubernetes' own rule)."""

    ready: bool = True
    serving: bool | None = None
    terminating: bool = False


class Endpoint(Partial, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    node_name: str = ""
    zone: str = ""


class EndpointPort(Partial, frozen=True):
    name: str = ""
    port: int = 0
    protocol: str = "TCP"
    app_protocol: str = ""


class EndpointSlice(Object, frozen=True):
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", "")


# --- the rest --------------------


class NamespaceStatus(Partial, frozen=True):
    phase: str = ""


class Namespace(Object, frozen=True):
    status: NamespaceStatus = NamespaceStatus()


class Taint(Partial, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: datetime | None = None


class NodeSpec(Partial, frozen=True):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    provider_id: str = msgspec.field(default="", name="providerID")
    pod_cidr: str = msgspec.field(default="", name="podCIDR")


class NodeInfo(Partial, frozen=True):
    kernel_version: str = ""
    kubelet_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""


class NodeAddress(Partial, frozen=True):
    type: str = ""
    address: str = ""


class NodeStatus(Partial, frozen=True):
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    allocatable: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    node_info: NodeInfo = NodeInfo()


class Node(Object, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ServiceAccount(Object, frozen=True):
    image_pull_secrets: tuple[LocalReference, ...] = ()


class ConfigMap(Object, frozen=True):
    data: dict[str, str] = {}


class Secret(Object, frozen=True):
    """Key names and public certificates only: `decode.py` drops every other value.

    `data` maps each key to "" except certificates, which are kept as PEM text.
    """

    type: str = ""
    data: dict[str, str] = {}


class EventSource(Partial, frozen=True):
    component: str = ""
    host: str = ""


class Event(Object, frozen=True):
    involved_object: TargetRef = TargetRef()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""

    @property
    def last_seen(self) -> datetime | None:
        return self.last_timestamp or self.event_time or self.metadata.creation_timestamp


class ScopeSelector(Partial, frozen=True):
    """That a quota counts only some pods; which ones is not read."""


class ResourceQuotaSpec(Partial, frozen=True):
    hard: dict[str, Quantity] = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(Partial, frozen=True):
    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceQuota(Object, frozen=True):
    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


class LimitRangeItem(Partial, frozen=True):
    type: str = ""
    max: dict[str, Quantity] = {}
    min: dict[str, Quantity] = {}
    default: dict[str, Quantity] = {}
    default_request: dict[str, Quantity] = {}
    max_limit_request_ratio: dict[str, Quantity] = {}


class LimitRangeSpec(Partial, frozen=True):
    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(Object, frozen=True):
    spec: LimitRangeSpec = LimitRangeSpec()


class NetworkPolicyPort(Partial, frozen=True):
    protocol: str = "TCP"
    port: IntOrString | None = None
    end_port: int | None = None


class IPBlock(Partial, frozen=True):
    cidr: str = ""
    except_: tuple[str, ...] = msgspec.field(default=(), name="except")


class NetworkPolicyPeer(Partial, frozen=True):
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyIngress(Partial, frozen=True):
    from_: tuple[NetworkPolicyPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicyEgress(Partial, frozen=True):
    to: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(Partial, frozen=True):
    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[NetworkPolicyIngress, ...] = ()
    egress: tuple[NetworkPolicyEgress, ...] = ()


class NetworkPolicy(Object, frozen=True):
    spec: NetworkPolicySpec = NetworkPolicySpec()


class PodDisruptionBudgetSpec(Partial, frozen=True):
    min_available: IntOrString | None = None
    max_unavailable: IntOrString | None = None
    selector: LabelSelector | None = None


class PodDisruptionBudget(Object, frozen=True):
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()


class TargetGroupService(Partial, frozen=True):
    name: str = ""


class TargetGroupBindingSpec(Partial, frozen=True):
    service_ref: TargetGroupService = TargetGroupService()


class TargetGroupBinding(Object, frozen=True):
    spec: TargetGroupBindingSpec = TargetGroupBindingSpec()


class IngressBackendService(Partial, frozen=True):
    name: str = ""


class IngressBackend(Partial, frozen=True):
    service: IngressBackendService = IngressBackendService()


class IngressPath(Partial, frozen=True):
    path: str = ""
    backend: IngressBackend = IngressBackend()


class IngressHttp(Partial, frozen=True):
    paths: tuple[IngressPath, ...] = ()


class IngressRule(Partial, frozen=True):
    host: str = ""
    http: IngressHttp = IngressHttp()


class IngressSpec(Partial, frozen=True):
    ingress_class_name: str = ""
    default_backend: IngressBackend = IngressBackend()
    rules: tuple[IngressRule, ...] = ()


class Ingress(Object, frozen=True):
    spec: IngressSpec = IngressSpec()
    status: ServiceStatus = ServiceStatus()


class EniConfigSpec(Partial, frozen=True):
    subnet: str = ""
    security_groups: tuple[str, ...] = ()


class EniConfig(Object, frozen=True):
    spec: EniConfigSpec = EniConfigSpec()


class SecurityGroups(Partial, frozen=True):
    group_ids: tuple[str, ...] = ()


class SecurityGroupPolicySpec(Partial, frozen=True):
    """Of Amazon's VPC resource controller: an absent selector selects nothing by itself."""

    pod_selector: LabelSelector | None = None
    service_account_selector: LabelSelector | None = None
    security_groups: SecurityGroups = SecurityGroups()


class SecurityGroupPolicy(Object, frozen=True):
    spec: SecurityGroupPolicySpec = SecurityGroupPolicySpec()


class WebhookService(Partial, frozen=True):
    namespace: str = ""
    name: str = ""
    path: str = ""
    port: int = 443


class WebhookClientConfig(Partial, frozen=True):
    service: WebhookService | None = None
    url: str = ""
    ca_bundle: str = ""


class WebhookRule(Partial, frozen=True):
    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = "*"


class Webhook(Partial, frozen=True):
    name: str = ""
    client_config: WebhookClientConfig = WebhookClientConfig()
    namespace_selector: LabelSelector = LabelSelector()
    object_selector: LabelSelector = LabelSelector()
    rules: tuple[WebhookRule, ...] = ()
    failure_policy: str = "Fail"
    reinvocation_policy: str = "Never"
    timeout_seconds: int = 10
    side_effects: str = ""


class WebhookConfiguration(Object, frozen=True):
    """MutatingWebhookConfiguration and ValidatingWebhookConfiguration alike."""

    webhooks: tuple[Webhook, ...] = ()


class CrdVersion(Partial, frozen=True):
    name: str = ""
    served: bool = False
    storage: bool = False


class CrdNames(Partial, frozen=True):
    kind: str = ""
    plural: str = ""


class CrdSpec(Partial, frozen=True):
    group: str = ""
    names: CrdNames = CrdNames()
    versions: tuple[CrdVersion, ...] = ()


class CustomResourceDefinition(Object, frozen=True):
    spec: CrdSpec = CrdSpec()


class RoleRef(Partial, frozen=True):
    kind: str = ""
    name: str = ""


class RoleSubject(Partial, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class ClusterRoleBinding(Object, frozen=True):
    role_ref: RoleRef = RoleRef()
    subjects: tuple[RoleSubject, ...] = ()


class ApiServiceSpec(Partial, frozen=True):
    service: WebhookService | None = None


class ApiServiceStatus(Partial, frozen=True):
    conditions: tuple[Condition, ...] = ()


class APIService(Object, frozen=True):
    spec: ApiServiceSpec = ApiServiceSpec()
    status: ApiServiceStatus = ApiServiceStatus()


class CsrStatus(Partial, frozen=True):
    conditions: tuple[Condition, ...] = ()
    certificate: str = ""


class CsrSpec(Partial, frozen=True):
    signer_name: str = ""
    username: str = ""


class CertificateSigningRequest(Object, frozen=True):
    spec: CsrSpec = CsrSpec()
    status: CsrStatus = CsrStatus()
