"""Which http rules do proxies get of a VirtualService that hands some of them to delegates?

Mirrors mergeHTTPRoutes, mergeHTTPMatchRequests and mergeHTTPMatchRequest of
pilot/pkg/model/virtualservice.go (1.18 to 1.32-dev): each rule of a delegate stands in the place of
the root's, for the requests that both take; what the delegate does not say, the root says for it.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from meshdoctor.mesh.delegates import Find, conflict, why_dropped
from meshdoctor.model.istio import HttpMatch, HttpRoute, VirtualService


def merged(
    root: VirtualService,
    find: Find,
    default_export: Sequence[str] = (),
    release: tuple[int, ...] | None = None,
) -> VirtualService:
    """The VirtualService as proxies have it; the same one where no rule has a delegate."""
    if all(rule.delegate is None for rule in root.spec.http):
        return root
    rules = tuple(
        one for rule in root.spec.http for one in _rules(root, rule, find, default_export, release)
    )
    return replace(root, spec=replace(root.spec, http=rules))


def _rules(
    root: VirtualService,
    rule: HttpRoute,
    find: Find,
    default_export: Sequence[str],
    release: tuple[int, ...] | None,
) -> Iterator[HttpRoute]:
    """What a rule becomes; nothing where its delegate is left out."""
    if rule.delegate is None:
        yield rule
        return
    found = find(rule.delegate.namespace or root.namespace, rule.delegate.name)
    if found is None or why_dropped(root, rule, found, default_export, release):
        return
    for own in found.spec.http:
        matches = _matches(rule.match, own.match)
        if own.delegate is None and matches is not None:
            yield replace(
                own,
                match=matches,
                fault=own.fault or rule.fault,
                rewrite=own.rewrite or rule.rewrite,
                direct_response=own.direct_response or rule.direct_response,
            )


def _matches(
    root: tuple[HttpMatch, ...], leaf: tuple[HttpMatch, ...]
) -> tuple[HttpMatch, ...] | None:
    """The matches together; None where one of the delegate's is no part of any of the root's."""
    if not root or not leaf:
        return root or leaf
    out: list[HttpMatch] = []
    for one in leaf:
        fits = [wide for wide in root if not conflict(wide, one)]
        if not fits:
            return None
        out += [_match(wide, one) for wide in fits]
    return tuple(out)


def _match(root: HttpMatch, leaf: HttpMatch) -> HttpMatch:
    return replace(
        leaf,
        uri=leaf.uri or root.uri,
        scheme=leaf.scheme or root.scheme,
        method=leaf.method or root.method,
        authority=leaf.authority or root.authority,
        headers=root.headers | leaf.headers,
        without_headers=root.without_headers | leaf.without_headers,
        query_params=root.query_params | leaf.query_params,
        port=leaf.port or root.port,
        source_labels=root.source_labels | leaf.source_labels,
        source_namespace=leaf.source_namespace or root.source_namespace,
        gateways=leaf.gateways or root.gateways,
    )
