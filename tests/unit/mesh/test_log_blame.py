"""Settings of access logs that Envoy refuses."""

import pytest

from meshdoctor.mesh.log_blame import settings
from meshdoctor.mesh.rejections import Objects, offender
from meshdoctor.model.istio import EnvoyFilter, ExtensionProvider, MeshConfig, Telemetry
from meshdoctor.model.kubernetes import ConfigMap, Meta
from tests.unit.mesh.objects import many

SPECIFIER = (
    "Error adding/updating listener(s) 172.20.157.105_443: Proto constraint validation failed "
    '(TcpProxyValidationError.AccessLog[i]: ["embedded message failed validation"] | caused by '
    'AccessLogValidationError.Filter: ["embedded message failed validation"] | caused by field: '
    '"filter_specifier", reason: is required)'
)
MAP = ConfigMap(kind="ConfigMap", metadata=Meta(name="istio", namespace="istio-system"))
SERVICE = MeshConfig(enable_envoy_access_log_service=True, access_log_file="/dev/stdout")
PROVIDER = MeshConfig(extension_providers=(ExtensionProvider(envoy_file_access_log={}),))
TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: errors, namespace: shop}
spec: {accessLogging: [{filter: {expression: "response.code >= 400 &"}}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: slow, namespace: shop}
spec: {accessLogging: [{filter: {expression: "response.duration > 5"}}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: plain, namespace: shop}
spec: {accessLogging: [{providers: [{name: otel}]}]}
"""
PATCH = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: logs, namespace: shop}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    patch: {operation: MERGE, value: {typed_config: {access_log: [{name: x}]}}}
"""


@pytest.mark.parametrize(
    ("message", "config", "said"),
    [
        (SPECIFIER, SERVICE, "enableEnvoyAccessLogService, accessLogFile"),
        (
            "Not supported field in StreamInfo: FOO",
            MeshConfig(access_log_format="%FOO%"),
            "accessLogFormat",
        ),
        ("FileAccessLogValidationError.Path: value length must be", PROVIDER, "extensionProviders"),
        (SPECIFIER, MeshConfig(), ""),
        ("duplicate domain pay", SERVICE, ""),
    ],
)
def test_what_the_mesh_config_sets(message: str, config: MeshConfig, said: str) -> None:
    assert settings(message, config) == said


def test_the_mesh_config_is_blamed_after_every_patch() -> None:
    known = Objects(config=SERVICE, config_map=MAP)
    found = offender(SPECIFIER, known, "LDS")
    assert [one.ref for one in found.objects] == ["ConfigMap/istio-system/istio"]
    assert "enableEnvoyAccessLogService" in found.why
    assert offender(SPECIFIER, Objects(config=SERVICE), "LDS").objects == ()
    patched = Objects(config=SERVICE, config_map=MAP, filters=tuple(many(EnvoyFilter, PATCH)))
    assert [one.name for one in offender(SPECIFIER, patched, "LDS").objects] == ["logs"]


def test_a_filter_of_a_telemetry() -> None:
    known = Objects(telemetries=tuple(many(Telemetry, TELEMETRY)))
    said = "Not able to parse filter expression: ERROR: <input>:1:23: Syntax error"
    assert {one.name for one in offender(said, known).objects} == {"errors", "slow"}
    exact = f"{said} in response.code >= 400 &"
    assert [one.name for one in offender(exact, known).objects] == ["errors"]
    assert offender("entirely new", known).objects == ()
