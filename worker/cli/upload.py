"""Uploads local files for the demo."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from worker import safe_files
from worker.cli import context
from worker.errors import ConfigurationError
from worker.objects import ObjectStore
from worker.safe_files import NotConfinedError
from worker.types import ObjectRef

#: When each upload was acknowledged.
Uploads: TypeAlias = Mapping[ObjectRef, datetime]
_THREADS = 4
_LONGEST_KEY = 1024  # bytes; S3's limit
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadSample:
    """A file to upload."""

    key: str
    read: Callable[[], bytes]


def in_folder(folder: Path, *, longest: int) -> list[UploadSample]:
    """Every file below a folder that is not hidden, keyed by its relative path. Others are reported on stderr.

    Args:
        longest: bytes; larger files would be quarantined unread.

    Raises:
        ConfigurationError: there is nothing to upload.
    """
    samples = []
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in key.split("/")) or not path.is_file():
            continue
        problem = _problem(folder, path, key, longest)
        if problem is None:
            samples.append(UploadSample(key, path.read_bytes))
        else:
            context.say(f"not uploaded: {context.name(key)}: {problem}")
    if not samples:
        raise ConfigurationError(f"{context.name(str(folder))} holds no files to upload; name a folder with photos")
    return samples


def _problem(folder: Path, path: Path, key: str, longest: int) -> str | None:
    try:
        safe_files.inside(folder, path)
    except NotConfinedError as error:
        return f"it {error}"
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, which every key must be"
    if length > _LONGEST_KEY:
        return f"its name is longer than {_LONGEST_KEY} bytes, the limit for keys"
    size = path.stat().st_size
    return f"it has {size // _MEBIBYTE:,} MiB, more than ENRICH_MAX_BYTES" if size > longest else None


def upload(
    store: ObjectStore, bucket: str, files: Sequence[UploadSample], *, uploaded: Callable[[], object], say: context.Say
) -> Uploads:
    """Put files, several at a time. A file that cannot be read is reported and skipped.

    Args:
        uploaded: called after each.
    """

    def put(file: UploadSample) -> tuple[ObjectRef, datetime] | None:
        try:
            content = file.read()
        except OSError as error:
            say(f"not uploaded: {context.name(file.key)}: {error.strerror}")
            return None
        ref = ObjectRef(bucket=bucket, key=file.key)
        store.put(ref, content, mimetypes.guess_type(file.key)[0] or "application/octet-stream")
        uploaded()
        return ref, datetime.now(UTC)

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            return dict(each for each in pool.map(put, files) if each is not None)
        except BaseException:  # Ctrl-C, or a store that failed: do not start the rest
            pool.shutdown(wait=False, cancel_futures=True)
            raise
