"""Which source do the options name? The one door through which `cli` builds sources.

Imports happen inside the functions: a bundle never pays for the Kubernetes client.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshdoctor.ports import Source, SourceError


def open_recorded(path: Path) -> Source:
    """A bundle, an archive, a bug-report or a folder of manifests; raises SourceError."""
    from meshdoctor.sources import recorded

    return recorded.open_recorded(path)


def open_live(
    *,
    context: str = "",
    kubeconfig: str = "",
    istio_namespace: str = "istio-system",
    istioctl: str = "",
    since_seconds: int = 900,
    deadline_seconds: float = 60.0,
) -> Source:
    """A live cluster, read-only; raises SourceError when it cannot be reached."""
    raise SourceError("live clusters are not supported yet", "Use --bundle with recorded evidence.")


def with_overlay(source: Source, change: Path) -> Source:
    """The source as if a manifest were applied."""
    raise SourceError("--with-change is not supported yet", exit_code=2)


def recording(source: Source, target: Path) -> Source:
    """The source, with every read recorded for `target`."""
    raise SourceError("recording is not supported yet", exit_code=2)


def finish_recording(source: Source, scope: object) -> None:
    """Write the bundle of a recorded run."""
    raise SourceError("recording is not supported yet", exit_code=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of `preflight`: `ok` None means that it could not be told."""

    ok: bool | None
    text: str
    remedy: str = ""


def preflight(
    *,
    context: str,
    kubeconfig: str,
    istio_namespace: str,
    istioctl: str,
    namespaces: Sequence[str],
    reads: Sequence[str],
) -> Iterator[Check]:
    """What can be seen from here, one check after the other; `reads` as probes declare them."""
    raise SourceError("live clusters are not supported yet", "Use --bundle with recorded evidence.")
