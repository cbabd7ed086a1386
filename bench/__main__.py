"""Measure, print one table, and write it to bench/results.json and docs/performance.md.

python -m bench [--quick] [--dry] [--folder build/bench]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ledger, table
from bench.corpus import SIZES
from bench.site import Site, open_site
from bench.table import Row
from worker import db

_DEFAULTS, _BEST = "pipeline, defaults", "pipeline, at its best"


def end_to_end(site: Site, size: str, *, files: int, rounds: int) -> Iterator[Row]:
    """S3 in, committed rows out; the parts' limit from the same minutes."""
    measured = {
        name: _contender(site, size, name, count, rounds)
        for name, count in (("ours", files), (_DEFAULTS, max(files // 4, 8)), (_BEST, files))
    }
    parts = _parts(site, size)
    ours = measured["ours"]["rate"]
    limit = 1 / (1 / parts["encoder"] + 1 / (parts["cores"] * parts["decode"]))
    for other, theirs in (
        ("transformers pipeline, defaults", measured[_DEFAULTS]["rate"]),
        ("transformers pipeline, bf16, batch 16", measured[_BEST]["rate"]),
        ("what the parts allow", limit),
        ("the bare encoder", parts["encoder"]),
    ):
        yield Row(what=f"{size}, S3 in, rows out", unit="images/s", ours=ours, other=other, theirs=theirs)
    yield Row(
        what=f"{size}, decode and resize, one thread",
        unit="images/s",
        ours=parts["decode"],
        other="Pillow and the CLIP processor",
        theirs=parts["processor"],
    )
    yield Row(
        what=f"{size}, least cosine to exact decoding",
        unit="",
        ours=parts["cosine"],
        other="wanted",
        theirs=0.995,
    )
    yield Row(
        what=f"{size}, peak memory",
        unit="MiB",
        ours=measured["ours"]["peak"],
        other="transformers pipeline, bf16, batch 16",
        theirs=measured[_BEST]["peak"],
        less_is_better=True,
    )


def _contender(site: Site, size: str, name: str, files: int, rounds: int) -> dict[str, float]:
    with site.database() as url:
        found = _child(site, url, "bench.contenders", name, site.buckets[size], str(files), str(rounds))
    return {"rate": statistics.median(found["rates"]), "peak": found["peak_bytes"] / 2**20}


def _parts(site: Site, size: str) -> dict[str, Any]:
    with site.database() as url:
        return _child(site, url, "bench.parts", size)


def _child(site: Site, url: str, module: str, *arguments: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        **site.servers.environment(),
        "ENRICH_DATABASE_URL": url,
        "ENRICH_MODEL": str(site.model),
        "ENRICH_LOG_LEVEL": "ERROR",
    }
    print(f"… {module.partition('.')[2]} {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def database(site: Site, *, done: int) -> Iterator[Row]:
    """What the ledger and the catalog sustain."""
    with site.database() as url:
        engine = db.connect(url, name="bench")
        ours, theirs = ledger.writes(engine)
        yield Row(
            what="catalog rows, with vector and 4 tags", unit="images/s", ours=ours, other="row by row", theirs=theirs
        )
        ours, theirs = ledger.hints(engine)
        yield Row(what="hints, 1,000 at once", unit="hints/s", ours=ours, other="one by one", theirs=theirs)
        empty, full = ledger.claims(engine, done)
        yield Row(
            what=f"claim of 32 beside {done:,} done",
            unit="ms",
            ours=full,
            other="in an empty ledger",
            theirs=empty,
            less_is_better=True,
        )
        engine.dispose()


def measure(folder: Path, *, quick: bool) -> Iterator[Row]:
    files = {"12 MP": 16, "640 px": 64} if quick else {"12 MP": 48, "640 px": 256}
    with open_site(folder, files=files) as site:
        for size in SIZES:
            yield from end_to_end(site, size, files=files[size], rounds=1 if quick else 3)
        yield from database(site, done=100_000 if quick else 1_000_000)


def show(rows: list[Row], where: str) -> None:
    drawn = Table(title="ours beside what you would pick instead", caption=where)
    for column in ("what", "ours", "beside it", "theirs", "ratio"):
        drawn.add_column(column, justify="right" if column in ("ours", "theirs", "ratio") else "left")
    for row in rows:
        ours, theirs = (f"{table.figure(value)} {row.unit}" for value in (row.ours, row.theirs))
        drawn.add_row(row.what, ours, row.other, theirs, f"{row.ratio:.2f} ×")
    Console(width=None if sys.stdout.isatty() else 140).print(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer files and one round: to see that it runs")
    parser.add_argument("--dry", action="store_true", help="print only; leave results.json and the page alone")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="for the model and the servers")
    arguments = parser.parse_args()
    where = table.machine()
    rows = list(measure(arguments.folder, quick=arguments.quick))
    show(rows, where)
    if not arguments.dry:
        table.write(rows, where)


if __name__ == "__main__":
    main()
