"""Figures side by side, as a table, as JSON and as the page in docs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from bench.plots import Plot

_DOCS = Path(__file__).parents[1] / "docs" / "reference" / "generated"
_PAGE = _DOCS / "benchmarks.md"
_JSON = Path(__file__).with_name("results.json")
_HEAD = """\
# Benchmark results

Written by `make bench`. [Performance](../../explanation/performance.md) says what is compared, and where the time goes.
"""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What one part of the benchmark found, and when and where."""

    day: str
    where: str
    found: Sequence[Found]

    def json(self) -> dict[str, Any]:
        """As ``results.json`` keeps it."""
        return {
            "day": self.day,
            "machine": self.where,
            "rows": [asdict(each) | {"ratio": each.ratio} for each in self.found if isinstance(each, Row)],
            "notes": [each.sentence for each in self.found if isinstance(each, Note)],
            "plots": [asdict(each) for each in self.found if isinstance(each, Plot)],
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From what ``json`` gave."""
        rows = [Row(**{name: value for name, value in row.items() if name != "ratio"}) for row in stored["rows"]]
        notes = [Note(sentence=sentence) for sentence in stored["notes"]]
        plots = [Plot(**plot) for plot in stored["plots"]]
        return cls(day=stored["day"], where=stored["machine"], found=[*rows, *notes, *plots])


def markdown(parts: Mapping[str, Part]) -> str:
    """The results of ``docs/reference/generated/benchmarks.md``."""
    found = [each for part in parts.values() for each in part.found]
    lines = [*_measured(parts), "| what | ours | beside it | | ratio | goal |", "|---|---|---|---|---|---|"]
    for row in (each for each in found if isinstance(each, Row)):
        ours, theirs = (f"{figure(value)} {row.unit}".strip() for value in (row.ours, row.theirs))
        lines.append(f"| {row.what} | {ours} | {row.other} | {theirs} | {row.ratio:.2f} × | {row.aim} |")
    lines += [f"\n- {each.sentence}" for each in found if isinstance(each, Note)]
    lines += [f"\n![{each.title}](benchmarks/{each.name}.svg)" for each in found if isinstance(each, Plot)]
    return "\n".join(lines)


def _measured(parts: Mapping[str, Part]) -> Iterator[str]:
    runs: dict[tuple[str, str], list[str]] = {}
    for name, part in parts.items():
        runs.setdefault((part.day, part.where), []).append(name)
    for (day, where), names in runs.items():
        which = f"`{'`, `'.join(names)}`: m" if len(runs) > 1 else "M"
        yield f"{which}easured {day}: {where}.\n"


def figure(value: float) -> str:
    """Three significant digits, thousands set apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(found: Mapping[str, Sequence[Found]], where: str, *, order: Sequence[str]) -> None:
    """Replace these parts' figures in the JSON file and on the page; those of other parts stay.

    Args:
        found: by part.
        where: one line on the machine.
        order: of all the parts that there are; what else is stored is forgotten.
    """
    day = datetime.now(UTC).date().isoformat()
    parts = _stored() | {name: Part(day=day, where=where, found=each) for name, each in found.items()}
    parts = {name: parts[name] for name in order if name in parts}
    _JSON.write_text(
        json.dumps({name: part.json() for name, part in parts.items()}, indent=2, ensure_ascii=False) + "\n"
    )
    for plot in (each for part in found.values() for each in part if isinstance(each, Plot)):
        (_DOCS / "benchmarks").mkdir(exist_ok=True)
        (_DOCS / "benchmarks" / f"{plot.name}.svg").write_text(plot.svg())
    _PAGE.write_text(f"{_HEAD}\n{markdown(parts)}\n")


def _stored() -> dict[str, Part]:
    if not _JSON.exists():
        return {}
    return {name: Part.of(part) for name, part in json.loads(_JSON.read_text()).items()}
