"""Where previews are kept: below a prefix of a bucket, or in a bounded folder on this machine.

They are named by the SHA-256 of the file that they show. Copies of a picture share one, and once the catalog describes
an object's new bytes, the old picture is not shown under its name any more.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from worker.errors import EnrichError
from worker.images import previews
from worker.objects import Fetched, ObjectStore
from worker.types import ObjectRef

#: No preview is larger: 512 × 512 pixels without any compression have 786,432 bytes.
_MOST_BYTES: Final = 1 << 20
#: Folders that the cache is divided into, each with its share of the bytes.
_SHARES: Final = 256
_TEMPORARY: Final = ".new-"
_ABANDONED: Final = 600.0  # seconds after which the file of a writer that died is removed
#: Seconds for which a file's last use need not be noted again.
_JUST_USED: Final = 60.0


class PreviewStoreError(EnrichError):
    """Previews cannot be read from or written to where they are kept; the message names the place and the cause."""


class PreviewStore(Protocol):
    """Keeps previews. Threads and processes may share it."""

    def get(self, sha256: str, size: int) -> bytes | None:
        """The preview of a file with this hash; None: it is not there.

        Raises:
            EnrichError: it cannot be read.
        """
        ...

    def has(self, sha256: str, size: int) -> bool:
        """Whether it is there. Raises like ``get``."""
        ...

    def put(self, sha256: str, size: int, webp: bytes) -> None:
        """Keep a preview; another of the same file and size is replaced.

        Raises:
            EnrichError: it cannot be written.
        """
        ...

    def describe(self) -> str:
        """Where that is, for people."""
        ...


def _name(sha256: str, size: int) -> str:
    return f"v{previews.VERSION}/{sha256[:2]}/{sha256}-{size}.webp"


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketPreviews:
    """Previews below a prefix of a bucket. Nothing removes them but a lifecycle rule of the bucket."""

    store: ObjectStore
    bucket: str
    prefix: str  # ends with a slash, or is empty

    def get(self, sha256: str, size: int) -> bytes | None:
        """See `PreviewStore.get`."""
        answer = self.store.get(self._ref(sha256, size), etag=None, max_bytes=_MOST_BYTES)
        if isinstance(answer, Fetched) and previews.is_whole(answer.data):
            return answer.data
        return None

    def has(self, sha256: str, size: int) -> bool:
        """See `PreviewStore.has`."""
        return self.store.head(self._ref(sha256, size)) is not None

    def put(self, sha256: str, size: int, webp: bytes) -> None:
        """See `PreviewStore.put`."""
        self.store.put(self._ref(sha256, size), webp, previews.MEDIA_TYPE)

    def describe(self) -> str:
        """See `PreviewStore.describe`."""
        return f"s3://{self.bucket}/{self.prefix}"

    def _ref(self, sha256: str, size: int) -> ObjectRef:
        return ObjectRef(bucket=self.bucket, key=self.prefix + _name(sha256, size))


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedPreviews:
    """Previews in a folder of this machine; those not used for longest are removed.

    The bytes are bounded without a lock or a shared count: each of 256 subfolders, over which hashes spread evenly, has
    its share of them, and whoever writes into one removes what exceeds it. Files appear whole, under their names.
    """

    folder: Path
    most_bytes: int

    def get(self, sha256: str, size: int) -> bytes | None:
        """See `PreviewStore.get`."""
        path = self.folder / _name(sha256, size)
        try:
            data = path.read_bytes()
            self._note_use(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unusable(self.folder, error) from error
        return data if previews.is_whole(data) else None

    def has(self, sha256: str, size: int) -> bool:
        """See `PreviewStore.has`."""
        return (self.folder / _name(sha256, size)).exists()

    def put(self, sha256: str, size: int, webp: bytes) -> None:
        """See `PreviewStore.put`."""
        path = self.folder / _name(sha256, size)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, webp)
            self._trim(path.parent)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def describe(self) -> str:
        """See `PreviewStore.describe`."""
        return str(self.folder)

    @staticmethod
    def _note_use(path: Path) -> None:
        with suppress(OSError):  # removed meanwhile, or another user's
            if time.time() - path.stat().st_mtime > _JUST_USED:
                os.utime(path)

    def _trim(self, folder: Path) -> None:
        found = sorted(_files(folder), key=lambda each: each.used)
        excess = sum(each.size for each in found) - self.most_bytes // _SHARES
        for each in found[:-1]:  # the newest stays, however small the share is
            is_abandoned = each.is_temporary and time.time() - each.used > _ABANDONED
            if is_abandoned or (excess > 0 and not each.is_temporary):
                each.path.unlink(missing_ok=True)
                excess -= each.size


@dataclass(frozen=True, kw_only=True, slots=True)
class NothingKept:
    """No place at all: each preview is made when it is asked for."""

    def get(self, sha256: str, size: int) -> bytes | None:  # noqa: ARG002
        """See `PreviewStore.get`."""
        return None

    def has(self, sha256: str, size: int) -> bool:  # noqa: ARG002
        """See `PreviewStore.has`."""
        return False

    def put(self, sha256: str, size: int, webp: bytes) -> None:
        """See `PreviewStore.put`."""

    def describe(self) -> str:
        """See `PreviewStore.describe`."""
        return "nowhere"


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    path: Path
    size: int
    used: float

    @property
    def is_temporary(self) -> bool:
        return self.path.name.startswith(_TEMPORARY)


def _files(folder: Path) -> list[_File]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process has removed it
                about = entry.stat(follow_symlinks=False)
                found.append(_File(path=Path(entry.path), size=about.st_size, used=about.st_mtime))
    return found


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _unusable(folder: Path, error: OSError) -> PreviewStoreError:
    why = error.strerror or str(error)
    return PreviewStoreError(
        f"the previews' folder {folder} cannot be used: {why}; make it writable for this process, set ENRICH_HOME to "
        "another folder, or ENRICH_PREVIEWS to s3://BUCKET/PREFIX"
    )
