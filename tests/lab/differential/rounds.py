"""How is one round of cases put into the real mesh, so that every proxy surely has it?

istiod's own store must hold exactly the round's objects; only then a marker policy is made that
every proxy gets. What a proxy is sent with the marker, or before it, holds all the rest. Pooled
connections are closed then, since they would give one more answer under the old policies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from tests.lab import istio
from tests.lab.api import ApiError, Object
from tests.lab.differential import inside
from tests.lab.differential.case import NOBODY, ROOT, meta
from tests.lab.differential.ground import KINDS, OWN, Ground
from tests.lab.processes import run

MARKER = "dif-marker"


def filled(item: Object, addresses: dict[str, str]) -> Object:
    """An object with the addresses of pods written out."""
    text = json.dumps(item)
    for place, address in addresses.items():
        text = text.replace(f"%ip:{place}%", address)
    found: Object = json.loads(text)
    return found


class Round:
    """The objects of one round in the mesh."""

    def __init__(self, ground: Ground, number: int) -> None:
        self._ground = ground
        self._number = number
        self.refused: list[tuple[Object, str]] = []

    def apply(self, items: Iterable[Object]) -> None:
        """Replace the last round's objects by these, and wait until all proxies have them.

        What validation refuses is left out and kept in `refused`.
        """
        self._ground.clear()
        names = set()
        for item in items:
            try:
                self._ground.make(filled(item, self._ground.addresses))
            except ApiError as error:
                if error.code not in (400, 403, 422) and "denied" not in str(error):
                    raise
                self.refused.append((item, str(error)))
                continue
            names.add((item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]))
        istio.until("istiod's store", 30, lambda: self._stored() == names, 0.1)
        spec = {"action": "AUDIT", "rules": [{"to": [{"operation": {"ports": ["1"]}}]}]}
        self._ground.make(meta("AuthorizationPolicy", f"{MARKER}-{self._number}", ROOT, spec))
        for place in self._ground.pods:
            if place != NOBODY:
                istio.until(f"{place} has the round", 30, partial(self._has, place), 0.05)
        close(self._ground)

    def _stored(self) -> set[tuple[str, str, str]]:
        found = set()
        for item in self._ground.debug("configz") or []:
            metadata = item.get("metadata") or {}
            name = metadata.get("name", "")
            if name.startswith(OWN) and item.get("kind") in KINDS:
                found.add((item["kind"], metadata.get("namespace", ""), name))
        return found

    def _has(self, place: str) -> bool:
        net, page = self._ground.net(place), "/config_dump?resource="
        text = inside.get(net, 15000, f"{page}dynamic_listeners")
        if f"policy[{MARKER}-{self._number}]" not in text or '"warming_state"' in text:
            return False
        text = inside.get(net, 15000, f"{page}dynamic_warming_clusters")
        return "transport_socket" not in text


def close(ground: Ground) -> None:
    """Close what the run's pods keep open to each other."""
    argv = ["ss", "-K", "state", "established", "dport", "!=", ":15012"]
    argv += ["and", "sport", "!=", ":15012"]
    for place in ground.pods:
        if place != NOBODY:
            with inside.within(ground.net(place)):
                run(argv, check=False)
