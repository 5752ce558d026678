"""Values of proxy.istio.io/config, one row per rule; each was put to a real istiod 1.31."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.proxy_config_value import wrong

TAKEN = """
""
null
"{}"
"noSuchField: [1]"
"concurrency: -1"
"concurrency: '2'"
"concurrency: 2.0"
"holdApplicationUntilProxyStarts: true"
"hold_application_until_proxy_starts: false"
"tracing: {sampling: 200}"
"tracing: {zipkin: {address: '$(HOST_IP):9411'}}"
"tracing: {customTags: {a: {literal: {}}}}"
"drainDuration: 1m30s"
"terminationDrainDuration: '0'"
"terminationDrainDuration: 1ms"
"proxyMetadata: {A: 'true'}"
"proxyMetadata: {A: null}"
"statusPort: '15020'"
"discoveryAddress: 10.0.0.1:15012"
"discoveryAddress: '[fd00::1]:15012'"
"interceptionMode: 1"
"gatewayTopology: {numTrustedProxies: 1}"
"image: {imageType: distroless}"
"privateKeyProvider: {cryptomb: {pollDelay: 1ms}}"
"connectionSettings: {httpIdleTimeout: 0s}"
"""
REFUSED = """
"- a"
"a: b: c"
"text"
"concurrency: two"
"concurrency: 2.5"
"concurrency: true"
"holdApplicationUntilProxyStarts: 'true'"
"hold_application_until_proxy_starts: 1"
"tracing: {sampling: all}"
"tracing: {zipkin: {}}"
"tracing: {zipkin: {address: z}}"
"tracing: {lightstep: {address: 'a:1'}}"
"tracing: {customTags: {a: x}}"
"drainDuration: 5"
"drainDuration: 0s"
"drainDuration: -5s"
"drainDuration: 1500ms"
"terminationDrainDuration: 5 s"
"proxyMetadata: {A: 1}"
"proxyMetadata: {A: true}"
"proxyMetadata: [A]"
"statusPort: 0"
"statusPort: 70000"
"discoveryAddress: ''"
"discoveryAddress: istiod"
"discoveryAddress: 'istiod:https'"
"discoveryAddress: '1.2.3:1'"
"configPath: ''"
"serviceCluster: ''"
"interceptionMode: none"
"extraStatTags: a"
"extraStatTags: [1]"
"image: distroless"
"proxyStatsMatcher: {inclusionPrefixes: a}"
"gatewayTopology: {numTrustedProxies: -1}"
"gatewayTopology: {forwardClientCertDetails: sanitize}"
"envoyAccessLogService: {address: als}"
"privateKeyProvider: {}"
"connectionSettings: {httpIdleTimeout: -1s}"
"connectionSettings: {httpMaxConcurrentStreams: 0}"
"""


def rows(text: str) -> list[str]:
    return [json.loads(row) or "" for row in text.strip().splitlines()]


@pytest.mark.parametrize("value", rows(TAKEN))
def test_taken(value: str) -> None:
    assert wrong(value) == ""


@pytest.mark.parametrize("value", rows(REFUSED))
def test_refused(value: str) -> None:
    assert wrong(value)


def test_the_field_is_named() -> None:
    assert wrong("proxyMetadata: {DNS: true}") == "proxyMetadata: DNS: true must be in quotes"


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_texts_are_fine_as_metadata(found: dict[str, str]) -> None:
    assert wrong(yaml.safe_dump({"proxyMetadata": found})) == ""


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert wrong(text) == wrong(text).strip()
