"""Figures side by side, as a table, as JSON and as the page in docs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_JSON = Path(__file__).with_name("results.json")
_BEGIN, _END = "<!-- results: written by make bench -->", "<!-- end of results -->"
_PACKAGES = ("torch", "transformers", "pillow", "psycopg2-binary", "sqlalchemy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One comparison."""

    what: str
    unit: str
    ours: float
    other: str  # what a user would pick instead, or the limit
    theirs: float
    less_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is; under 1: worse."""
        return self.theirs / self.ours if self.less_is_better else self.ours / self.theirs


def machine() -> str:
    """One line: processor, cores, Python, and the packages that matter."""
    names = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}, {names}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def markdown(rows: Sequence[Row]) -> str:
    """The table of ``docs/performance.md``."""
    lines = ["| what | ours | beside it | | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        ours, theirs = (f"{figure(value)} {row.unit}".strip() for value in (row.ours, row.theirs))
        lines.append(f"| {row.what} | {ours} | {row.other} | {theirs} | {row.ratio:.2f} × |")
    return "\n".join(lines)


def figure(value: float) -> str:
    """Three significant digits, thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(rows: Sequence[Row], where: str) -> None:
    """Replace the page's table and the JSON file."""
    day = datetime.now(UTC).date().isoformat()
    stored = {"day": day, "machine": where, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}
    _JSON.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")
    page = _PAGE.read_text()
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    _PAGE.write_text(f"{before}{_BEGIN}\n\nMeasured {day}: {where}.\n\n{markdown(rows)}\n\n{_END}{after}")
