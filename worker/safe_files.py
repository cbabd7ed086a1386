"""Files named in untrusted content: read only if regular, in the same folder and of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotConfinedError(Exception):
    """A file must not be read. The message says why, and completes a sentence that begins with the file's name."""


def beside(folder: Path, name: str) -> Path:
    """The real path of a file named in a folder, with all links followed.

    Links that stay inside are allowed: Kubernetes mounts each file of a ConfigMap as one.

    Raises:
        NotConfinedError: it is not a plain file name, or leads out of the folder.
    """
    if not is_plain(name):
        raise NotConfinedError("must be the name of a file in the same folder, without a path")
    return inside(folder, folder / name)


def inside(folder: Path, file: Path) -> Path:
    """The real path of a file, with all links followed.

    Raises:
        NotConfinedError: a link leads out of the folder, or links form a loop.
    """
    try:
        found = file.resolve()
        within = found.is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop, before Python 3.13
        raise NotConfinedError("cannot be followed: its links form a loop") from error
    if not within:
        raise NotConfinedError("is a link out of its folder, and is not followed; copy the file")
    return found


def is_plain(name: str) -> bool:
    """Whether it is a file name without any path, on any operating system."""
    return bool(name.strip()) and name not in (".", "..") and not any(c in "/\\\0:" for c in name)


def read(file: Path, *, most: int) -> bytes:
    """Read all of a regular file. Pipes and devices, which could block or never end, are refused.

    Raises:
        NotConfinedError: it is not a regular file, or has more than ``most`` bytes.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: opening a pipe must not wait for a writer. fstat checks the opened file, whatever its name means now.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotConfinedError("not a file")
        data = stream.read(most + 1)
    if len(data) > most:
        raise NotConfinedError(f"larger than {most:,} bytes")
    return data
