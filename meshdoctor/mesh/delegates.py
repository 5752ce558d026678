"""Which rule of a root VirtualService gets nothing of use from its delegate?

Mirrors mergeVirtualServicesIfNeeded, mergeHTTPRoutes and hasConflict of
pilot/pkg/model/virtualservice.go: a delegate names no hosts, is exported to the root's namespace,
and its rules match part of what the root's rule matches. What does not fit is left out in silence.
Before 1.17 a delegate that has no exportTo of its own, in a mesh whose default is ".", is exported
to nobody (istio/istio#42602); before 1.11 one that the root names without a namespace is looked for
in none (istio/istio#33251); before 1.9 a delegate's short hosts are read in the root's namespace
(istio/istio#30387).
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from meshdoctor.mesh.exports import audience, sees
from meshdoctor.mesh.routes import destinations
from meshdoctor.model.istio import HttpMatch, HttpRoute, StringMatch, VirtualService

_DEFAULT_READ = (1, 17)
_OWN_NAMESPACE = (1, 11)
_OWN_HOSTS = (1, 9)
Find = Callable[[str, str], VirtualService | None]
Exists = Callable[[str, str], bool]


class Dropped(Struct, frozen=True, kw_only=True):
    """A root's rule, from 1, whose delegate is left out, or a rule of it; `delegate` is None when
    there is none of that name. `misread`: it is there, and goes to a host without a cluster."""

    rule: int
    name: str
    delegate: VirtualService | None
    why: str
    misread: bool = False


def dropped(
    root: VirtualService,
    find: Find,
    default_export: Sequence[str] = (),
    release: tuple[int, ...] | None = None,
    service: Exists = lambda *_: False,
) -> Dropped | None:
    """The first rule of a VirtualService whose delegate gives it nothing, or not all.

    `release` is istiod's; None when not known: then that of today. `service` tells whether there
    is a Service of that namespace and name.
    """
    if not root.spec.hosts:
        return None
    for number, rule in enumerate(root.spec.http, start=1):
        if rule.delegate is None:
            continue
        key = (rule.delegate.namespace or root.namespace, rule.delegate.name)
        found = find(*key)
        why = _why(root, rule, found, default_export, release)
        if why:
            return Dropped(rule=number, name="/".join(key), delegate=found, why=why)
        if found is not None and before(release, _OWN_HOSTS):
            why = _short_host(root, found, service)
        if why:
            return Dropped(rule=number, name="/".join(key), delegate=found, why=why, misread=True)
    return None


def why_dropped(
    root: VirtualService,
    rule: HttpRoute,
    delegate: VirtualService | None,
    default_export: Sequence[str],
    release: tuple[int, ...] | None,
) -> str:
    """Why a root's rule gets nothing at all of its delegate; "" when it gets its rules."""
    if delegate is None:
        return "does not exist"
    if (
        rule.delegate is not None
        and not rule.delegate.namespace
        and before(release, _OWN_NAMESPACE)
    ):
        return "is named without a namespace, and this release does not take the root's for it"
    if delegate.spec.hosts:
        return "names hosts of its own, so it is no delegate"
    if "." in default_export and not delegate.spec.export_to and before(release, _DEFAULT_READ):
        return 'is exported to nobody: this release does not read the mesh\'s default of "." for it'
    seen = audience(delegate.spec.export_to, delegate.namespace, default_export)
    if not sees(seen, root.namespace):
        return f"is not exported to {root.namespace}"
    return ""


def _why(
    root: VirtualService,
    rule: HttpRoute,
    delegate: VirtualService | None,
    default_export: Sequence[str],
    release: tuple[int, ...] | None,
) -> str:
    why = why_dropped(root, rule, delegate, default_export, release)
    if why or delegate is None:
        return why
    for number, own in enumerate(delegate.spec.http, start=1):
        if own.delegate is not None:
            return f"hands its rule {number} to another delegate, which is not followed"
        if rule.match and any(all(conflict(m, one) for m in rule.match) for one in own.match):
            return f"matches in its rule {number} what the root's rule does not match"
    return ""


def _short_host(root: VirtualService, delegate: VirtualService, service: Exists) -> str:
    if delegate.namespace == root.namespace:
        return ""
    short = (d.host for d in destinations(delegate) if d.host and "." not in d.host)
    lost = next((host for host in short if not service(root.namespace, host)), "")
    if not lost:
        return ""
    return f"routes to {lost}, which this release reads as {lost}.{root.namespace}: there is none"


def before(release: tuple[int, ...] | None, first: tuple[int, ...]) -> bool:
    """Whether istiod's release is known, and an earlier one."""
    return release is not None and release < first


def conflict(root: HttpMatch, leaf: HttpMatch) -> bool:
    """Whether a delegate's match is no part of the root's."""
    pairs = (
        (root.uri, leaf.uri),
        (root.scheme, leaf.scheme),
        (root.method, leaf.method),
        (root.authority, leaf.authority),
        *((root.headers.get(name), one) for name, one in leaf.headers.items()),
        *((root.query_params.get(name), one) for name, one in leaf.query_params.items()),
    )
    return any(_outside(one, other) for one, other in pairs) or (
        bool(root.port and leaf.port) and root.port != leaf.port
    )


def _outside(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Of regular expressions nothing is said here: releases differ."""
    if root is None or leaf is None or root.regex or leaf.regex:
        return False
    if root.exact:
        return leaf.exact != root.exact
    if root.prefix:
        return not (leaf.prefix or leaf.exact or "").startswith(root.prefix)
    return False
