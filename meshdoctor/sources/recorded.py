"""What did someone record at this path? Opens a bundle, an archive or a folder of manifests."""

from collections.abc import Sequence
from pathlib import Path

from meshdoctor.model.evidence import SetAside, Unavailable
from meshdoctor.ports import Defaults, SourceError
from meshdoctor.sources import bugreport, settings
from meshdoctor.sources.archive import Files, Under, open_files
from meshdoctor.sources.bundle import Recorded
from meshdoctor.sources.objects import SUFFIXES, load

_NO_BUNDLE = (
    "A bundle holds bundle.yaml and objects.yaml; a folder of manifests holds .yaml or .json."
)
_NEVER_READ = frozenset(
    {"truth.yaml", settings.SETTINGS, settings.ERRORS, settings.READS, settings.ASIDE}
)
_EVIDENCE = ("logs/", "istioctl/", "metrics/")


def open_recorded(path: Path) -> Recorded:
    """The source at `path`. Raises SourceError when nothing there can be used."""
    plain = open_files(path)
    files = _rooted(plain)
    paths = files.paths()
    if settings.SETTINGS not in paths and (prefix := bugreport.root_of(plain)) is not None:
        return _open_bug_report(path, bugreport.BugReport.of(plain, prefix))
    complete = settings.SETTINGS in paths
    if complete:
        wanted = [p for p in paths if _is_objects(p)]
    else:
        wanted = [p for p in paths if p.endswith(SUFFIXES) and not p.startswith(_EVIDENCE)]
        wanted = [p for p in wanted if p not in _NEVER_READ]
    if not wanted and not (complete and any(p.startswith(_EVIDENCE) for p in paths)):
        raise SourceError(f"{path} is no bundle and holds no manifests", _NO_BUNDLE)
    loaded = load(files, wanted)
    if not loaded.objects and (loaded.broken or loaded.aside or not complete):
        raise SourceError(_nothing(path, loaded.broken, loaded.aside), _NO_BUNDLE)
    return Recorded(
        files,
        loaded,
        label=f"{'bundle' if complete else 'manifests'} {path}",
        known=None if complete else frozenset(),
        defaults=settings.defaults(files) if complete else Defaults(),
        recording=settings.recording(files),
    )


def _open_bug_report(path: Path, files: bugreport.BugReport) -> Recorded:
    paths = files.paths()
    loaded = load(files, [p for p in paths if _is_objects(p)])
    loaded.broken = [one for one in loaded.broken if "objects/secrets.yaml" not in one.what]
    if not loaded.objects and not any(p.startswith(_EVIDENCE) for p in paths):
        raise SourceError(_nothing(path, loaded.broken, loaded.aside), "Run bug-report again.")
    return Recorded(
        files,
        loaded,
        label=f"bug-report {path}",
        known=files.known_kinds(),
        unknown_in=bugreport.SKIPPED_NAMESPACES,
        defaults=Defaults(),
        recording=settings.Recording({}, None),
    )


def _is_objects(path: str) -> bool:
    if path.startswith("objects/"):
        return path.endswith(SUFFIXES)
    return path.removeprefix("objects") in SUFFIXES


def _rooted(files: Files) -> Files:
    """An archive often holds one folder: the one nearest the top with a bundle.yaml is the root."""
    marks = [p for p in files.paths() if p.rpartition("/")[2] == settings.SETTINGS]
    if not marks:
        return files
    prefix = min(marks, key=lambda p: (p.count("/"), p))[: -len(settings.SETTINGS)]
    return Under(files, prefix) if prefix else files


def _nothing(path: Path, broken: Sequence[Unavailable], aside: Sequence[SetAside]) -> str:
    if broken:
        first = broken[0]
        return f"{path} holds no usable object: {first.what}: {first.detail}"
    if aside:
        return f"{path} holds no usable object: {aside[0].where}: {aside[0].ref} {aside[0].problem}"
    return f"{path} holds no Kubernetes object that a diagnosis reads"
