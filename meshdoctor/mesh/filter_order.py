"""Does an EnvoyFilter ask for a place beside a filter that another EnvoyFilter adds only later?

Mirrors pilot/pkg/model/push_context.go initEnvoyFilters and pilot/pkg/networking/core/envoyfilter
(1.12 to 1.32-dev): the filters of one namespace are applied by priority, then age, then name; a
patch whose match is not there yet does nothing, and nobody says so (istio/istio#38214; `istioctl
analyze` warns of it as IST0155).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.filter_match import dead, neighbour
from meshdoctor.model.istio import EnvoyFilter, EnvoyFilterPatch

_RELATIVE = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "REPLACE", "MERGE", "REMOVE"})
_ADDS = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "ADD"})


class TooEarly(Struct, frozen=True, kw_only=True):
    """`wanted` is the filter's name that a patch matches; `adds` the EnvoyFilter that adds it."""

    wanted: str
    adds: EnvoyFilter


def too_early(
    filter_: EnvoyFilter,
    others: Iterable[EnvoyFilter],
    proxy_types: frozenset[str],
    versions: Iterable[str],
) -> TooEarly | None:
    """The first patch that matches what only later EnvoyFilters of its namespace add, for proxies
    of these types and releases; None: there is none."""
    known = tuple(versions)
    rivals = [o for o in others if o.namespace == filter_.namespace and o.name != filter_.name]
    for patch in filter_.spec.config_patches:
        wanted = _wanted(patch)
        if not wanted or dead(patch, proxy_types, known):
            continue
        adding = [
            o
            for o in rivals
            if any(_adds(p, patch, wanted, proxy_types, known) for p in o.spec.config_patches)
        ]
        if adding and all(_turn(o) > _turn(filter_) for o in adding):
            return TooEarly(wanted=wanted, adds=min(adding, key=_turn))
    return None


def _turn(filter_: EnvoyFilter) -> tuple[int, float, str]:
    """When istiod applies it among those of its namespace."""
    created = filter_.metadata.creation_timestamp
    return (filter_.spec.priority, created.timestamp() if created else 0.0, filter_.name)


def _wanted(patch: EnvoyFilterPatch) -> str:
    """The name of the filter without which the patch does nothing."""
    return (neighbour(patch) or "") if patch.patch.operation in _RELATIVE else ""


def _adds(
    patch: EnvoyFilterPatch,
    early: EnvoyFilterPatch,
    wanted: str,
    proxy_types: frozenset[str],
    versions: tuple[str, ...],
) -> bool:
    same = patch.apply_to == early.apply_to and patch.patch.operation in _ADDS
    contexts = {patch.match.context, early.match.context}
    meets = len(contexts) == 1 or "ANY" in contexts
    named = patch.patch.value.get("name") == wanted
    return same and meets and named and not dead(patch, proxy_types, versions)
