"""Would a namespace's LimitRanges and ResourceQuotas let a pod in once it has its proxy?

Mirrors the API server's plugin/pkg/admission/limitranger and pkg/quota/v1/evaluator/core (read in
Kubernetes 1.36), and the part `resources` of istiod's injection template (1.18 to 1.32-dev): one
annotation on the proxy's resources sets aside all values of global.proxy.resources. istio-init has
the proxy's resources too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from meshdoctor.mesh.annotations import quantity
from meshdoctor.model.kubernetes import (
    Container,
    LimitRange,
    LimitRangeItem,
    PodSpec,
    Quantity,
    ResourceQuota,
)

PROXY = "istio-proxy"
ADDED = frozenset({PROXY, "istio-init", "istio-validation"})
_ANNOTATIONS = (
    ("requests", "cpu", "sidecar.istio.io/proxyCPU"),
    ("requests", "memory", "sidecar.istio.io/proxyMemory"),
    ("limits", "cpu", "sidecar.istio.io/proxyCPULimit"),
    ("limits", "memory", "sidecar.istio.io/proxyMemoryLimit"),
)
_PLAIN = frozenset({"cpu", "memory", "ephemeral-storage"})


class Asked(Struct, frozen=True, kw_only=True):
    """What one container asks for, by resource; quantities as written."""

    name: str
    requests: Mapping[str, Quantity]
    limits: Mapping[str, Quantity]


def proxy_asks(annotations: Mapping[str, str], values: Any, own: Container | None = None) -> Asked:
    """What the injected proxy asks for. `values` is global.proxy.resources; `own` a container of
    that name in the pod template, which goes before the injected one."""
    given: dict[str, dict[str, Quantity]] = {"requests": {}, "limits": {}}
    told = [
        (part, name, annotations[key]) for part, name, key in _ANNOTATIONS if key in annotations
    ]
    for part, name, value in told:
        given[part][name] = value
    if not told and isinstance(values, Mapping):
        for part, found in given.items():
            some = values.get(part)
            found |= {k: v for k, v in some.items() if v is not None} if some else {}
    if own is not None:
        given["requests"] |= own.resources.requests
        given["limits"] |= own.resources.limits
    return Asked(name=PROXY, requests=given["requests"], limits=given["limits"])


class Sizes(Struct, frozen=True, kw_only=True):
    """What the proxy alone and the pod as a whole ask for, defaults filled in."""

    proxy: Asked
    pod: Asked


def sizes(spec: PodSpec, proxy: Asked, ranges: Iterable[LimitRange]) -> Sizes:
    """Of a pod to which the proxy is added. What was injected before is set aside."""
    items = [item for one in ranges for item in one.spec.limits]
    sidecars = [c for c in spec.init_containers if c.restart_policy == "Always"]
    own = [c for c in (*spec.containers, *sidecars) if c.name not in ADDED]
    filled = _filled(proxy, items)
    return Sizes(proxy=filled, pod=_total([*(_filled(_of(c), items) for c in own), filled]))


def limited(ranges: Iterable[LimitRange], asked: Sizes) -> str:
    """What a LimitRange refuses, in words; "" when none does."""
    for one in ranges:
        for item in one.spec.limits:
            about = {"Container": asked.proxy, "Pod": asked.pod}.get(item.type)
            problem = _outside(item, about) if about is not None else ""
            if problem:
                return f"{one.ref}: {problem}"
    return ""


def counted(quotas: Iterable[ResourceQuota], asked: Sizes) -> str:
    """What a ResourceQuota refuses, in words; "" when none does. Quotas with scopes are passed
    over: whether they count the pod is not judged."""
    for quota in quotas:
        scoped = quota.spec.scopes or quota.spec.scope_selector is not None
        problem = "" if scoped else _full(quota, asked.proxy, asked.pod)
        if problem:
            return f"{quota.ref}: {problem}"
    return ""


def _of(one: Container) -> Asked:
    return Asked(name=one.name, requests=one.resources.requests, limits=one.resources.limits)


def _filled(one: Asked, items: Sequence[LimitRangeItem]) -> Asked:
    """With what the API server and the LimitRanges fill in: a request that is not there is the
    limit, then come the defaults."""
    requests, limits = {**one.limits, **one.requests}, dict(one.limits)
    for item in items:
        if item.type == "Container":
            limits = {**item.default, **limits}
            requests = {**item.default_request, **requests}
    return Asked(name=one.name, requests=requests, limits=limits)


def _total(asked: Sequence[Asked]) -> Asked:
    return Asked(
        name="the pod",
        requests=_sum([one.requests for one in asked]),
        limits=_sum([one.limits for one in asked]),
    )


def _sum(parts: Sequence[Mapping[str, Quantity]]) -> dict[str, Quantity]:
    names = {name for part in parts for name in part}
    return {name: sum(quantity(part.get(name, 0)) or 0.0 for part in parts) for name in names}


def _outside(item: LimitRangeItem, one: Asked) -> str:
    """The first bound of one LimitRange item that these requests and limits break."""
    for name, least in sorted(item.min.items()):
        for word, have in (("request", one.requests.get(name)), ("limit", one.limits.get(name))):
            if have is None and word == "request":
                return f"{name} of {one.name} needs a request of at least {least}"
            if have is not None and _less(have, least):
                return f"{word} {_said(have)} of {name} of {one.name} is below {least}"
    for name, most in sorted(item.max.items()):
        for word, have in (("limit", one.limits.get(name)), ("request", one.requests.get(name))):
            if have is None and word == "limit":
                return f"{name} of {one.name} needs a limit of at most {most}"
            if have is not None and _less(most, have):
                return f"{word} {_said(have)} of {name} of {one.name} is above {most}"
    for name, most in sorted(item.max_limit_request_ratio.items()):
        asked, limit = quantity(one.requests.get(name, 0)), quantity(one.limits.get(name, 0))
        if not asked or not limit or limit / asked > (quantity(most) or 0.0) + 1e-9:
            return f"limit of {name} of {one.name} may be at most {most} times its request"
    return ""


def _less(one: Quantity, other: Quantity) -> bool:
    low, high = quantity(one), quantity(other)
    return low is not None and high is not None and low < high - 1e-12


def _said(value: Quantity) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _full(quota: ResourceQuota, proxy: Asked, total: Asked) -> str:
    """Why a quota has no room for the pod."""
    hard = quota.spec.hard
    for key in sorted(hard):
        part, _, name = key.rpartition(".")
        if name in _PLAIN and part in ("", "requests", "limits"):
            place = "limits" if part == "limits" else "requests"
            if name not in getattr(proxy, place):
                return f"it counts {key}, and {PROXY} states none"
            problem = _over(quota, key, quantity(getattr(total, place)[name]))
        else:
            problem = _over(quota, key, 1.0) if key in ("pods", "count/pods") else ""
        if problem:
            return problem
    return ""


def _over(quota: ResourceQuota, key: str, wanted: float | None) -> str:
    most = quantity(quota.status.hard.get(key, quota.spec.hard[key]))
    used = quantity(quota.status.used.get(key, 0))
    if most is None or used is None or wanted is None or used + wanted <= most + 1e-9:
        return ""
    return f"{wanted:g} of {key} wanted, {used:g} of {most:g} used"
