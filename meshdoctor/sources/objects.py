"""Which Kubernetes objects do these files hold?

JSON lists take the fast path: bytes straight into partial structs, one item at a time. Everything
else is YAML. What cannot be read is set aside with file and line; it never hides its neighbours.
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from meshdoctor.model.decode import documents, item
from meshdoctor.model.evidence import Reason, SetAside, Unavailable
from meshdoctor.model.kinds import Kind, from_wire
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.same import Same
from meshdoctor.sources import yaml_text
from meshdoctor.sources.archive import MEBI, MEMBER_LIMIT, Files

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(slots=True)
class Loaded:
    """`aside`: objects that do not fit; `broken`: texts that hold no objects at all."""

    objects: list[Object] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    broken: list[Unavailable] = field(default_factory=list)
    skipped: int = 0
    same: Same = field(default_factory=Same)

    def add(self, one: Object | SetAside) -> None:
        if isinstance(one, SetAside):
            if one.ref == "?":
                self.broken.append(_broken(one.where, one.problem))
            else:
                self.aside.append(one)
        else:
            self.objects.append(_with_namespace(one))


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str | None = None
    kind: str | None = None
    items: list[msgspec.Raw] | None = None


class _Type(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str | None = None
    kind: str | None = None


_HEAD = msgspec.json.Decoder(_Head)
_TYPE = msgspec.json.Decoder(_Type)


def load(files: Files, paths: Iterable[str]) -> Loaded:
    """The objects of these files, in the order given."""
    loaded = Loaded()
    for path in paths:
        if files.size(path) > MEMBER_LIMIT:
            loaded.broken.append(
                _broken(path, f"larger than {MEMBER_LIMIT // MEBI} MB", Reason.TOO_LARGE)
            )
            continue
        _load_file(files.read(path), path, loaded)
    return loaded


def _load_file(data: bytes, path: str, loaded: Loaded) -> None:
    if data[:64].lstrip()[:1] == b"{":
        problem = _load_json(data, path, loaded)
        if not problem:
            return
        if path.endswith(".json"):
            loaded.broken.append(_broken(path, problem))
            return
    try:
        text = _text(data)
    except UnicodeDecodeError:
        loaded.broken.append(_broken(path, "not a text file"))
        return
    _load_yaml(text, path, loaded)


def _text(data: bytes) -> str:
    """UTF-8, or the UTF-16 that PowerShell redirection writes."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16")
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data[:1], 0, 1, "binary")
    return data.decode("utf-8-sig")


def _load_json(data: bytes, path: str, loaded: Loaded) -> str:
    """Adds the objects of one JSON text; else says why it is none."""
    try:
        head = _HEAD.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"no valid JSON ({error})"[:200]
    if head.items is None:
        _add_raw(msgspec.Raw(data), None, f"{path}:1", loaded)
        return ""
    parent = None
    if head.kind and head.kind != "List":
        parent = from_wire(head.api_version or "", head.kind.removesuffix("List"))
    for number, raw in enumerate(head.items, start=1):
        _add_raw(raw, parent, f"{path} item {number}", loaded)
    return ""


def _add_raw(raw: msgspec.Raw, parent: Kind | None, where: str, loaded: Loaded) -> None:
    try:
        kind = parent or _kind(raw)
    except (msgspec.DecodeError, RecursionError):
        loaded.broken.append(_broken(where, "no apiVersion and kind"))
        return
    text = bytes(raw)
    if kind is None or b'"items"' in text[:400] or b'"spec"' not in text:
        _add_data(msgspec.json.decode(raw), parent, where, loaded)
        return
    loaded.add(item(raw, kind, where, loaded.same))


def _kind(raw: msgspec.Raw) -> Kind | None:
    head = _TYPE.decode(raw)
    return from_wire(head.api_version, head.kind) if head.api_version and head.kind else None


def _add_data(data: Any, parent: Kind | None, where: str, loaded: Loaded) -> None:
    if parent is not None and isinstance(data, dict) and "kind" not in data:
        version = f"{parent.group}/{parent.versions[0]}" if parent.group else parent.versions[0]
        data = {**data, "kind": parent.wire, "apiVersion": version}
    objects, aside, skipped = documents([data], where)
    for one in objects:
        loaded.add(one)
    for bad in aside:
        loaded.add(bad)
    loaded.skipped += skipped


def _load_yaml(text: str, path: str, loaded: Loaded) -> None:
    for document in yaml_text.documents(text):
        if document.problem:
            where = f"{path}:{document.problem_line}"
            loaded.broken.append(_broken(where, document.problem))
            continue
        for where, data in _items(document.data, f"{path}:{document.line}"):
            _add_data(data, None, where, loaded)


def _items(data: Any, where: str) -> Iterator[tuple[str, Any]]:
    """A List's items one by one, so that a malformed one is named by its number."""
    if not isinstance(data, dict) or not isinstance(data.get("items"), list):
        yield where, data
        return
    outer = {key: value for key, value in data.items() if key != "items"}
    for number, one in enumerate(data["items"], start=1):
        yield f"{where} item {number}", {**outer, "items": [one]}


def _with_namespace(obj: Object) -> Object:
    """A namespaced object without a namespace goes to `default`, as kubectl would send it."""
    kind = from_wire(obj.api_version, obj.kind)
    if kind is None or not kind.namespaced or obj.metadata.namespace:
        return obj
    meta = msgspec.structs.replace(obj.metadata, namespace="default")
    return msgspec.structs.replace(obj, metadata=meta)


def _broken(where: str, problem: str, reason: Reason = Reason.UNPARSABLE) -> Unavailable:
    return Unavailable(
        reason=reason, what=where, detail=problem, remedy="Correct or record that file again."
    )
