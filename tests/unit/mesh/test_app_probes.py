"""Which probe does an annotation leave without a port?"""

import pytest

from meshdoctor.mesh.app_probes import REWRITE, STATUS_PORT, without_port
from meshdoctor.model.kubernetes import Pod
from tests.unit.mesh.objects import one

HTTP = "readinessProbe: {httpGet: {port: 8080}}"


@pytest.mark.parametrize(
    ("value", "container", "found"),
    [
        ("0", HTTP, "readinessProbe of container app"),
        ("00", HTTP, "readinessProbe of container app"),
        (" 15020 ", HTTP, "readinessProbe of container app"),
        ("15021", HTTP, ""),
        ("007", HTTP, ""),
        (None, HTTP, ""),
        ("0", "livenessProbe: {tcpSocket: {port: 80}}", "livenessProbe of container app"),
        ("0", "startupProbe: {grpc: {port: 80}}", "startupProbe of container app"),
        ("0", "lifecycle: {preStop: {httpGet: {port: 80}}}", "preStop hook of container app"),
        ("0", "lifecycle: {postStart: {tcpSocket: {port: 80}}}", "postStart hook of container app"),
        ("0", "lifecycle: {preStop: {exec: {command: [sleep]}}}", ""),
        ("0", "readinessProbe: {exec: {command: ['true']}}", ""),
    ],
)
def test_a_port_that_comes_to_zero(value: str | None, container: str, found: str) -> None:
    spec = pod(f"{{name: app, {container}}}").spec
    notes = {} if value is None else {STATUS_PORT: value}
    assert without_port(spec, notes, True) == found


def pod(*containers: str, init: str = "") -> Pod:
    text = f"containers: [{', '.join(containers)}], initContainers: [{init}]"
    return one(Pod, f"{{kind: Pod, apiVersion: v1, metadata: {{name: a}}, spec: {{{text}}}}}")


@pytest.mark.parametrize(
    ("said", "default", "spoilt"),
    [
        ("", True, True),
        ("", False, False),
        ("false", True, False),
        ("true", False, True),
        ("no", True, True),
    ],
)
def test_where_probes_are_left_alone(said: str, default: bool, spoilt: bool) -> None:
    notes = {STATUS_PORT: "0", **({REWRITE: said} if said else {})}
    assert bool(without_port(pod(f"{{name: app, {HTTP}}}").spec, notes, default)) is spoilt


def test_the_proxys_own_probe_and_init_containers() -> None:
    proxy, side = f"{{name: istio-proxy, {HTTP}}}", f"{{name: side, {HTTP}}}"
    notes = {STATUS_PORT: "0"}
    assert without_port(pod(proxy).spec, notes, True) == ""
    assert without_port(pod(proxy, init=side).spec, notes, True).endswith("of container side")
