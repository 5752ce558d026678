"""How does a type become one that threads may decode into?

msgspec works a struct type out at its first use and puts the unfinished answer on the class, for
types that hold themselves. A second thread that meets it half done (ObjectMeta is part of every
kind) reads a null pointer: the process dies. So types are worked out under one lock, each once.
"""

from threading import Lock
from typing import TypeVar

import msgspec

T = TypeVar("T")
_LOCK = Lock()
_DECODERS: dict[object, object] = {}


def decoder(type_: type[T]) -> "msgspec.json.Decoder[T]":
    """The JSON decoder of a type."""
    found = _DECODERS.get(type_)
    if found is None:
        with _LOCK:
            found = _DECODERS[type_] = msgspec.json.Decoder(type_)
    assert isinstance(found, msgspec.json.Decoder)
    return found


def ready(type_: type[T]) -> type[T]:
    """The type itself, once it is safe to decode or convert into."""
    decoder(type_)
    return type_
