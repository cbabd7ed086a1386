"""Warns when the disk of a home fills up, before its servers stop writing one after another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

#: SeaweedFS accepts no more uploads with less than this. PostgreSQL continues until nothing is left.
STORE_STOPS_BELOW_MIB = 256
#: Warn with less than this.
_LOW_MIB = 2 * STORE_STOPS_BELOW_MIB


class DiskWatch:
    """Announces when space runs low, and when it is back."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._is_low = folder, False

    def look(self, announce: Callable[[str], None]) -> None:
        """Check once."""
        try:
            left = shutil.disk_usage(self._folder).free >> 20
        except OSError:
            return
        if (left < _LOW_MIB) == self._is_low:
            return
        self._is_low = left < _LOW_MIB
        announce(self._low(left) if self._is_low else f"there is disk space again: {left:,} MiB are free")

    def _low(self, left: int) -> str:
        return (
            f"the disk is nearly full: {left} MiB are free for {self._folder}. Below {STORE_STOPS_BELOW_MIB} MiB the "
            "store refuses uploads; with none left PostgreSQL stops. Accepted uploads are kept: free some space"
        )
