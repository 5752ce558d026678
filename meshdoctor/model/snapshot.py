"""Which objects does one source hold?

Immutable, indexed once by kind, namespace and name; label look-ups build their index on first use.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter

from meshdoctor.model.decode import kind_of
from meshdoctor.model.kubernetes import Object


class Snapshot:
    """Objects keyed by `kinds.Kind.name`. The last of two objects with one identity wins."""

    def __init__(self, objects: Iterable[Object]) -> None:
        by_kind: dict[str, dict[tuple[str, str], Object]] = defaultdict(dict)
        names: dict[tuple[str, str], str] = {}
        for obj in objects:
            wire = (obj.api_version, obj.kind)
            name = names.get(wire)
            if name is None:
                kind = kind_of(obj)
                name = names[wire] = kind.name if kind is not None else ""
            if name:
                meta = obj.metadata
                by_kind[name][(meta.namespace, meta.name or meta.uid)] = obj
        self._by_kind: dict[str, dict[tuple[str, str], Object]] = dict(by_kind)
        self._by_namespace: dict[str, dict[str, tuple[Object, ...]]] = {}
        for name, found in by_kind.items():
            spaces: dict[str, list[Object]] = defaultdict(list)
            for (namespace, _), obj in sorted(found.items(), key=itemgetter(0)):
                spaces[namespace].append(obj)
            self._by_namespace[name] = {ns: tuple(objs) for ns, objs in spaces.items()}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of which at least one object is held."""
        return frozenset(self._by_kind)

    def __len__(self) -> int:
        return sum(len(found) for found in self._by_kind.values())

    def list(self, kind: str, namespace: str | None = None) -> tuple[Object, ...]:
        """Objects of a kind, sorted by namespace and name; empty when none is held."""
        spaces = self._by_namespace.get(kind, {})
        if namespace is not None:
            return spaces.get(namespace, ())
        return tuple(obj for ns in sorted(spaces) for obj in spaces[ns])

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._by_kind.get(kind, {}).get((namespace, name))

    def all(self) -> tuple[Object, ...]:
        return tuple(obj for kind in sorted(self._by_kind) for obj in self.list(kind))

    def overlaid(self, changes: Iterable[Object]) -> "Snapshot":
        """A new snapshot with `changes` laid over this one."""
        return Snapshot((*self.all(), *changes))


def selects(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every wanted label is present with that value; empty wants nothing, so True."""
    return wanted.items() <= labels.items()
