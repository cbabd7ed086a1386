"""Files that are named by what somebody else may have written: beside it, regular, and of bounded size, or refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotConfinedError(Exception):
    """A file that is not to be read. The message says why, to be put behind its name."""


def beside(folder: Path, name: str) -> Path:
    """Where a file lies that is named inside of a folder, with all links followed.

    Links that stay inside are followed: Kubernetes mounts each file of a ConfigMap as one.

    Raises:
        NotConfinedError: it is not the plain name of a file, or leads out of the folder.
    """
    if not is_plain(name):
        raise NotConfinedError("must be the name of a file in the same folder, without a path")
    return inside(folder, folder / name)


def inside(folder: Path, file: Path) -> Path:
    """Where a file lies, with all links followed.

    Raises:
        NotConfinedError: a link leads out of the folder, or in a circle.
    """
    try:
        found = file.resolve()
        within = found.is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle, before Python 3.13
        raise NotConfinedError("cannot be followed: a link leads in a circle") from error
    if not within:
        raise NotConfinedError("is a link out of its folder, and is not followed; copy the file")
    return found


def is_plain(name: str) -> bool:
    """Whether it names a file and says nothing about where that is, on any system."""
    return bool(name.strip()) and name not in (".", "..") and not any(c in "/\\\0:" for c in name)


def read(file: Path, *, most: int) -> bytes:
    """All of a regular file. Pipes and devices, which would block or never end, are not opened for long.

    Raises:
        NotConfinedError: it is no regular file, or has more than ``most`` bytes.
        OSError: it cannot be read.
    """
    # Without waiting for whoever writes into a pipe; what was opened is looked at, not what has its name by now.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotConfinedError("not a file")
        data = stream.read(most + 1)
    if len(data) > most:
        raise NotConfinedError(f"larger than {most:,} bytes")
    return data
