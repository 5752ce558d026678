"""Which rule of a VirtualService has proxies fail or delay requests on purpose?

Mirrors pilot/pkg/networking/core/route (TranslateFault, 1.18 to 1.32-dev): a fault without a
percentage meets every request. Envoy logs FI for what it aborts and DI for what it delays.
"""

from msgspec import Struct

from meshdoctor.model.istio import Fault, HttpRoute, Percent, VirtualService


class Injected(Struct, frozen=True, kw_only=True):
    """A fault: the rule that has it, counted from 1, what it does, whether it ends every
    request that the rule takes from whoever asks, and whether its rule asks for a header, a query
    or a caller first, as a test's does."""

    rule: int
    said: str
    every: bool
    aimed: bool


def injected(route: VirtualService) -> Injected | None:
    """The first fault of a VirtualService that meets requests; one that ends all before others,
    and one for everybody before one that is aimed."""
    found = [
        Injected(rule=number, said=_said(rule.fault), every=_every(rule), aimed=aimed(rule))
        for number, rule in enumerate(route.spec.http, 1)
        if rule.fault is not None and _said(rule.fault)
    ]
    return min(found, key=lambda one: (not one.every, one.aimed, one.rule), default=None)


def _share(percentage: Percent | None) -> float:
    return 100.0 if percentage is None else percentage.value


def _said(fault: Fault) -> str:
    parts = []
    if fault.abort is not None and _share(fault.abort.percentage) > 0:
        answer = fault.abort.grpc_status or str(fault.abort.http_status)
        parts.append(f"ends {_share(fault.abort.percentage):g} % of requests with {answer}")
    if fault.delay is not None and _share(fault.delay.percentage) > 0:
        share = _share(fault.delay.percentage)
        parts.append(f"delays {share:g} % of requests by {fault.delay.fixed_delay}")
    return " and ".join(parts)


def _every(rule: HttpRoute) -> bool:
    abort = rule.fault.abort if rule.fault is not None else None
    return abort is not None and _share(abort.percentage) >= 100 and not aimed(rule)


def aimed(rule: HttpRoute) -> bool:
    """Whether a rule asks for a header, a query or a caller first: that may well be a test's."""
    return bool(rule.match) and all(
        m.headers or m.query_params or m.source_labels or m.source_namespace for m in rule.match
    )
