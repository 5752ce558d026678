"""To which namespaces is a configuration object exported?

Mirrors pilot/pkg/model/push_context.go (initVirtualServices, initDestinationRules,
IsServiceVisible; 1.18 to 1.32-dev): `*` anywhere wins, `.` is the object's own namespace, `~` is
nobody, an absent list takes the mesh default, which is `*`.
"""

from collections.abc import Sequence


def audience(
    export_to: Sequence[str], namespace: str, default: Sequence[str] = ()
) -> frozenset[str]:
    """Namespaces that see the object; `*` in the set means all of them.

    >>> sorted(audience((".", "shop"), "pay")), audience((), "pay"), audience(("~",), "pay")
    (['pay', 'shop'], frozenset({'*'}), frozenset())
    """
    wanted = tuple(export_to) or tuple(default) or ("*",)
    if "*" in wanted:
        return frozenset({"*"})
    return frozenset(namespace if one == "." else one for one in wanted if one != "~")


def overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether some namespace sees both objects."""
    if not one or not other:
        return False
    return "*" in one or "*" in other or bool(one & other)


def sees(found: frozenset[str], namespace: str) -> bool:
    """Whether a namespace sees the object."""
    return "*" in found or namespace in found
