"""Which pods behind a Service do its routes lead calls to?"""

import pytest

from meshdoctor.mesh.protocols import select_raw
from meshdoctor.mesh.versions import chosen, gets_calls
from meshdoctor.model.istio import DestinationRule, VirtualService
from tests.unit.mesh.objects import one

HOST = "pay.shop.svc.cluster.local"
HEAD = (
    "apiVersion: networking.istio.io/v1\nkind: {}\nmetadata: {{name: pay, namespace: {}}}\nspec: {}"
)
SUBSETS = "[{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"
RULE = one(
    DestinationRule, HEAD.format("DestinationRule", "shop", f"{{host: pay, subsets: {SUBSETS}}}")
)
V1, V2 = {"version": "v1"}, {"version": "v2"}


def led(spec: str, port: str = "http") -> tuple[object, ...]:
    """Labels picked for calls of a port of this name by one route with this spec."""
    route = one(VirtualService, HEAD.format("VirtualService", "shop", spec))
    return chosen(HOST, select_raw(80, port), [route], [RULE])


@pytest.mark.parametrize(
    ("spec", "port", "picked"),
    [
        ("{http: [{route: [{destination: {host: pay, subset: v1}}]}]}", "http", (V1,)),
        ("{http: [{route: [{destination: {host: pay, subset: v1}}]}]}", "grpc", (V1,)),
        # A copy arrives as any call does.
        (
            "{http: [{mirror: {host: pay, subset: v2},"
            " route: [{destination: {host: pay, subset: v1}}]}]}",
            "http",
            (V1, V2),
        ),
        # Without a weight of its own beside others nothing arrives.
        (
            "{http: [{route: [{destination: {host: pay, subset: v1}, weight: 100},"
            " {destination: {host: pay, subset: v2}, weight: 0}]}]}",
            "http",
            (V1,),
        ),
        (
            "{http: [{match: [{headers: {x: {exact: y}}}],"
            " route: [{destination: {host: pay, subset: v2}}]},"
            " {route: [{destination: {host: pay, subset: v1}}]}]}",
            "http",
            (V1, V2),
        ),
        # Any pod: no subset, a subset that no rule defines, rules of another kind of port.
        ("{http: [{route: [{destination: {host: pay}}]}]}", "http", ()),
        ("{http: [{route: [{destination: {host: pay, subset: v9}}]}]}", "http", ()),
        ("{http: [{route: [{destination: {host: pay, subset: v1}}]}]}", "tcp", ()),
        ("{http: [{route: [{destination: {host: pay, subset: v1}}]}]}", "", ()),
        ("{http: [{delegate: {name: other}}]}", "http", ()),
        # All calls go elsewhere: nothing is said of the pods here.
        ("{http: [{route: [{destination: {host: other, subset: v1}}]}]}", "http", ()),
        ("{tcp: [{route: [{destination: {host: pay, subset: v1}}]}]}", "tcp", (V1,)),
        # A connection that no tcp rule takes goes to the service.
        (
            "{tcp: [{match: [{port: 9000}], route: [{destination: {host: pay, subset: v1}}]}]}",
            "tcp",
            (),
        ),
        ("{tcp: [{route: [{destination: {host: pay, subset: v1}}]}]}", "tls", ()),
    ],
)
def test_picked(spec: str, port: str, picked: tuple[object, ...]) -> None:
    spec = "{hosts: [pay], " + spec.removeprefix("{")
    assert led(spec, port) == picked


def test_a_subset_of_one_name_in_two_rules_is_either() -> None:
    spec = f"{{host: {HOST}, subsets: [{{name: v1, labels: {{track: old}}}}]}}"
    other = one(DestinationRule, HEAD.format("DestinationRule", "edge", spec))
    to = "{hosts: [pay], http: [{route: [{destination: {host: pay, subset: v1}}]}]}"
    route = one(VirtualService, HEAD.format("VirtualService", "shop", to))
    assert chosen(HOST, select_raw(80, "http"), [route], [RULE, other]) == (V1, {"track": "old"})


def test_which_pods_get_calls() -> None:
    assert gets_calls({"app": "pay", "version": "v1"}, (V1,))
    assert not gets_calls({"app": "pay", "version": "v2"}, (V1,))
    assert not gets_calls({"version": "v1"}, ())
