"""Where do a recorded run's files go? A new folder, or a new .tgz; never over something else."""

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from meshdoctor.ports import SourceError


def check_target(target: Path) -> None:
    """Raises SourceError when a bundle cannot be written there: before the run, not after it."""
    if target.is_dir() and any(target.iterdir()) or target.is_file():
        raise SourceError(f"{target} exists already", "Give a new name.", exit_code=2)
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise SourceError(f"{parent} is not writable", "Give another place.", exit_code=2)


def write(target: Path, files: Iterable[tuple[str, bytes]], mtime: float) -> None:
    """All files, readable by their owner only. Raises SourceError when they cannot be written."""
    try:
        if is_archive(target):
            _write_archive(target, files, mtime)
        else:
            _write_folder(target, files)
    except OSError as error:
        raise SourceError(f"{target} cannot be written: {error.strerror}") from None


def is_archive(target: Path) -> bool:
    """Whether the name asks for one file instead of a folder."""
    return target.name.endswith((".tgz", ".tar.gz"))


def _write_folder(target: Path, files: Iterable[tuple[str, bytes]]) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, data in files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_bytes(data)


def _write_archive(target: Path, files: Iterable[tuple[str, bytes]], mtime: float) -> None:
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.part")
    root = target.name.removesuffix(".tgz").removesuffix(".tar.gz")
    try:
        half.unlink(missing_ok=True)
        half.touch(mode=0o600)
        with tarfile.open(half, "w:gz", compresslevel=6) as tar:
            for name, data in files:
                info = tarfile.TarInfo(f"{root}/{name}")
                info.size, info.mtime, info.mode = len(data), int(mtime), 0o600
                tar.addfile(info, io.BytesIO(data))
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
