"""What would `istioctl proxy-config WHAT -o json` print? Drawn from Envoy's own config dump.

The same shape, so that one parser reads both, without istioctl's own start for each question.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from meshdoctor.model.patterns import pattern
from meshdoctor.ports import UnparsableError

_SNAKE = pattern(r"_([a-z0-9])")
_DUMPS = {
    "cluster": ("ClustersConfigDump", ("static_clusters", "dynamic_active_clusters"), "cluster"),
    "listener": ("ListenersConfigDump", ("static_listeners", "dynamic_listeners"), "listener"),
    "route": (
        "RoutesConfigDump",
        ("static_route_configs", "dynamic_route_configs"),
        "route_config",
    ),
}
_WHOLE = {"secret": "SecretsConfigDump", "bootstrap": "BootstrapConfigDump"}
WHATS = (*_DUMPS, *_WHOLE, "endpoint", "all")
_MASKS = {
    **{what: groups for what, (_, groups, _) in _DUMPS.items()},
    "secret": ("static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets"),
    "bootstrap": ("bootstrap",),
}


def path_of(what: str, host: str = "") -> str:
    """The admin page to ask: only the sections needed, and only clusters of `host` from an Envoy
    that can choose (others ignore the filter)."""
    if what == "endpoint":
        pattern = rf"\|{re.escape(host)}$"
        chosen = f"&filter={quote(pattern, safe='')}" if host else ""
        return f"/clusters?format=json{chosen}"
    return f"/config_dump?mask={','.join(_MASKS[what])}" if what in _MASKS else "/config_dump"


def as_istioctl(what: str, body: bytes) -> str:
    """The admin page's answer in istioctl's shape. Raises UnparsableError."""
    try:
        data = msgspec.json.decode(body)
        if what == "all":
            return body.decode("utf-8", "replace")
        if what == "endpoint":
            shaped: Any = data["cluster_statuses"] if data else []  # `{}`: no cluster is meant
        elif what in _WHOLE:
            shaped = next(_configs(data, _WHOLE[what]), {})
        else:
            shaped = list(_entries(data, *_DUMPS[what]))
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UnparsableError(f"proxy-config {what}", f"unknown config dump: {error}") from None
    return msgspec.json.encode(camel(shaped)).decode()


def _configs(data: Any, type_: str) -> Any:
    return (one for one in data["configs"] if str(one.get("@type", "")).endswith(type_))


def _entries(data: Any, type_: str, groups: tuple[str, ...], key: str) -> Any:
    for dump in _configs(data, type_):
        for group in groups:
            for entry in dump.get(group, []):
                found = entry.get("active_state", entry).get(key)
                if found is not None:
                    yield found


def camel(value: Any) -> Any:
    """The same data with field names in camelCase, as protobuf's JSON prints them."""
    if isinstance(value, dict):
        return {_camel(key): camel(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [camel(inner) for inner in value]
    return value


def _camel(key: str) -> str:
    if "." in key or "/" in key or "-" in key or key.upper() == key:
        return key
    return _SNAKE.sub(lambda m: m[1].upper(), key)
