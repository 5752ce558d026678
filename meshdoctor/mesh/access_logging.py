"""Does a proxy write an access log to its container's output, and in which format?

Mirrors Telemetries.AccessLogging and mergeLogs (pilot/pkg/model/telemetry.go) with the fallback
to meshConfig.accessLogFile (pilot/pkg/networking/core/accesslog.go), 1.20 to 1.32-dev. Without
this, an empty log would read as "no failures".
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.model.istio import AccessLogging, ExtensionProvider, MeshConfig, Telemetry
from meshdoctor.model.snapshot import selects

STDOUT = ("/dev/stdout", "/dev/stderr")
CLIENT, SERVER = "CLIENT", "SERVER"


class Logging(Struct, frozen=True, kw_only=True):
    """`on`: lines reach the container's log. `custom`: in a format that is not Istio's default.
    `filtered`: only those that an expression lets through. `source`: what decided."""

    on: bool
    custom: bool = False
    filtered: bool = False
    source: str = ""


def in_force(
    mesh: MeshConfig,
    telemetries: Iterable[Telemetry],
    namespace: str,
    labels: Mapping[str, str],
    mode: str,
) -> Logging:
    """The logging of one workload's lines as CLIENT (outbound, gateway) or SERVER (inbound).

    `telemetries` are those of the root and the workload's namespace; neither Telemetry nor
    default providers means meshConfig.accessLogFile.
    """
    scopes = _applicable(telemetries, mesh.root_namespace, namespace, labels)
    defaults = mesh.default_providers.access_logging
    if not scopes and not defaults:
        return _mesh_wide(mesh)
    names = _in_scope(scopes, defaults, mode)
    state: dict[str, Logging] = {
        name: Logging(on=True, source="meshConfig.defaultProviders")
        for name in defaults
        if not scopes
    }
    parent = defaults
    for telemetry in scopes:
        for entry in telemetry.spec.access_logging:
            parent = tuple(p.name for p in entry.providers) or parent
            for name in parent:
                if name in names and _matches(entry, mode):
                    state[name] = Logging(
                        on=not entry.disabled,
                        filtered=entry.filter is not None,
                        source=telemetry.ref,
                    )
    known = {name: one for name, one in state.items() if _provider(mesh, name) is not None}
    if not known:  # no provider is left for this mode: istiod falls back as if none were asked
        return _mesh_wide(mesh)
    return _visible(mesh, known, scopes[-1].ref if scopes else "meshConfig.defaultProviders")


def _mesh_wide(mesh: MeshConfig) -> Logging:
    return Logging(
        on=mesh.access_log_file in STDOUT,
        custom=bool(mesh.access_log_format),
        source="meshConfig.accessLogFile",
    )


def _provider(mesh: MeshConfig, name: str) -> ExtensionProvider | None:
    """A provider by name; `envoy` is built in."""
    found = next((p for p in mesh.extension_providers if p.name == name), None)
    return ExtensionProvider(name="envoy") if found is None and name == "envoy" else found


def _visible(mesh: MeshConfig, state: Mapping[str, Logging], source: str) -> Logging:
    """The first provider that writes to the container's output, else off."""
    for name, logging in sorted(state.items()):
        if not logging.on:
            source = logging.source
            continue
        custom = _custom(mesh, name)
        if custom is not None:
            return Logging(on=True, custom=custom, filtered=logging.filtered, source=logging.source)
    return Logging(on=False, source=source)


def _custom(mesh: MeshConfig, name: str) -> bool | None:
    """Whether a file provider has its own format; None when it does not write to the output."""
    if all(p.name != name for p in mesh.extension_providers):
        return bool(mesh.access_log_format) if name == "envoy" else None
    provider = _provider(mesh, name)
    file = provider.envoy_file_access_log if provider is not None else None
    if file is None or str(file.get("path", "")) not in STDOUT:
        return None
    return bool(file.get("logFormat"))


def _in_scope(
    scopes: tuple[Telemetry, ...], defaults: tuple[str, ...], mode: str
) -> tuple[str, ...]:
    names = defaults
    for telemetry in scopes:
        own = tuple(
            p.name
            for entry in telemetry.spec.access_logging
            if _matches(entry, mode)
            for p in entry.providers
        )
        names = own or names
    return names


def _matches(entry: AccessLogging, mode: str) -> bool:
    return entry.match is None or entry.match.mode in (mode, "CLIENT_AND_SERVER", "")


def _applicable(
    telemetries: Iterable[Telemetry], root: str, namespace: str, labels: Mapping[str, str]
) -> tuple[Telemetry, ...]:
    """Root, namespace, workload; the oldest of each scope, as istiod sorts them."""
    given = sorted(telemetries, key=lambda t: (str(t.metadata.creation_timestamp or ""), t.name))
    found: list[Telemetry] = []
    for scope in dict.fromkeys((root, namespace)):
        found += [t for t in given if t.namespace == scope and not _selector(t)][:1]
    found += [
        t
        for t in given
        if t.namespace == namespace
        and t.spec.selector
        and selects(_selector(t) or {"": ""}, labels)
    ]
    return tuple(t for t in found if t.spec.access_logging)


def _selector(telemetry: Telemetry) -> dict[str, str]:
    if telemetry.spec.target_refs:
        return {"targetRefs": "gateway"}
    return telemetry.spec.selector.wanted if telemetry.spec.selector else {}
