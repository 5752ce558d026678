"""What may a probe say?

A probe returns a frozen struct; each field is a fact: one scalar, or `Unavailable`. Annotate it
`Annotated[Fact[int], "one sentence", OBSERVED]`: the sentence documents it, OBSERVED marks
evidence that shows a fault happening (log line, event, certificate, rejected config, reply),
leave it out for what is derived from objects.
"""

import types
import typing
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar, get_args, get_origin

from msgspec import Struct

from meshdoctor.model.evidence import Unavailable

OBSERVED = "observed"


class Ref(str):
    """An object reference, `Kind/namespace/name` (`Kind//name` when cluster-scoped); "" is none."""

    __slots__ = ()


T = TypeVar("T")
Fact: typing.TypeAlias = typing.Union[T, Unavailable]  # noqa: UP007, UP040

Scalar = bool | int | str | datetime | timedelta


class FactDeclaration(Struct, frozen=True, kw_only=True):
    """One field of a fact struct: `type` is the scalar's Python type."""

    name: str
    type: type
    doc: str
    observed: bool


def declarations(struct: type) -> tuple[FactDeclaration, ...]:
    """The facts that a struct declares.

    Raises TypeError when a field is not an annotated scalar fact: a programming error.
    """
    if not issubclass(struct, Struct):
        raise TypeError(f"{struct.__name__}: facts are a frozen, keyword-only msgspec Struct")
    hints = {
        n: h
        for c in reversed(struct.__mro__)
        for n, h in vars(c).get("__annotations__", {}).items()
    }
    out = []
    for name in struct.__struct_fields__:
        hint = hints[name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{struct.__name__}.{name}: annotate the fact with its sentence")
        base, *notes = get_args(hint)
        out.append(
            FactDeclaration(
                name=name,
                type=_scalar(base, f"{struct.__name__}.{name}"),
                doc=str(notes[0]),
                observed=OBSERVED in notes[1:],
            )
        )
    return tuple(out)


def _scalar(hint: Any, where: str) -> type:
    options = [hint]
    if get_origin(hint) in (typing.Union, types.UnionType):
        options = [o for o in get_args(hint) if o is not Unavailable]
    if len(options) == 1 and options[0] in (bool, int, str, Ref, datetime, timedelta):
        return typing.cast(type, options[0])
    raise TypeError(
        f"{where}: a fact is bool, int, str, Ref, datetime or timedelta, or Unavailable"
    )
