"""Measure, print one table, and write it to bench/results.json and docs/reference/generated/benchmarks.md.

python -m bench [--quick | --long] [--only PART]… [--dry] [--folder build/bench]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import (
    answers,
    ceiling,
    decisions,
    end_to_end,
    facets,
    filtered,
    gpu,
    growth,
    intake,
    labels,
    latency,
    ledger,
    peers,
    questions,
    retag,
    table,
    trials,
    trust,
)
from bench.site import Site, open_site
from bench.table import Found, Note, Row
from worker import logs, resources


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much is measured."""

    files: Mapping[str, int]  # by size
    rounds: int
    done: int  # finished objects in the ledger
    updates: int
    requests: int
    catalog: tuple[int, ...]  # images
    clustered: tuple[int, int]  # images, and queries for each filter
    retagged: int  # images
    seconds: float  # of load, for latencies
    batches: tuple[int, ...]  # of the encoder on a GPU
    processes: tuple[int, ...]  # of one worker, as far as there are cores
    objects: int  # for those, end to end
    minutes: float  # after which no further part is begun


QUICK = Extent(
    files={"12 MP": 16, "640 px": 64, "50 MP": 4},
    rounds=1,
    done=20_000,
    updates=2_000,
    requests=400,
    catalog=(1_000, 4_000),
    clustered=(20_000, 10),
    retagged=20_000,
    seconds=5,
    batches=(1, 4),
    processes=(1, 2),
    objects=96,
    minutes=10,
)
FULL = Extent(
    files={"12 MP": 384, "640 px": 1024, "50 MP": 12},
    rounds=3,
    done=1_000_000,
    updates=50_000,
    requests=4_000,
    catalog=(1_000, 10_000, 100_000),
    clustered=(1_000_000, 50),
    retagged=200_000,
    seconds=20,
    batches=(1, 8, 32, 64, 128, 256, 512),
    processes=(1, 2, 4, 6, 8, 12, 16),
    objects=16_384,
    minutes=45,
)
LONG = Extent(
    files=FULL.files,
    rounds=5,
    done=10_000_000,
    updates=1_000_000,
    requests=20_000,
    catalog=(1_000, 10_000, 100_000, 1_000_000),
    clustered=(1_000_000, 200),
    retagged=1_000_000,
    seconds=60,
    batches=FULL.batches,
    processes=FULL.processes,
    objects=65_536,
    minutes=600,
)

PARTS = (
    "12mp", "640px", "latency", "ledger", "intake", "50mp", "workers", "ceiling", "gpu", "answers", "catalog", "retag",
    "labels", "filtered", "facets", "decisions", "trust", "questions", "trials",
)  # fmt: skip


def parts(site: Site, extent: Extent, folder: Path, photos: Path | None) -> dict[str, Callable[[], Iterator[Found]]]:
    """What can be measured, by name."""

    def compare(size: str) -> Callable[[], Iterator[Found]]:
        return lambda: end_to_end.compare(site, folder, size, files=extent.files[size], rounds=extent.rounds)

    cores = min(resources.cores(), 8)
    return {
        "12mp": compare("12 MP"),
        "640px": compare("640 px"),
        "latency": lambda: latency.under_load(site, seconds=extent.seconds, files=extent.files["640 px"]),
        "ledger": lambda: ledger.rows(site, done=extent.done, updates=extent.updates),
        "intake": lambda: intake.rates(site, requests=extent.requests),
        "50mp": lambda: end_to_end.large_files(site, files=extent.files["50 MP"]),
        "workers": lambda: end_to_end.workers(site, files=extent.files["640 px"], most=cores),
        "ceiling": lambda: ceiling.of_one_process(site, files=extent.files["640 px"], rounds=extent.rounds),
        "gpu": lambda: gpu.rows(
            site,
            folder,
            batches=extent.batches,
            processes=[each for each in extent.processes if each <= resources.cores()],
            objects=extent.objects,
            seconds=0.5 if extent is QUICK else 3.0,
            without=extent is QUICK,
        ),
        "answers": lambda: answers.fast_and_exact(photos),
        "catalog": lambda: growth.catalog_size(site, sizes=extent.catalog),
        "retag": lambda: retag.rows(site, images=extent.retagged),
        "labels": lambda: labels.rows(site, images=min(max(extent.catalog), 10_000)),
        "filtered": lambda: filtered.rows(folder, images=extent.clustered[0], queries=extent.clustered[1]),
        "facets": lambda: facets.rows(site, images=extent.done),
        "decisions": lambda: decisions.rows(folder, images=min(extent.clustered[0], 200_000)),
        "trust": lambda: trust.rows(
            site, images=extent.retagged, runs=50 if extent is QUICK else 400, draws=3 if extent is QUICK else 30
        ),
        "questions": lambda: questions.rows(site, rounds=extent.rounds),
        "trials": lambda: trials.rows(site, images=min(extent.retagged, 100_000)),
    }


def measure(folder: Path, extent: Extent, only: list[str], photos: Path | None) -> dict[str, list[Found]]:
    """Every part in turn, or only these: what each found. One that fails costs its own rows."""
    begun = time.monotonic()
    found: dict[str, list[Found]] = {}
    if not only or {"12mp", "640px"} & set(only):
        peers.install(folder / "peers")
    with open_site(folder, files=extent.files) as site:
        for name, part in parts(site, extent, folder, photos).items():
            if only and name not in only:
                continue
            started = time.monotonic()
            if started - begun > 60 * extent.minutes:
                _say(f"{name} was left out, because the parts before it took too long: --only {name}")
                continue
            found[name] = list(_what_can_be_had(name, part))
            _say(f"{name}: {time.monotonic() - started:.0f} s, {table.load_average()}")
    return found


def _what_can_be_had(name: str, part: Callable[[], Iterator[Found]]) -> Iterator[Found]:
    try:
        yield from part()
    except Exception as error:  # noqa: BLE001 - the others are still worth having
        why = next(iter(str(error).splitlines()), "")
        yield Note(sentence=f"{name} could not be measured: {type(error).__name__}: {why}")


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


def show(found: list[Found], where: str) -> None:
    """The table, and below it what is no row of it."""
    drawn = Table(title="ours beside what you would pick instead", caption=where)
    for column in ("what", "ours", "beside it", "theirs", "ratio", "goal"):
        drawn.add_column(column, justify="right" if column in ("ours", "theirs", "ratio") else "left")
    for row in (each for each in found if isinstance(each, Row)):
        ours, theirs = (f"{table.figure(value)} {row.unit}" for value in (row.ours, row.theirs))
        drawn.add_row(row.what, ours, row.other, theirs, f"{row.ratio:.2f} ×", row.aim)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(drawn)
    for note in (each for each in found if isinstance(each, Note)):
        console.print(f"- {note.sentence}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0] if __doc__ else "")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--quick", action="store_const", const=QUICK, dest="extent", help="to see that it runs; implies --dry"
    )
    extent.add_argument("--long", action="store_const", const=LONG, dest="extent", help="ten million rows: hours")
    parser.add_argument("--only", action="append", default=[], choices=PARTS, help="a part; may be given repeatedly")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="labelled photos: a folder for each label")
    parser.add_argument("--dry", action="store_true", help="print only; leave results.json and the page alone")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="for the model and the servers")
    arguments = parser.parse_args()
    logs.configure(level="WARNING")  # the servers' comings and goings are not what is looked for
    where = f"{table.machine()}; {table.load_average()} at the start"
    found = measure(arguments.folder, arguments.extent or FULL, arguments.only, arguments.photos)
    show([each for part in found.values() for each in part], where)
    if not arguments.dry and arguments.extent is not QUICK:
        table.write(found, where, order=PARTS)


if __name__ == "__main__":
    main()
