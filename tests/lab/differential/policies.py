"""Which AuthorizationPolicies and RequestAuthentications make up a case?"""

from __future__ import annotations

from tests.lab.differential import asks, tokens
from tests.lab.differential.case import (
    CHECK,
    GATE,
    JUDGES,
    MISSING,
    ROOT,
    SERVICE,
    SPACES,
    Ask,
    Case,
    Object,
    meta,
)
from tests.lab.differential.dice import Dice
from tests.lab.differential.fields import Drawer

ASKS = 3
"""Requests of one case."""
MODES = ("BASE", "NONE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
"""meshConfig.pathNormalization; a run goes through them one after the other."""
ALIASES: tuple[tuple[str, ...], ...] = ((), ("old.example",), (), ("old.example", "older.example"))


def rule(dice: Dice, drawer: Drawer) -> Object:
    """One rule; now and then the empty one, which matches everything."""
    found: Object = {}
    if dice.chance(4):
        return found
    shape = dice.weighted({"from": 22, "to": 26, "when": 18, "from to": 16, "to when": 9, "all": 9})
    if shape in ("from", "from to", "all"):
        found["from"] = [{"source": drawer.source()} for _ in range(_few(dice))]
    if shape in ("to", "from to", "to when", "all"):
        found["to"] = [{"operation": drawer.operation()} for _ in range(_few(dice))]
    if shape in ("when", "to when", "all"):
        found["when"] = [drawer.condition() for _ in range(_few(dice))]
    return found


def _few(dice: Dice) -> int:
    return dice.weighted({1: 72, 2: 28})


def place(dice: Dice, space: str) -> tuple[str, Object]:
    """The namespace of a policy, and its selector or target."""
    own = {"app": "ingress" if space == GATE else SERVICE}
    server = {**own, "dif": space}
    kind = dice.weighted(
        {
            "own": 46,
            "app": 16,
            "miss": 6,
            "root": 16,
            "root-miss": 4,
            "away": 4,
            "target": 6,
            "{}": 2,
        }
    )
    match kind:
        case "app":
            return space, {"selector": {"matchLabels": dice.one((own, server))}}
        case "miss":
            return space, {"selector": {"matchLabels": {**own, "tier": "front"}}}
        case "root":
            return ROOT, {"selector": {"matchLabels": server}}
        case "root-miss":
            return ROOT, {"selector": {"matchLabels": {**server, "tier": "front"}}}
        case "away":
            away = dice.one([one for one in SPACES if one != space])
            return away, {"selector": {"matchLabels": server}}
        case "target":
            group = "gateway.networking.k8s.io"
            gateway = {"group": group, "kind": "Gateway", "name": SERVICE}
            target = dice.one((gateway, {"group": "", "kind": "Service", "name": SERVICE}))
            return space, {"targetRefs": [target]}
        case "{}":
            return space, {"selector": {}}
    return space, {}


def policy(dice: Dice, ask: Ask, said: Object, name: str) -> Object:
    """One policy."""
    drawer = Drawer(dice, ask, said)
    action = dice.weighted({"ALLOW": 52, "DENY": 36, "AUDIT": 12})
    where, target = place(dice, ask.space)
    count = dice.weighted({0: 3, 1: 55, 2: 28, 3: 14})
    rules = [rule(dice, drawer) for _ in range(count if action == "ALLOW" else max(1, count))]
    spec: Object = {**target, "action": action, "rules": rules}
    if not rules and dice.chance(50):
        spec = dict(target)
    notes: dict[str, str] = {}
    if dice.chance(9):
        notes["istio.io__dry-run"] = dice.one(("true", "true", "false", "T"))
    return meta("AuthorizationPolicy", name, where, spec, **notes)


def draw(seed: int, index: int) -> Case:
    """A case of a run, which the seed and its number decide alone."""
    dice = Dice("authz", seed, index)
    space = JUDGES[index % len(JUDGES)]
    ask, said = asks.draw(dice, space)
    name = f"dif-{index}"
    objects = [
        policy(dice, ask, said, f"{name}-{number}")
        for number in range(dice.weighted({1: 34, 2: 34, 3: 20, 4: 12}))
    ]
    if dice.chance(14):
        objects.append(custom(dice, ask, said, f"{name}-custom"))
    if dice.chance(55 if said else 12):
        for number in range(dice.weighted({1: 80, 2: 20})):
            where, selector = place(dice, space)
            objects.append(tokens.authentication(dice, where, number, selector))
            objects[-1]["metadata"]["name"] = f"{name}-ra-{number}"
    others = [asks.varied(dice, ask) for _ in range(ASKS - 1)]
    return Case(
        seed=seed,
        index=index,
        space=space,
        objects=tuple(objects),
        asks=(ask, *others),
        claims=said,
    )


def custom(dice: Dice, ask: Ask, said: Object, name: str) -> Object:
    """A policy that asks an external authorizer; it cannot look at callers."""
    drawer = Drawer(dice, ask, said)
    where, target = place(dice, ask.space)
    rules: list[Object] = []
    for _ in range(_few(dice)):
        found: Object = {"to": [{"operation": drawer.operation()}]} if dice.chance(80) else {}
        if dice.chance(30):
            key, values = drawer.header()
            found["when"] = [{"key": key, "values": values}]
        rules.append(found)
    provider = {"name": dice.weighted({CHECK: 80, MISSING: 20})}
    spec: Object = {**target, "action": "CUSTOM", "provider": provider, "rules": rules}
    notes = {"istio.io__dry-run": "true"} if dice.chance(12) else {}
    return meta("AuthorizationPolicy", name, where, spec, **notes)


def everywhere(seed: int, number: int) -> list[Object]:
    """The policy without selector in the root namespace, which few rounds have."""
    dice = Dice("everywhere", seed, number)
    if not dice.chance(15):
        return []
    ask, said = asks.draw(dice, dice.one(JUDGES))
    found = policy(dice, ask, said, f"dif-round-{number}")
    found["metadata"]["namespace"] = ROOT
    for key in ("selector", "targetRefs"):
        found["spec"].pop(key, None)
    if not found["spec"].get("rules") and found["spec"].get("action", "ALLOW") == "ALLOW":
        return []
    return [found]
