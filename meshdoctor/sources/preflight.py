"""What can be seen from here, before anything depends on it?"""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from meshdoctor.ports import EvidenceError
from meshdoctor.sources.access import Access, Need, needs_of
from meshdoctor.sources.check import Check
from meshdoctor.sources.http import Refused
from meshdoctor.sources.live import Live


class _Info(msgspec.Struct, frozen=True):
    version: str = ""


class _Component(msgspec.Struct, frozen=True, rename="pascal"):
    revision: str = ""
    info: _Info = _Info()


class _Proxy(msgspec.Struct, frozen=True, rename="pascal"):
    istio_version: str = ""


class _Versions(msgspec.Struct, frozen=True, rename="camel"):
    """`istioctl version -o json`."""

    client_version: _Info = _Info()
    mesh_version: list[_Component] = []
    data_plane_version: list[_Proxy] = []


def preflight(live: Live, namespaces: Sequence[str], reads: Sequence[str]) -> Iterator[Check]:
    """API server, permissions, istiod, istioctl and its skew; one check after the other."""
    yield _api(live)
    yield from _permissions(live, namespaces, reads)
    yield _istiod(live)
    yield from _istioctl(live)


def _api(live: Live) -> Check:
    host = live.transport.configuration.host
    try:
        return Check(ok=True, text=f"API server {host}: Kubernetes {live.api.version()}")
    except (EvidenceError, Refused, msgspec.DecodeError) as error:
        return Check(ok=None, text=f"API server {host} tells no version: {error}")


def _permissions(live: Live, namespaces: Sequence[str], reads: Sequence[str]) -> Iterator[Check]:
    needs = needs_of(reads, namespaces)
    allowed: Counter[str] = Counter()
    for need, met in Access(live.transport).check(needs):
        if met:
            allowed[_scope(need)] += 1
            continue
        word = "may not" if met is False else "cannot tell whether you may"
        text = f"{word} {need.verb} {need.resource} in {_scope(need)}"
        yield Check(ok=met, text=text, remedy=f"Ask for it; check with: {need.command}")
    for scope, count in sorted(allowed.items()):
        yield Check(ok=True, text=f"{count} reads allowed in {scope}")


def _scope(need: Need) -> str:
    if not need.namespaced:
        return "the cluster scope"
    return f"namespace {need.namespace}" if need.namespace else "all namespaces"


def _istiod(live: Live) -> Check:
    try:
        names = ", ".join(pod.name for pod in live.istiods())
    except EvidenceError as error:
        return Check(ok=False, text=str(error), remedy=error.unavailable.remedy)
    try:
        live.proxy_status()
    except EvidenceError as error:
        return Check(
            ok=False,
            text=f"istiod ({names}) gives no sync state: {error}",
            remedy=error.unavailable.remedy,
        )
    return Check(ok=True, text=f"istiod answers: {names}")


def _istioctl(live: Live) -> Iterator[Check]:
    if not live.istioctl.found:
        yield Check(
            ok=None,
            text="istioctl not found on PATH; proxies are asked by port-forward instead",
            remedy="https://istio.io/latest/docs/ops/diagnostic-tools/istioctl/",
        )
        return
    try:
        said = msgspec.json.decode(live.version().text, type=_Versions)
    except (EvidenceError, msgspec.DecodeError) as error:
        yield Check(ok=None, text=f"istioctl at {live.istioctl.path} gives no versions: {error}")
        return
    client = said.client_version.version
    planes = sorted({one.info.version for one in said.mesh_version})
    proxies = Counter(one.istio_version for one in said.data_plane_version)
    shown = ", ".join(f"{version} ({count})" for version, count in sorted(proxies.items()))
    yield Check(
        ok=True,
        text=f"istioctl {client}, istiod {', '.join(planes) or 'none'}, proxies {shown or 'none'}",
    )
    for name, version in [("istiod", v) for v in planes] + [("proxy", v) for v in sorted(proxies)]:
        if (skew := _skew(client if name == "istiod" else _newest(planes), version)) > 1:
            other = "istioctl" if name == "istiod" else "istiod"
            yield Check(
                ok=False,
                text=f"{name} {version} is {skew} minor releases away from {other}",
                remedy="One minor release of skew is supported.",
            )


def _newest(versions: Sequence[str]) -> str:
    return max(versions, key=_minor, default="")


def _minor(version: str) -> int:
    parts = version.split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else -1


def _skew(one: str, other: str) -> int:
    a, b = _minor(one), _minor(other)
    return abs(a - b) if a >= 0 and b >= 0 else 0
