"""Which probes are there? One sorted tuple, registered by hand."""

from meshdoctor.probes.ambient_enrolment import ambient_enrolment
from meshdoctor.probes.app_boot import app_boot
from meshdoctor.probes.authz_app import authz_app
from meshdoctor.probes.authz_attach import authz_attach, authz_sync
from meshdoctor.probes.authz_custom import authz_custom
from meshdoctor.probes.authz_denial import authz_denial
from meshdoctor.probes.authz_evaded import authz_evaded
from meshdoctor.probes.authz_jwks import authz_jwks
from meshdoctor.probes.authz_jwt import authz_jwt
from meshdoctor.probes.authz_miss import authz_miss
from meshdoctor.probes.authz_object import authz_object
from meshdoctor.probes.authz_other import authz_other
from meshdoctor.probes.authz_probes import authz_exposed, authz_probes
from meshdoctor.probes.authz_standing import authz_standing
from meshdoctor.probes.authz_verdict import authz_verdict
from meshdoctor.probes.aws_role import aws_role
from meshdoctor.probes.branch_interface import branch_interface
from meshdoctor.probes.captured_calls import captured_calls
from meshdoctor.probes.client_app_log import client_app_log
from meshdoctor.probes.client_log import client_log
from meshdoctor.probes.client_silence import client_silence
from meshdoctor.probes.cluster_dns import cluster_dns
from meshdoctor.probes.cni_rights import cni_rights
from meshdoctor.probes.config_calls import config_calls, config_reach, service_calls
from meshdoctor.probes.config_catch_all import catch_all_rule, catch_all_seen
from meshdoctor.probes.config_destination_rule import config_destination_rule
from meshdoctor.probes.config_entry_calls import config_entry_calls
from meshdoctor.probes.config_filter_cluster import config_filter_cluster, filter_cluster_seen
from meshdoctor.probes.config_gateway import config_gateway
from meshdoctor.probes.config_gateway_api import config_gateway_api
from meshdoctor.probes.config_hidden import config_hidden
from meshdoctor.probes.config_ingested import config_ingested
from meshdoctor.probes.config_meta import config_meta
from meshdoctor.probes.config_others import (
    config_envoy_filter,
    config_service_entry,
    config_sidecar,
)
from meshdoctor.probes.config_outside import config_outside
from meshdoctor.probes.config_policy import policy_effect_probe, policy_seen
from meshdoctor.probes.config_rewrite import config_rewrite
from meshdoctor.probes.config_virtual_service import config_virtual_service
from meshdoctor.probes.container_end import container_end
from meshdoctor.probes.custom_networking import istiod_network, workload_network
from meshdoctor.probes.delivery import delivery
from meshdoctor.probes.drain_blocked import drain_blocked
from meshdoctor.probes.edge_app_log import edge_app_log
from meshdoctor.probes.edge_caller import caller
from meshdoctor.probes.edge_certificates import edge_certificates
from meshdoctor.probes.edge_client_start import edge_client_start
from meshdoctor.probes.edge_drain import edge_drain
from meshdoctor.probes.edge_egress_gateway import edge_egress_gateway
from meshdoctor.probes.edge_endpoints import edge_endpoints
from meshdoctor.probes.edge_ends import edge_ends
from meshdoctor.probes.edge_entry_identity import edge_entry_identity
from meshdoctor.probes.edge_exposure import edge_exposure
from meshdoctor.probes.edge_external import edge_external
from meshdoctor.probes.edge_filters import edge_filters
from meshdoctor.probes.edge_hairpin import edge_hairpin
from meshdoctor.probes.edge_http import edge_http
from meshdoctor.probes.edge_limits import edge_limits
from meshdoctor.probes.edge_locality import edge_locality
from meshdoctor.probes.edge_network import edge_network, edge_tls_extras
from meshdoctor.probes.edge_nodes import edge_nodes
from meshdoctor.probes.edge_outbound import edge_outbound
from meshdoctor.probes.edge_scope import edge_scope
from meshdoctor.probes.edge_seen import edge_seen, refused_peers
from meshdoctor.probes.edge_taken import edge_taken
from meshdoctor.probes.edge_tls import edge_tls
from meshdoctor.probes.edge_waypoint import edge_waypoint
from meshdoctor.probes.edge_ztunnel import ztunnel_log
from meshdoctor.probes.egress_tls import egress_tls
from meshdoctor.probes.gateway_front import gateway_front
from meshdoctor.probes.gateway_log import gateway_log
from meshdoctor.probes.gateway_refusals import gateway_refusals
from meshdoctor.probes.gateway_requests import gateway_requests
from meshdoctor.probes.gateway_tls import gateway_tls
from meshdoctor.probes.injection_call import injection_call
from meshdoctor.probes.injection_decision import injection_decision
from meshdoctor.probes.injection_refusal import injection_refusal
from meshdoctor.probes.injection_room import injection_room
from meshdoctor.probes.istiod_ca_log import istiod_ca_log
from meshdoctor.probes.istiod_health import istiod_health
from meshdoctor.probes.istiod_log import istiod_log
from meshdoctor.probes.istiod_panic import istiod_panic
from meshdoctor.probes.istiod_settings import istiod_settings
from meshdoctor.probes.lingering import lingering
from meshdoctor.probes.mesh_ca import mesh_ca
from meshdoctor.probes.multicluster import multicluster
from meshdoctor.probes.namespace_discovery import namespace_discovery
from meshdoctor.probes.namespace_root import namespace_root
from meshdoctor.probes.network_agent import network_agent
from meshdoctor.probes.orphan_refusals import orphan_refusals
from meshdoctor.probes.pod_identity import pod_identity
from meshdoctor.probes.pod_redirect import pod_redirect
from meshdoctor.probes.pod_startup import pod_startup
from meshdoctor.probes.proxies_say import proxies_say
from meshdoctor.probes.proxy_crash import proxy_crash
from meshdoctor.probes.proxy_external_ca import proxy_external_ca
from meshdoctor.probes.proxy_killed import proxy_killed
from meshdoctor.probes.proxy_setup import proxy_setup
from meshdoctor.probes.proxy_signing import proxy_signing
from meshdoctor.probes.proxy_signing_log import proxy_signing_log
from meshdoctor.probes.proxy_token_refusal import proxy_token_refusal
from meshdoctor.probes.proxy_warming import proxy_warming
from meshdoctor.probes.proxy_xds_log import proxy_xds_log
from meshdoctor.probes.refusals import refusals
from meshdoctor.probes.server_log import server_log
from meshdoctor.probes.service_callback import service_callback, service_callback_log
from meshdoctor.probes.service_endpoints import service_endpoints
from meshdoctor.probes.service_load_balancer import service_load_balancer
from meshdoctor.probes.service_local_endpoints import service_local_endpoints
from meshdoctor.probes.sidecar_bind import sidecar_bind
from meshdoctor.probes.signing_requests import signing_requests
from meshdoctor.probes.sync_overview import sync_overview
from meshdoctor.probes.validation import validation
from meshdoctor.probes.view import Probe
from meshdoctor.probes.way_to_istiod import proxy_way_to_istiod, workload_way_to_istiod
from meshdoctor.probes.workload_callers import workload_callers
from meshdoctor.probes.workload_refused import workload_refused, workload_seen
from meshdoctor.probes.workload_sync import workload_sync
from meshdoctor.probes.workload_tls import probe_failures, workload_tls

PROBES: tuple[Probe, ...] = (
    ambient_enrolment,
    authz_app,
    authz_attach,
    authz_custom,
    authz_denial,
    authz_evaded,
    authz_exposed,
    authz_jwks,
    authz_jwt,
    authz_miss,
    authz_object,
    authz_other,
    authz_probes,
    authz_sync,
    authz_standing,
    authz_verdict,
    app_boot,
    aws_role,
    branch_interface,
    caller,
    catch_all_rule,
    config_calls,
    config_reach,
    service_calls,
    catch_all_seen,
    config_filter_cluster,
    filter_cluster_seen,
    captured_calls,
    client_app_log,
    client_log,
    client_silence,
    cluster_dns,
    cni_rights,
    config_destination_rule,
    config_entry_calls,
    config_envoy_filter,
    config_gateway,
    config_gateway_api,
    config_hidden,
    config_ingested,
    config_meta,
    config_outside,
    config_rewrite,
    config_service_entry,
    config_sidecar,
    config_virtual_service,
    container_end,
    delivery,
    edge_app_log,
    edge_certificates,
    edge_ends,
    edge_client_start,
    edge_egress_gateway,
    drain_blocked,
    edge_drain,
    edge_endpoints,
    edge_entry_identity,
    edge_exposure,
    edge_external,
    edge_filters,
    edge_hairpin,
    edge_http,
    edge_limits,
    edge_locality,
    edge_network,
    edge_nodes,
    edge_outbound,
    edge_scope,
    edge_seen,
    edge_taken,
    edge_tls,
    edge_tls_extras,
    edge_waypoint,
    egress_tls,
    gateway_front,
    gateway_log,
    gateway_refusals,
    gateway_requests,
    gateway_tls,
    injection_call,
    injection_decision,
    injection_refusal,
    injection_room,
    istiod_ca_log,
    istiod_health,
    istiod_panic,
    istiod_log,
    istiod_network,
    istiod_settings,
    lingering,
    mesh_ca,
    multicluster,
    namespace_discovery,
    namespace_root,
    orphan_refusals,
    network_agent,
    pod_identity,
    pod_redirect,
    pod_startup,
    policy_effect_probe,
    policy_seen,
    probe_failures,
    proxies_say,
    proxy_crash,
    proxy_killed,
    proxy_setup,
    proxy_external_ca,
    proxy_signing,
    proxy_signing_log,
    proxy_token_refusal,
    proxy_warming,
    proxy_way_to_istiod,
    proxy_xds_log,
    refusals,
    refused_peers,
    server_log,
    service_callback,
    service_callback_log,
    service_endpoints,
    service_load_balancer,
    service_local_endpoints,
    sidecar_bind,
    signing_requests,
    sync_overview,
    validation,
    workload_callers,
    workload_network,
    workload_refused,
    workload_seen,
    workload_sync,
    workload_tls,
    workload_way_to_istiod,
    ztunnel_log,
)

BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
