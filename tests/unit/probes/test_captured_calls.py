"""`captured-calls`: a run that is bounded still finds the Service of another namespace."""

import pytest

from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.captured_calls import CapturedCalls, captured_calls
from tests.unit.mesh.test_captured import LINE, SERVICE
from tests.unit.world import world

POD = """
---
kind: Pod
apiVersion: v1
metadata: {name: toolkit-1, namespace: tools}
spec: {containers: [{name: toolkit}, {name: istio-proxy}]}
status: {phase: Running, podIP: 10.0.0.1}
"""
SUBJECT = WorkloadSubject("tools", "toolkit-1", "Pod")


def facts(kind: str, **rest: object) -> CapturedCalls:
    service = SERVICE.replace("TYPE", kind).replace("PORT", "name: nexus")
    dialled = [f"140.82.121.{i}" for i in range(3, 7)]
    log = "".join(LINE.format(sent="10.3.8.40", dialled=one, name="-") for one in dialled)
    key = ("tools", "toolkit-1", "istio-proxy")
    view = world(service + POD, logs={key: log}, **rest)  # type: ignore[arg-type]
    found = captured_calls.run(view, SUBJECT)
    assert isinstance(found, CapturedCalls)
    return found


def test_captured() -> None:
    found = facts("ExternalName")
    assert (found.risk, found.calls, found.service) == (True, 4, "Service/mon/nexus")
    assert (found.port, found.sent, found.pod) == (443, "10.3.8.40", "toolkit-1")


def test_a_service_with_an_address() -> None:
    found = facts("ClusterIP")
    assert (found.risk, found.calls, found.service) == (False, 0, "")


def test_a_log_that_cannot_be_read() -> None:
    failing = {"log": ForbiddenError("pods/log")}
    with pytest.raises(ForbiddenError):
        facts("ExternalName", failing=failing)
    assert facts("ClusterIP", failing=failing).risk is False
