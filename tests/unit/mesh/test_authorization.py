"""One row per documented rule of AuthorizationPolicy, traps T18 to T33 of the catalogue among them."""

# ruff: noqa: E501

from typing import Any

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_explain import explain
from meshdoctor.mesh.authz_request import Expected, call_of
from meshdoctor.mesh.authz_verdict import Decision
from meshdoctor.model.istio import AuthorizationPolicy, ExtensionProvider, ProviderService
from meshdoctor.model.subjects import Request
from tests.unit.mesh.authz_case import CALL, JUDGE, SETTINGS, TCP, policy, verdict

ALLOW, DENY, UNKNOWN = Decision.ALLOW, Decision.DENY, Decision.UNKNOWN
PLAIN = replace(CALL, principal="")


def allow_when(key: str, *values: str) -> str:
    return f"rules: [{{when: [{{key: '{key}', values: {list(values)}}}]}}]"


@pytest.mark.parametrize(
    ("spec", "call", "decision"),
    [
        # T18: no rules never match, an empty rule always does
        ("{}", CALL, DENY),
        ("action: ALLOW", CALL, DENY),
        ("rules: []", CALL, DENY),
        ("rules: [{}]", CALL, ALLOW),
        ("{action: DENY, rules: []}", CALL, ALLOW),
        ("{action: DENY, rules: [{}]}", CALL, DENY),
        # T19: AUDIT never denies
        ("{action: AUDIT, rules: [{}]}", CALL, ALLOW),
        # sources
        ("rules: [{from: [{source: {principals: ['*']}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {principals: ['*']}}]}]", PLAIN, DENY),
        ("rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/x]}}]}]", CALL, DENY),
        ("rules: [{from: [{source: {namespaces: [shop]}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {namespaces: [shop]}}]}]", PLAIN, DENY),
        ("rules: [{from: [{source: {serviceAccounts: [cart]}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {serviceAccounts: [a/cart]}}]}]", CALL, DENY),
        ("rules: [{from: [{source: {trustDomains: [cluster.local]}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {notTrustDomains: [cluster.local]}}]}]", CALL, DENY),
        ("rules: [{from: [{source: {ipBlocks: [10.0.0.0/24]}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {ipBlocks: [10.1.0.0/24]}}]}]", CALL, DENY),
        ("rules: [{from: [{source: {remoteIpBlocks: [10.0.0.7]}}]}]", CALL, ALLOW),
        ("rules: [{from: [{source: {notRemoteIpBlocks: [10.0.0.7]}}]}]", CALL, DENY),
        # T21: not-principals match a caller without identity
        ("{action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]}", PLAIN, DENY),
        ("{action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]}", CALL, ALLOW),
        ("{action: DENY, rules: [{from: [{source: {notNamespaces: [shop]}}]}]}", PLAIN, DENY),
        ("{action: DENY, rules: [{from: [{source: {principals: ['*']}}]}]}", PLAIN, ALLOW),
        # sources ORed, fields of one ANDed, from and to ANDed
        (
            "rules: [{from: [{source: {namespaces: [x]}}, {source: {namespaces: [shop]}}]}]",
            CALL,
            ALLOW,
        ),
        ("rules: [{from: [{source: {namespaces: [shop], ipBlocks: [9.9.9.9]}}]}]", CALL, DENY),
        (
            "rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [PUT]}}]}]",
            CALL,
            DENY,
        ),
        (
            "rules: [{from: [{source: {namespaces: [shop]}}]}, {to: [{operation: {methods: [PUT]}}]}]",
            CALL,
            ALLOW,
        ),
        # operations
        ("rules: [{to: [{operation: {methods: [GET]}}]}]", CALL, ALLOW),
        ("rules: [{to: [{operation: {methods: [get]}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {methods: ['*']}}]}]", CALL, ALLOW),
        ("rules: [{to: [{operation: {notMethods: [PUT]}}]}]", CALL, ALLOW),
        # T25: paths without query, hosts with their port and any case
        ("rules: [{to: [{operation: {paths: [/orders/7]}}]}]", CALL, ALLOW),
        ("rules: [{to: [{operation: {paths: ['/orders/7?verbose=1']}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {paths: ['/Orders/*']}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {paths: ['/orders/{*}']}}]}]", CALL, ALLOW),
        ("rules: [{to: [{operation: {hosts: [pay.shop]}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {hosts: ['PAY.shop:*']}}]}]", CALL, ALLOW),
        # T26: only one leading or trailing wildcard
        ("rules: [{to: [{operation: {paths: ['/o*/7']}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {paths: ['*ders*']}}]}]", CALL, DENY),
        # T24: ports are the workload's
        ("rules: [{to: [{operation: {ports: ['8080']}}]}]", CALL, ALLOW),
        ("rules: [{to: [{operation: {ports: ['80']}}]}]", CALL, DENY),
        ("rules: [{to: [{operation: {notPorts: ['8080']}}]}]", CALL, DENY),
        # conditions
        (allow_when("request.headers[X-Tenant]", "blue"), CALL, ALLOW),
        (allow_when("request.headers[x-tenant]", "Blue"), CALL, DENY),
        (allow_when("request.headers[x-tenant]", "*"), CALL, ALLOW),
        (allow_when("request.headers[x-none]", "*"), CALL, DENY),
        (allow_when("request.headers[host]", "pay.shop:8080"), CALL, ALLOW),
        (allow_when("source.principal", "cluster.local/ns/shop/sa/cart"), CALL, ALLOW),
        (allow_when("source.namespace", "shop"), CALL, ALLOW),
        (allow_when("source.serviceAccount", "shop/cart"), CALL, ALLOW),
        (allow_when("source.trustDomain", "cluster.local"), CALL, ALLOW),
        (allow_when("source.ip", "10.0.0.7"), CALL, ALLOW),
        (allow_when("remote.ip", "10.0.0.0/8"), CALL, ALLOW),
        (allow_when("destination.ip", "10.0.0.9"), CALL, ALLOW),
        (allow_when("destination.port", "8080"), CALL, ALLOW),
        (allow_when("connection.sni", "x.example"), CALL, DENY),
        ("rules: [{when: [{key: 'source.ip', notValues: [10.0.0.7]}]}]", CALL, DENY),
        ("rules: [{when: [{key: 'request.headers[x-none]', notValues: ['*']}]}]", CALL, ALLOW),
        # a key that istiod does not know drops the whole rule, from DENY too
        (allow_when("request.method", "GET"), CALL, DENY),
        ("{action: DENY, rules: [{when: [{key: bogus, values: [x]}]}]}", CALL, ALLOW),
        # values that cannot be read: an ALLOW rule goes, a DENY field goes
        ("rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]", CALL, DENY),
        ("{action: DENY, rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]}", CALL, DENY),
        ("{action: DENY, rules: [{to: [{operation: {ports: [http]}}]}]}", CALL, DENY),
        # T23: HTTP fields on a TCP filter chain
        ("rules: [{to: [{operation: {methods: [GET]}}]}]", TCP, DENY),
        (
            "rules: [{to: [{operation: {methods: [GET]}}]}, {from: [{source: {namespaces: [shop]}}]}]",
            TCP,
            ALLOW,
        ),
        (
            "rules: [{to: [{operation: {methods: [GET]}}, {operation: {ports: ['8080']}}]}]",
            TCP,
            DENY,
        ),
        ("{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}", TCP, DENY),
        (
            "{action: DENY, rules: [{to: [{operation: {paths: [/admin], ports: ['80']}}]}]}",
            TCP,
            ALLOW,
        ),
        ("{action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}", TCP, DENY),
        ("{action: AUDIT, rules: [{to: [{operation: {paths: [/admin]}}]}]}", TCP, ALLOW),
        (allow_when("request.auth.claims[iss]", "x"), TCP, DENY),
    ],
)
def test_one_policy(spec: str, call: Call, decision: Decision) -> None:
    assert verdict(policy(spec), call=call).decision is decision


def test_no_policy_allows() -> None:
    got = verdict()
    assert (got.decision, got.layer, got.policy) == (ALLOW, "", "")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("principal", "{principals: ['*']}"),
        ("direct_ip", "{ipBlocks: [10.0.0.7]}"),
        ("remote_ip", "{remoteIpBlocks: [10.0.0.7]}"),
    ],
)
def test_an_unknown_attribute_is_never_guessed(name: str, call: str) -> None:
    nothing: dict[str, Any] = {name: None}
    unknown = replace(CALL, **nothing)
    one = policy(f"rules: [{{from: [{{source: {call}}}]}}]")
    got = verdict(one, call=unknown)
    assert got.decision is UNKNOWN
    assert got.needs and got.needs[0].startswith("from[0].")
    assert verdict(one, policy("rules: [{}]", "any"), call=unknown).decision is ALLOW
    assert verdict(one, policy("{action: DENY, rules: [{}]}", "no"), call=unknown).decision is DENY


@pytest.mark.parametrize("field", ["methods: [GET]", "paths: [/x]", "hosts: [a]", "ports: ['1']"])
def test_an_unknown_request_is_never_guessed(field: str) -> None:
    blank = Call(principal="", http=True)
    assert (
        verdict(policy(f"rules: [{{to: [{{operation: {{{field}}}}}]}}]"), call=blank).decision
        is UNKNOWN
    )
    assert (
        verdict(
            policy(f"{{action: DENY, rules: [{{to: [{{operation: {{{field}}}}}]}}]}}"), call=blank
        ).decision
        is UNKNOWN
    )


def test_an_unlisted_header_is_absent_only_when_all_are_known() -> None:
    one = policy(allow_when("request.headers[x-none]", "a"))
    assert verdict(one).decision is DENY
    assert verdict(one, call=replace(CALL, headers_known=False)).decision is UNKNOWN


def test_an_unknown_filter_chain_counts_only_where_it_matters() -> None:
    call = replace(CALL, http=None)
    assert (
        verdict(policy("rules: [{to: [{operation: {methods: [GET]}}]}]"), call=call).decision
        is UNKNOWN
    )
    assert verdict(policy("rules: [{}]"), call=call).decision is ALLOW


def test_metadata_conditions_cannot_be_told_offline() -> None:
    got = verdict(policy(allow_when("experimental.envoy.filters.network.mysql_proxy[db.t]", "[r]")))
    assert got.decision is UNKNOWN


def test_deny_beats_allow_and_names_the_rule() -> None:
    got = verdict(
        policy("rules: [{}]", "open"),
        policy("{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}, {}]}", "shut"),
    )
    assert (got.decision, got.policy, got.rule) == (DENY, "AuthorizationPolicy/shop/shut", 1)
    assert got.details == "rbac_access_denied_matched_policy[ns[shop]-policy[shut]-rule[1]]"
    assert got.status == 403


def test_default_denial_has_details_none_and_a_nearest_miss() -> None:
    got = verdict(
        policy(
            "rules: [{from: [{source: {namespaces: [x]}}], to: [{operation: {methods: [PUT]}}]}]",
            "far",
        ),
        policy(
            "rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [PUT]}}]}]",
            "near",
        ),
    )
    assert got.details == "rbac_access_denied_matched_policy[none]"
    assert got.policy == "AuthorizationPolicy/shop/near"
    single = got.misses[0].single
    assert single is not None
    assert (single.field, single.wanted, single.seen) == ("methods", ("PUT",), "GET")
    assert got.misses[1].single is None


def test_tcp_denial_closes_the_connection() -> None:
    got = verdict(policy("{}"), call=TCP)
    assert (got.status, got.tcp) == (0, True)


@pytest.mark.parametrize(
    ("spec", "namespace", "judge", "decision"),
    [
        # T1, T2: selectors and the root namespace
        ("{selector: {matchLabels: {app: pay}}}", "shop", JUDGE, DENY),
        ("{selector: {matchLabels: {app: cart}}}", "shop", JUDGE, ALLOW),
        ("{selector: {matchLabels: {}}}", "shop", JUDGE, DENY),
        ("{selector: {}}", "shop", JUDGE, DENY),
        ("{}", "istio-system", JUDGE, DENY),
        ("{selector: {matchLabels: {app: pay}}}", "istio-system", JUDGE, DENY),
        ("{}", "elsewhere", JUDGE, ALLOW),
        # T30: targetRefs on a sidecar, selectors on a waypoint
        ("{targetRefs: [{kind: Service, name: pay}]}", "shop", JUDGE, ALLOW),
        (
            "{targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: gw}}",
            "shop",
            JUDGE,
            ALLOW,
        ),
    ],
)
def test_selection(spec: str, namespace: str, judge: Judge, decision: Decision) -> None:
    assert verdict(policy(spec, namespace=namespace), judge=judge).decision is decision


GATEWAY = Judge(
    namespace="shop", labels={"gateway.networking.k8s.io/gateway-name": "gw"}, kind="gateway"
)
WAYPOINT = Judge(
    namespace="shop",
    labels={"gateway.networking.k8s.io/gateway-name": "waypoint"},
    kind="waypoint",
    services=(("shop", "pay", "Service"), ("ext", "api", "ServiceEntry")),
)
GW = "group: gateway.networking.k8s.io, kind: Gateway"


@pytest.mark.parametrize(
    ("spec", "namespace", "judge", "decision"),
    [
        (f"{{targetRefs: [{{{GW}, name: gw}}]}}", "shop", GATEWAY, DENY),
        (f"{{targetRefs: [{{{GW}, name: other}}]}}", "shop", GATEWAY, ALLOW),
        (f"{{targetRefs: [{{{GW}, name: gw}}]}}", "istio-system", GATEWAY, ALLOW),
        (f"{{targetRefs: [{{{GW}, name: gw, namespace: x}}]}}", "shop", GATEWAY, ALLOW),
        ("{targetRefs: [{kind: Service, name: pay}]}", "shop", GATEWAY, ALLOW),
        ("{}", "shop", GATEWAY, DENY),
        ("{selector: {matchLabels: {a: b}}}", "shop", GATEWAY, ALLOW),
        ("{}", "shop", WAYPOINT, ALLOW),
        (
            "{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: waypoint}}}",
            "shop",
            WAYPOINT,
            ALLOW,
        ),
        (f"{{targetRefs: [{{{GW}, name: waypoint}}]}}", "shop", WAYPOINT, DENY),
        ("{targetRefs: [{kind: Service, name: pay}]}", "shop", WAYPOINT, DENY),
        ("{targetRefs: [{kind: Service, group: core, name: pay}]}", "shop", WAYPOINT, DENY),
        ("{targetRefs: [{kind: Service, name: cart}]}", "shop", WAYPOINT, ALLOW),
        ("{targetRefs: [{kind: Service, name: pay}]}", "istio-system", WAYPOINT, ALLOW),
        (
            "{targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: api}]}",
            "ext",
            WAYPOINT,
            DENY,
        ),
        (
            "{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}",
            "istio-system",
            WAYPOINT,
            DENY,
        ),
        (
            "{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}",
            "shop",
            WAYPOINT,
            ALLOW,
        ),
    ],
)
def test_selection_on_gateways(spec: str, namespace: str, judge: Judge, decision: Decision) -> None:
    assert verdict(policy(spec, namespace=namespace), judge=judge).decision is decision


def test_gateway_selectors_can_be_switched_off() -> None:
    off = replace(SETTINGS, selector_on_gateways=False)
    assert verdict(policy("{}"), judge=GATEWAY, settings=off).decision is ALLOW


DRY = {"istio.io/dry-run": "true"}


def test_dry_run_policies_do_not_enforce() -> None:
    """T32: and when every ALLOW is dry-run the workload is open (MD2029)."""
    assert verdict(policy("{}", annotations=DRY)).decision is ALLOW
    assert verdict(policy("{action: DENY, rules: [{}]}", annotations=DRY)).decision is ALLOW
    assert verdict(policy("{}", annotations={"istio.io/dry-run": "yes"})).decision is DENY
    mixed = verdict(policy("rules: [{}]", "a", annotations=DRY), policy("{}", "b"))
    assert mixed.decision is DENY


HTTP_PROVIDER = ExtensionProvider(
    name="oauth", envoy_ext_authz_http=ProviderService(service="o.auth.svc.cluster.local", port=80)
)
GRPC_PROVIDER = ExtensionProvider(
    name="opa",
    envoy_ext_authz_grpc=ProviderService(service="opa.auth.svc.cluster.local", port=9191),
)
WITH_PROVIDERS = replace(SETTINGS, providers=(HTTP_PROVIDER, GRPC_PROVIDER))


def custom(
    provider: str, name: str = "c", rules: str = "[{}]", dry: bool = False
) -> AuthorizationPolicy:
    spec = f"{{action: CUSTOM, provider: {{name: {provider}}}, rules: {rules}}}"
    return policy(spec, name, annotations=DRY if dry else None)


def test_an_external_authorizer_is_not_known_offline() -> None:
    got = verdict(custom("oauth"), settings=WITH_PROVIDERS)
    assert got.decision is UNKNOWN
    assert "external authorizer oauth" in got.needs[0]
    both = verdict(custom("oauth"), policy("{}"), settings=WITH_PROVIDERS)
    assert both.decision is DENY


def test_custom_rules_that_do_not_match_ask_nobody() -> None:
    rules = "[{to: [{operation: {paths: [/admin]}}]}]"
    assert verdict(custom("oauth", rules=rules), settings=WITH_PROVIDERS).decision is ALLOW


def test_an_unknown_provider_denies_its_own_rules() -> None:
    got = verdict(custom("nobody"), settings=WITH_PROVIDERS)
    assert got.decision is DENY
    assert got.details == (
        "rbac_access_denied_matched_policy[istio-ext-authz-nobody-ns[shop]-policy[c]-rule[0]"
        "-deny-due-to-bad-CUSTOM-action]"
    )
    assert any("available providers are [oauth opa]" in note for note in got.notes)
    old = verdict(custom("nobody"), settings=replace(WITH_PROVIDERS, release=(1, 29)))
    assert "[istio-ext-authz-ns[shop]" in old.details


def test_an_unknown_provider_denies_everything_up_to_1_19() -> None:
    elsewhere = custom("nobody", rules="[{to: [{operation: {paths: [/admin]}}]}]")
    for release, decision in (((1, 19), DENY), ((1, 20), ALLOW), (None, ALLOW)):
        got = verdict(elsewhere, settings=replace(WITH_PROVIDERS, release=release))
        assert got.decision is decision
        assert ("default-deny-all-due-to-bad-CUSTOM-action" in got.details) is (decision is DENY)
    known = custom("oauth", rules="[{to: [{operation: {paths: [/admin]}}]}]")
    old = replace(WITH_PROVIDERS, release=(1, 19))
    assert verdict(known, settings=old).decision is ALLOW


def test_two_providers_on_one_workload_deny_both() -> None:
    pair = (custom("oauth", "a"), custom("opa", "b"))
    assert verdict(*pair, settings=WITH_PROVIDERS).decision is DENY
    allowed = replace(WITH_PROVIDERS, multiple_providers=True)
    assert verdict(*pair, settings=allowed).decision is UNKNOWN


def test_an_http_provider_is_ignored_on_tcp() -> None:
    assert verdict(custom("oauth"), call=TCP, settings=WITH_PROVIDERS).decision is ALLOW
    assert verdict(custom("opa"), call=TCP, settings=WITH_PROVIDERS).decision is UNKNOWN


def test_custom_dry_run_denies_since_1_30() -> None:
    assert verdict(custom("oauth", dry=True), settings=WITH_PROVIDERS).decision is DENY
    before = replace(WITH_PROVIDERS, release=(1, 29))
    assert verdict(custom("oauth", dry=True), settings=before).decision is ALLOW


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"port": 0}, "port must be in the range"),
        ({"service": ""}, "service must not be empty"),
        ({"status_on_error": "999"}, "unsupported statusOnError"),
        ({"path_prefix": "auth"}, "pathPrefix must begin"),
        ({"include_request_headers_in_check": ("*",)}, "single wildcard"),
    ],
)
def test_invalid_providers(change: dict[str, object], text: str) -> None:
    base = {"service": "o.auth.svc.cluster.local", "port": 80, **change}
    provider = ExtensionProvider(name="oauth", envoy_ext_authz_http=ProviderService(**base))  # type: ignore[arg-type]
    got = verdict(custom("oauth"), settings=Settings(providers=(provider,)))
    assert got.decision is DENY
    assert any(text in note for note in got.notes)


def test_a_provider_host_outside_the_registry_denies() -> None:
    known = replace(WITH_PROVIDERS, known_hosts=frozenset({"opa.auth.svc.cluster.local"}))
    assert verdict(custom("oauth"), settings=known).decision is DENY
    assert verdict(custom("opa"), settings=known).decision is UNKNOWN


def test_releases_before_a_field_do_not_see_it() -> None:
    accounts = policy("rules: [{from: [{source: {serviceAccounts: [nobody]}}]}]")
    assert verdict(accounts).decision is DENY
    assert verdict(accounts, settings=Settings(release=(1, 24))).decision is ALLOW
    when = policy(allow_when("source.serviceAccount", "shop/cart"))
    assert verdict(when, settings=Settings(release=(1, 24))).decision is DENY


def test_trust_domain_aliases_widen_principals() -> None:
    one = policy("rules: [{from: [{source: {principals: [old/ns/shop/sa/cart]}}]}]")
    assert verdict(one).decision is DENY
    aliased = Settings(trust_domains=("cluster.local", "old"))
    assert verdict(one, settings=aliased).decision is ALLOW


def test_path_normalisation_follows_the_mesh() -> None:
    one = policy("{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}")
    call = replace(CALL, path="/x/..//admin")
    assert verdict(one, call=call).decision is ALLOW
    merged = replace(SETTINGS, normalization="MERGE_SLASHES")
    assert verdict(one, call=call, settings=merged).decision is DENY


ZTUNNEL = Judge(namespace="shop", labels={"app": "pay"}, kind="ztunnel")


@pytest.mark.parametrize(
    ("spec", "decision"),
    [
        ("rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]}]", ALLOW),
        ("rules: [{from: [{source: {principals: [cluster.local/ns/x/sa/cart]}}]}]", DENY),
        # T30: an ALLOW rule with HTTP fields is left out
        (
            "rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [GET]}}]}]",
            DENY,
        ),
        # a DENY on HTTP fields alone has no effect
        ("{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}", ALLOW),
        (
            "{action: DENY, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: [/x]}}]}]}",
            ALLOW,
        ),
        ("{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ['8080']}}]}]}", DENY),
        ("{action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}", ALLOW),
        ("{action: DENY, rules: [{from: [{source: {namespaces: [shop]}}]}]}", DENY),
        ("{action: DENY, rules: [{}]}", DENY),
        ("{action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]}", ALLOW),
        ("{action: AUDIT, rules: [{}]}", ALLOW),
        ("{action: CUSTOM, provider: {name: x}, rules: [{}]}", ALLOW),
        ("{}", DENY),
        ("rules: [{from: [{source: {serviceAccounts: [cart]}}]}]", ALLOW),
        ("rules: [{from: [{source: {ipBlocks: [10.0.0.7]}}]}]", ALLOW),
        ("rules: [{when: [{key: destination.port, values: ['8080']}]}]", ALLOW),
        ("rules: [{when: [{key: destination.ip, values: ['10.0.0.0/8']}]}]", ALLOW),
        ("{targetRefs: [{kind: Service, name: pay}]}", ALLOW),
    ],
)
def test_ztunnel(spec: str, decision: Decision) -> None:
    assert verdict(policy(spec), judge=ZTUNNEL).decision is decision


def test_ztunnel_says_what_its_log_says() -> None:
    got = verdict(policy("{action: DENY, rules: [{}]}", "no"), judge=ZTUNNEL)
    assert got.details == "explicitly denied by: shop/no"
    none = verdict(policy("{}"), judge=ZTUNNEL)
    assert none.details == "allow policies exist, but none allowed"
    unknown = verdict(
        policy("rules: [{from: [{source: {namespaces: [shop]}}]}]"),
        judge=ZTUNNEL,
        call=Call(),
    )
    assert unknown.decision is UNKNOWN


def test_the_reasoning_names_every_rule_and_is_bounded() -> None:
    lines = explain(
        verdict(policy("rules: [{from: [{source: {namespaces: [x]}}]}]"), policy("{}", "none"))
    )
    text = "\n".join(lines)
    assert "AuthorizationPolicy/shop/p rule 0: does not match" in text
    assert "from[0].source.namespaces wants [x]" in text or "namespaces wants [x]" in text
    assert "deny (403)" in text
    many = [policy("rules: [{from: [{source: {namespaces: [x]}}]}]", f"p{n}") for n in range(300)]
    assert len(explain(verdict(*many))) <= 205
    assert explain(verdict())[-1] == "allow"


@pytest.mark.parametrize(
    ("key", "value", "decision"),
    [
        # a proxy on the way sets them where the request has none (seen in the lab)
        ("request.headers[x-request-id]", "*", ALLOW),
        ("request.headers[X-Forwarded-Proto]", "*", ALLOW),
        ("request.headers[:scheme]", "*", ALLOW),
        ("request.headers[x-request-id]", "a*", UNKNOWN),
        ("request.headers[x-forwarded-client-cert]", "*", UNKNOWN),
        ("request.headers[x-envoy-attempt-count]", "1", UNKNOWN),
        ("request.headers[x-other]", "*", DENY),
        ("request.headers[x-real-ip]", "203.0.113.0/24", DENY),
        ("request.headers[x-envoy-external-address]", "203.0.113.0/24", DENY),
        ("request.headers[x-envoy-external-address]", "203.0.113.7", UNKNOWN),
    ],
)
def test_headers_that_proxies_add(key: str, value: str, decision: Decision) -> None:
    assert verdict(policy(allow_when(key, value))).decision is decision


def test_what_is_logged_is_not_known_where_an_earlier_rule_may_match() -> None:
    deny = "{action: DENY, rules: [{when: [{key: connection.sni, values: [x]}]}, {}]}"
    blind = replace(CALL, sni=None)
    got = verdict(policy(deny), call=blind)
    assert got.decision is DENY and got.details == "" and got.rule == 1
    assert verdict(policy(deny), call=CALL).details.endswith("-rule[1]]")


def test_a_gateway_adds_its_peer_to_x_forwarded_for() -> None:
    expected = Expected(
        kind="gateway", mtls=False, client_ip="10.0.0.3", port=80, http=True, hops=1
    )
    asked = Request(method="GET", path="/", headers=(("x-forwarded-for", "1.1.1.1"),))
    call = call_of(expected, asked, None)
    assert call.header("x-forwarded-for") == "1.1.1.1,10.0.0.3"
    assert call.remote_ip == "1.1.1.1"
    assert call_of(replace(expected, client_ip=""), asked, None).header("x-forwarded-for") is None
    bare = call_of(expected, Request(method="GET", path="/"), None)
    assert bare.header("x-forwarded-for") == "10.0.0.3"
    sidecar = replace(expected, kind="sidecar", hops=0)
    call = call_of(sidecar, asked, None)
    assert (call.header("x-forwarded-for"), call.remote_ip) == ("1.1.1.1", "1.1.1.1")
    behind = replace(sidecar, behind_gateway=True)
    assert call_of(behind, asked, None).remote_ip is None, "the gateway's own peer comes last"
