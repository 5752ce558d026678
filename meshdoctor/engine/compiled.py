"""What did the shipped playbooks say, when they were last read?

Reading forty YAML files and compiling the conditions that a run asks takes a tenth of a second, and
the next run does the same again. So what came of it is kept in the user's cache folder, under a
digest of all that it was made from: the playbooks, the facts that probes declare, the code that
reads and compiles. A file that is not there, not ours alone, or not whole is as good as none.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from meshdoctor.engine import conditions, playbook
from meshdoctor.engine.conditions import Condition, Environment
from meshdoctor.engine.playbook import (
    Playbook,
    Question,
    Rule,
    Step,
    load_all,
    paths_to,
    playbooks_folder,
)
from meshdoctor.model import cause as causes
from meshdoctor.model.cause import Cause
from meshdoctor.model.subjects import SubjectKind
from meshdoctor.probes.registry import BY_NAME as PROBES
from meshdoctor.probes.registry import PROBES as ALL_PROBES

_LIMIT = 16 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_KEPT = 3
_WORTH = 20
"""So many conditions compiled anew are worth writing the file again."""


class _Condition(Struct, frozen=True, array_like=True):
    text: str
    uses: tuple[str, ...]
    code: bytes


class _Question(Struct, frozen=True, array_like=True):
    """`when`: the number of its condition, -1 for none."""

    ask: str
    when: int
    then: tuple["_Question", ...]
    cause: str


class _Rule(Struct, frozen=True, array_like=True):
    cause: Cause
    when: int
    observed: int
    whole: int
    observed_by_itself: bool


class _Playbook(Struct, frozen=True, array_like=True):
    """`steps`: name, probe, on. `path`: below the folder of the playbooks."""

    name: str
    title: str
    subject: SubjectKind
    path: str
    steps: tuple[tuple[str, str, str], ...]
    conditions: tuple[_Condition, ...]
    tree: tuple[_Question, ...]
    rules: tuple[_Rule, ...]


def load_shipped() -> tuple[Playbook, ...]:
    """Every shipped playbook, sorted by name: as they were kept, else read (PlaybookError)."""
    root = playbooks_folder()
    try:
        body = _read(_place(_key(root)))
        kept = msgspec.msgpack.decode(body, type=tuple[_Playbook, ...])
        return tuple(_restored(one, root) for one in kept)
    except (OSError, ValueError, LookupError):
        return load_all()


def keep(books: Iterable[Playbook]) -> None:
    """Keep shipped playbooks for the next run, if this one compiled much of them anew."""
    found = tuple(books)
    if sum(one.is_new for book in found for one in _conditions(book)) < _WORTH:
        return
    root = playbooks_folder()
    body = msgspec.msgpack.encode(tuple(_flat(one, root) for one in found))
    with suppress(OSError):
        _write(_place(_key(root)), body)


def _key(root: Path) -> str:
    """A digest of everything that the kept form is made from."""
    digest = sha256(conditions.runtime().encode())
    for module in (__file__, playbook.__file__, conditions.__file__, causes.__file__):
        digest.update(Path(module).read_bytes())
    facts = [
        (p.name, p.subject, [(d.name, d.type.__name__, d.observed) for d in p.declares])
        for p in ALL_PROBES
    ]
    digest.update(repr(facts).encode())
    for path in sorted(root.rglob("playbook.yaml")):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _place(key: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "meshdoctor" / f"playbooks-{key}"


def _read(path: Path) -> bytes:
    """The body of a file that is whole and that nobody else can write; else OSError, ValueError."""
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        state = os.fstat(file.fileno())
        ours = not hasattr(os, "geteuid") or state.st_uid == os.geteuid()
        alone = stat.S_ISREG(state.st_mode) and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not ours or not alone or state.st_size > _LIMIT:
            raise ValueError(f"{path} is not ours alone")
        digest, body = file.read(32), file.read()
    if sha256(body).digest() != digest:
        raise ValueError(f"{path} is not whole")
    return body


def _write(path: Path, body: bytes) -> None:
    """All of it or nothing, and only the newest few stay. Raises OSError."""
    import tempfile

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".playbooks-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(sha256(body).digest() + body)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    others = sorted(path.parent.glob("playbooks-*"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[_KEPT:]:
        old.unlink(missing_ok=True)


def _conditions(book: Playbook) -> Iterator[Condition]:
    yield from _asked(book.tree)
    for rule in book.rules:
        yield rule.whole
        yield from (one for one in (rule.when, rule.observed) if one is not None)


def _asked(tree: tuple[Question, ...]) -> Iterator[Condition]:
    for node in tree:
        if node.when is not None:
            yield node.when
        yield from _asked(node.then)


def _flat(book: Playbook, root: Path) -> _Playbook:
    """Conditions of the same text become one."""
    found: dict[str, Condition] = {}
    for one in _conditions(book):
        if one.text not in found or one.is_new:
            found[one.text] = one
    numbers = {text: number for number, text in enumerate(found)}

    def number(condition: Condition | None) -> int:
        return numbers[condition.text] if condition is not None else -1

    def question(node: Question) -> _Question:
        then = tuple(question(one) for one in node.then)
        return _Question(node.ask, number(node.when), then, node.cause)

    return _Playbook(
        name=book.name,
        title=book.title,
        subject=book.subject,
        path=str(book.path.relative_to(root)),
        steps=tuple((s.name, s.probe.name, s.on) for s in book.steps),
        conditions=tuple(_Condition(c.text, c.uses, c.code) for c in found.values()),
        tree=tuple(question(one) for one in book.tree),
        rules=tuple(
            _Rule(
                r.cause, number(r.when), number(r.observed), number(r.whole), r.observed_by_itself
            )
            for r in book.rules
        ),
    )


def _restored(kept: _Playbook, root: Path) -> Playbook:
    steps = tuple(Step(name=n, probe=PROBES[probe], on=on) for n, probe, on in kept.steps)
    env = Environment({f"{s.name}.{d.name}": d.type for s in steps for d in s.probe.declares})
    made = [Condition(one.text, env, one.uses, one.code) for one in kept.conditions]

    def condition(number: int) -> Condition | None:
        return made[number] if number >= 0 else None

    def question(node: _Question) -> Question:
        return Question(
            ask=node.ask,
            when=condition(node.when),
            then=tuple(question(one) for one in node.then),
            cause=node.cause,
        )

    tree = tuple(question(one) for one in kept.tree)
    paths = paths_to(tree)
    return Playbook(
        name=kept.name,
        title=kept.title,
        subject=kept.subject,
        steps=steps,
        tree=tree,
        rules=tuple(
            Rule(
                cause=one.cause,
                paths=paths.get(one.cause.code, ()),
                when=condition(one.when),
                observed=condition(one.observed),
                whole=made[one.whole],
                observed_by_itself=one.observed_by_itself,
            )
            for one in kept.rules
        ),
        path=root / kept.path,
    )
