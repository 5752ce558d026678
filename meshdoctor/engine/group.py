"""Which playbooks judge the same subjects, and of which do a subject's answers clear it?

Playbooks of one kind of subject ask the same probes, and find the same of most subjects. Asked
together, the answers lead down one path, and a probe is asked only while a playbook that is not
cleared yet reads its facts: of a pod that runs, nobody asks why it does not start.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from meshdoctor.engine.playbook import Playbook, Step
from meshdoctor.engine.screen import MOST, Key, Uses, Values, key_of

Ask = Callable[[Step], Values]


class _Node(Struct):
    """Where a path of answers has led: the playbooks that are cleared, and the place of the step
    to ask next, -1 for none."""

    cleared: frozenset[str]
    place: int
    next: dict[object, "_Node"] = field(default_factory=dict)


class _Root(Struct):
    """Where the paths of one kind begin, and what probes of other kinds say of it."""

    node: _Node
    known: dict[int, Values]


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
        self._keys: dict[int, Key] = {}
        self._roots: dict[str, _Root] = {}
        self._nodes = 0

    def cleared(self, ask: Ask, kind: str = "") -> frozenset[str]:
        """Names of the playbooks whose causes the answers rule out, all of them.

        `kind`: of the configuration object they are about; probes of other kinds say the same of
        each of that kind.
        """
        root = self._roots.get(kind)
        if root is None:
            others = {p: ask(s) for p, s in enumerate(self.steps) if not s.probe.concerns(kind)}
            root = self._roots[kind] = _Root(self._node(others), others)
        known: dict[int, Values] = {}
        node = root.node
        while node.place >= 0:
            known[node.place] = values = ask(self.steps[node.place])
            key = self._key(node.place).of(values)
            following = node.next.get(key)
            if following is None:
                following = self._follow(node, key, {**root.known, **known})
            node = following
        return node.cleared

    def _follow(self, node: _Node, key: object, known: dict[int, Values]) -> _Node:
        found = self._node(known)
        if self._nodes < MOST:
            node.next[key] = found
            self._nodes += 1
        return found

    def _node(self, known: dict[int, Values]) -> _Node:
        """What the answers known so far clear, and which step most of the others wait for."""
        cleared = set()
        wanted: Counter[int] = Counter()
        for book, own in zip(self.books, self._places, strict=True):
            answers = [known.get(at, ()) if at is not None else () for at in own]
            if book.screen.clears(answers):
                cleared.add(book.name)
            else:
                asked = {at for number in book.screen.steps if (at := own[number]) is not None}
                wanted.update(asked - known.keys())
        place = max(wanted, key=lambda at: (wanted[at], -at), default=-1)
        return _Node(frozenset(cleared), place)

    def _key(self, place: int) -> Key:
        if place not in self._keys:
            found = key_of(self.steps[place].probe.declares, self._askers(place))
            assert found is not None, "a step is asked because a condition reads its facts"
            self._keys[place] = found
        return self._keys[place]

    def _askers(self, place: int) -> list[tuple[str, Uses]]:
        """Name of each step that asks the probe, and what its playbook's conditions read."""
        return [
            (step.name, book.screen.uses)
            for book, own in zip(self.books, self._places, strict=True)
            for step, at in zip(book.steps, own, strict=True)
            if at == place
        ]
