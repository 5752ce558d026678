"""Which texts of a mesh config does istiod refuse?"""

import pytest

from meshdoctor.mesh.meshconfig_check import refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accessLogEncoding: JSON",
        "accessLogEncoding: 1",
        "noSuchField: {deep: 1}",
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
        "defaultConfig: {terminationDrainDuration: 30s, proxyMetadata: {A: 'true', B: null}}",
        "connectTimeout: 1.5s",
        "enableTracing: false",
    ],
)
def test_taken(text: str) -> None:
    assert refused(text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accessLogEncoding: json", "accessLogEncoding is json"),
        ("outboundTrafficPolicy: {mode: ALLOW_ALL}", "outboundTrafficPolicy.mode is ALLOW_ALL"),
        ("enableAutoMtls: 'true'", 'enableAutoMtls is "true"'),
        ("defaultConfig: {terminationDrainDuration: 30}", "terminationDrainDuration is 30"),
        ("defaultConfig: {drainDuration: 30 s}", "no duration like 10s"),
        ("defaultConfig: {proxyMetadata: {DNS: true}}", "proxyMetadata.DNS is true, which must"),
        ("a: [", "it is no YAML"),
        ("- a", "it is no mapping"),
    ],
)
def test_refused(text: str, said: str) -> None:
    assert said in refused(text)
