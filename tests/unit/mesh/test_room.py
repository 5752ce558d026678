"""LimitRanges and ResourceQuotas against a pod with its proxy: one row per rule."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import room
from meshdoctor.model.kubernetes import Container, LimitRange, PodSpec, ResourceQuota, Resources

APP: dict[str, Any] = {
    "name": "app",
    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "256Mi"}},
}
VALUES = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "2000m", "memory": "1024Mi"},
}
SPEC = msgspec.convert({"containers": [APP]}, PodSpec)


def asked(annotations: dict[str, str] | None = None, *ranges: LimitRange) -> room.Sizes:
    return room.sizes(SPEC, room.proxy_asks(annotations or {}, VALUES), ranges)


def limit(**item: Any) -> LimitRange:
    named = {"metadata": {"name": "b", "namespace": "n"}, "kind": "LimitRange"}
    return msgspec.convert({**named, "spec": {"limits": [item]}}, LimitRange)


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> ResourceQuota:
    named = {"metadata": {"name": "q", "namespace": "n"}, "kind": "ResourceQuota"}
    body = {**named, "spec": {"hard": hard, **spec}, "status": {"used": used or {}}}
    return msgspec.convert(body, ResourceQuota)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"type": "Container", "max": {"cpu": "500m"}}, "limit 2000m of cpu of istio-proxy"),
        ({"type": "Container", "max": {"cpu": "2"}}, ""),
        ({"type": "Container", "min": {"memory": "256Mi"}}, "request 128Mi of memory"),
        ({"type": "Container", "min": {"memory": "128Mi"}}, ""),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "10"}}, "at most 10 times"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "20"}}, ""),
        ({"type": "Container", "max": {"nvidia.com/gpu": "1"}}, "needs a limit"),
        ({"type": "Container", "min": {"nvidia.com/gpu": "1"}}, "needs a request"),
        ({"type": "Pod", "max": {"cpu": "1"}}, "limit 2.2 of cpu of the pod"),
        ({"type": "Pod", "max": {"cpu": "2200m"}}, ""),
        ({"type": "PersistentVolumeClaim", "max": {"cpu": "1m"}}, ""),
    ],
)
def test_limit_ranges(item: dict[str, Any], said: str) -> None:
    one = limit(**item)
    found = room.limited([one], asked(None, one))
    assert said in found if said else found == ""
    assert not found or found.startswith("LimitRange/n/b: ")


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"limits.cpu": "1"}, {}, "2.2 of limits.cpu wanted, 0 of 1 used"),
        ({"limits.cpu": "3"}, {"limits.cpu": "1"}, "2.2 of limits.cpu wanted, 1 of 3 used"),
        ({"limits.cpu": "3"}, {"limits.cpu": "800m"}, ""),
        ({"cpu": "150m"}, {}, "0.2 of cpu wanted"),
        ({"requests.ephemeral-storage": "1Gi"}, {}, "istio-proxy states none"),
        ({"pods": "5"}, {"pods": "5"}, "1 of pods wanted, 5 of 5 used"),
        ({"pods": "5"}, {"pods": "4"}, ""),
        ({"services": "0"}, {}, ""),
    ],
)
def test_quotas(hard: dict[str, str], used: dict[str, str], said: str) -> None:
    found = room.counted([quota(hard, used)], asked())
    assert said in found if said else found == ""


def test_a_quota_with_scopes_is_passed_over() -> None:
    assert room.counted([quota({"pods": "0"}, scopes=["Terminating"])], asked()) == ""
    some = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}
    assert room.counted([quota({"pods": "0"}, scopeSelector=some)], asked()) == ""


def test_one_annotation_sets_the_values_aside() -> None:
    found = asked({"sidecar.istio.io/proxyMemoryLimit": "64Mi"})
    assert "states none" in room.counted([quota({"limits.cpu": "9"})], found)
    assert found.proxy.requests == {"memory": "64Mi"}


def test_a_limit_range_fills_in_what_is_missing() -> None:
    filling = limit(type="Container", default={"cpu": "1"}, defaultRequest={"cpu": "10m"})
    found = asked({"sidecar.istio.io/proxyMemoryLimit": "64Mi"}, filling)
    assert (found.proxy.limits["cpu"], found.proxy.requests["cpu"]) == ("1", "10m")


def test_the_template_s_own_proxy_goes_first_and_is_counted_once() -> None:
    own = Container(name="istio-proxy", resources=Resources(limits={"cpu": "50m"}))
    asks = room.proxy_asks({}, VALUES, own)
    assert asks.limits == {"cpu": "50m", "memory": "1024Mi"}
    spec = PodSpec(containers=(*SPEC.containers, own))
    assert room.sizes(spec, asks, ()).pod.limits["cpu"] == pytest.approx(0.25)


def test_nulls_in_the_values_are_left_out() -> None:
    assert room.proxy_asks({}, {"limits": {"cpu": None}, "requests": None}).limits == {}


@given(st.integers(0, 9000), st.integers(1, 9000))
def test_a_container_s_own_maximum_is_exact(most: int, wanted: int) -> None:
    asks = room.proxy_asks({}, {"limits": {"cpu": f"{wanted}m"}})
    one = limit(type="Container", max={"cpu": f"{most}m"})
    found = room.limited([one], room.sizes(SPEC, asks, [one]))
    assert bool(found) == (wanted > most)
