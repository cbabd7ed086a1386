"""The short form of ``make chaos``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.scenario import Options, run


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_happens_twice_whatever_goes_wrong(tmp_path: Path) -> None:
    """500 objects, real processes and servers, everything going wrong at once: at the end every check holds."""
    seed = int(os.environ.get("CHAOS_SEED") or 1)
    report = run(Options(seed=seed, objects=500, seconds=24, patience=150, home=tmp_path / "home"))
    print(report.table())  # noqa: T201  # pytest shows it when the test fails, or with -s
    assert [] == report.failed, report.table()
