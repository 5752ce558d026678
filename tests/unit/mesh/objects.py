"""Objects for tests, from the YAML that kubectl would print."""

from typing import TypeVar

import yaml

from meshdoctor.model.decode import documents
from meshdoctor.model.kubernetes import Object

O = TypeVar("O", bound=Object)


def load(text: str) -> list[Object]:
    """All objects of a multi-document text; a malformed one fails the test."""
    objects, aside, _ = documents(yaml.safe_load_all(text), "test")
    assert not aside, aside
    return objects


def one(type_: type[O], text: str) -> O:
    """The only object of a text."""
    (found,) = load(text)
    assert isinstance(found, type_)
    return found


def many(type_: type[O], text: str) -> list[O]:
    """All objects of one type, in order."""
    return [o for o in load(text) if isinstance(o, type_)]
