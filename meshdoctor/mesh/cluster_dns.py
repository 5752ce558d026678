"""Does CoreDNS, the cluster's resolver, take its Corefile, and does it answer its own probe?

Texts and rules of coredns 1.3 to 1.14: the parser (core/dnsserver, plugin/*/setup.go), the plugins
ready and health, and loop, which ends CoreDNS on a loop that it finds.
"""

from collections.abc import Iterator

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import Container
from meshdoctor.model.patterns import pattern

PLUGINS = {"/ready": ("ready", 8181), "/health": ("health", 8080)}
"""Which plugin answers a path, and on which port when the Corefile names none."""
_REFUSED = pattern(
    r"Error during parsing: |Corefile:\d+ - Error|Corefile changed but reload failed"
    r"|plugin/\w+: Loop \(.{1,200}\) detected"
)


def refused(text: str) -> str:
    """The last line in which CoreDNS says that it cannot run with its Corefile; "": none.

    >>> refused("/etc/coredns/Corefile:6 - Error during parsing: unknown property 'upstream'")
    "/etc/coredns/Corefile:6 - Error during parsing: unknown property 'upstream'"
    """
    found = [line for line in lines(text) if _REFUSED.search(line[:2000])]
    return clean(found[-1], 300) if found else ""


def lacking(corefile: str, container: Container) -> str:
    """The plugin that the container's readiness probe asks and no server block has; "": none.

    A Corefile that imports others may have it in these.
    """
    probe = container.readiness_probe
    call = probe.http_get if probe is not None else None
    plugin, usual = PLUGINS.get(call.path, ("", 0)) if call is not None else ("", 0)
    if call is None or not plugin:
        return ""
    ports = {p.name: p.container_port for p in container.ports if p.name}
    asked = ports.get(call.port, 0) if isinstance(call.port, str) else call.port
    if not corefile.strip() or asked != usual or {plugin, "import"} & set(_plugins(corefile)):
        return ""
    return plugin


def _plugins(corefile: str) -> Iterator[str]:
    """The plugins of every server block, and imports wherever they stand."""
    depth = 0
    for raw in corefile.splitlines():
        line = raw.partition("#")[0].strip()
        name = line.partition(" ")[0]
        if depth == 1 or name == "import":
            yield name
        depth += line.count("{") - line.count("}")
