"""Would istiod take this value of the annotation proxy.istio.io/config?

Mirrors pkg/kube/inject/validate.go validateProxyConfig (read in 1.18 to 1.32-dev): the text is
laid over the default ProxyConfig as YAML, by the rules of the older JSON mapping of protocol
buffers (github.com/golang/protobuf jsonpb: unknown fields pass, numbers may be quoted, text and
truth values may not be numbers), then pkg/config/validation ValidateMeshConfigProxyConfig judges
it. Fields are those of mesh/v1alpha1/proxy.proto; what is not listed here passes.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import yaml

from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.log_lines import go_duration
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DURATION = pattern(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|[-+]?0")
_HOST = pattern(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+")
Check: TypeAlias = Callable[[Any], str]


@lru_cache(maxsize=256)
def wrong(text: str) -> str:
    """What istiod says no to, with the field that it is about; "" when it takes the value.

    >>> wrong("proxyMetadata: {ISTIO_META_DNS_CAPTURE: true}")
    'proxyMetadata: ISTIO_META_DNS_CAPTURE: true must be in quotes'
    """
    try:
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError:
        return "not valid YAML"
    if data is None:
        return ""
    return _message(_FIELDS)(data) or _judged(data)


def _message(fields: Mapping[str, Check]) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, Mapping):
            return "not a mapping"
        for key, item in value.items():
            known = fields.get(str(key)) or fields.get(_camel(str(key)))
            problem = known(item) if known is not None and item is not None else ""
            if problem:
                return f"{clean(str(key), 60)}: {problem}"
        return ""

    return check


def _camel(name: str) -> str:
    """The JSON name of a field that is written as in the .proto file."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return ""
    plain = isinstance(value, bool | int | float)
    return f"{json.dumps(value)} must be in quotes" if plain else "not a text"


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else f"{clean(repr(value), 40)} is neither true nor false"


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str:
        found = value
        if isinstance(value, str):
            found = int(value) if re.fullmatch(r"-?(?:0|[1-9]\d{0,18})", value) else None
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        good = isinstance(found, int) and not isinstance(found, bool) and low <= found <= high
        return "" if good else f"{clean(repr(value), 40)} is no whole number in range"

    return check


def _number(value: Any) -> str:
    try:
        good = not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError):
        good = False
    return "" if good else f"{clean(repr(value), 40)} is no number"


def _duration(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 40 and _DURATION.fullmatch(value):
        return ""
    return f"{clean(str(value), 40)!r} is no duration such as 5s"


def _duration_not_negative(value: Any) -> str:
    return _duration(value) or ("may not be negative" if value.startswith("-") else "")


def _one_of(*names: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return ""
        good = isinstance(value, str) and value in names
        return "" if good else f"{clean(str(value), 40)!r} is none of {', '.join(names)}"

    return check


def _each(check: Check) -> Check:
    def every(value: Any) -> str:
        if not isinstance(value, list):
            return "not a list"
        return next((p for one in value if one is not None and (p := check(one))), "")

    return every


def _texts_by_name(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "not a mapping"
    named = ((str(key), _text(one)) for key, one in value.items() if one is not None)
    return next((f"{clean(key, 60)}: {problem}" for key, problem in named if problem), "")


_INT32 = _whole(-(2**31), 2**31 - 1)
_UINT32 = _whole(0, 2**32 - 1)
_SERVICE = _message({"address": _text})
_CERTIFICATES = _one_of(
    "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
)
_OFF = _message({"disabled": _truth})
_LOW_WINDOW = 65535
_KEYS = _message({"pollDelay": _duration, "fallback": _truth})
_TAG = _message(
    {
        "literal": _message({"value": _text}),
        "environment": _message({"name": _text, "defaultValue": _text}),
        "header": _message({"name": _text, "defaultValue": _text}),
    }
)


def _tags(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "not a mapping"
    return next((p for one in value.values() if one is not None and (p := _TAG(one))), "")


_TRACING = _message(
    {
        "zipkin": _SERVICE,
        "datadog": _SERVICE,
        "lightstep": _message({"address": _text, "accessToken": _text}),
        "openCensusAgent": _SERVICE,
        "customTags": _tags,
        "maxPathTagLength": _UINT32,
        "sampling": _number,
        "enableIstioTags": _truth,
    }
)
_TEXTS = _each(_text)
_DURATIONS = (
    *("httpIdleTimeout", "httpMaxConnectionDuration", "httpDrainTimeout", "httpRequestTimeout"),
    *("httpRequestHeadersTimeout", "httpStreamIdleTimeout", "httpMaxStreamDuration"),
)
_LEAST = {
    "listenerPerConnectionBufferLimitBytes": 0,
    "clusterPerConnectionBufferLimitBytes": 0,
    "httpMaxConcurrentStreams": 1,
    "http2InitialStreamWindowSize": _LOW_WINDOW,
    "http2InitialConnectionWindowSize": _LOW_WINDOW,
    "listenerConnectionLimit": 1,
    "globalDownstreamConnectionLimit": 1,
}
_CONNECTIONS = _message(
    {
        "profile": _one_of("SIDECAR", "EDGE"),
        "httpMergeSlashes": _truth,
        **dict.fromkeys(_DURATIONS, _duration_not_negative),
        **{name: _whole(least, 2**31 - 1) for name, least in _LEAST.items()},
    }
)
"""Known, and so looked at, since 1.31."""
_FIELDS: Mapping[str, Check] = {
    "configPath": _text,
    "binaryPath": _text,
    "serviceCluster": _text,
    "tracingServiceName": _one_of(
        "APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"
    ),
    "drainDuration": _duration,
    "discoveryAddress": _text,
    "discoveryRefreshDelay": _duration,
    "zipkinAddress": _text,
    "statsdUdpAddress": _text,
    "envoyMetricsServiceAddress": _text,
    "proxyAdminPort": _INT32,
    "availabilityZone": _text,
    "controlPlaneAuthPolicy": _one_of("NONE", "MUTUAL_TLS", "INHERIT"),
    "customConfigFile": _text,
    "statNameLength": _INT32,
    "concurrency": _INT32,
    "proxyBootstrapTemplatePath": _text,
    "interceptionMode": _one_of("REDIRECT", "TPROXY", "NONE"),
    "tracing": _TRACING,
    "sds": _message({"enabled": _truth, "k8sSaJwtPath": _text}),
    "envoyAccessLogService": _SERVICE,
    "envoyMetricsService": _SERVICE,
    "proxyMetadata": _texts_by_name,
    "runtimeValues": _texts_by_name,
    "statusPort": _INT32,
    "extraStatTags": _TEXTS,
    "gatewayTopology": _message(
        {
            "numTrustedProxies": _UINT32,
            "forwardClientCertDetails": _CERTIFICATES,
            "proxyProtocol": _message({}),
        }
    ),
    "terminationDrainDuration": _duration,
    "meshId": _text,
    "readinessProbe": _message(
        dict.fromkeys(
            (
                *("initialDelaySeconds", "timeoutSeconds", "periodSeconds"),
                *("successThreshold", "failureThreshold"),
            ),
            _INT32,
        )
    ),
    "proxyStatsMatcher": _message(
        dict.fromkeys(("inclusionPrefixes", "inclusionSuffixes", "inclusionRegexps"), _TEXTS)
    ),
    "holdApplicationUntilProxyStarts": _truth,
    "caCertificatesPem": _TEXTS,
    "image": _message({"imageType": _text}),
    "privateKeyProvider": _message({"cryptomb": _KEYS, "qat": _KEYS}),
    "proxyHeaders": _message(
        {
            "forwardedClientCert": _CERTIFICATES,
            "requestId": _OFF,
            "server": _message({"disabled": _truth, "value": _text}),
            "attemptCount": _OFF,
            "envoyDebugHeaders": _OFF,
            "metadataExchangeHeaders": _message({"mode": _one_of("UNDEFINED", "IN_MESH")}),
        }
    ),
    "fileFlushInterval": _duration,
    "fileFlushMinSizeKb": _UINT32,
    "statsCompression": _truth,
    "connectionSettings": _CONNECTIONS,
}
_PORTS = ("proxyAdminPort", "statusPort")
_ADDRESSES = ("discoveryAddress", "statsdUdpAddress", "envoyMetricsServiceAddress")
_NEVER_EMPTY = ("configPath", "binaryPath", "serviceCluster", "discoveryAddress")


def _judged(data: Mapping[Any, Any]) -> str:
    """What is well formed and still not taken."""
    given = {_camel(str(key)): value for key, value in data.items() if value is not None}
    for name in _NEVER_EMPTY:
        if given.get(name) == "":
            return f"{name} may not be empty"
    for name in _PORTS:
        if name in given and not 1 <= int(given[name]) <= 65535:
            return f"{name}: not in the range 1 to 65535"
    for name in _ADDRESSES:
        if given.get(name) and not _address(given[name]):
            return f"{name}: not host:port"
    for name in ("envoyMetricsService", "envoyAccessLogService"):
        address = given.get(name, {}).get("address")
        if address and not _address(address):
            return f"{name}: its address is not host:port"
    keys = given.get("privateKeyProvider")
    return (
        _drain(given.get("drainDuration", "45s"))
        or _tracer(given.get("tracing") or {})
        or ("" if keys is None or _polls(keys) else "privateKeyProvider: it has no pollDelay")
    )


def _polls(keys: Mapping[Any, Any]) -> bool:
    provider = keys.get("cryptomb") or keys.get("qat") or {}
    delay = provider.get("pollDelay", provider.get("poll_delay"))
    return bool(delay) and not _nothing(str(delay))


def _drain(text: str) -> str:
    if text.startswith("-") or _nothing(text):
        return "drainDuration: too short"
    found = go_duration(text)
    return "drainDuration: whole seconds only" if found and found.microseconds else ""


def _nothing(duration: str) -> bool:
    """Whether a duration is zero, however written."""
    return not re.search(r"[1-9]", duration)


def _tracer(tracing: Mapping[Any, Any]) -> str:
    for name in ("zipkin", "lightstep", "datadog"):
        tracer = tracing.get(name)
        if tracer is not None and not _address(tracer.get("address") or "", variable=True):
            return f"tracing: the address of {name} is not host:port"
    lightstep = tracing.get("lightstep")
    if lightstep is not None and not (
        lightstep.get("accessToken") or lightstep.get("access_token")
    ):
        return "tracing: lightstep has no accessToken"
    return ""


def _address(text: str, *, variable: bool = False) -> bool:
    """Whether this is host:port; Zipkin's and Datadog's host may be the node's, `$(HOST_IP)`."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[+-]?\d{1,9}", port) or not 1 <= int(port) <= 65535:
        return False
    if variable and host == "$(HOST_IP)":
        return True
    named = _HOST.fullmatch(host) and not host.rstrip(".").rpartition(".")[2].isdigit()
    return bool(named) or is_address(host.strip("[]"))
