"""Which objects that decide what two ends speak are drawn, and who then calls whom?"""

from __future__ import annotations

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
    TARGETS,
    TCP,
    TLS,
    Ask,
    Case,
    Object,
    meta,
)
from tests.lab.differential.dice import Dice

MODES = {"STRICT": 36, "PERMISSIVE": 26, "DISABLE": 26, "UNSET": 12}
CLIENT_MODES = {"DISABLE": 33, "ISTIO_MUTUAL": 33, "SIMPLE": 12, "": 22}
ASKS = 3
BARE = NOBODY.split("/")[0]
AUTO = (True, True, True, False)
"""meshConfig.enableAutoMtls of a run's rounds, one after the other."""


def peer_authentication(dice: Dice, name: str, space: str) -> Object:
    """A policy of a namespace: for all of it, for its server, or for nobody there."""
    spec: Object = {}
    where = dice.weighted({"space": 45, "server": 42, "labels": 5, "miss": 5, "root": 3})
    if where != "space":
        labels = {"app": SERVICE, **({"dif": space} if where == "labels" else {})}
        if where == "miss":
            labels["tier"] = "front"
        spec["selector"] = {"matchLabels": labels}
    if dice.chance(88):
        spec["mtls"] = {"mode": dice.weighted(MODES)}
    if where in ("server", "labels", "miss") and dice.chance(55):
        ports = dice.some((*TARGETS.values(), *TARGETS.values(), HTTP, ODD), 3)
        spec["portLevelMtls"] = {str(port): {"mode": dice.weighted(MODES)} for port in ports}
    return meta("PeerAuthentication", name, ROOT if where == "root" else space, spec)


def _tls(dice: Dice) -> Object:
    mode = dice.weighted(CLIENT_MODES)
    if not mode:
        return {}
    return {"tls": {"mode": mode, **({"insecureSkipVerify": True} if mode == "SIMPLE" else {})}}


def traffic_policy(dice: Dice) -> Object:
    """A policy of a DestinationRule; without words on TLS it still hides others."""
    found = _tls(dice)
    if dice.chance(35):
        ports = sorted({dice.one(sorted(TARGETS)) for _ in range(2)})
        found["portLevelSettings"] = [
            {"port": {"number": port}, **(_tls(dice) or {"loadBalancer": {"simple": "RANDOM"}})}
            for port in ports
        ]
    return found or {"loadBalancer": {"simple": dice.one(("RANDOM", "ROUND_ROBIN"))}}


def destination_rule(dice: Dice, name: str, space: str) -> Object:
    """A rule for a server's host, in one of the namespaces where it may be looked for."""
    service = SERVICE if space != BARE else NOBODY.split("/")[1]
    full = f"{service}.{space}.svc.cluster.local"
    home = dice.weighted({space: 40, ALICE.split("/")[0]: 25, BOB.split("/")[0]: 12, ROOT: 15})
    if dice.chance(6):
        home = dice.one(SPACES)
    host = dice.weighted(
        {full: 62, service: 8, f"{service}.{space}": 5, f"*.{space}.svc.cluster.local": 13}
        | {f"{service}.{space}.svc": 4, f"*{full[3:]}": 8}
    )
    if home != space and host == service:
        host = full
    spec: Object = {"host": host}
    if dice.chance(90):
        spec["trafficPolicy"] = traffic_policy(dice)
    if dice.chance(15):
        spec["subsets"] = [{"name": "v1", "labels": {"app": service}, "trafficPolicy": _one(dice)}]
    if dice.chance(22):
        spec["exportTo"] = dice.one((["."], ["*"], [space], [ALICE.split("/")[0]], ["~"], [home]))
    elif dice.chance(12):
        spec["workloadSelector"] = {"matchLabels": {"app": dice.one(("alice", "bob", SERVICE))}}
    return meta("DestinationRule", name, home, spec)


def _one(dice: Dice) -> Object:
    return _tls(dice) or {"loadBalancer": {"simple": "RANDOM"}}


def ask(dice: Dice, space: str) -> Ask:
    """One call; `direct` calls the pod's own address."""
    near = f"{dice.one([one for one in SPACES if one != space])}/{SERVICE}"
    client = dice.weighted({ALICE: 46, BOB: 18, NOBODY: 24, near: 12})
    port = dice.weighted({HTTP: 34, SECOND: 14, ODD: 14, TCP: 22, TLS: 16})
    direct = dice.chance(10)
    return Ask(
        client=client,
        space=space,
        port=TARGETS[port] if direct else port,
        direct=direct,
        http=port != TCP,
        tls=port == TLS and dice.chance(60),
        path="/headers",
        host=f"%address%:{TARGETS[port]}" if direct else "",
    )


def draw(seed: int, index: int) -> Case:
    """A case of a run, which the seed and its number decide alone."""
    dice = Dice("mtls", seed, index)
    space = SPACES[index % len(SPACES)]
    name = f"dif-{index}"
    objects = [
        peer_authentication(dice, f"{name}-pa-{number}", space)
        for number in range(dice.weighted({0: 12, 1: 44, 2: 32, 3: 12}))
    ]
    objects += [
        destination_rule(dice, f"{name}-dr-{number}", space)
        for number in range(dice.weighted({0: 32, 1: 42, 2: 20, 3: 6}))
    ]
    asks = [ask(dice, space) for _ in range(ASKS)]
    return Case(seed=seed, index=index, space=space, objects=tuple(objects), asks=tuple(asks))


def everywhere(seed: int, number: int) -> list[Object]:
    """What a round has for all its cases: the mesh's own policy, and callers' Sidecars."""
    dice = Dice("everywhere", seed, number)
    found = []
    if dice.chance(35):
        spec = {"mtls": {"mode": dice.weighted(MODES)}}
        found.append(meta("PeerAuthentication", f"dif-round-{number}", ROOT, spec))
    for client in (ALICE, BOB):
        if dice.chance(40):
            found.append(sidecar(dice, f"dif-round-{number}", client))
    return found


def sidecar(dice: Dice, name: str, client: str) -> Object:
    """A Sidecar that lets a caller see some of the servers."""
    seen = dice.some(SPACES, len(SPACES))
    hosts = [
        dice.one((f"{space}/*", f"*/{SERVICE}.{space}.svc.cluster.local", f"{space}/*.local"))
        for space in sorted(seen)
    ]
    spec: Object = {"egress": [{"hosts": ["./*", *hosts]}]}
    if dice.chance(25):
        spec["egress"].insert(
            0,
            {"port": {"number": TCP, "protocol": "TCP", "name": "tcp"}, "hosts": [f"{seen[0]}/*"]},
        )
    if dice.chance(30):
        spec["workloadSelector"] = {"labels": {"app": dice.one((client.split("/")[1], "other"))}}
    return meta("Sidecar", name, client.split("/")[0], spec)
