"""What is asked of a proxy is not asked while its container does not run."""

from typing import Any

import pytest
import yaml

from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import UnreachableError
from meshdoctor.probes.proxy_warming import proxy_warming
from tests.unit.world import world

TOLD = {"proxy-config secret cart-1.shop": "RESOURCE NAME\nkubernetes://bank    WARMING   false\n"}


def pod(state: dict[str, Any] | None) -> dict[str, Any]:
    status = [{"name": "istio-proxy", "state": state}] if state is not None else []
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "cart-1", "namespace": "shop"},
        "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy", "args": ["sidecar"]}]},
        "status": {"phase": "Running", "containerStatuses": status},
    }


@pytest.mark.parametrize(
    "state", [{"waiting": {"reason": "PodInitializing"}}, {"terminated": {"exitCode": 1}}]
)
def test_it_does_not_run(state: dict[str, Any]) -> None:
    there = world(yaml.safe_dump(pod(state)), istioctl=TOLD)
    with pytest.raises(UnreachableError, match="does not run"):
        proxy_warming.run(there, WorkloadSubject("shop", "cart-1", "Pod"))


@pytest.mark.parametrize("state", [{"running": {}}, None])
def test_it_runs_or_nobody_tells(state: dict[str, Any] | None) -> None:
    there = world(yaml.safe_dump(pod(state)), istioctl=TOLD)
    assert proxy_warming.run(there, WorkloadSubject("shop", "cart-1", "Pod")).secrets == 1
