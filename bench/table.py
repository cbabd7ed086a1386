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

from bench.plots import Plot

_DOCS = Path(__file__).parents[1] / "docs"
_PAGE = _DOCS / "performance.md"
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
    goal: float | None = None  # the least ratio that was aimed at

    @property
    def ratio(self) -> float:
        """How many times better ours is; under 1: worse."""
        return self.theirs / self.ours if self.less_is_better else self.ours / self.theirs

    @property
    def aim(self) -> str:
        """The goal, and whether it was reached."""
        if self.goal is None:
            return ""
        return f"≥ {figure(self.goal)} ×: {'yes' if self.ratio >= self.goal else 'no'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A sentence in place of figures: what was left out, and why."""

    sentence: str


Found = Row | Note | Plot


def machine() -> str:
    """One line: processor, cores, Python, and the packages that matter."""
    names = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}, {names}"


def load_average() -> str:
    """How busy the machine was besides, in the last minute."""
    return f"load {os.getloadavg()[0]:.1f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def markdown(found: Sequence[Found]) -> str:
    """The results of ``docs/performance.md``."""
    lines = ["| what | ours | beside it | | ratio | goal |", "|---|---|---|---|---|---|"]
    for row in (each for each in found if isinstance(each, Row)):
        ours, theirs = (f"{figure(value)} {row.unit}".strip() for value in (row.ours, row.theirs))
        lines.append(f"| {row.what} | {ours} | {row.other} | {theirs} | {row.ratio:.2f} × | {row.aim} |")
    lines += [f"\n- {each.sentence}" for each in found if isinstance(each, Note)]
    lines += [f"\n![{each.title}](performance/{each.name}.svg)" for each in found if isinstance(each, Plot)]
    return "\n".join(lines)


def figure(value: float) -> str:
    """Three significant digits, thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(found: Sequence[Found], where: str) -> None:
    """Replace the page's table, the plots and the JSON file."""
    day = datetime.now(UTC).date().isoformat()
    stored = {
        "day": day,
        "machine": where,
        "rows": [asdict(row) | {"ratio": row.ratio} for row in found if isinstance(row, Row)],
        "notes": [each.sentence for each in found if isinstance(each, Note)],
        "plots": [asdict(each) for each in found if isinstance(each, Plot)],
    }
    _JSON.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")
    for plot in (each for each in found if isinstance(each, Plot)):
        (_DOCS / "performance").mkdir(exist_ok=True)
        (_DOCS / "performance" / f"{plot.name}.svg").write_text(plot.svg())
    page = _PAGE.read_text()
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    _PAGE.write_text(f"{before}{_BEGIN}\n\nMeasured {day}: {where}.\n\n{markdown(found)}\n\n{_END}{after}")
