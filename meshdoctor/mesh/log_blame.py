"""Which settings of access logs made Envoy refuse a push?

istiod adds access logs to every listener, from the mesh config and from Telemetry objects; what is
wrong in them stops whole listeners. Envoy's words (1.16 to 1.36): `AccessLogValidationError` and
the loggers' own messages, the formatter's (source/common/formatter), and those of the CEL filter
(source/extensions/access_loggers/filters/cel/config.cc), which only Telemetry writes.
"""

from collections.abc import Iterable

from meshdoctor.model.istio import MeshConfig, Telemetry
from meshdoctor.model.patterns import pattern

_LOG = pattern(
    r"AccessLog|access[_ ]log|Not supported field in StreamInfo|find valid command at position|"
    r"Invalid command (?:operator|arguments)|[Ff]ormatter"
)
_EXPRESSION = pattern(
    r"Not able to parse (?:filter )?expression|[Ff]ailed to create an? expression"
)


def filtering(message: str, telemetries: Iterable[Telemetry]) -> tuple[Telemetry, ...]:
    """Those whose filter Envoy cannot read; the one that the message repeats, where it does."""
    if not _EXPRESSION.search(message):
        return ()
    some = [(t, e) for t in telemetries for e in _expressions(t)]
    said = [t for t, e in some if e in message]
    return tuple({t.ref: t for t in said or [t for t, _ in some]}.values())


def _expressions(telemetry: Telemetry) -> list[str]:
    filters = [one.filter for one in telemetry.spec.access_logging]
    return [f.expression for f in filters if f is not None and f.expression]


def settings(message: str, mesh: MeshConfig) -> str:
    """What the mesh config says of access logs, where the message is about one; else ""."""
    if not _LOG.search(message):
        return ""
    found = {
        "enableEnvoyAccessLogService": mesh.enable_envoy_access_log_service,
        "accessLogFormat": bool(mesh.access_log_format),
        "accessLogFile": bool(mesh.access_log_file),
        "extensionProviders": any(
            p.envoy_file_access_log is not None for p in mesh.extension_providers
        ),
    }
    return ", ".join(name for name, set_ in found.items() if set_)
