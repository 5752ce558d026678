"""What was asked about, and which namespaces does the question concern?

`--from ns/workload`, `--to ns/workload-or-service[:port]` or `host[:port]`, `--namespace`, or
nothing: the whole mesh.
"""

from msgspec import Struct

from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import Request

_PORT = pattern(r"^(?P<name>.*?)(?::(?P<port>\d{1,5}))?$")


class ScopeError(Exception):
    """A scope that cannot be read, or that names nothing in this cluster. Exit status 2."""


class Target(Struct, frozen=True, kw_only=True):
    """`namespace` empty: `name` is a host. `port` 0: not given."""

    namespace: str
    name: str
    port: int = 0

    def __str__(self) -> str:
        text = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{text}:{self.port}" if self.port else text


class Scope(Struct, frozen=True, kw_only=True):
    from_: Target | None = None
    to: Target | None = None
    namespaces: tuple[str, ...] = ()
    request: Request = Request()

    @property
    def pair(self) -> bool:
        return self.from_ is not None or self.to is not None

    def __str__(self) -> str:
        if self.pair:
            return " -> ".join(str(t) for t in (self.from_, self.to) if t)
        return f"namespace {', '.join(self.namespaces)}" if self.namespaces else "whole mesh"


def parse_target(text: str, option: str) -> Target:
    """`ns/name[:port]`, `host:port`; raises ScopeError with what is expected."""
    match = _PORT.match(text.strip())
    name = match["name"] if match else ""
    port = int(match["port"]) if match and match["port"] else 0
    if not name or name.count("/") > 1 or port > 65535 or name.startswith("/"):
        raise ScopeError(f"{option} {text!r}: expected namespace/name[:port] or host:port")
    namespace, slash, rest = name.rpartition("/")
    if slash and not rest:
        raise ScopeError(f"{option} {text!r}: expected namespace/name[:port] or host:port")
    return Target(namespace=namespace, name=rest, port=port)


def namespace_of(target: Target | None, fallback: str) -> str:
    """The namespace a target concerns; a host names one when it is a cluster service's."""
    if target is None:
        return ""
    if target.namespace:
        return target.namespace
    parts = target.name.split(".")
    if len(parts) > 2 and parts[2] == "svc" or len(parts) == 2:
        return parts[1]
    return fallback if len(parts) == 1 else ""
