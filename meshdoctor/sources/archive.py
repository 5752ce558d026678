"""Which files does a recording hold, and is it safe to read them?

A folder or a .tgz behind one interface. Nothing is ever unpacked to disk; sizes are bounded;
members that would escape their folder, links and devices refuse the whole archive.
"""

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from meshdoctor.ports import SourceError

MEBI = 1 << 20
MEMBER_LIMIT = 256 * MEBI
TOTAL_LIMIT = 768 * MEBI
MEMBERS_LIMIT = 50_000
_COMPRESS_FROM = 64 * 1024
_RECORD_AGAIN = "Record it again, or copy it again from where it was made."


class Files(Protocol):
    """Relative POSIX paths, sorted, and their bytes."""

    def paths(self) -> tuple[str, ...]: ...

    def size(self, path: str) -> int: ...

    def read(self, path: str, limit: int = MEMBER_LIMIT) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Folder:
    """Files under a folder; links that lead out of it are not followed."""

    root: Path
    found: tuple[str, ...] = ()

    @classmethod
    def scan(cls, root: Path) -> "Folder":
        home = root.resolve()
        names: list[str] = []
        for directory, folders, files in os.walk(home):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in files:
                path = Path(directory, name)
                if not name.startswith(".") and path.is_file() and _inside(path, home):
                    names.append(path.relative_to(home).as_posix())
            if len(names) > MEMBERS_LIMIT:
                raise SourceError(
                    f"{root} holds more than {MEMBERS_LIMIT} files",
                    "Give the folder of one bundle or of one set of manifests.",
                )
        return cls(root=home, found=tuple(sorted(names)))

    def paths(self) -> tuple[str, ...]:
        return self.found

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def read(self, path: str, limit: int = MEMBER_LIMIT) -> bytes:
        """At most `limit` bytes; a longer file is cut, newest bytes kept."""
        with (self.root / path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                file.seek(size - limit)
            return file.read(limit)


def _inside(path: Path, home: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(home)


@dataclass(frozen=True, slots=True)
class Archive:
    """Members of a tar archive, held in memory, the long ones compressed."""

    members: dict[str, bytes]
    packed: dict[str, int] = field(default_factory=dict)

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self.members))

    def size(self, path: str) -> int:
        return self.packed.get(path, len(self.members[path]))

    def read(self, path: str, limit: int = MEMBER_LIMIT) -> bytes:
        raw = self.members[path]
        data = zlib.decompress(raw) if path in self.packed else raw
        return data[-limit:] if len(data) > limit else data


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than TOTAL_LIMIT bytes in all."""

    def __init__(self, inner: IO[bytes], name: str) -> None:
        self._inner = inner
        self._name = name
        self._given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(min(size, 16 * MEBI) if size >= 0 else 16 * MEBI)
        self._given += len(data)
        if self._given > TOTAL_LIMIT:
            raise SourceError(
                f"{self._name} unpacks to more than {TOTAL_LIMIT // MEBI} MB",
                "Record a smaller scope (--namespace, or one pair) or a shorter --since.",
            )
        return data


def open_files(path: Path) -> Files:
    """The files of a folder, of a .tgz/.tar, or the one file given."""
    if path.is_dir():
        return Folder.scan(path)
    if not path.exists():
        raise SourceError(f"{path} does not exist", "Give a bundle folder, a .tgz or manifests.")
    if not path.is_file():
        raise SourceError(f"{path} is neither a folder nor a file")
    with path.open("rb") as file:
        head = file.read(512)
    if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
        return _read_tar(path, packed=head[:2] == b"\x1f\x8b")
    if head[:4] == b"PK\x03\x04":
        raise SourceError(f"{path} is a zip archive", "Unpack it and give the folder.")
    if path.suffix in (".tgz", ".gz", ".tar"):
        raise SourceError(f"{path} is no tar archive", _RECORD_AGAIN)
    return Folder(root=path.resolve().parent, found=(path.name,))


def _read_tar(path: Path, *, packed: bool) -> Archive:
    members: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            plain = cast(IO[bytes], gzip.GzipFile(fileobj=file) if packed else file)
            stream = _Bounded(plain, path.name)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=MEBI) as tar:
                for name, data in _members(tar, path):
                    long = len(data) > _COMPRESS_FROM
                    members[name] = zlib.compress(data, 1) if long else data
                    if long:
                        sizes[name] = len(data)
                    if len(members) > MEMBERS_LIMIT:
                        raise SourceError(f"{path} holds more than {MEMBERS_LIMIT} files")
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile, OSError, ValueError) as error:
        raise SourceError(f"{path} is cut short or damaged ({error})", _RECORD_AGAIN) from None
    if not members:
        raise SourceError(f"{path} holds no files", _RECORD_AGAIN)
    return Archive(members=members, packed=sizes)


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        parts = PurePosixPath(member.name.replace("\\", "/")).parts
        if member.name.startswith(("/", "\\")) or ".." in parts or ":" in member.name[:2]:
            raise _refused(path, member, "leads out of the archive")
        if member.issym() or member.islnk():
            raise _refused(path, member, "is a link")
        if member.isdir():
            continue
        if not member.isreg():
            raise _refused(path, member, "is no regular file")
        if member.size > MEMBER_LIMIT:
            raise _refused(path, member, f"unpacks to {member.size // MEBI} MB")
        if not parts or any(part.startswith("._") for part in parts):
            continue
        file = tar.extractfile(member)
        data = file.read() if file else b""
        if len(data) < member.size:
            raise EOFError("unexpected end of data")
        yield "/".join(parts), data


def _refused(path: Path, member: tarfile.TarInfo, why: str) -> SourceError:
    name = "".join(c if c.isprintable() else "?" for c in member.name[:80])
    return SourceError(f"{path}: member {name!r} {why}; the archive is refused", _RECORD_AGAIN)


@dataclass(frozen=True, slots=True)
class Under:
    """The files of one sub-folder, as if it were the root."""

    files: Files
    prefix: str

    def paths(self) -> tuple[str, ...]:
        cut = len(self.prefix)
        return tuple(p[cut:] for p in self.files.paths() if p.startswith(self.prefix))

    def size(self, path: str) -> int:
        return self.files.size(self.prefix + path)

    def read(self, path: str, limit: int = MEMBER_LIMIT) -> bytes:
        return self.files.read(self.prefix + path, limit)
