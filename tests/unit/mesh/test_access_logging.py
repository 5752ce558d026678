"""Is there an access log to read at all?"""

import msgspec
import pytest
import yaml

from meshdoctor.mesh.access_logging import CLIENT, SERVER, Logging, in_force
from meshdoctor.model.istio import MeshConfig, Telemetry


def telemetry(namespace: str, logging: str, selector: str = "", name: str = "t") -> Telemetry:
    spec: dict[str, object] = {"accessLogging": yaml.safe_load(logging)}
    if selector:
        spec["selector"] = {"matchLabels": {"app": selector}}
    data = {"kind": "Telemetry", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    return msgspec.convert(data, Telemetry)


def mesh(text: str = "") -> MeshConfig:
    return msgspec.convert(yaml.safe_load(text) or {}, MeshConfig)


def judge(config: MeshConfig, *given: Telemetry, mode: str = CLIENT) -> Logging:
    return in_force(config, given, "shop", {"app": "pay"}, mode)


@pytest.mark.parametrize(
    ("config", "on", "custom"),
    [
        ("", False, False),
        ("accessLogFile: ''", False, False),
        ("accessLogFile: /dev/stdout", True, False),
        ("accessLogFile: /var/log/a.log", False, False),
        ("{accessLogFile: /dev/stdout, accessLogFormat: '%START_TIME%'}", True, True),
        ("defaultProviders: {accessLogging: [envoy]}", True, False),
        ("defaultProviders: {accessLogging: [otel]}", False, False),
        (
            "{defaultProviders: {accessLogging: [mine]}, extensionProviders: [{name: mine, "
            "envoyFileAccessLog: {path: /dev/stdout, logFormat: {text: x}}}]}",
            True,
            True,
        ),
        (
            "{defaultProviders: {accessLogging: [mine]}, extensionProviders: [{name: mine, "
            "envoyFileAccessLog: {path: /tmp/x}}]}",
            False,
            False,
        ),
    ],
)
def test_mesh_config(config: str, on: bool, custom: bool) -> None:
    found = judge(mesh(config))
    assert (found.on, found.custom) == (on, custom)


ENVOY = "[{providers: [{name: envoy}]}]"
OFF = "[{disabled: true}]"


@pytest.mark.parametrize(
    ("config", "given", "client", "server"),
    [
        ("", [telemetry("istio-system", ENVOY)], True, True),
        ("", [telemetry("shop", ENVOY)], True, True),
        ("", [telemetry("other", ENVOY)], False, False),
        ("", [telemetry("shop", ENVOY, "pay")], True, True),
        ("", [telemetry("shop", ENVOY, "other")], False, False),
        ("", [telemetry("istio-system", ENVOY), telemetry("shop", OFF)], False, False),
        (
            "accessLogFile: /dev/stdout",
            [telemetry("shop", "[{providers: [{name: envoy}], disabled: true}]")],
            False,
            False,
        ),
        ("accessLogFile: /dev/stdout", [telemetry("shop", "[{disabled: true}]")], True, True),
        (
            "",
            [telemetry("shop", "[{providers: [{name: envoy}], match: {mode: SERVER}}]")],
            False,
            True,
        ),
        (
            "accessLogFile: /dev/stdout",
            [telemetry("shop", "[{providers: [{name: otel}]}]")],
            True,
            True,
        ),
        (
            "{accessLogFile: /dev/stdout, extensionProviders: [{name: otel}]}",
            [telemetry("shop", "[{providers: [{name: otel}]}]")],
            False,
            False,
        ),
    ],
)
def test_telemetry(config: str, given: list[Telemetry], client: bool, server: bool) -> None:
    assert judge(mesh(config), *given).on is client
    assert judge(mesh(config), *given, mode=SERVER).on is server


def test_filter_and_source_are_told() -> None:
    found = judge(
        mesh(),
        telemetry("shop", "[{providers: [{name: envoy}], filter: {expression: 'false'}}]"),
    )
    assert found == Logging(on=True, filtered=True, source="Telemetry/shop/t")
