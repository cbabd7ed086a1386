"""What a run came to: figures, checks, and where to look when one fails."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.audit import Check

_NAMED = 10  # differences shown of each check


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The end of a run."""

    seed: int
    figures: Mapping[str, Any]
    checks: Sequence[Check]
    stories: Mapping[str, Sequence[str]]  # object → what the witness saw, for the first that differ
    logs: Path

    @property
    def failed(self) -> list[Check]:
        """Checks that do not hold."""
        return [each for each in self.checks if each.differences]

    def table(self) -> str:
        """For people."""
        width = max(len(name) for name in self.figures)
        lines = [f"{name:{width}}  {_shown(value)}" for name, value in self.figures.items()]
        lines += [f"{'ok' if not each.differences else 'FAILED':6}  {each.claim}" for each in self.checks]
        for each in self.failed:
            lines.append(f"\n{each.claim}: {len(each.differences)} differences")
            lines += [f"  {difference}" for difference in each.differences[:_NAMED]]
        for key, story in self.stories.items():
            lines += [f"\nwhat happened to {key}:", *(f"  {line}" for line in story)]
        if self.failed:
            lines.append(f"\nlogs: {self.logs}\nrun it again: CHAOS_SEED={self.seed} make chaos")
        return "\n".join(lines)

    def json(self) -> str:
        """For machines."""
        return json.dumps(
            {"seed": self.seed, "figures": self.figures, "checks": [asdict(each) for each in self.checks]},
            indent=2, default=str,
        )  # fmt: skip


def spread(seconds: Sequence[float]) -> str:
    """Median, 95th percentile and maximum."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    ninety_fifth = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
    return f"median {statistics.median(ordered):.2f} s, 95 % {ninety_fifth:.2f} s, longest {ordered[-1]:.2f} s"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
