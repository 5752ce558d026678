"""Which mistakes around a server are drawn, and which call is then made?

A case is one to three objects or changes around one server, and one call to it. Many do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.lab.differential import mtls_cases, policies
from tests.lab.differential.case import (
    ALICE,
    BOB,
    HTTP,
    NOBODY,
    ODD,
    ROOT,
    SECOND,
    SERVICE,
    SPACES,
    TCP,
    Ask,
    Object,
    meta,
)
from tests.lab.differential.dice import Dice

PATHS = ("/", "/orders", "/orders/7", "/admin")
KINDS = {"route": 34, "rule": 20, "peer": 12, "policy": 16, "service": 14, "entry": 4}


@dataclass(frozen=True, kw_only=True)
class WholeCase:
    """Objects to make, changes of the server's Service, and one call. `pods`: Deployments and
    Services of the case's own; `kind`: what was drawn."""

    seed: int
    index: int
    space: str
    objects: tuple[Object, ...]
    service: Object
    ask: Ask
    pods: tuple[Object, ...] = ()
    kind: str = "mixed"

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.seed}:{self.index}"


@dataclass(kw_only=True)
class Drawn:
    """What a case is made of."""

    ask: Ask
    objects: list[Object] = field(default_factory=list)
    service: Object = field(default_factory=dict)
    pods: list[Object] = field(default_factory=list)


def mixed(dice: Dice, name: str, space: str) -> Drawn:
    """One to three mistakes of all kinds, or none."""
    found = Drawn(ask=ask(dice, space))
    for number in range(dice.weighted({0: 8, 1: 52, 2: 30, 3: 10})):
        mistake(dice, f"{name}-{number}", found)
    return found


def mistake(dice: Dice, name: str, found: Drawn) -> None:
    """One more object, or one more change of the Service."""
    space = found.ask.space
    kind = dice.weighted(KINDS)
    name = f"{name}-{kind}"
    match kind:
        case "route":
            found.objects.append(route(dice, name, found.ask))
        case "rule":
            found.objects.append(rule(dice, name, space))
        case "peer":
            found.objects.append(mtls_cases.peer_authentication(dice, name, space))
        case "policy":
            found.objects.append(policies.policy(dice, found.ask, {}, name))
        case "entry":
            found.objects.append(_entry(dice, name, found.ask))
        case _:
            found.service |= _service(dice)


def ask(dice: Dice, space: str) -> Ask:
    """One call to a server."""
    near = f"{dice.one([one for one in SPACES if one != space])}/{SERVICE}"
    port = dice.weighted({HTTP: 60, SECOND: 14, TCP: 16, ODD: 10})
    tenant = (("x-tenant", dice.one(("blue", "red"))),) if dice.chance(40) else ()
    return Ask(
        client=dice.weighted({ALICE: 50, BOB: 20, NOBODY: 20, near: 10}),
        space=space,
        port=port,
        http=port != TCP,
        path=dice.one(PATHS),
        headers=tenant if port != TCP else (),
    )


def _home(dice: Dice, space: str) -> str:
    return dice.weighted({space: 60, ALICE.split("/")[0]: 24, ROOT: 8, BOB.split("/")[0]: 8})


def _name(dice: Dice, space: str, home: str) -> str:
    """A host; a short one mostly in its own namespace, for all servers have the same name."""
    full = f"{SERVICE}.{space}.svc.cluster.local"
    return dice.weighted(
        {
            full: 64,
            SERVICE: 14 if home == space else 2,
            f"{SERVICE}.{space}": 6,
            f"*.{space}.svc.cluster.local": 5,
        }
        | {f"srver.{space}.svc.cluster.local": 4, f"{SERVICE}.{SPACES[0]}.svc.cluster.local": 3}
        | {"*": 2, f"{SERVICE}.{space}.svc": 2}
    )


def route(dice: Dice, name: str, ask: Ask) -> Object:
    """A VirtualService of the server, right or wrong in one place or another."""
    space = ask.space
    home = _home(dice, space)
    spec: Object = {"hosts": [_name(dice, space, home)]}
    if dice.chance(25):
        spec["gateways"] = dice.one((["mesh"], ["ingress"], ["mesh", "ingress"], [f"{space}/mesh"]))
    if dice.chance(15):
        spec["exportTo"] = dice.one((["."], ["*"], [space], ["dif-none"]))
    if not ask.http:
        match = {"match": [{"port": dice.one((TCP, TCP, HTTP))}]} if dice.chance(50) else {}
        spec["tcp"] = [{**match, "route": [_towards(dice, ask, home)]}]
    else:
        spec["http"] = [http(dice, ask, home) for _ in range(dice.weighted({1: 65, 2: 35}))]
    return meta("VirtualService", name, home, spec)


def _towards(dice: Dice, ask: Ask, home: str) -> Object:
    found: Object = {"host": _name(dice, ask.space, home).replace("*", SERVICE)}
    if dice.chance(35):
        ports = {ask.port: 55, HTTP: 20, SECOND: 10, TCP: 5, 9999: 10}
        found["port"] = {"number": dice.weighted(ports)}
    if dice.chance(30):
        found["subset"] = dice.weighted({"v1": 60, "v9": 25, "missing": 15})
    return {"destination": found}


def http(dice: Dice, ask: Ask, home: str) -> Object:
    """One rule of a VirtualService."""
    found: Object = {}
    if dice.chance(50):
        found["match"] = [
            dice.one(
                (
                    {"uri": {"prefix": ask.path}},
                    {"uri": {"exact": "/orders"}},
                    {"uri": {"prefix": "/orders"}},
                    {"uri": {"regex": "/adm.*"}},
                    {"headers": {"x-tenant": {"exact": "blue"}}},
                    {"withoutHeaders": {"x-tenant": {}}},
                    {"method": {"exact": "POST"}},
                    {"port": HTTP},
                    {"sourceLabels": {"app": "alice"}},
                    {"sourceNamespace": BOB.split("/")[0]},
                )
            )
        ]
    match dice.weighted(
        {"plain": 70, "split": 8, "redirect": 5, "fault": 5, "direct": 4, "odd": 8}
    ):
        case "redirect":
            return {**found, "redirect": {"uri": "/elsewhere"}}
        case "direct":
            return {**found, "directResponse": {"status": dice.one((200, 404, 503))}}
        case "fault":
            abort = {"httpStatus": 503, "percentage": {"value": 100}}
            return {**found, "fault": {"abort": abort}, "route": [_towards(dice, ask, home)]}
        case "split":
            shares = [{**_towards(dice, ask, home), "weight": 50} for _ in range(2)]
            return {**found, "route": shares}
        case "odd":
            odd: tuple[Object, ...] = (
                {"timeout": "2s"},
                {"rewrite": {"uri": "/"}},
                {"retries": {}},
            )
            more = dice.one(odd)
            return {**found, **more, "route": [_towards(dice, ask, home)]}
    return {**found, "route": [_towards(dice, ask, home)]}


def rule(dice: Dice, name: str, space: str) -> Object:
    """A DestinationRule, often with the subsets that routes name."""
    found = mtls_cases.destination_rule(dice, name, space)
    if dice.chance(60):
        found["spec"]["subsets"] = [
            {"name": "v1", "labels": {"app": SERVICE}},
            {"name": "v9", "labels": {"version": "v9"}},
        ]
        if dice.chance(70):
            found["spec"].pop("trafficPolicy", None)
    return found


def _entry(dice: Dice, name: str, ask: Ask) -> Object:
    """A ServiceEntry that takes the server's own host."""
    spec = {
        "hosts": [f"{SERVICE}.{ask.space}.svc.cluster.local"],
        "ports": [{"number": ask.port, "name": "http" if ask.http else "tcp", "protocol": "TCP"}],
        "location": dice.one(("MESH_INTERNAL", "MESH_EXTERNAL")),
        "resolution": dice.one(("NONE", "DNS", "STATIC")),
    }
    if spec["resolution"] == "STATIC":
        spec["endpoints"] = [{"address": "10.255.1.1"}]
    return meta("ServiceEntry", name, _home(dice, ask.space), spec)


def _service(dice: Dice) -> Object:
    """A change of the server's Service: what goes over its `spec` and annotations."""
    return dice.one(
        (
            {"selector": {"app": "srver"}},
            {"selector": {"app": SERVICE, "version": "v9"}},
            {"target": 9999},
            {"target": TCP},
            {"protocol": "tcp"},
            {"protocol": "grpc"},
            {"protocol": "https"},
            {"protocol": "odd"},
            {"export": "."},
            {"export": "dif-none"},
            {"export": "*"},
        )
    )
