"""What would a source say if these objects were applied to it?

For objects that are built in memory; a file given with --with-change goes through the overlay.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from meshdoctor.model.decode import documents as decoded
from meshdoctor.model.decode import kind_of
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import Answer, NotRecordedError, Source
from meshdoctor.sources.yaml_text import documents


class _Applied:
    """The source's answers, with the objects in the place of those of the same name."""

    def __init__(self, source: Source, objects: Iterable[Object]) -> None:
        self._source = source
        self._objects: dict[tuple[str, str, str], Object] = {}
        for one in objects:
            kind = kind_of(one)
            if kind is not None:
                self._objects[(kind.name, one.namespace, one.name)] = one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def list(self, kind: str, namespace: str | None) -> Answer:
        """The source's list with the applied objects of that kind in it.

        Of a kind that the source did not record, the applied ones are all that is known.
        """
        mine = {
            key[1:]: one
            for key, one in self._objects.items()
            if key[0] == kind and namespace in (None, key[1])
        }
        try:
            answer = self._source.list(kind, namespace)
        except NotRecordedError:
            if not any(key[0] == kind for key in self._objects):
                raise
            answer = Answer(objects=())
        kept = tuple(o for o in answer.objects if (o.namespace, o.name) not in mine)
        return replace(answer, objects=(*kept, *mine.values()))

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The applied object of that name, else the source's."""
        mine = self._objects.get((kind, namespace, name))
        return mine if mine is not None else self._source.get(kind, namespace, name)


def applied(source: Source, objects: Iterable[Object]) -> Source:
    """The source as if the objects were there."""
    return cast(Source, _Applied(source, objects))


def objects_in(text: str, where: str) -> tuple[list[Object], list[str]]:
    """The objects of a manifest's text, and what is wrong with those that cannot be read."""
    data, problems = [], []
    for one in documents(text):
        if one.problem:
            problems.append(f"{where}:{one.problem_line}: {one.problem}")
        else:
            data.append(one.data)
    objects, aside, _ = decoded(data, where)
    problems += [f"{where}: {a.ref}: {a.problem}" for a in aside]
    return objects, problems
