"""S3 in, committed rows out: ours beside the peers and beside what the parts allow, in rounds that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import peers
from bench.child import Child, MissingPeerError, child
from bench.plots import Plot
from bench.site import Site
from bench.table import Found, Note, Row

_PEERS = {
    "pipeline-defaults": "transformers pipeline, defaults",
    "pipeline-best": "transformers pipeline, bf16, batch 16",
    "open-clip": "open_clip and DataLoader, bf16, batch 32",
}
#: The least ratio of ours to each, and to the limits.
_GOALS = {
    "12 MP": {"pipeline-defaults": 10, "pipeline-best": 6, "limit": 0.9},
    "640 px": {"pipeline-defaults": 5, "pipeline-best": 1.2, "encoder": 0.85},
}
#: How many of the files each gets: slow ones need fewer for the same certainty.
_SHARES = {"ours": 1.0, "ours-openvino": 0.5, "pipeline-defaults": 0.1, "pipeline-best": 0.2, "open-clip": 0.5}
#: On a busy machine fewer rounds are made.
_MOST_SECONDS = 300.0
_MIB_IDLE, _MIB_LOADED = 1.2 * 1024, 2.5 * 1024


def compare(site: Site, folder: Path, size: str, *, files: int, rounds: int) -> Iterator[Found]:
    """All contenders at one size of file."""
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for name, share in _SHARES.items():
            environment = site.environment(stack.enter_context(site.database()))
            if name == "ours-openvino":
                environment["ENRICH_ENCODER_RUNTIME"] = "openvino"
            if name == "open-clip":
                environment |= peers.path(folder / "peers")
            arguments = (name, site.bucket(size), str(max(8, int(share * files))))
            try:
                children[name] = stack.enter_context(child(environment, "bench.contenders", *arguments))
            except MissingPeerError as missing:
                yield Note(sentence=str(missing))
        environment = site.environment(site.servers.database_url)
        children["parts"] = stack.enter_context(child(environment, "bench.parts", size))
        children["bare"] = stack.enter_context(child(environment, "bench.bare"))
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
        deadline = time.monotonic() + _MOST_SECONDS
        while len(turns["ours"]) < rounds and (not turns["ours"] or time.monotonic() < deadline):
            for name, each in children.items():
                turns[name].append(each.turn())
        yield from _rows(size, {name: _median(found) for name, found in turns.items()})


def _median(turns: list[dict[str, Any]]) -> dict[str, float]:
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}


def _rows(size: str, found: dict[str, dict[str, float]]) -> Iterator[Found]:
    ours, parts, bare, goals = found["ours"]["rate"], found["parts"], found["bare"]["rate"], _GOALS[size]
    limit = 1 / (1 / bare + 1 / (parts["cores"] * parts["decode"]))
    beside = {name: (words, found[name]["rate"]) for name, words in _PEERS.items() if name in found} | {
        "limit": ("what the parts allow", limit),
        "encoder": ("the bare encoder, same dtype", bare),
    }
    for name, (words, theirs) in beside.items():
        yield Row(
            what=f"{size}, S3 in, rows out",
            unit="images/s",
            ours=ours,
            other=words,
            theirs=theirs,
            goal=goals.get(name),
        )
    if "ours-openvino" in found:
        for words, theirs in (("ours with torch", ours), ("what the parts allow", limit)):
            yield Row(
                what=f"{size}, S3 in, rows out, with OpenVINO",
                unit="images/s",
                ours=found["ours-openvino"]["rate"],
                other=words,
                theirs=theirs,
            )
    yield Row(
        what=f"{size}, decode and resize, one thread",
        unit="images/s",
        ours=parts["decode"],
        other="Pillow and the CLIP processor",
        theirs=parts["processor"],
    )
    yield Row(
        what=f"{size}, least cosine of fast and exact",
        unit="",
        ours=parts["cosine"],
        other="wanted",
        theirs=0.995,
        goal=1,
    )
    for name, runtime in (("ours", "torch"), ("openvino", "OpenVINO")):
        if name in parts:
            yield Row(
                what=f"our encoder alone, {runtime}",
                unit="images/s",
                ours=parts[name],
                other="the bare encoder, same dtype",
                theirs=bare,
            )
    if size == "12 MP":
        yield from _memory_rows(found)
        yield _batches(parts)


def _memory_rows(found: dict[str, dict[str, float]]) -> Iterator[Row]:
    for when, which, wanted in (("idle", "idle", _MIB_IDLE), ("under 12 MP load", "peak", _MIB_LOADED)):
        yield Row(
            what=f"memory of a worker, {when}",
            unit="MiB",
            ours=found["ours"][which],
            other="wanted at most",
            theirs=wanted,
            less_is_better=True,
            goal=1,
        )
    yield Row(
        what="memory of a worker, under 12 MP load",
        unit="MiB",
        ours=found["ours"]["peak"],
        other=_PEERS["pipeline-best"],
        theirs=found["pipeline-best"]["peak"],
        less_is_better=True,
    )


def large_files(site: Site, *, files: int) -> Iterator[Found]:
    """Memory with a queue of 50-megapixel files."""
    with site.database() as url:
        arguments = ("ours", site.bucket("50 MP"), str(files))
        with child(site.environment(url), "bench.contenders", *arguments) as contender:
            found = contender.turn()
    yield Row(
        what=f"memory of a worker, {files} progressive JPEGs of 50 MP",
        unit="MiB",
        ours=found["peak"],
        other="wanted at most",
        theirs=_MIB_LOADED,
        less_is_better=True,
        goal=1,
    )


def workers(site: Site, *, files: int, most: int) -> Iterator[Found]:
    """640-px files, by 1, 2, … worker processes that share the cores."""
    rates = [(float(count), _together(site, count, files, cores=most)) for count in range(1, most + 1)]
    yield Plot(
        name="workers",
        title=f"Throughput against worker processes ({most} cores, 640 px)",
        x="worker processes, the cores shared among them",
        y="images/s",
        lines={"all together": rates},
    )


def _together(site: Site, count: int, files: int, *, cores: int) -> float:
    """Images/s of several processes that work on ledgers of their own in one server."""
    threads = str(max(1, cores // count))
    with ExitStack() as stack:
        children = []
        for _ in range(count):
            url = stack.enter_context(site.database())
            environment = site.environment(url, ENRICH_TORCH_THREADS=threads, ENRICH_DECODE_THREADS=threads)
            arguments = ("ours", site.bucket("640 px"), str(files // count))
            children.append(stack.enter_context(child(environment, "bench.contenders", *arguments)))
        for each in children:
            each.begin()
        return float(sum(each.answer()["rate"] for each in children))


def _batches(parts: dict[str, float]) -> Plot:
    points = [(float(name.split()[1]), rate) for name, rate in parts.items() if name.startswith("batch ")]
    return Plot(
        name="batches",
        title="The encoder against the size of a batch (ViT-B/32)",
        x="images in a forward pass",
        y="images/s",
        lines={"encoder": points},
    )
