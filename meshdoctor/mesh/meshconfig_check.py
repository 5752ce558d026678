"""Would istiod refuse this text of a mesh config?

Mirrors pkg/config/mesh/mesh.go ApplyMeshConfig with golang/protobuf's jsonpb (1.18 to 1.32-dev):
fields that it does not know are ignored, but a value of the wrong type, an enum value that does not
exist or a duration that is none makes the whole text invalid. istiod then keeps the configuration
it had (pkg/config/mesh/kubemesh/watcher.go); one that starts takes Istio's defaults.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DURATION = pattern(r"-?(?:\d+(?:\.\d*)?(?:ns|us|ms|s|m|h))+|0")
_ENUMS = {
    "accessLogEncoding": ("TEXT", "JSON"),
    "defaultConfig.controlPlaneAuthPolicy": ("NONE", "MUTUAL_TLS", "INHERIT"),
    "defaultConfig.interceptionMode": ("REDIRECT", "TPROXY", "NONE"),
    "h2UpgradePolicy": ("DO_NOT_UPGRADE", "UPGRADE"),
    "inboundTrafficPolicy.mode": ("PASSTHROUGH", "LOCALHOST"),
    "ingressControllerMode": ("UNSPECIFIED", "OFF", "DEFAULT", "STRICT"),
    "outboundTrafficPolicy.mode": ("REGISTRY_ONLY", "ALLOW_ANY"),
    "pathNormalization.normalization": (
        "DEFAULT",
        "NONE",
        "BASE",
        "MERGE_SLASHES",
        "DECODE_AND_MERGE_SLASHES",
    ),
}
_SWITCHES = (
    "defaultConfig.holdApplicationUntilProxyStarts",
    "disableEnvoyListenerLog",
    "enableAutoMtls",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "enableTracing",
    "verifyCertificateAtClient",
)
_DURATIONS = (
    "connectTimeout",
    "defaultConfig.drainDuration",
    "defaultConfig.parentShutdownDuration",
    "defaultConfig.terminationDrainDuration",
    "dnsRefreshRate",
    "protocolDetectionTimeout",
)
_TEXTS = "defaultConfig.proxyMetadata"


def refused(text: str) -> str:
    """The first thing for which istiod refuses the text, in words; "": it takes it.

    >>> refused("accessLogEncoding: json")
    'accessLogEncoding is json, which is none of TEXT, JSON'
    >>> refused("accessLogEncoding: JSON\\nnoSuchField: 1")
    ''
    """
    try:
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError as error:
        return clean(f"it is no YAML ({str(error).splitlines()[0]})", 200)
    if data is None:
        return ""
    if not isinstance(data, Mapping):
        return "it is no mapping"
    return next(_wrong(data), "")


def _wrong(data: Mapping[Any, Any]) -> Iterator[str]:
    for path, values in _ENUMS.items():
        found = _at(data, path)
        if isinstance(found, bool) or (found is not None and not _fits(found, values)):
            yield f"{path} is {clean(str(found), 40)}, which is none of {', '.join(values)}"
    for path in _SWITCHES:
        found = _at(data, path)
        if found is not None and not isinstance(found, bool):
            yield f"{path} is {_shown(found)}, and must be true or false without quotes"
    for path in _DURATIONS:
        found = _at(data, path)
        if found is not None and not (isinstance(found, str) and _DURATION.fullmatch(found)):
            yield f"{path} is {_shown(found)}, which is no duration like 10s"
    metadata = _at(data, _TEXTS)
    for key, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if value is not None and not isinstance(value, str):
            yield f"{_TEXTS}.{clean(str(key), 60)} is {_shown(value)}, which must stand in quotes"


def _fits(value: object, values: tuple[str, ...]) -> bool:
    return value in values or isinstance(value, int)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return clean(f'"{value}"' if isinstance(value, str) else str(value), 40)


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, Mapping) else None
    return data
