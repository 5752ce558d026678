"""Which playbooks judge the same subjects, and of which do a subject's answers clear it?

Playbooks of one kind of subject ask the same probes, and find the same of most subjects. Asked
together, one look-up tells for all of them.
"""

from collections.abc import Sequence
from functools import cached_property

from meshdoctor.engine.playbook import Playbook, Step
from meshdoctor.engine.screen import MOST, Key, Uses, Values, key_of


class Group:
    """Playbooks that judge one subject together. `steps`: what they ask but the costly steps,
    each probe once."""

    def __init__(self, books: Sequence[Playbook]) -> None:
        self.books = tuple(books)
        places: dict[tuple[str, str], int] = {}
        steps: list[Step] = []
        self._places: list[list[int | None]] = []
        for book in books:
            own: list[int | None] = []
            for step in book.steps:
                if step.probe.costly:
                    own.append(None)
                    continue
                place = places.setdefault((step.probe.name, step.on), len(steps))
                if place == len(steps):
                    steps.append(step)
                own.append(place)
            self._places.append(own)
        self.steps = tuple(steps)
        self._of_kind: dict[str, list[tuple[int, Key]]] = {}
        self._seen: dict[object, frozenset[str]] = {}

    @cached_property
    def _keys(self) -> list[tuple[int, Key]]:
        keys = [key_of(s.probe.declares, self._askers(at)) for at, s in enumerate(self.steps)]
        return [(at, key) for at, key in enumerate(keys) if key is not None]

    def _askers(self, place: int) -> list[tuple[str, Uses]]:
        """Name of each step that asks the probe, and what its playbook's conditions read."""
        return [
            (step.name, book.screen.uses)
            for book, own in zip(self.books, self._places, strict=True)
            for step, at in zip(book.steps, own, strict=True)
            if at == place
        ]

    def cleared(self, answers: Sequence[Values], kind: str = "") -> frozenset[str]:
        """Names of the playbooks whose causes the answers of `steps` rule out, all of them.

        `kind`: of the configuration object they are about; probes of other kinds say the same of
        each of that kind.
        """
        keys = self._of_kind.get(kind)
        if keys is None:
            keys = self._of_kind[kind] = [
                (at, key) for at, key in self._keys if self.steps[at].probe.concerns(kind)
            ]
        key = (kind, *[key.of(answers[at]) for at, key in keys])
        found = self._seen.get(key)
        if found is None:
            found = frozenset(
                book.name
                for book, own in zip(self.books, self._places, strict=True)
                if book.screen.clears([() if at is None else answers[at] for at in own])
            )
            if len(self._seen) < MOST:
                self._seen[key] = found
        return found
