"""Which fields of Istio and Gateway API objects do we read?

One type per kind: every API version that a supported release serves (`v1`, `v1beta1`, `v1alpha3`)
decodes into it. Enumerations stay text: a value that a newer release invents must not hide the
object. An absent list and an empty one are the same to Istio (protobuf), except where a field is
typed `X | None`.
"""

from typing import Any

import msgspec

from meshdoctor.model.kubernetes import Condition, LabelSelector, Object, Partial


class WorkloadSelector(Partial, frozen=True):
    """`matchLabels` in the security and telemetry APIs, `labels` in the networking API."""

    match_labels: dict[str, str] = {}
    labels: dict[str, str] = {}

    @property
    def wanted(self) -> dict[str, str]:
        """The labels asked for; empty selects every workload."""
        return self.match_labels or self.labels


class PolicyTargetRef(Partial, frozen=True):
    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


# --- security.istio.io --------------------


class MutualTls(Partial, frozen=True):
    mode: str = "UNSET"


class PeerAuthenticationSpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    mtls: MutualTls = MutualTls()
    port_level_mtls: dict[str, MutualTls] = {}


class PeerAuthentication(Object, frozen=True):
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()


class JwtHeader(Partial, frozen=True):
    name: str = ""
    prefix: str = ""


class ClaimToHeader(Partial, frozen=True):
    header: str = ""
    claim: str = ""


class JwtRule(Partial, frozen=True):
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    jwks: str = ""
    from_headers: tuple[JwtHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    output_payload_to_header: str = ""
    forward_original_token: bool = False
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    timeout: str = ""
    space_delimited_claims: tuple[str, ...] = ()


class RequestAuthenticationSpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetRef | None = None
    target_refs: tuple[PolicyTargetRef, ...] = ()
    jwt_rules: tuple[JwtRule, ...] = ()


class RequestAuthentication(Object, frozen=True):
    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()


class Source(Partial, frozen=True):
    """Fields are ANDed, values of a field ORed; an empty field asks nothing."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    not_service_accounts: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


class Operation(Partial, frozen=True):
    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class From(Partial, frozen=True):
    source: Source = Source()


class To(Partial, frozen=True):
    operation: Operation = Operation()


class When(Partial, frozen=True):
    key: str = ""
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class AuthorizationRule(Partial, frozen=True):
    from_: tuple[From, ...] = msgspec.field(default=(), name="from")
    to: tuple[To, ...] = ()
    when: tuple[When, ...] = ()


class ExtensionProviderRef(Partial, frozen=True):
    name: str = ""


class AuthorizationPolicySpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetRef | None = None
    target_refs: tuple[PolicyTargetRef, ...] = ()
    action: str = "ALLOW"
    provider: ExtensionProviderRef | None = None
    rules: tuple[AuthorizationRule, ...] = ()


class PolicyStatus(Partial, frozen=True):
    conditions: tuple[Condition, ...] = ()


class AuthorizationPolicy(Object, frozen=True):
    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()
    status: PolicyStatus = PolicyStatus()


# --- networking.istio.io --------------------


class ClientTls(Partial, frozen=True):
    """`mode` empty inside a present block is DISABLE (protobuf's zero value)."""

    mode: str = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None


class PortSelector(Partial, frozen=True):
    number: int = 0


class TcpSettings(Partial, frozen=True):
    max_connections: int | None = None
    connect_timeout: str = ""
    idle_timeout: str = ""


class HttpSettings(Partial, frozen=True):
    http1_max_pending_requests: int | None = None
    http2_max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout: str = ""
    h2_upgrade_policy: str = ""


class ConnectionPool(Partial, frozen=True):
    tcp: TcpSettings | None = None
    http: HttpSettings | None = None


class OutlierDetection(Partial, frozen=True):
    consecutive_5xx_errors: int | None = msgspec.field(default=None, name="consecutive5xxErrors")
    consecutive_gateway_errors: int | None = None
    consecutive_errors: int | None = None
    interval: str = ""
    base_ejection_time: str = ""
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None


class LocalityFailover(Partial, frozen=True):
    from_: str = msgspec.field(default="", name="from")
    to: str = ""


class LocalityLb(Partial, frozen=True):
    enabled: bool | None = None
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class LoadBalancerSettings(Partial, frozen=True):
    simple: str = ""
    locality_lb_setting: LocalityLb | None = None


class PortTrafficPolicy(Partial, frozen=True):
    port: PortSelector = PortSelector()
    tls: ClientTls | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    load_balancer: LoadBalancerSettings | None = None


class ProxyProtocol(Partial, frozen=True):
    version: str = ""


class TrafficPolicy(Partial, frozen=True):
    tls: ClientTls | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    load_balancer: LoadBalancerSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    tunnel: dict[str, Any] | None = None
    retry_budget: dict[str, Any] | None = None


class Subset(Partial, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRuleSpec(Partial, frozen=True):
    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadSelector | None = None


class DestinationRule(Object, frozen=True):
    spec: DestinationRuleSpec = DestinationRuleSpec()


class StringMatch(Partial, frozen=True):
    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class HttpMatch(Partial, frozen=True):
    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = {}
    without_headers: dict[str, StringMatch] = {}
    query_params: dict[str, StringMatch] = {}
    port: int = 0
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    ignore_uri_case: bool = False


class Destination(Partial, frozen=True):
    host: str = ""
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(Partial, frozen=True):
    set: dict[str, str] = {}
    add: dict[str, str] = {}


class Headers(Partial, frozen=True):
    request: HeaderOperations | None = None


class RouteDestination(Partial, frozen=True):
    destination: Destination = Destination()
    weight: int = 0
    headers: Headers | None = None


class HttpRedirect(Partial, frozen=True):
    uri: str = ""
    authority: str = ""
    scheme: str = ""
    redirect_code: int = 0


class Percent(Partial, frozen=True):
    value: float = 0.0


class FaultAbort(Partial, frozen=True):
    http_status: int = 0
    grpc_status: str = ""
    percentage: Percent | None = None


class FaultDelay(Partial, frozen=True):
    fixed_delay: str = ""
    percentage: Percent | None = None


class Fault(Partial, frozen=True):
    abort: FaultAbort | None = None
    delay: FaultDelay | None = None


class Delegate(Partial, frozen=True):
    name: str = ""
    namespace: str = ""


class DirectResponse(Partial, frozen=True):
    status: int = 0


class CorsPolicy(Partial, frozen=True):
    allow_origins: tuple[StringMatch, ...] = ()


class HttpRetry(Partial, frozen=True):
    attempts: int = 0
    retry_on: str = ""
    per_try_timeout: str = ""


class HttpRewrite(Partial, frozen=True):
    uri: str = ""
    authority: str = ""


class HttpRoute(Partial, frozen=True):
    """One entry of `VirtualService.spec.http`."""

    name: str = ""
    match: tuple[HttpMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()
    redirect: HttpRedirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    fault: Fault | None = None
    timeout: str = ""
    retries: HttpRetry | None = None
    rewrite: HttpRewrite | None = None
    headers: Headers | None = None
    mirror: Destination | None = None
    cors_policy: CorsPolicy | None = None


class L4Match(Partial, frozen=True):
    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    sni_hosts: tuple[str, ...] = ()
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class L4Route(Partial, frozen=True):
    """One entry of `VirtualService.spec.tls` or `.tcp`."""

    match: tuple[L4Match, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(Partial, frozen=True):
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[L4Route, ...] = ()
    tcp: tuple[L4Route, ...] = ()
    export_to: tuple[str, ...] = ()


class VirtualService(Object, frozen=True):
    spec: VirtualServiceSpec = VirtualServiceSpec()


class Port(Partial, frozen=True):
    number: int = 0
    name: str = ""
    protocol: str = ""
    target_port: int = 0


class ServerTls(Partial, frozen=True):
    mode: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    https_redirect: bool = False
    subject_alt_names: tuple[str, ...] = ()
    min_protocol_version: str = ""
    max_protocol_version: str = ""
    cipher_suites: tuple[str, ...] = ()


class Server(Partial, frozen=True):
    port: Port = Port()
    hosts: tuple[str, ...] = ()
    bind: str = ""
    name: str = ""
    tls: ServerTls | None = None


class GatewaySpec(Partial, frozen=True):
    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()


class Gateway(Object, frozen=True):
    """networking.istio.io Gateway; the Gateway API's is `K8sGateway`."""

    spec: GatewaySpec = GatewaySpec()


class WorkloadEntrySpec(Partial, frozen=True):
    address: str = ""
    ports: dict[str, int] = {}
    labels: dict[str, str] = {}
    network: str = ""
    locality: str = ""
    weight: int = 0
    service_account: str = ""


class WorkloadEntry(Object, frozen=True):
    spec: WorkloadEntrySpec = WorkloadEntrySpec()


class ServiceEntrySpec(Partial, frozen=True):
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    location: str = "MESH_EXTERNAL"
    resolution: str = "NONE"
    endpoints: tuple[WorkloadEntrySpec, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()


class EntryAddress(Partial, frozen=True):
    """An address that istiod made up for a host of an entry."""

    host: str = ""
    value: str = ""


class EntryStatus(Partial, frozen=True):
    addresses: tuple[EntryAddress, ...] = ()


class ServiceEntry(Object, frozen=True):
    spec: ServiceEntrySpec = ServiceEntrySpec()
    status: EntryStatus = EntryStatus()


class WorkloadGroupTemplate(Partial, frozen=True):
    ports: dict[str, int] = {}
    labels: dict[str, str] = {}
    service_account: str = ""
    network: str = ""


class WorkloadGroupSpec(Partial, frozen=True):
    template: WorkloadGroupTemplate = WorkloadGroupTemplate()


class WorkloadGroup(Object, frozen=True):
    spec: WorkloadGroupSpec = WorkloadGroupSpec()


class IstioEgressListener(Partial, frozen=True):
    port: Port | None = None
    bind: str = ""
    hosts: tuple[str, ...] = ()
    capture_mode: str = ""


class IstioIngressListener(Partial, frozen=True):
    port: Port = Port()
    bind: str = ""
    default_endpoint: str = ""
    capture_mode: str = ""
    tls: ServerTls | None = None


class OutboundTrafficPolicy(Partial, frozen=True):
    mode: str = ""


class SidecarSpec(Partial, frozen=True):
    """An absent `egress` inherits the root-namespace default."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None


class Sidecar(Object, frozen=True):
    spec: SidecarSpec = SidecarSpec()


class EnvoyFilterProxyMatch(Partial, frozen=True):
    proxy_version: str = ""
    metadata: dict[str, str] = {}


class EnvoyFilterSubFilter(Partial, frozen=True):
    name: str = ""


class EnvoyFilterFilter(Partial, frozen=True):
    name: str = ""
    sub_filter: EnvoyFilterSubFilter | None = None


class EnvoyFilterChain(Partial, frozen=True):
    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    filter: EnvoyFilterFilter | None = None


class EnvoyFilterListener(Partial, frozen=True):
    name: str = ""
    port_number: int = 0
    filter_chain: EnvoyFilterChain | None = None


class EnvoyFilterCluster(Partial, frozen=True):
    service: str = ""
    subset: str = ""
    name: str = ""
    port_number: int = 0


class EnvoyFilterVhost(Partial, frozen=True):
    name: str = ""


class EnvoyFilterRoute(Partial, frozen=True):
    name: str = ""
    port_name: str = ""
    port_number: int = 0
    gateway: str = ""
    vhost: EnvoyFilterVhost | None = None


class EnvoyFilterMatch(Partial, frozen=True):
    context: str = "ANY"
    proxy: EnvoyFilterProxyMatch | None = None
    listener: EnvoyFilterListener | None = None
    cluster: EnvoyFilterCluster | None = None
    route_configuration: EnvoyFilterRoute | None = None


class EnvoyFilterPatchBody(Partial, frozen=True):
    """`value` is an arbitrary Envoy struct, kept as decoded."""

    operation: str = ""
    value: dict[str, Any] = {}
    filter_class: str = ""


class EnvoyFilterPatch(Partial, frozen=True):
    apply_to: str = ""
    match: EnvoyFilterMatch = EnvoyFilterMatch()
    patch: EnvoyFilterPatchBody = EnvoyFilterPatchBody()


class EnvoyFilterSpec(Partial, frozen=True):
    workload_selector: WorkloadSelector | None = None
    target_refs: tuple[PolicyTargetRef, ...] = ()
    config_patches: tuple[EnvoyFilterPatch, ...] = ()
    priority: int = 0


class EnvoyFilter(Object, frozen=True):
    spec: EnvoyFilterSpec = EnvoyFilterSpec()


# --- extensions and telemetry --------------------


class WasmPluginSpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    target_refs: tuple[PolicyTargetRef, ...] = ()
    url: str = ""
    sha256: str = ""
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    phase: str = ""
    fail_strategy: str = ""
    priority: int | None = None


class WasmPlugin(Object, frozen=True):
    spec: WasmPluginSpec = WasmPluginSpec()


class ProviderRef(Partial, frozen=True):
    name: str = ""


class LogSelector(Partial, frozen=True):
    """`mode`: CLIENT, SERVER or CLIENT_AND_SERVER."""

    mode: str = "CLIENT_AND_SERVER"


class LogFilter(Partial, frozen=True):
    expression: str = ""


class AccessLogging(Partial, frozen=True):
    providers: tuple[ProviderRef, ...] = ()
    disabled: bool | None = None
    match: LogSelector | None = None
    filter: LogFilter | None = None


class TelemetrySpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    target_refs: tuple[PolicyTargetRef, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()


class Telemetry(Object, frozen=True):
    spec: TelemetrySpec = TelemetrySpec()


class ProxyConfigSpec(Partial, frozen=True):
    selector: WorkloadSelector | None = None
    concurrency: int | None = None
    environment_variables: dict[str, str] = {}


class ProxyConfig(Object, frozen=True):
    spec: ProxyConfigSpec = ProxyConfigSpec()


# --- Gateway API --------------------


class SecretRef(Partial, frozen=True):
    group: str = ""
    kind: str = "Secret"
    name: str = ""
    namespace: str = ""


class ListenerTls(Partial, frozen=True):
    mode: str = "Terminate"
    certificate_refs: tuple[SecretRef, ...] = ()
    options: dict[str, str] = {}


class RouteNamespaces(Partial, frozen=True):
    from_: str = msgspec.field(default="Same", name="from")
    selector: LabelSelector | None = None


class RouteKind(Partial, frozen=True):
    group: str = ""
    kind: str = ""


class AllowedRoutes(Partial, frozen=True):
    namespaces: RouteNamespaces | None = None
    kinds: tuple[RouteKind, ...] = ()


class Listener(Partial, frozen=True):
    name: str = ""
    hostname: str = ""
    port: int = 0
    protocol: str = ""
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes | None = None


class GatewayAddress(Partial, frozen=True):
    type: str = ""
    value: str = ""


class K8sGatewaySpec(Partial, frozen=True):
    gateway_class_name: str = ""
    listeners: tuple[Listener, ...] = ()
    addresses: tuple[GatewayAddress, ...] = ()


class ListenerStatus(Partial, frozen=True):
    name: str = ""
    attached_routes: int = 0
    conditions: tuple[Condition, ...] = ()


class K8sGatewayStatus(Partial, frozen=True):
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    addresses: tuple[GatewayAddress, ...] = ()


class K8sGateway(Object, frozen=True):
    """gateway.networking.k8s.io Gateway. `kind` reads "Gateway" in references."""

    spec: K8sGatewaySpec = K8sGatewaySpec()
    status: K8sGatewayStatus = K8sGatewayStatus()


class GatewayClassSpec(Partial, frozen=True):
    controller_name: str = ""


class GatewayClass(Object, frozen=True):
    spec: GatewayClassSpec = GatewayClassSpec()
    status: PolicyStatus = PolicyStatus()


class ParentRef(Partial, frozen=True):
    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: str = ""
    name: str = ""
    section_name: str = ""
    port: int = 0


class ListenerSetSpec(Partial, frozen=True):
    parent_ref: ParentRef = ParentRef()
    listeners: tuple[Listener, ...] = ()


class ListenerSet(Object, frozen=True):
    """Listeners that another namespace adds to a Gateway of the Gateway API."""

    spec: ListenerSetSpec = ListenerSetSpec()


class BackendRef(Partial, frozen=True):
    group: str = ""
    kind: str = "Service"
    name: str = ""
    namespace: str = ""
    port: int = 0
    weight: int = 1


class RouteRule(Partial, frozen=True):
    matches: tuple[dict[str, Any], ...] = ()
    filters: tuple[dict[str, Any], ...] = ()
    backend_refs: tuple[BackendRef, ...] = ()


class RouteSpec(Partial, frozen=True):
    parent_refs: tuple[ParentRef, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[RouteRule, ...] = ()


class RouteParentStatus(Partial, frozen=True):
    parent_ref: ParentRef = ParentRef()
    controller_name: str = ""
    conditions: tuple[Condition, ...] = ()


class RouteStatus(Partial, frozen=True):
    parents: tuple[RouteParentStatus, ...] = ()


class Route(Object, frozen=True):
    """HTTPRoute, GRPCRoute, TLSRoute, TCPRoute alike; `kind` tells which."""

    spec: RouteSpec = RouteSpec()
    status: RouteStatus = RouteStatus()


class ReferenceGrantFrom(Partial, frozen=True):
    group: str = ""
    kind: str = ""
    namespace: str = ""


class ReferenceGrantTo(Partial, frozen=True):
    group: str = ""
    kind: str = ""
    name: str = ""


class ReferenceGrantSpec(Partial, frozen=True):
    from_: tuple[ReferenceGrantFrom, ...] = msgspec.field(default=(), name="from")
    to: tuple[ReferenceGrantTo, ...] = ()


class ReferenceGrant(Object, frozen=True):
    spec: ReferenceGrantSpec = ReferenceGrantSpec()


class BackendTlsValidation(Partial, frozen=True):
    hostname: str = ""
    ca_certificate_refs: tuple[SecretRef, ...] = ()
    well_known_ca_certificates: str = msgspec.field(default="", name="wellKnownCACertificates")


class BackendTlsPolicySpec(Partial, frozen=True):
    target_refs: tuple[PolicyTargetRef, ...] = ()
    validation: BackendTlsValidation = BackendTlsValidation()


class BackendTLSPolicy(Object, frozen=True):
    spec: BackendTlsPolicySpec = BackendTlsPolicySpec()


# --- mesh config (YAML text in ConfigMap istio[-REV], key `mesh`) --------------------


class ProviderService(Partial, frozen=True):
    """envoyExtAuthzHttp / envoyExtAuthzGrpc of an extension provider."""

    service: str = ""
    port: int = 0
    timeout: str = ""
    fail_open: bool = False
    status_on_error: str = ""
    path_prefix: str = ""
    include_request_headers_in_check: tuple[str, ...] = ()
    include_headers_in_check: tuple[str, ...] = ()
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    include_request_body_in_check: dict[str, Any] | None = None


class ExtensionProvider(Partial, frozen=True):
    name: str = ""
    envoy_ext_authz_http: ProviderService | None = None
    envoy_ext_authz_grpc: ProviderService | None = None
    envoy_file_access_log: dict[str, Any] | None = None


class GatewayTopology(Partial, frozen=True):
    num_trusted_proxies: int = 0
    forward_client_cert_details: str = ""
    proxy_protocol: dict[str, Any] | None = None


class ProxyDefaults(Partial, frozen=True):
    """`meshConfig.defaultConfig` (ProxyConfig)."""

    discovery_address: str = ""
    concurrency: int | None = None
    hold_application_until_proxy_starts: bool | None = None
    termination_drain_duration: str = ""
    gateway_topology: GatewayTopology = GatewayTopology()
    proxy_metadata: dict[str, str] = {}
    interception_mode: str = ""
    image: dict[str, Any] = {}


class CertificateData(Partial, frozen=True):
    pem: str = ""
    spiffe_bundle_url: str = ""
    cert_signers: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()


class DefaultProviders(Partial, frozen=True):
    access_logging: tuple[str, ...] = ()


class TlsConfig(Partial, frozen=True):
    min_protocol_version: str = ""
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


class PathNormalization(Partial, frozen=True):
    normalization: str = "DEFAULT"


class LocalityLbSetting(Partial, frozen=True):
    enabled: bool | None = None


class MeshConfig(Partial, frozen=True):
    """Absent fields hold Istio's own defaults (pkg/config/mesh/mesh.go, 1.20 to 1.32-dev)."""

    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    enable_auto_mtls: bool = True
    access_log_file: str = ""
    access_log_encoding: str = "TEXT"
    access_log_format: str = ""
    enable_envoy_access_log_service: bool = False
    default_providers: DefaultProviders = DefaultProviders()
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy(mode="ALLOW_ANY")
    discovery_selectors: tuple[LabelSelector, ...] = ()
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_config: ProxyDefaults = ProxyDefaults()
    default_service_export_to: tuple[str, ...] = ()
    default_virtual_service_export_to: tuple[str, ...] = ()
    default_destination_rule_export_to: tuple[str, ...] = ()
    ca_certificates: tuple[CertificateData, ...] = ()
    mesh_mtls: TlsConfig = msgspec.field(default=TlsConfig(), name="meshMTLS")
    path_normalization: PathNormalization = PathNormalization()
    enable_prometheus_merge: bool = True
    locality_lb_setting: LocalityLbSetting | None = None
    connect_timeout: str = "10s"
    protocol_detection_timeout: str = "0s"
