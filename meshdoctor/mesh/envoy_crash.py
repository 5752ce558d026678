"""Did Envoy crash, and in which of its extensions?

Envoy's own handlers write `Caught SIGNAL`, `std::terminate called` or `assert failure` at level
critical and then a backtrace (source/server/backtrace.h, source/exe/terminate_handler.cc,
source/common/signal). The namespaces of its frames name the extension: those that Istio does not
configure by itself come from an EnvoyFilter.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.filter_blame import texts
from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.patterns import pattern

_REASON = pattern(
    r"(?P<reason>Caught (?:Segmentation fault|Aborted|Bus error|Illegal instruction|"
    r"Floating point exception)|std::terminate called!?|assert failure: .*)"
)
_FRAME = pattern(r"#\d+: (?P<frame>Envoy::\S+)")
_EXTENSION = pattern(r"Envoy::Extensions::(?P<spaces>(?:\w+::)+)")
_SCRIPT = "script log:"
_PLAIN = frozenset(
    {"filters", "common", "http", "httpfilters", "networkfilters", "listenerfilters", "listener"}
)


class Crash(Struct, frozen=True, kw_only=True):
    """`reason` in Envoy's words; `place`: the innermost frame in an extension, else in Envoy;
    `words`: what the script that spoke last and the frames name, most telling first."""

    reason: str = ""
    place: str = ""
    words: tuple[str, ...] = ()


def crash(text: str) -> Crash:
    """The last crash in a proxy's log; empty: none.

    >>> found = crash("critical\\tenvoy backtrace\\tCaught Aborted, suspect faulting address 0x5\\n"
    ...     "#3: Envoy::Extensions::Filters::Common::RateLimit::GrpcClientImpl::limit() [0x55]")
    >>> found.reason, found.words
    ('Caught Aborted', ('ratelimit',))
    """
    reason, script, frames = "", False, list[str]()
    spoke = False
    for line in lines(text):
        head = line[:1000]
        if (found := _REASON.search(head)) is not None:
            if not frames and reason:
                continue
            reason, script, frames = found["reason"], spoke, []
        elif (frame := _FRAME.search(head)) is not None and reason:
            frames.append(frame["frame"])
        elif _SCRIPT in head:
            spoke = True
    inner = next((f for f in frames if _EXTENSION.match(f)), frames[0] if frames else "")
    return Crash(reason=clean(reason, 150), place=clean(inner, 200), words=_words(script, frames))


def _words(script: bool, frames: Iterable[str]) -> tuple[str, ...]:
    found = ["lua"] if script else []
    for frame in frames:
        extension = _EXTENSION.match(frame)
        spaces = extension["spaces"].lower().split("::") if extension is not None else []
        found += [s for s in spaces if s and s not in _PLAIN and not s.endswith("impl")]
    return tuple(dict.fromkeys(found))


def blamed(seen: Crash, filters: Iterable[EnvoyFilter]) -> EnvoyFilter | None:
    """Of the filters that the proxy gets the one that brings in the extension of the crash; where
    none names it, the only one that there is."""
    some = tuple(filters)
    for word in seen.words:
        named = [f for f in some if any(word in _plain(text) for text in texts(f))]
        if named:
            return named[0]
    return some[0] if len(some) == 1 and not seen.words else None


def _plain(text: str) -> str:
    return text.lower().replace("_", "") if len(text) < 200 else ""
