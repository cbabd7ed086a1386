"""``python -m tests.chaos``: the long form, as ``make chaos`` runs it."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.scenario import Options, run


def main() -> int:
    """Run, print the report, and keep data and logs if something does not hold."""
    given = _arguments()
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    _say(f"seed {given.seed}; data and logs under {home}")
    began = time.monotonic()
    report = run(
        Options(
            seed=given.seed, objects=given.objects, seconds=given.seconds, patience=given.patience, home=home / "home"
        )
    )
    _say(report.table())
    _say(f"took {time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(report.json() + "\n")
    if report.failed:
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    seed = os.environ.get("CHAOS_SEED")
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=480.0, help="for which things happen")
    parser.add_argument("--patience", type=float, default=300.0, help="until quiet, once all is healed")
    parser.add_argument("--seed", type=int, default=int(seed) if seed else random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--json", type=Path, help="write the report there, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
