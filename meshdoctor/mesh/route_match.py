"""Which rule of a VirtualService takes a request?

Mirrors pilot/pkg/networking/core/route (translateRoutes, sourceMatchHTTP: of a proxy's rules those
stay whose port fits it and whose gateways do, or, where a match names none, whose sourceLabels and
sourceNamespace do; where none does, the service's own route stays in place) and Envoy's route
matching (read at 1.18 to 1.32-dev, seen at 1.31). Three-valued: what of a request is not known may
match.
"""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.text import clean
from meshdoctor.model.istio import HttpMatch, HttpRoute, StringMatch, VirtualService

MESH = "mesh"
Mine = Callable[[HttpMatch], bool]
"""Which matches a proxy gets."""


def every_match(_: HttpMatch) -> bool:
    """All of them."""
    return True


class Asked(Struct, frozen=True, kw_only=True):
    """One request of a sidecar, as far as it is known: None is not known, and so is a header that
    is not among `headers` (lower-case names). `port` is the Service's; `labels` are the pod's."""

    namespace: str
    labels: Mapping[str, str]
    port: int
    method: str | None = None
    path: str | None = None
    authority: str | None = None
    headers: Mapping[str, str] = {}


def takes(route: VirtualService, asked: Asked) -> bool | None:
    """Whether the request finds a route: by an http rule, or by the service's own where no rule is
    for this proxy; None: that depends on what is not known."""
    mine = [rule for rule in route.spec.http if _fits(rule, asked)]
    return _any(_rule(rule, asked) for rule in mine) if mine else True


def _fits(rule: HttpRoute, asked: Asked) -> bool:
    """Whether istiod gives this proxy the rule at all."""
    return not rule.match or any(_mine(one, asked) for one in rule.match)


def _rule(rule: HttpRoute, asked: Asked) -> bool | None:
    if not rule.match:
        return True
    return _any(_match(one, asked) for one in rule.match if _mine(one, asked))


def _mine(match: HttpMatch, asked: Asked) -> bool:
    if match.port not in (0, asked.port):
        return False
    if match.gateways:
        return MESH in match.gateways
    return _is_source(match, asked.namespace, asked.labels)


def _is_source(match: HttpMatch, namespace: str, labels: Mapping[str, str]) -> bool:
    return match.source_namespace in ("", namespace) and all(
        labels.get(key) == value for key, value in match.source_labels.items()
    )


def for_gateway(match: HttpMatch, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a gateway with these labels gets the match at all: sourceLabels are compared with its
    own. Which of its Gateways a match may name is another question."""
    if match.gateways:
        return any(name != MESH for name in match.gateways)
    return _is_source(match, namespace, labels)


def _match(match: HttpMatch, asked: Asked) -> bool | None:
    path, _, query = asked.path.partition("?") if asked.path is not None else (None, "", "")
    parameters = dict(parse_qsl(query, keep_blank_values=True)) if path is not None else None
    return _all(
        (
            *_line(match, asked.authority, path, asked.method),
            *(_header(one, asked.headers.get(key.lower())) for key, one in match.headers.items()),
            *(
                _not(_header(one, asked.headers.get(key.lower())))
                for key, one in match.without_headers.items()
            ),
            *(
                None if parameters is None else _given(one, parameters.get(key))
                for key, one in match.query_params.items()
            ),
        )
    )


def may_take(
    rule: HttpRoute,
    authority: str,
    path: str,
    method: str,
    mine: Mine = every_match,
) -> bool:
    """Whether a rule may take such a request (`path` without its query), by itself: what an access
    log does not tell may hold. `mine`: which of its matches the proxy gets."""
    return not rule.match or any(
        mine(one) and _all(_line(one, authority, path, method)) is not False for one in rule.match
    )


def unmet(rule: HttpRoute, authority: str, path: str, method: str, mine: Mine = every_match) -> str:
    """What a rule asks for beside path, method and authority, all of which a request has; "" when
    it asks for nothing more, or the request is none of its own. Of a request that found no route it
    is what was missing."""
    for one in rule.match:
        asks = one.headers or one.query_params or one.without_headers
        if asks and mine(one) and _all(_line(one, authority, path, method)):
            return _said(replace(one, uri=None, method=None, authority=None))
    return ""


def _line(
    match: HttpMatch, authority: str | None, path: str | None, method: str | None
) -> tuple[bool | None, ...]:
    return (
        _path(match, path),
        _text(match.method, method),
        _text(match.authority, authority),
    )


def _path(match: HttpMatch, path: str | None) -> bool | None:
    if match.uri is None or path is None or not match.ignore_uri_case:
        return _text(match.uri, path)
    wanted = StringMatch(
        exact=match.uri.exact.lower() if match.uri.exact is not None else None,
        prefix=match.uri.prefix.lower() if match.uri.prefix is not None else None,
        regex=match.uri.regex,
    )
    return _text(wanted, path.lower())


def _text(wanted: StringMatch | None, text: str | None) -> bool | None:
    if wanted is None:
        return True
    if text is None:
        return None
    if wanted.exact is not None:
        return wanted.exact == text
    if wanted.prefix is not None:
        return text.startswith(wanted.prefix)
    return None if wanted.regex is not None else True


def _header(wanted: StringMatch, value: str | None) -> bool | None:
    return None if value is None else _text(wanted, value)


def _given(wanted: StringMatch, value: str | None) -> bool | None:
    return False if value is None else _text(wanted, value)


def _not(found: bool | None) -> bool | None:
    return None if found is None else not found


def _any(found: Iterable[bool | None]) -> bool | None:
    some = list(found)
    return True if True in some else None if None in some else False


def _all(found: Iterable[bool | None]) -> bool | None:
    some = list(found)
    return False if False in some else None if None in some else True


def wants(route: VirtualService) -> str:
    """What the http rules ask of a request, in words.

    >>> from meshdoctor.model.istio import VirtualServiceSpec
    >>> rule = HttpRoute(match=(HttpMatch(uri=StringMatch(prefix="/a"), source_namespace="x"),))
    >>> wants(VirtualService(spec=VirtualServiceSpec(http=(rule,))))
    'rule 1: uri prefix /a, sourceNamespace x'
    """
    told = []
    for number, rule in enumerate(route.spec.http, 1):
        each = " or ".join(_said(one) for one in rule.match) or "anything"
        told.append(f"rule {number}: {each}")
    return clean("; ".join(told), 300)


def _said(match: HttpMatch) -> str:
    parts = [
        f"{name} {_wanted(one)}"
        for name, one in (
            *(("uri", match.uri), ("method", match.method), ("authority", match.authority)),
            *((f"header {key}", one) for key, one in match.headers.items()),
            *((f"query {key}", one) for key, one in match.query_params.items()),
        )
        if one is not None
    ]
    parts += [f"no header {key}" for key in match.without_headers]
    parts += [f"{key}={value}" for key, value in match.source_labels.items()]
    for name, value in (
        ("sourceNamespace", match.source_namespace),
        ("port", str(match.port or "")),
        ("gateways", ", ".join(match.gateways)),
    ):
        parts += [f"{name} {value}"] if value else []
    return ", ".join(parts) or "anything"


def _wanted(one: StringMatch) -> str:
    for word, value in (("exact", one.exact), ("prefix", one.prefix), ("regex", one.regex)):
        if value is not None:
            return f"{word} {value}"
    return "present"
