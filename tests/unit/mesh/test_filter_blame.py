# ruff: noqa: E501
"""Which EnvoyFilter a refusal leads to, in Envoy's own words, and which it does not."""

import pytest

from meshdoctor.mesh.filter_blame import of_proxy
from meshdoctor.mesh.filter_match import may_match
from meshdoctor.mesh.rejections import Objects, offender
from meshdoctor.model.istio import EnvoyFilter, RequestAuthentication
from tests.unit.mesh.objects import many

TOKENS = """
{apiVersion: security.istio.io/v1beta1, kind: RequestAuthentication, metadata: {name: all, namespace: istio-system}, spec: {jwtRules: [{issuer: a}]}}
---
{apiVersion: security.istio.io/v1beta1, kind: RequestAuthentication, metadata: {name: pay, namespace: shop}, spec: {selector: {matchLabels: {app: pay}}, jwtRules: [{issuer: b}]}}
---
{apiVersion: security.istio.io/v1beta1, kind: RequestAuthentication, metadata: {name: other, namespace: bank}, spec: {jwtRules: [{issuer: c}]}}
"""
FILTERS = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: tag, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  configPatches:
  - applyTo: HTTP_FILTER
    patch: {operation: INSERT_BEFORE, value: {name: tag, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCode: "function envoy_on_request(h\\nend"}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: other-script, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch: {operation: INSERT_BEFORE, value: {name: other, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: "-- fine\\nfunction envoy_on_response(h) end"}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: hurry, namespace: istio-system}
spec:
  configPatches:
  - {applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 0s}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limit, namespace: shop}
spec:
  configPatches:
  - {applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {name: limit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, tokenBucket: {fillInterval: 0s}}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: sink, namespace: shop}
spec:
  configPatches:
  - {applyTo: CLUSTER, patch: {operation: ADD, value: {name: audit_sink, type: STRICT_DNS}}}
"""
KNOWN = many(EnvoyFilter, FILTERS)


@pytest.mark.parametrize(
    ("message", "ref"),
    [
        (  # a chunk name is the script's first line, cut
            "Error adding/updating listener(s) virtualInbound: script load error: [string \"function envoy_on_request(h...\"]:2: ')' expected near '<eof>'",
            "EnvoyFilter/shop/tag",
        ),
        (
            'script load error: [string "-- fine..."]:2: unexpected symbol',
            "EnvoyFilter/shop/other-script",
        ),
        (
            "Error adding/updating cluster(s) outbound|80||pay.shop.svc.cluster.local: Proto constraint validation failed (ClusterValidationError.ConnectTimeout: value must be greater than 0s): name: x",
            "EnvoyFilter/istio-system/hurry",
        ),
        (  # the deepest field is the one; outer ones lead to it
            "Proto constraint validation failed (LocalRateLimitValidationError.TokenBucket: embedded message failed validation | caused by TokenBucketValidationError.FillInterval: value must be greater than 0s)",
            "EnvoyFilter/shop/limit",
        ),
        (
            "Unable to parse JSON as proto: envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit missing stat_prefix",
            "EnvoyFilter/shop/limit",
        ),
        (
            "Error adding/updating cluster(s) audit_sink: STRICT_DNS clusters must have a single locality",
            "EnvoyFilter/shop/sink",
        ),
        ("Proto constraint validation failed (RouteValidationError.Match: value is required)", ""),
        ("Didn't find a registered implementation for 'envoy.filters.http.gone'", ""),
    ],
)
def test_the_filter_behind_a_refusal(message: str, ref: str) -> None:
    found = offender(message, Objects(filters=tuple(KNOWN)))
    assert (found.objects[0].ref if found.objects else "") == ref


def test_a_filter_of_another_proxy_is_innocent() -> None:
    def names(namespace: str, labels: dict[str, str] | None) -> set[str]:
        return {f.name for f in of_proxy(KNOWN, "istio-system", namespace, labels)}

    assert names("bank", {"app": "web"}) == {"hurry"}
    assert names("shop", {"app": "pay"}) == {"hurry", "other-script", "limit", "sink"}
    assert "tag" in names("shop", {"app": "web"}) and "tag" in names("shop", None)


def test_the_only_patch_of_what_was_refused() -> None:
    hurry = Objects(filters=tuple(f for f in KNOWN if f.name in ("hurry", "tag")))
    assert [o.name for o in offender("entirely new", hurry, "CDS").objects] == ["hurry"]
    assert offender("entirely new", hurry, "RDS").objects == ()
    assert offender("entirely new", Objects(filters=tuple(KNOWN)), "CDS").objects == ()


ORDER = """
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: before, namespace: shop}, spec: {configPatches: [
  {applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}}, patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.network.rbac}}}]}}
---
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: behind, namespace: shop}, spec: {configPatches: [
  {applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}}, patch: {operation: INSERT_AFTER, value: {name: envoy.filters.network.rbac}}}]}}
---
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: behind-router, namespace: shop}, spec: {configPatches: [
  {applyTo: HTTP_FILTER, match: {listener: {portNumber: 8443, filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.router}}}}}, patch: {operation: INSERT_AFTER, value: {name: my.lua}}}]}}
---
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: added, namespace: shop}, spec: {configPatches: [
  {applyTo: CLUSTER, patch: {operation: ADD, value: {name: sink}}}]}}
"""


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (
            "Error: terminal filter named envoy.filters.network.tcp_proxy of type envoy.filters.network.tcp_proxy must be the last filter in a network filter chain.",
            ["behind"],
        ),
        (
            "Error: terminal filter named envoy.filters.http.router of type envoy.filters.http.router must be the last filter in a http filter chain.",
            ["behind-router"],
        ),
        (
            "Error: non-terminal filter named my.lua of type envoy.filters.http.lua is the last filter in a http filter chain.",
            ["behind-router"],
        ),
    ],
)
def test_a_filter_in_the_wrong_place(message: str, names: list[str]) -> None:
    known = Objects(filters=tuple(many(EnvoyFilter, ORDER)))
    assert [o.name for o in offender(message, known, "LDS").objects] == names


def test_a_patch_of_another_port_is_innocent() -> None:
    filters = [f for f in many(EnvoyFilter, ORDER) if f.name in ("behind", "behind-router")]
    known = Objects(filters=tuple(filters))
    message = "Error adding/updating listener(s) 0.0.0.0_{}: entirely new"
    assert [o.name for o in offender(message.format(8080), known, "LDS").objects] == ["behind"]
    assert offender(message.format(8443), known, "LDS").objects == ()


def test_a_filter_for_other_proxies_is_innocent() -> None:
    text = """
    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
    metadata: {name: stats, namespace: istio-system}
    spec: {configPatches: [{applyTo: HTTP_FILTER, match: {context: SIDECAR_OUTBOUND, proxy: {proxyVersion: '^1\\.13.*'}}}]}
    """
    (stats,) = many(EnvoyFilter, text)
    assert may_match(stats, "sidecar", "1.13.5") and may_match(stats, "", "")
    assert not may_match(stats, "router", "1.13.5") and not may_match(stats, "sidecar", "1.14.0")


def test_an_authentication_of_another_proxy_is_innocent() -> None:
    def names(labels: dict[str, str] | None) -> list[str]:
        return [
            a.name
            for a in of_proxy(
                tuple(many(RequestAuthentication, TOKENS)), "istio-system", "shop", labels
            )
        ]

    assert names({"app": "pay"}) == ["all", "pay"] and names({"app": "web"}) == ["all"]
    assert names(None) == ["all", "pay"]
