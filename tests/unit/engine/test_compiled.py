"""Is what was kept of the playbooks what a new reading would give, and else as good as nothing?"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from meshdoctor.engine import compiled
from meshdoctor.engine.compiled import keep, load_shipped
from meshdoctor.engine.playbook import Playbook, Question, load_all, playbooks_folder
from meshdoctor.model.facts import Ref, Scalar

FACTS: dict[type, Scalar] = {
    bool: True,
    int: 3,
    str: "x",
    Ref: Ref("Pod/shop/a"),
    datetime: datetime(2026, 11, 1, tzinfo=UTC),
    timedelta: timedelta(seconds=5),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kept form lies, in a cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "meshdoctor"


def run(books: tuple[Playbook, ...]) -> tuple[Playbook, ...]:
    """Books of which a run has asked every condition."""
    for book in books:
        for rule in book.rules:
            rule.whole.holds({})
    return books


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr(compiled, "load_all", fail)


def shape(tree: tuple[Question, ...]) -> Any:
    return [(n.ask, n.when and (n.when.text, n.when.uses), n.cause, shape(n.then)) for n in tree]


def test_what_is_kept_is_what_was_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = run(load_shipped())
    keep(read)
    assert len(list(place.iterdir())) == 1
    no_reading(monkeypatch)
    kept = load_shipped()
    for old, new in zip(read, kept, strict=True):
        facts = {name: FACTS[one.type] for name, one in old.facts.items()}
        assert (old.name, old.title, old.subject, old.path) == (
            new.name,
            new.title,
            new.subject,
            new.path,
        )
        assert old.steps == new.steps
        assert shape(old.tree) == shape(new.tree)
        for one, other in zip(old.rules, new.rules, strict=True):
            assert one.cause == other.cause
            assert [shape(path) for path in one.paths] == [shape(path) for path in other.paths]
            assert one.observed_by_itself == other.observed_by_itself
            for a, b in (
                (one.whole, other.whole),
                (one.when, other.when),
                (one.observed, other.observed),
            ):
                if a is None or b is None:
                    assert a is b
                    continue
                assert (a.text, a.uses, a.steps) == (b.text, b.uses, b.steps)
                assert a.holds({}) == b.holds({})
                assert a.holds(facts) == b.holds(facts)


def test_a_path_holds_the_questions_of_the_tree(place: Path) -> None:
    """The same objects: what one evaluation found is known to the other."""
    keep(run(load_shipped()))
    for book in load_shipped():
        for rule in book.rules:
            for path in rule.paths:
                assert path[0] in book.tree and any(path[0] is one for one in book.tree)


def test_little_that_is_new_is_not_worth_it(place: Path) -> None:
    keep(load_all())
    assert not place.exists()
    keep(run(load_shipped()))
    (file,) = place.iterdir()
    before = file.stat().st_mtime_ns
    keep(run(load_shipped()))
    assert file.stat().st_mtime_ns == before


def spoil(file: Path, how: str) -> None:
    body = file.read_bytes()
    if how == "cut":
        file.write_bytes(body[:-1])
    elif how == "flipped":
        file.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "open to others":
        file.chmod(0o666)
    elif how == "link":
        file.rename(file.with_name("other"))
        file.symlink_to(file.with_name("other"))
    elif how == "folder":
        file.unlink()
        file.mkdir()
    elif how == "no playbooks":
        compiled._write(file, b"\x93\x01\x02\x03")
    elif how == "large":
        with file.open("r+b") as stream:
            stream.truncate((16 << 20) + 1)


@pytest.mark.parametrize(
    "how",
    ["cut", "flipped", "empty", "open to others", "link", "folder", "no playbooks", "large"],
)
def test_a_file_that_cannot_be_trusted_is_read_past(place: Path, how: str) -> None:
    keep(run(load_shipped()))
    spoil(next(place.iterdir()), how)
    books = load_shipped()
    assert len(books) > 40 and not any(one.code for one in compiled._conditions(books[0]))


def test_another_users_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(run(load_shipped()))
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert not any(one.code for one in compiled._conditions(load_shipped()[0]))


def test_a_changed_playbook_is_read_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "playbooks"
    copytree(playbooks_folder(), folder)
    for module in ("compiled", "playbook"):
        monkeypatch.setattr(f"meshdoctor.engine.{module}.playbooks_folder", lambda: folder)
    keep(run(load_shipped()))
    path = load_shipped()[0].path
    path.write_text(path.read_text().replace("title: ", "title: Changed ", 1))
    assert load_shipped()[0].title.startswith("Changed ")


def test_only_the_newest_few_stay(place: Path) -> None:
    for number in range(6):
        path = place / f"playbooks-{number}"
        compiled._write(path, b"x")
        os.utime(path, (number, number))
    assert sorted(one.name for one in place.iterdir()) == [f"playbooks-{n}" for n in (3, 4, 5)]


def test_a_cache_that_cannot_be_written_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    books = run(load_shipped())
    keep(books)
    assert len(load_shipped()) == len(books)
