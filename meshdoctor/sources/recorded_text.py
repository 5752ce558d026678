"""Which file of a recording answers a read of a log, of istioctl or of metrics?

Names are read leniently, because people save outputs by hand: `_` or `-` between command and
subject, singular or plural, with or without namespace, a workload's name for its only pod.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from meshdoctor.model.patterns import pattern

WHATS: Mapping[str, str] = {
    **{w: w for w in ("cluster", "listener", "route", "endpoint", "secret", "bootstrap", "all")},
    **{f"{w}s": w for w in ("cluster", "listener", "route", "endpoint", "secret")},
    "c": "cluster",
    "l": "listener",
    "r": "route",
    "ep": "endpoint",
    "s": "secret",
    "b": "bootstrap",
    "log": "log",
    "eds": "eds",
    "ecds": "ecds",
    "config_dump": "all",
}
_CONFIG = pattern(
    r"^(?:x[-_])?(?:proxy-config|proxyconfig|pc)[-_](config_dump|[a-z]+)(?:[-_](.+))?$"
)
_AUTHZ = pattern(r"^(?:x[-_]|experimental[-_])?authz[-_]check[-_](.+)$")
_DEBUG = pattern(r"^debug[-_]([A-Za-z]+z?)(?:[-_](.+))?$")
_STATUS = pattern(r"^(?:x[-_])?(?:proxy-status|proxystatus|ps|syncz)(?:[-_.].*)?$")


@dataclass(frozen=True, slots=True)
class Named:
    """One text file, by what it answers: command, its argument, the pod and its namespace."""

    command: str
    argument: str
    namespace: str
    pod: str
    path: str


def istioctl_files(paths: Iterable[str]) -> tuple[Named, ...]:
    """Every file of istioctl/ whose name says which command printed it; JSON first."""
    found = [named for path in paths if (named := _istioctl(path)) is not None]
    return tuple(sorted(found, key=lambda n: (not n.path.endswith(".json"), n.path)))


def _istioctl(path: str) -> Named | None:
    stem = PurePosixPath(path).name
    for suffix in (".json", ".txt", ".yaml", ".log", ".out"):
        stem = stem.removesuffix(suffix)
    if match := _CONFIG.match(stem):
        what = WHATS.get(match[1])
        return Named("proxy-config", what, *_pod(match[2] or ""), path) if what else None
    if match := _AUTHZ.match(stem):
        return Named("authz-check", "", *_pod(match[1]), path)
    if match := _DEBUG.match(stem):
        return Named("debug", match[1], *_pod(match[2] or ""), path)
    if _STATUS.match(stem):
        return Named("proxy-status", "", "", "", path)
    if stem.split("_")[0] in ("analyze", "version"):
        return Named(stem.split("_")[0], "", "", "", path)
    return None


def _pod(text: str) -> tuple[str, str]:
    """Namespace and pod of `pod.namespace`, `namespace_pod` or `pod`."""
    if "_" in text:
        namespace, _, pod = text.partition("_")
        return namespace, pod
    pod, _, namespace = text.partition(".")
    return namespace, pod


def matches(named: Named, namespace: str, pod: str) -> bool:
    """Whether the file speaks of this pod: by its name, or by its workload's."""
    if named.namespace and named.namespace != namespace:
        return False
    return not named.pod or named.pod == pod or pod.startswith(named.pod + "-")


def log_files(paths: Iterable[str]) -> dict[tuple[str, str, str, bool], str]:
    """logs/NAMESPACE_POD_CONTAINER[.previous].log by what it is a log of."""
    found: dict[tuple[str, str, str, bool], str] = {}
    for path in paths:
        stem = PurePosixPath(path).name
        for suffix in (".log", ".txt"):
            stem = stem.removesuffix(suffix)
        previous = stem.endswith((".previous", "_previous", "-previous"))
        stem = stem[: -len(".previous")] if previous else stem
        parts = stem.split("_")
        if len(parts) == 3:
            found[(parts[0], parts[1], parts[2], previous)] = path
        elif len(parts) == 2:
            found[("", parts[0], parts[1], previous)] = path
    return found


def metrics_files(paths: Iterable[str]) -> dict[tuple[str, str], str]:
    """metrics/NAMESPACE_POD.prom by pod."""
    found: dict[tuple[str, str], str] = {}
    for path in paths:
        stem = PurePosixPath(path).name.removesuffix(".prom").removesuffix(".txt")
        namespace, _, pod = stem.rpartition("_")
        found[(namespace, pod)] = path
    return found
