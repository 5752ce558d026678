"""Which EnvoyFilter made Envoy refuse a push, by the words of Envoy's message?

Envoy names what it could not take: a script's first line (luaL_loadbuffer's chunk name), an
extension, a type, a field (protobuf, and protoc-gen-validate's `ThingValidationError.Field`), a
cluster or listener. The patch that holds the same word is looked for, the most telling word first
(messages of 1.24 to 1.40; patches may spell fields either way).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from meshdoctor.mesh.filter_match import RENAMED, neighbour
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.model.istio import (
    EnvoyFilter,
    EnvoyFilterPatch,
    RequestAuthentication,
    Telemetry,
    WorkloadSelector,
)
from meshdoctor.model.patterns import pattern

_CHUNK = pattern(r"\[string \"(.{3,80}?)(?:\.\.\.)?\"\]")
_RESOURCES = pattern(r"Error adding/updating \w+\(s\) ([^:\s,]+(?:, ?[^:\s,]+)*):")
_IMPLEMENTATION = pattern(r"(?:implementation for|name:?) '?([\w.\-]*\w)'?")
_UNKNOWN = pattern(r"(?:no such field|unknown field|Cannot find field): ?['\"]?([\w.]+)")
_INVALID = pattern(r"\w+ValidationError\.(\w+)")
_QUOTED = pattern(r"'([^']{3,80})'|\"([^\"]{3,80})\"")
_TYPE = pattern(r"\b((?:envoy|udpa|xds|google|io)\.[\w.]*\.?[A-Z]\w+)")
_LAST = pattern(r"(?<!-)\bterminal filter named (\S+) of type")
_NOT_LAST = pattern(r"non-terminal filter named (\S+) of type")
_LISTENER_PORT = pattern(r"[\d.:\]]_(\d{1,5})\b")
_BEHIND = frozenset({"INSERT_AFTER", "ADD"})
_LUA = ("envoy.filters.http.lua", "envoy.lua")
_LUA_TYPES = ("envoy.extensions.filters.http.lua.", "envoy.config.filter.http.lua.")
_LISTENER = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "CDS": ("CLUSTER",),
    "LDS": _LISTENER,
    "RDS": ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"),
    "ECDS": ("EXTENSION_CONFIG",),
}
_DEEPEST = 20
Found = tuple[str, tuple[EnvoyFilter, ...]]
Attached = TypeVar("Attached", EnvoyFilter, RequestAuthentication, Telemetry)


def of_proxy(
    some: Iterable[Attached], root: str, namespace: str, labels: Mapping[str, str] | None
) -> tuple[Attached, ...]:
    """Filters, authentications or Telemetries that a proxy gets: of its namespace or the root's,
    where they select its labels (None: not known, so any may)."""
    return tuple(
        one
        for one in some
        if one.namespace in (namespace, root)
        and (labels is None or workload_selected(_selector(one), labels))
    )


def _selector(one: EnvoyFilter | RequestAuthentication | Telemetry) -> WorkloadSelector | None:
    return one.spec.workload_selector if isinstance(one, EnvoyFilter) else one.spec.selector


def blame(message: str, filters: Iterable[EnvoyFilter]) -> Found | None:
    """What the message points at and the filters that hold it; None: no filter holds its words."""
    known = tuple(filters)
    for look in (_script, _resource, _order, _field, _named, _typed, _lua):
        found = look(message, known)
        if found is not None:
            return found
    return None


def only(type_: str, message: str, filters: Iterable[EnvoyFilter]) -> EnvoyFilter | None:
    """The one filter that patches what was refused; None where there are none or several. Where
    the message names listeners, patches of another port are not meant."""
    parts = _PARTS.get(type_, ())
    ports = {int(m[1]) for m in _LISTENER_PORT.finditer(message)}
    found = [
        f
        for f in filters
        if any(p.apply_to in parts and _on(p, ports) for p in f.spec.config_patches)
    ]
    return found[0] if len(found) == 1 else None


def _on(patch: EnvoyFilterPatch, ports: set[int]) -> bool:
    return not ports or _port(patch) in {0, *ports}


def _port(patch: EnvoyFilterPatch) -> int:
    """The listener's port that a patch matches; 0: any."""
    return patch.match.listener.port_number if patch.match.listener is not None else 0


def spoken(message: str, filters: Iterable[EnvoyFilter]) -> tuple[EnvoyFilter, ...]:
    """Filters one of whose own texts (12 letters or more) stands in the message."""
    return tuple(f for f in filters if any(len(s) >= 12 and s in message for s in texts(f)))


def _script(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    heads = [m[1].replace('\\"', '"').rstrip() for m in _CHUNK.finditer(message)]

    def holds(text: str) -> bool:
        first = text.strip().splitlines()[0] if text.strip() else ""
        return any(first.startswith(head) for head in heads)

    return _who("the script that begins " + heads[0], known, holds) if heads else None


def _resource(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    found = _RESOURCES.search(message)
    names = {n.strip() for n in found[1].split(",")} if found is not None else set()
    owners = tuple(f for f in known for p in f.spec.config_patches if _adds(p, names))
    return (f"the patch that adds {min(names)}", owners) if owners else None


def _adds(patch: EnvoyFilterPatch, names: set[str]) -> bool:
    whole = patch.apply_to in ("CLUSTER", "LISTENER") and patch.patch.operation == "ADD"
    return whole and patch.patch.value.get("name") in names


def _order(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    """Patches that put something behind the filter that must be the last, or that end a chain
    with a filter that cannot (envoy/source/common/config/utility validateTerminalFilters)."""
    last = {m[1] for m in _LAST.finditer(message)}
    owners = tuple(f for f in known if any(_behind(p, last) for p in f.spec.config_patches))
    if owners:
        return f"a patch behind {min(last)}, which must be the last", owners
    names = {m[1] for m in _NOT_LAST.finditer(message)}
    return _who(f"{min(names, default='')}, which cannot be the last", known, lambda t: t in names)


def _behind(patch: EnvoyFilterPatch, last: set[str]) -> bool:
    name = neighbour(patch)
    if name is None or patch.patch.operation not in _BEHIND or not last:
        return False
    return RENAMED.get(name, name) in last or (not name and _ends(patch.apply_to, last))


def _ends(apply_to: str, last: set[str]) -> bool:
    """Whether one of the last filters stands in a chain of this kind."""
    kind = "envoy.filters.http." if apply_to == "HTTP_FILTER" else "envoy.filters.network."
    return any(name.startswith(kind) for name in last)


def _field(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    """The deepest field that Envoy names; outer ones only lead to it."""
    named = [m[1].rpartition(".")[2] for m in _UNKNOWN.finditer(message)]
    named += [m[1] for m in reversed(tuple(_INVALID.finditer(message)))]
    for name in named:
        owners = tuple(f for f in known if _plain(name) in {_plain(k) for k in _keys(f)})
        if owners:
            return f"field {name}", owners
    return None


def _plain(field: str) -> str:
    return field.replace("_", "").lower()


def _named(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    if not re.search(r"registered implementation|type_url|type URL", message):
        return None
    names = {m[1] for m in _IMPLEMENTATION.finditer(message)}
    names |= {m[1] or m[2] for m in _QUOTED.finditer(message)}
    return _who("an extension's configuration", known, lambda text: text in names)


def _typed(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    types = {m[1] for m in _TYPE.finditer(message)}
    return _who(
        f"a configuration of type {min(types, default='')}",
        known,
        lambda text: text.startswith("type.googleapis.com/") and text[20:] in types,
    )


def _lua(message: str, known: tuple[EnvoyFilter, ...]) -> Found | None:
    if not re.search(r"\b[Ll]ua\b|script load", message):
        return None
    return _who(
        "a Lua script",
        known,
        lambda text: (
            text in _LUA or text.removeprefix("type.googleapis.com/").startswith(_LUA_TYPES)
        ),
    )


def _who(why: str, known: tuple[EnvoyFilter, ...], holds: Callable[[str], bool]) -> Found | None:
    owners = tuple(f for f in known if any(holds(text) for text in texts(f)))
    return (why, owners) if owners else None


def texts(filter_: EnvoyFilter) -> Iterator[str]:
    """Every text in the values of a filter's patches."""
    for patch in filter_.spec.config_patches:
        yield from _texts(patch.patch.value, 0)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner, depth + 1)


def _keys(filter_: EnvoyFilter) -> Iterator[str]:
    for patch in filter_.spec.config_patches:
        yield from (key for key, _ in fields(patch))


def fields(patch: EnvoyFilterPatch) -> Iterator[tuple[str, Any]]:
    """Every field in the value of a patch, outer ones first: its name and what it holds."""
    yield from _fields(patch.patch.value, 0)


def _fields(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name), inner
            yield from _fields(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _fields(inner, depth + 1)
