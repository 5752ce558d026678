"""Which mistakes of scope are drawn: what a proxy sees, and which of several objects it takes?"""

from __future__ import annotations

from tests.lab.differential import whole_cases
from tests.lab.differential.case import ALICE, BOB, ROOT, SERVICE, TARGETS, Object, meta
from tests.lab.differential.dice import Dice
from tests.lab.differential.whole_cases import Drawn

EXPORTS = {"": 55, ".": 12, "*": 8, "home": 10, "server": 8, "dif-none": 7}
POOL = {"connectionPool": {"tcp": {"maxConnections": 100}}}


def scoped(dice: Dice, name: str, space: str) -> Drawn:
    """A route to a subset, and rules of one host in several namespaces: one of them counts."""
    found = Drawn(ask=whole_cases.ask(dice, space))
    full = f"{SERVICE}.{space}.svc.cluster.local"
    homes = [space, ALICE.split("/")[0], BOB.split("/")[0], ROOT]
    for number, home in enumerate(dice.some(homes, 3)):
        spec: Object = {"host": dice.weighted({full: 80, "*.svc.cluster.local": 10, "*": 10})}
        if dice.chance(60):
            labels = dice.weighted({"right": 85, "wrong": 15})
            app = SERVICE if labels == "right" else "other"
            spec["subsets"] = [{"name": "v1", "labels": {"app": app}}]
        else:
            spec["trafficPolicy"] = POOL
        _export(dice, spec, home, space)
        found.objects.append(meta("DestinationRule", f"{name}-rule-{number}", home, spec))
    towards: Object = {"destination": {"host": full, "subset": "v1"}}
    if dice.chance(40):
        towards["destination"]["port"] = {"number": found.ask.port}
    spec = {"hosts": [full], "http" if found.ask.http else "tcp": [{"route": [towards]}]}
    _export(dice, spec, space, space)
    found.objects.append(meta("VirtualService", f"{name}-route", space, spec))
    return found


def _export(dice: Dice, spec: Object, home: str, space: str) -> None:
    to = dice.weighted(EXPORTS)
    if to:
        spec["exportTo"] = [{"home": home, "server": space}.get(to, to)]


def delegated(dice: Dice, name: str, space: str) -> Drawn:
    """A VirtualService that hands what it matches to another."""
    found = Drawn(ask=whole_cases.ask(dice, space))
    call = found.ask
    if not call.http:
        whole_cases.mistake(dice, name, found)
        return found
    full = f"{SERVICE}.{space}.svc.cluster.local"
    home = dice.weighted({space: 60, ALICE.split("/")[0]: 25, ROOT: 15})
    delegate: Object = {"name": dice.weighted({f"{name}-part": 90, f"{name}-gone": 10})}
    if dice.chance(60):
        delegate["namespace"] = dice.weighted({home: 85, BOB.split("/")[0]: 15})
    first: Object = {"delegate": delegate}
    prefix = dice.weighted({call.path: 55, "/": 25, "/orders": 20})
    if dice.chance(75):
        first["match"] = [{"uri": {"prefix": prefix}}]
    rules: list[Object] = [first]
    if dice.chance(35):
        rules.append({"route": [{"destination": {"host": full}}]})
    root: Object = {"hosts": [full], "http": rules}
    _export(dice, root, space, space)
    found.objects.append(meta("VirtualService", f"{name}-root", space, root))
    part: Object = {"route": [{"destination": _destination(dice, full)}]}
    if dice.chance(45):
        part["match"] = [
            dice.one(
                (
                    {"uri": {"prefix": prefix}},
                    {"uri": {"prefix": f"{prefix.rstrip('/')}/deeper"}},
                    {"uri": {"exact": call.path}},
                    {"method": {"exact": dice.one(("GET", "POST"))}},
                )
            )
        ]
    spec: Object = {"http": [part]}
    if dice.chance(8):
        spec["hosts"] = [full]
    _export(dice, spec, home, space)
    found.objects.append(meta("VirtualService", f"{name}-part", home, spec))
    return found


def _destination(dice: Dice, full: str) -> Object:
    host = dice.weighted({full: 70, SERVICE: 20, f"srver.{full.partition('.')[2]}": 10})
    return {"host": host}


def inbound(dice: Dice, name: str, space: str) -> Drawn:
    """A Sidecar that says which ports of the server its proxy takes, and where they lead."""
    found = Drawn(ask=whole_cases.ask(dice, space))
    call = found.ask
    target = TARGETS[call.port]
    number = dice.weighted({target: 70, call.port: 20, 9999: 10})
    where = dice.weighted({"127.0.0.1": 45, "0.0.0.0": 35, "unix": 4, "::1": 6, "": 10})
    listener: Object = {
        "port": {
            "number": number,
            "name": "in",
            "protocol": dice.weighted({"HTTP" if call.http else "TCP": 80, "TCP": 10, "HTTP": 10}),
        }
    }
    if where == "unix":
        listener["defaultEndpoint"] = "unix:///var/run/none.sock"
    elif where:
        back = dice.weighted({target: 80, call.port: 10, 9998: 10})
        listener["defaultEndpoint"] = f"[{where}]:{back}" if ":" in where else f"{where}:{back}"
    spec: Object = {"ingress": [listener], "egress": [{"hosts": ["*/*"]}]}
    if dice.chance(60):
        app = dice.weighted({SERVICE: 85, "srver": 15})
        spec["workloadSelector"] = {"labels": {"app": app}}
    found.objects.append(meta("Sidecar", f"{name}-in", space, spec))
    if dice.chance(25):
        whole_cases.mistake(dice, name, found)
    return found
