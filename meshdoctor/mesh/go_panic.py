"""Did a program of Go's (istiod, the agent) end in a panic, and where?

The runtime writes `panic: REASON` or `fatal error: REASON` and then every goroutine's frames, the
one that failed first (Go's runtime/panic.go and traceback.go). What istiod was about to push is in
its own line `Push debounce stable[N] M for config KIND/NAMESPACE/NAME: ...` before it.
"""

from msgspec import Struct

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_REASON = pattern(r"^(?:panic|fatal error): (?P<reason>.+)")
_FRAME = pattern(r"^(?P<place>istio\.io/[^\s(]*(?:\(\*?\w+\)[^\s(]*)*)\(")
_PUSHED = pattern(r"for config (?P<config>\w+/[\w-]*/[\w.-]+)")


class Panic(Struct, frozen=True, kw_only=True):
    """`reason` as the runtime says it; `place`: Istio's innermost function in the first goroutine;
    `pushed`: the configuration whose change was pushed last before. Empty: not told."""

    reason: str = ""
    place: str = ""
    pushed: str = ""


def panic(text: str) -> Panic:
    """The last panic in a log.

    >>> panic("panic: runtime error: index out of range\\n\\ngoroutine 7 [running]:\\n"
    ...       "istio.io/istio/pilot/pkg/xds.(*Server).Push(0xc0)")
    ... # doctest: +NORMALIZE_WHITESPACE
    Panic(reason='runtime error: index out of range',
          place='istio.io/istio/pilot/pkg/xds.(*Server).Push', pushed='')
    """
    reason = place = pushed = said = ""
    for line in lines(text):
        if (found := _REASON.match(line)) is not None:
            reason, place, said = found["reason"], "", pushed
        elif reason and not place and (found := _FRAME.match(line)) is not None:
            place = found["place"]
        elif (found := _PUSHED.search(line)) is not None:
            pushed = found["config"]
    return Panic(reason=clean(reason, 200), place=clean(place, 200), pushed=clean(said, 200))
