"""The long form: ``make fuzz``, or ``python -m tests.fuzz [--files N] [--seed N] [--processes N] [--keep DIR]``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.fuzz.bombs import BOMBS
from tests.fuzz.cases import case, cases
from tests.fuzz.giants import LENGTH, MOST_BEYOND, MOST_SECONDS
from tests.fuzz.harness import Tally, examine, keep, price
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import PIXELS


def main() -> int:
    """Examine, report, keep what did something.

    Returns:
        Exit status: 1 if any file did.
    """
    options = _options()
    if options.write:
        return _write(options.write, options.keep)
    seeds()
    started, told, kept = time.monotonic(), 0, 0

    def progress(tally: Tally) -> None:
        nonlocal told, kept
        for finding in tally.findings[kept:]:
            _say(f"{finding.kind}: {keep(finding, options.keep)}")
        kept = len(tally.findings)
        if tally.files - told >= 5_000:
            told = tally.files
            _say(f"{told:,} files, {kept} findings, {time.monotonic() - started:.0f} s")

    tally = examine(
        cases(options.seed, options.files, first=options.first), processes=options.processes, progress=progress
    )
    _report(tally, time.monotonic() - started, options.seed)
    return 1 if _bombs() + len(tally.findings) else 0


def _bombs() -> int:
    """How many of them cost too much."""
    costly = 0
    for name, build in BOMBS.items():
        cost = price(build(LENGTH))
        beyond = cost["memory"] - cost["reserved"]
        too_much = cost["seconds"] > MOST_SECONDS or beyond > MOST_BEYOND
        costly += too_much
        _say(f"{name}: {cost['outcome']}, {cost['seconds']:.2f} s, {beyond >> 20} MiB unreserved{' !' * too_much}")
    _say(f"{costly} of {len(BOMBS)} bombs cost too much")
    return costly


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Decode mutated image files.")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where files that did something are written")
    parser.add_argument("--write", metavar="SEED-NUMBER", help="only make this file again, and write it there")
    return parser.parse_args()


def _write(label: str, folder: Path) -> int:
    seed, number = map(int, label.split("-"))
    made = case(seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / label).write_bytes(made.data)
    _say(f"{folder / label}, made from {made.origin!r}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _report(tally: Tally, seconds: float, seed: int) -> None:
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in tally.outcomes.most_common())
    _say(f"\n{tally.files:,} files of seed {seed} in {seconds:.0f} s: {outcomes}")
    _say(f"slowest: {tally.slowest[0]:.2f} s of processor time ({tally.slowest[1]})")
    _say(f"largest: {tally.largest[0] / (1 << 20):.0f} MiB ({tally.largest[1]})")
    for format_name, family in seeds().items():
        here = {pair: count for pair, count in tally.by_origin.items() if pair[0] in family}
        pixels = sum(count for (_, outcome), count in here.items() if outcome == PIXELS)
        _say(f"  {format_name:9} {sum(here.values()):7,} files, {pixels:7,} still pictures")
    _say(f"{len(tally.findings)} findings")


if __name__ == "__main__":
    sys.exit(main())
