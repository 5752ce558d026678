"""How does wire data become typed objects, one malformed object at a time?

The fast path decodes JSON bytes straight into partial structs. An object that does not fit is
tried again without its nulls (the API prints `null` for absent), and set aside with its reason if
it still does not fit. Secret values are dropped here, before anything can hold them.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from meshdoctor.model.evidence import SetAside
from meshdoctor.model.kinds import BY_NAME, Kind, from_wire
from meshdoctor.model.kubernetes import ConfigMap, Object, Secret
from meshdoctor.model.ready import decoder, ready
from meshdoctor.model.same import Same

PEM_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
PEM_END = "-----END CERTIFICATE-----"


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """What a page says of its list: the `continue` token of the next page, the version of the list,
    and `remainingItemCount`, absent where the server has not counted."""

    continue_: str = msgspec.field(default="", name="continue")
    resource_version: str = ""
    remaining_item_count: int = 0


class Page(msgspec.Struct, frozen=True):
    """One page of an API list, its items still undecoded; None: the answer has none."""

    items: list[msgspec.Raw] | None = None
    metadata: ListMeta = ListMeta()


def page(body: bytes) -> Page:
    """Raises msgspec.DecodeError (or its ValidationError) when the body is no list at all."""
    return decoder(Page).decode(body)


def objects_of(
    found: Page, kind: Kind, where: str, same: Same
) -> tuple[list[Object], list[SetAside]]:
    """The objects of a page, and what was set aside. Raises msgspec.ValidationError when the page
    has no items."""
    if found.items is None:
        raise msgspec.ValidationError("the answer has no items")
    objects: list[Object] = []
    aside: list[SetAside] = []
    for raw in found.items:
        one = item(raw, kind, where, same)
        if isinstance(one, SetAside):
            aside.append(one)
        else:
            objects.append(one)
    return objects, aside


def item(
    raw: bytes | msgspec.Raw, kind: Kind, where: str, same: Same | None = None
) -> Object | SetAside:
    """One object from its JSON bytes, with the parts of others of its list where they are equal."""
    try:
        found = _finish(decoder(kind.type).decode(raw), kind)
        if same is not None:
            same.fold(found)
        return found
    except (msgspec.ValidationError, RecursionError):
        one = convert(msgspec.json.decode(raw), where, kind)
        return one if one is not None else SetAside(where=where, ref="?", problem="not read")


def convert(data: Any, where: str, kind: Kind | None = None) -> Object | SetAside | None:
    """One decoded manifest as a typed object; None for a kind we do not read."""
    if not isinstance(data, Mapping):
        return SetAside(where=where, ref="?", problem="not a mapping")
    kind_text, version = data.get("kind"), data.get("apiVersion")
    if kind is None:
        if not isinstance(kind_text, str) or not isinstance(version, str):
            return SetAside(where=where, ref="?", problem="no apiVersion and kind")
        kind = from_wire(version, kind_text)
        if kind is None:
            return None
    clean = without_nulls(data)
    if kind.name != "Event" and not isinstance(clean.get("metadata"), Mapping):
        return SetAside(where=where, ref=f"{kind.wire}//?", problem="no metadata")
    if kind.name in _NEEDS_SPEC and not isinstance(clean.get("spec"), Mapping):
        return SetAside(where=where, ref=_ref(clean, kind), problem="no spec")
    try:
        return _finish(msgspec.convert(clean, ready(kind.type), strict=True), kind)
    except msgspec.ValidationError as error:
        try:
            return _finish(msgspec.convert(clean, kind.type, strict=False), kind)
        except msgspec.ValidationError:
            return SetAside(where=where, ref=_ref(clean, kind), problem=str(error))


_NEEDS_SPEC = frozenset({"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})


def documents(items: Iterable[Any], where: str) -> tuple[list[Object], list[SetAside], int]:
    """Manifests, Lists flattened: typed objects, what was set aside, how many kinds we skip."""
    objects: list[Object] = []
    aside: list[SetAside] = []
    skipped = 0
    for item in items:
        if item is None:
            continue
        if isinstance(item, Mapping) and isinstance(item.get("items"), list):
            inner = [_inherit(one, item) for one in item["items"]]
            more, more_aside, more_skipped = documents(inner, where)
            objects += more
            aside += more_aside
            skipped += more_skipped
            continue
        one = convert(item, where)
        if one is None:
            skipped += 1
        elif isinstance(one, SetAside):
            aside.append(one)
        else:
            objects.append(one)
    return objects, aside, skipped


def _inherit(item: Any, parent: Mapping[str, Any]) -> Any:
    """Items of a typed list (`PodList`) carry no kind of their own."""
    kind = parent.get("kind")
    if (
        not isinstance(item, Mapping)
        or "kind" in item
        or not isinstance(kind, str)
        or kind in ("", "List")
    ):
        return item
    return {**item, "kind": kind.removesuffix("List"), "apiVersion": parent.get("apiVersion", "")}


def without_nulls(value: Any) -> Any:
    """The same data with every null mapping value taken out: null is absent to the API."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(v) for v in value]
    return value


def _ref(data: Mapping[str, Any], kind: Kind) -> str:
    meta = data.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    return f"{kind.wire}/{meta.get('namespace', '')}/{meta.get('name', '?')}"


def _finish(obj: Object, kind: Kind) -> Object:
    if not obj.kind or not obj.api_version:
        version = f"{kind.group}/{kind.versions[0]}" if kind.group else kind.versions[0]
        obj = msgspec.structs.replace(obj, kind=kind.wire, api_version=obj.api_version or version)
    if isinstance(obj, Secret):
        public = {name: public_part(value) for name, value in obj.data.items()}
        return msgspec.structs.replace(obj, data=public)
    if isinstance(obj, ConfigMap):
        kept = {name: text for name, text in obj.data.items() if "PRIVATE KEY" not in text}
        if len(kept) != len(obj.data):
            return msgspec.structs.replace(obj, data=kept)
    return obj


def public_part(value: str) -> str:
    """The PEM certificates inside a Secret's value (base64 or plain); "" when there are none."""
    text = value
    if PEM_CERTIFICATE not in text:
        try:
            text = base64.b64decode(value, validate=False).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
    blocks = []
    for part in text.split(PEM_CERTIFICATE)[1:]:
        body, found, _ = part.partition(PEM_END)
        if found and "PRIVATE" not in body:
            blocks.append(f"{PEM_CERTIFICATE}{body}{PEM_END}\n")
    return "".join(blocks)


def kind_of(obj: Object) -> Kind | None:
    """The row of a decoded object."""
    return from_wire(obj.api_version, obj.kind) or BY_NAME.get(obj.kind)
