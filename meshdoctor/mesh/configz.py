"""Does istiod hold the same version of an object as the API server?

`/debug/configz` prints what istiod holds as Kubernetes objects (pilot/pkg/xds/debug.go, 1.18 to
1.32-dev), resourceVersion included.
"""

from collections.abc import Mapping

import msgspec

from meshdoctor.model.kubernetes import Partial
from meshdoctor.model.ready import decoder
from meshdoctor.ports import UnparsableError


class _Meta(Partial, frozen=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Object(Partial, frozen=True):
    kind: str = ""
    metadata: _Meta = _Meta()


Key = tuple[str, str, str]


def parse(text: str) -> Mapping[Key, str]:
    """resourceVersion by (kind, namespace, name). Raises UnparsableError."""
    try:
        found = decoder(tuple[_Object, ...]).decode(text.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnparsableError("debug configz", str(error)[:120]) from error
    return {
        (o.kind, o.metadata.namespace, o.metadata.name): o.metadata.resource_version for o in found
    }


def lagging(held: Mapping[str, str | None], version: str) -> str:
    """The istiod that holds another version while a second one has the API's; "" when none does.

    `held` is the version by istiod, None where the object is absent.

    >>> lagging({"a": "7", "b": "9"}, "9"), lagging({"a": "7", "b": "7"}, "9")
    ('a', '')
    """
    if version not in held.values():
        return ""
    return min((name for name, one in held.items() if one != version), default="")
