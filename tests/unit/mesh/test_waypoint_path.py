"""Which waypoint labels ask for, and what goes past it: one row for each rule of istiod."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.waypoint_path import (
    INGRESS,
    PASSES,
    Caller,
    Mend,
    addressed,
    asked,
    past_by_caller,
    past_by_waypoint,
)
from meshdoctor.model.istio import K8sGateway
from meshdoctor.model.kubernetes import Service
from tests.unit.mesh.objects import one

USE = "istio.io/use-waypoint"


@pytest.mark.parametrize(
    ("own", "namespace", "found"),
    [
        ({}, {}, ("", "")),
        ({USE: "a"}, {}, ("shop", "a")),
        ({}, {USE: "b"}, ("shop", "b")),
        ({USE: "a"}, {USE: "b"}, ("shop", "a")),
        ({USE: "none"}, {USE: "b"}, ("", "")),
        ({}, {USE: "none"}, ("", "")),
        ({USE: "a", f"{USE}-namespace": "infra"}, {}, ("infra", "a")),
        ({}, {USE: "b", f"{USE}-namespace": "infra"}, ("infra", "b")),
        ({USE: "a"}, {USE: "b", f"{USE}-namespace": "infra"}, ("shop", "a")),
    ],
)
def test_what_labels_ask_for(
    own: dict[str, str], namespace: dict[str, str], found: tuple[str, str]
) -> None:
    assert asked(own, namespace, "shop") == found


@pytest.mark.parametrize(
    ("caller", "own", "namespace", "mend"),
    [
        (Caller.AMBIENT, {}, {}, Mend.NOTHING),
        (Caller.UNKNOWN, {}, {}, Mend.NOTHING),
        (Caller.SIDECAR, {}, {}, Mend.CALLER),
        (Caller.OUTSIDE, {}, {}, Mend.CALLER),
        (Caller.GATEWAY, {}, {}, Mend.INGRESS),
        (Caller.GATEWAY, {INGRESS: "true"}, {}, Mend.NOTHING),
        (Caller.GATEWAY, {}, {INGRESS: "true"}, Mend.NOTHING),
        (Caller.GATEWAY, {INGRESS: "false"}, {INGRESS: "true"}, Mend.INGRESS),
        (Caller.GATEWAY, {INGRESS: "yes"}, {}, Mend.INGRESS),
    ],
)
def test_who_sends_to_waypoints(
    caller: Caller, own: dict[str, str], namespace: dict[str, str], mend: Mend
) -> None:
    assert past_by_caller(caller, own, namespace).mend is mend


def gate(
    traffic: str = "", programmed: str = "True", routes: Mapping[str, object] | None = None
) -> K8sGateway:
    listener = {"name": "mesh", "port": 15008, "protocol": "HBONE"}
    labels = {"istio.io/waypoint-for": traffic} if traffic else {}
    text = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "waypoint", "namespace": "shop", "labels": labels},
        "spec": {"listeners": [listener | ({"allowedRoutes": routes} if routes else {})]},
        "status": {"conditions": [{"type": "Programmed", "status": programmed}]},
    }
    return one(K8sGateway, json.dumps(text))


ALL: Mapping[str, object] = {"namespaces": {"from": "All"}}
TEAM: Mapping[str, object] = {
    "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
}


@pytest.mark.parametrize(
    ("found", "namespace", "to_service", "mend"),
    [
        (None, "shop", True, Mend.WAYPOINT),
        (gate(), "shop", True, Mend.NOTHING),
        (gate(), "shop", False, Mend.TRAFFIC),  # services are the default
        (gate("service"), "shop", True, Mend.NOTHING),
        (gate("workload"), "shop", True, Mend.TRAFFIC),
        (gate("workload"), "shop", False, Mend.NOTHING),
        (gate("all"), "shop", True, Mend.NOTHING),
        (gate("all"), "shop", False, Mend.NOTHING),
        (gate("none"), "shop", True, Mend.TRAFFIC),
        (gate(programmed="False"), "shop", True, Mend.WAYPOINT),
        (gate(programmed="Unknown"), "shop", True, Mend.WAYPOINT),
        (gate(), "web", True, Mend.WAYPOINT),  # its own namespace alone, by default
        (gate(routes=ALL), "web", True, Mend.NOTHING),
        (gate(routes=TEAM), "web", True, Mend.NOTHING),
        (gate(routes=TEAM), "other", True, Mend.WAYPOINT),
    ],
)
def test_what_a_waypoint_takes(
    found: K8sGateway | None, namespace: str, to_service: bool, mend: Mend
) -> None:
    labels = {"team": "a"} if namespace == "web" else {}
    past = past_by_waypoint(
        found, "shop/waypoint", to_service=to_service, namespace=namespace, of_namespace=labels
    )
    assert past.mend is mend
    assert bool(past.why) is (mend is not Mend.NOTHING)


@pytest.mark.parametrize(("address", "own"), [("10.96.0.9", True), ("None", False)])
def test_a_headless_service_gives_away_its_pods(address: str, own: bool) -> None:
    text = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "pay", "namespace": "shop"},
        "spec": {"clusterIP": address},
    }
    assert addressed(one(Service, json.dumps(text))) is own
    assert not addressed(None)


labels = st.dictionaries(
    st.sampled_from([USE, f"{USE}-namespace", INGRESS, "app"]),
    st.sampled_from(["", "none", "a", "true", "false"]),
)


@given(labels, labels)
def test_who_opts_out_has_no_waypoint(own: dict[str, str], namespace: dict[str, str]) -> None:
    assert asked(own | {USE: "none"}, namespace, "shop") == ("", "")
    assert asked(own | {USE: "a"}, namespace, "shop")[1] == "a"


@given(labels, labels)
def test_labels_move_gateways_alone(own: dict[str, str], namespace: dict[str, str]) -> None:
    assert past_by_caller(Caller.AMBIENT, own, namespace) == PASSES
    assert past_by_caller(Caller.SIDECAR, own, namespace) != PASSES
