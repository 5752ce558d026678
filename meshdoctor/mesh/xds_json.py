"""What do `/debug/syncz` and `proxy-status -o json` say?

syncz: an array per istiod (pilot/pkg/xds/debug.go SyncStatus; `resources` with time and refusal
since 1.23). `proxy-status -o json`: one DiscoveryResponse per istiod, one after the other, no
array around them. `internal-debug syncz --all`: an object keyed by istiod. All may be mixed.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from meshdoctor.mesh.xds import (
    TYPES,
    ProxySync,
    State,
    SyncTable,
    TypeSync,
    derive,
    error_text,
    merge,
    short_type,
    split_id,
)
from meshdoctor.model.kubernetes import Partial
from meshdoctor.model.patterns import pattern
from meshdoctor.model.ready import decoder, ready

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = frozenset(state.value for state in State)
_SECOND = pattern(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z/")
_COMMENT = pattern(r"^\s*(?:#|//)\s*(\S*)[^\n]*\n?")


class _Resource(Partial, frozen=True):
    sent: str = ""
    acked: str = ""
    sent_time: datetime | None = None
    last_error: str = ""


class _Syncz(Partial, frozen=True, rename=None):
    proxy: str
    cluster_id: str = ""
    proxy_type: str = ""
    istio_version: str = ""
    cluster_sent: str = ""
    cluster_acked: str = ""
    listener_sent: str = ""
    listener_acked: str = ""
    route_sent: str = ""
    route_acked: str = ""
    endpoint_sent: str = ""
    endpoint_acked: str = ""
    extensionconfig_sent: str = ""
    extensionconfig_acked: str = ""
    resources: dict[str, _Resource] | None = None


class _ErrorState(Partial, frozen=True):
    details: str = ""


class _Xds(Partial, frozen=True):
    type_url: str = ""
    config_status: str = ""
    last_updated: datetime | None = None
    error_state: _ErrorState = _ErrorState()


class _Metadata(Partial, frozen=True, rename=None):
    CLUSTER_ID: str = ""
    ISTIO_VERSION: str = ""


class _Node(Partial, frozen=True):
    id: str = ""
    metadata: _Metadata = _Metadata()


class _ClientConfig(Partial, frozen=True):
    node: _Node = _Node()
    generic_xds_configs: tuple[_Xds, ...] = ()


def is_json(text: str) -> bool:
    """Whether the text looks like JSON, after comment lines that name an istiod."""
    return _skip(text, 0)[0] < len(text) and text[_skip(text, 0)[0]] in "[{"


def parse_json(text: str, istiod: str = "") -> SyncTable:
    """Concatenated JSON documents of one or several istiods.

    `istiod` names the one asked; a line `# NAME` before a document names its istiod. A document
    or record that cannot be read becomes a problem, the rest stands.
    """
    tables = _by_istiod(text)
    if tables is None:
        tables = []
        for name, value in _documents(text, istiod):
            tables += _tables(value, name)
    return merge(tables)


def _by_istiod(text: str) -> list[SyncTable] | None:
    """Tables of one object `{istiod: [record, ...] or what it said}`, read record by record: as
    dictionaries, ten thousand proxies take a hundred megabytes. None: the text is something else.
    """
    try:
        answers = decoder(dict[str, msgspec.Raw]).decode(text)
    except msgspec.DecodeError:
        return None
    if "resources" in answers or "controlPlane" in answers:
        return None
    tables: list[SyncTable] = []
    for istiod, raw in answers.items():
        rows = _rows(raw, istiod)
        tables += [rows] if rows is not None else _tables(msgspec.json.decode(raw), istiod)
    return tables


def _rows(raw: msgspec.Raw, istiod: str) -> SyncTable | None:
    """The table of one istiod's syncz; None when its first record is none of syncz."""
    try:
        records = decoder(list[msgspec.Raw]).decode(raw)
        if records:
            decoder(_Syncz).decode(records[0])
    except msgspec.ValidationError:
        return None
    return _syncz(map(decoder(_Syncz).decode, records), istiod)


def parse_yaml(text: str) -> SyncTable:
    """`proxy-status -o yaml`: the same documents as YAML, one after the other."""
    chunks = re.split(r"(?m)^(?=controlPlane:)|^---\s*$", text)
    tables: list[SyncTable] = []
    for chunk in chunks:
        if not chunk.strip():
            continue
        try:
            value = json.loads(json.dumps(yaml.load(chunk, Loader=_LOADER), default=str))  # noqa: S506
        except yaml.YAMLError as error:
            tables.append(SyncTable(problems=(f"unreadable YAML: {str(error).splitlines()[0]}",)))
            continue
        tables += _tables(value, "")
    return merge(tables)


def _skip(text: str, at: int) -> tuple[int, str]:
    """Past spaces and comment lines; the last comment's first word names the istiod."""
    name = ""
    while at < len(text):
        found = _COMMENT.match(text[at : at + 1000])
        if found is not None:
            at, name = at + found.end(), found[1]
        elif text[at].isspace() or text[at] == ",":
            at += 1
        else:
            break
    return at, name


def _documents(text: str, istiod: str) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder()
    at = 0
    while True:
        at, named = _skip(text, at)
        if at >= len(text):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            yield named or istiod, error
            after = text.find("\n", at)
            if after < 0:
                return
            at = after + 1
            continue
        yield named or istiod, value


def _tables(value: Any, istiod: str) -> Iterator[SyncTable]:
    if isinstance(value, Exception):
        yield SyncTable(problems=(f"unreadable answer of {istiod or 'an istiod'}: {value}"[:200],))
    elif isinstance(value, list):
        if any(
            isinstance(one, dict) and "resources" in one and "proxy" not in one for one in value
        ):
            for one in value:
                yield from _tables(one, istiod)
        else:
            yield _syncz(map(_record, value), istiod)
    elif isinstance(value, dict) and ("resources" in value or "controlPlane" in value):
        yield _discovery_response(value, istiod)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _tables(inner, name)
    else:
        yield SyncTable(problems=(f"{istiod or 'an istiod'} said: {str(value)[:120]}",))


def _record(value: Any) -> _Syncz:
    return msgspec.convert(value, ready(_Syncz))


def _syncz(records: Iterator[_Syncz], istiod: str) -> SyncTable:
    proxies: dict[str, ProxySync] = {}
    problems: list[str] = []
    while True:
        try:
            one = next(records)
        except StopIteration:
            break
        except msgspec.ValidationError as error:
            problems.append(f"syncz record set aside: {error}")
            continue
        row = _from_syncz(one, istiod)
        proxies[row.id] = row
    return SyncTable(proxies=proxies, istiods=(istiod,) if istiod else (), problems=tuple(problems))


def _from_syncz(one: _Syncz, istiod: str) -> ProxySync:
    pod, namespace = split_id(one.proxy)
    if one.resources is not None:
        types = [_from_resource(url, r) for url, r in one.resources.items()]
        seen = {t.type for t in types}
        types += [TypeSync(type=t, state=State.IGNORED) for t in TYPES if t not in seen]
    else:
        types = [_from_nonces(one, name) for name in TYPES]
    return ProxySync(
        pod=pod,
        namespace=namespace,
        cluster=one.cluster_id,
        istiod=istiod,
        version=one.istio_version,
        kind=one.proxy_type,
        types=tuple(sorted(types, key=_order)),
    )


def _from_resource(url: str, one: _Resource) -> TypeSync:
    state, never = derive(one.sent, one.acked, one.last_error)
    sent = one.sent_time if one.sent_time is not None and one.sent_time.year > 1 else None
    return TypeSync(
        type=short_type(url),
        state=state,
        sent=sent,
        never_acknowledged=never,
        error=error_text(one.last_error),
        made=_made(one.sent),
    )


def _made(nonce: str) -> datetime | None:
    """The second in a nonce such as `2026-11-24T20:15:02Z/43a3f48366-bfec-...`.

    >>> _made("2026-11-24T20:15:02Z/43a3f4"), _made("a3f4")
    (datetime.datetime(2026, 11, 24, 20, 15, 2, tzinfo=datetime.timezone.utc), None)
    """
    found = _SECOND.match(nonce)
    return _second(found[1]) if found else None


@lru_cache(4096)
def _second(text: str) -> datetime | None:
    """Istiod answers many proxies with what it made in one second."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _from_nonces(one: _Syncz, name: str) -> TypeSync:
    pairs = {
        "CDS": (one.cluster_sent, one.cluster_acked),
        "LDS": (one.listener_sent, one.listener_acked),
        "RDS": (one.route_sent, one.route_acked),
        "EDS": (one.endpoint_sent, one.endpoint_acked),
        "ECDS": (one.extensionconfig_sent, one.extensionconfig_acked),
    }
    state, never = derive(*pairs[name])
    return TypeSync(type=name, state=state, never_acknowledged=never)


def _discovery_response(value: dict[str, Any], istiod: str) -> SyncTable:
    istiod = _identifier(value) or istiod
    proxies: dict[str, ProxySync] = {}
    problems: list[str] = []
    resources = value.get("resources")
    for record in resources if isinstance(resources, list) else ():
        try:
            one = msgspec.convert(record, ready(_ClientConfig))
        except msgspec.ValidationError as error:
            problems.append(f"proxy-status record set aside: {error}")
            continue
        row = _from_client(one, istiod)
        proxies[row.id] = row
    return SyncTable(proxies=proxies, istiods=(istiod,) if istiod else (), problems=tuple(problems))


def _identifier(value: dict[str, Any]) -> str:
    """`controlPlane.identifier` is JSON text that names the istiod."""
    plane = value.get("controlPlane")
    text = plane.get("identifier") if isinstance(plane, dict) else None
    if not isinstance(text, str):
        return ""
    try:
        inner = json.loads(text)
    except json.JSONDecodeError:
        return text
    return str(inner.get("ID", "")) if isinstance(inner, dict) else ""


def _from_client(one: _ClientConfig, istiod: str) -> ProxySync:
    node = one.node.id.split("~")[2] if one.node.id.count("~") == 3 else one.node.id
    pod, namespace = split_id(node)
    types = [_from_xds(x) for x in one.generic_xds_configs]
    seen = {t.type for t in types}
    types += [TypeSync(type=t, state=State.IGNORED) for t in TYPES if t not in seen]
    return ProxySync(
        pod=pod,
        namespace=namespace,
        cluster=one.node.metadata.CLUSTER_ID,
        istiod=istiod,
        version=one.node.metadata.ISTIO_VERSION,
        types=tuple(sorted(types, key=_order)),
    )


def _from_xds(one: _Xds) -> TypeSync:
    word = one.config_status.replace("_", " ")
    state = State(word) if word in _WORDS else State.UNKNOWN
    return TypeSync(
        type=short_type(one.type_url),
        state=State.ERROR if one.error_state.details else state,
        sent=one.last_updated,
        error=error_text(one.error_state.details),
    )


def _order(one: TypeSync) -> tuple[int, str]:
    return (TYPES.index(one.type) if one.type in TYPES else len(TYPES), one.type)
