"""Which source do the options name? The one door through which `cli` builds sources.

Imports happen inside the functions: a bundle never pays for the Kubernetes client.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from meshdoctor.ports import Following, Source
from meshdoctor.sources.check import Check


def open_recorded(path: Path) -> Source:
    """A bundle, an archive, a bug-report or a folder of manifests; raises SourceError."""
    from meshdoctor.sources import recorded

    return recorded.open_recorded(path)


def opening_live(
    *,
    context: str = "",
    kubeconfig: str = "",
    istio_namespace: str = "istio-system",
    istioctl: str = "",
    since_seconds: int = 900,
    deadline_seconds: float = 60.0,
) -> Callable[[], Source]:
    """A live cluster, read-only, on its way: call what is returned to have it.

    Both raise SourceError when it cannot be reached.
    """
    from meshdoctor.sources import live

    return live.opening_live(
        context=context,
        kubeconfig=kubeconfig,
        istio_namespace=istio_namespace,
        istioctl=istioctl,
        since_seconds=since_seconds,
        deadline_seconds=deadline_seconds,
    )


def following(source: Source) -> Following | None:
    """What sees changes happen in the cluster; None for a recording or a proposed change."""
    from meshdoctor.sources.follow import LiveFollowing
    from meshdoctor.sources.live import Live

    return LiveFollowing(source) if isinstance(source, Live) else None


def with_overlay(source: Source, change: Path) -> Source:
    """The source as if a manifest were applied."""
    from meshdoctor.sources.overlay import overlay

    return overlay(source, change)


def recording(source: Source, target: Path) -> Source:
    """The source, with every read recorded for `target`; raises SourceError if that exists."""
    from meshdoctor.sources.recorder import Recorder
    from meshdoctor.sources.write_bundle import check_target

    check_target(target)
    return Recorder(source, target)


def finish_recording(source: Source, scope: object) -> None:
    """Write the bundle of a recorded run."""
    from meshdoctor.sources.bundle_files import files
    from meshdoctor.sources.recorder import Recorder
    from meshdoctor.sources.write_bundle import write

    if isinstance(source, Recorder):
        write(source.target, files(source, scope), source.now().timestamp())


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
    from meshdoctor.sources import preflight as checks
    from meshdoctor.sources.live import open_live as connect

    live = connect(
        context=context,
        kubeconfig=kubeconfig,
        istio_namespace=istio_namespace,
        istioctl=istioctl,
    )
    yield from checks.preflight(live, namespaces, reads)
