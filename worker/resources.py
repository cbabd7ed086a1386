"""Resources of this installation and machine: the files in ``schemas/``, and the cores."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def schemas_dir() -> Path:
    """The directory that holds ``events/``, ``taxonomies/`` and ``openapi.json``.

    Inside the package in a wheel, at the top level in a checkout.
    """
    packaged = _PACKAGE / "_schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"


def cores() -> int:
    """Cores this process may use, not those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
