"""Does a patch of the pod template keep what it does not mean?"""

import json
from typing import Any

import pytest
import yaml

from meshdoctor.mesh.template_patch import image_pin, proxy_config_patch, template_of
from meshdoctor.model.kubernetes import Container, Meta, Pod, PodSpec, PodTemplate

CONFIG, IMAGE = "proxy.istio.io/config", "sidecar.istio.io/proxyImage"
HOLD = "holdApplicationUntilProxyStarts: true"
EXIT = 'proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"}'
ON = {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}


def template(*containers: Container, **annotations: str) -> PodTemplate:
    return PodTemplate(
        metadata=Meta(
            annotations={CONFIG if k == "config" else k: v for k, v in annotations.items()}
        ),
        spec=PodSpec(containers=containers),
    )


def annotation(patch: str) -> Any:
    assert "'" not in patch and "\n" not in patch
    return json.loads(patch)["spec"]["template"]["metadata"]["annotations"][CONFIG]


@pytest.mark.parametrize(
    ("text", "wanted", "whole"),
    [
        ("", HOLD, {"holdApplicationUntilProxyStarts": True}),
        ("concurrency: 4", HOLD, {"concurrency": 4, "holdApplicationUntilProxyStarts": True}),
        (
            "proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: 'true'\n",
            HOLD,
            {
                "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"},
                "holdApplicationUntilProxyStarts": True,
            },
        ),
        (
            "proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: 'true'\n",
            EXIT,
            {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true", **ON}},
        ),
        (
            "proxy_metadata: {A: b}\ndrain_duration: 45s",
            EXIT,
            {"proxyMetadata": {"A": "b", **ON}, "drain_duration": "45s"},
        ),
        ("proxyMetadata:\n", EXIT, {"proxyMetadata": ON}),
        (
            '{"concurrency": 2}',
            "terminationDrainDuration: 240s",
            {"concurrency": 2, "terminationDrainDuration": "240s"},
        ),
        (
            "terminationDrainDuration: 5s",
            "terminationDrainDuration: 240s",
            {"terminationDrainDuration": "240s"},
        ),
        (
            "termination_drain_duration: 5s",
            "terminationDrainDuration: 240s",
            {"terminationDrainDuration": "240s"},
        ),
        (
            "holdApplicationUntilProxyStarts: false",
            HOLD,
            {"holdApplicationUntilProxyStarts": True},
        ),
    ],
)
def test_a_line_is_laid_over_what_is_there(text: str, wanted: str, whole: dict[str, Any]) -> None:
    made = annotation(proxy_config_patch(template(config=text), wanted))
    assert yaml.safe_load(made) == whole


def test_lines_and_comments_stay_where_they_can() -> None:
    text = "# as agreed\nconcurrency: 4\n"
    assert annotation(proxy_config_patch(template(config=text), HOLD)) == text + HOLD


@pytest.mark.parametrize(
    "text",
    [
        "just words",
        "a: [",
        "since: 2026-01-01",
        "tracing: {lightstep: {accessToken: redacted-token-3}}",
        "proxyMetadata: {ANSWER: '[redacted]'}",
        "proxyMetadata: {ANSWER: redacted-env-2}",
        "proxyMetadata:\n  DB_PASSWORD: hunter2-and-more\n",
        "a: b # " + 3000 * "x",
    ],
)
def test_what_cannot_be_kept_is_left_to_a_person(text: str) -> None:
    assert proxy_config_patch(template(config=text), HOLD) == ""


def test_fields_of_the_pod_are_set_beside_it() -> None:
    made = proxy_config_patch(template(), HOLD, terminationGracePeriodSeconds=300)
    assert json.loads(made)["spec"]["template"]["spec"] == {"terminationGracePeriodSeconds": 300}


@pytest.mark.parametrize(
    ("given", "image", "patch"),
    [
        (template(), "", None),
        (template(Container(name="istio-proxy", image="auto")), "", None),
        (template(Container(name="istio-proxy")), "", None),
        (
            template(**{IMAGE: "istio/proxyv2:1.27.3"}),
            "istio/proxyv2:1.27.3",
            {"metadata": {"annotations": {IMAGE: None}}},
        ),
        (
            template(Container(name="app"), Container(name="istio-proxy", image="proxyv2:1.27.3")),
            "proxyv2:1.27.3",
            {"spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]}},
        ),
    ],
)
def test_a_template_that_asks_for_an_image_itself(
    given: PodTemplate, image: str, patch: dict[str, Any] | None
) -> None:
    found, made = image_pin(given)
    assert found == image
    assert (json.loads(made) if made else None) == (patch and {"spec": {"template": patch}})


def test_a_pods_own_proxy_is_what_the_injector_made() -> None:
    pod = Pod(spec=PodSpec(containers=(Container(name="istio-proxy", image="proxyv2:1.27.3"),)))
    assert image_pin(template_of(None, pod)) == ("", "")
