"""Which VirtualService holds what Envoy refuses in a route table?

Envoy's words name no route. RE2 quotes the piece of the expression that it cannot read (re2
parse.cc kErrorStrings: `invalid perl operator: (?!`); PGV names the field that breaks its rule
(envoy.config.route.v3, 1.18 to 1.36). What istiod makes of a route without destination, or with
several of weight 0, is a weighted cluster without entries
(pilot/pkg/networking/core/route/route.go applyHTTPRouteDestination).
"""

import re
from collections.abc import Iterable, Iterator

from meshdoctor.model.istio import HttpRoute, StringMatch, VirtualService
from meshdoctor.model.patterns import pattern

LONGEST = 2000
_QUOTED = pattern(
    r"(?:invalid perl operator|invalid named capture group|invalid character class range"
    r"|invalid character class|invalid escape sequence|no argument for repetition operator"
    r"|bad repetition operator|invalid repetition size|invalid repetition operator"
    r"|missing argument to repetition operator|unexpected \)|missing \)|missing \]"
    r"|missing closing \)|missing closing \]): ?(\S+)"
)
_ABOUT_REGEX = pattern(
    r"[Ii]nvalid regex|repetition operator|perl operator|missing closing"
    r"|regex .*too (?:large|complex)"
)


def blame(message: str, routes: Iterable[VirtualService]) -> tuple[str, list[VirtualService]]:
    """What the message is about in a few words, and the routes that hold it; ("", []) when it is
    about none of these."""
    known = list(routes)
    for why, found in (
        ("a regular expression", _of_regex(message, known)),
        ("a route whose destinations have no weight", _of_weights(message, known)),
        ("a route whose weights do not make 100", _of_sums(message, known)),
        ("an empty regular expression", _of_empty(message, known)),
    ):
        if found:
            return why, found
    return "", []


def _of_regex(message: str, routes: list[VirtualService]) -> list[VirtualService]:
    whole = [r for r in routes if any(x and x in message for x in _regexes(r))]
    if whole and _ABOUT_REGEX.search(message):
        return whole
    quoted = _QUOTED.search(message)
    if quoted is None:
        return []
    piece = quoted[1].rstrip("'\"")
    return [r for r in routes if any(_is_wrong(x, piece) for x in _regexes(r))]


def _is_wrong(regex: str, piece: str) -> bool:
    """Whether an expression holds the piece that RE2 quotes. An operator by itself (`*`) is in
    many that are right: only where nothing stands before it, it is wrong."""
    if not set(piece) <= set("*+?{}0123456789,"):
        return piece in regex
    return piece in regex and _repeats_nothing(regex)


def _repeats_nothing(regex: str) -> bool:
    try:
        re.compile(regex[:LONGEST])
    except re.error as error:
        return "repeat" in error.msg
    except (OverflowError, RecursionError):
        return True
    return False


def _of_weights(message: str, routes: list[VirtualService]) -> list[VirtualService]:
    if "WeightedClusterValidationError.Clusters" not in message and (
        "weighted clusters" not in message.lower()
    ):
        return []
    return [r for r in routes if any(map(weightless, r.spec.http))]


def _of_sums(message: str, routes: list[VirtualService]) -> list[VirtualService]:
    """Before istiod wrote the sum of weights itself, Envoy took 100 alone."""
    if "sum of weights in the weighted_cluster" not in message.lower():
        return []
    return [r for r in routes if any(map(uneven, r.spec.http))]


def uneven(rule: HttpRoute) -> bool:
    """Whether the weights of several destinations make something else than 100."""
    return len(rule.route) > 1 and sum(one.weight for one in rule.route) != 100


def _of_empty(message: str, routes: list[VirtualService]) -> list[VirtualService]:
    if "RegexMatcherValidationError.Regex" not in message:
        return []
    return [r for r in routes if any(x == "" for x in _regexes(r))]


def weightless(rule: HttpRoute) -> bool:
    """Whether a rule routes to nothing: no destination and no other answer, or several
    destinations of which none has a weight. The weight of a single one is never asked."""
    if rule.redirect is not None or rule.direct_response is not None or rule.delegate is not None:
        return False
    return len(rule.route) != 1 and not any(one.weight for one in rule.route)


def _regexes(route: VirtualService) -> Iterator[str]:
    for rule in route.spec.http:
        for origin in rule.cors_policy.allow_origins if rule.cors_policy is not None else ():
            yield from _regex(origin)
        for match in rule.match:
            for text in (match.uri, match.scheme, match.method, match.authority):
                yield from _regex(text)
            for text in (*match.headers.values(), *match.query_params.values()):
                yield from _regex(text)


def _regex(text: StringMatch | None) -> Iterator[str]:
    if text is not None and text.regex is not None:
        yield text.regex
