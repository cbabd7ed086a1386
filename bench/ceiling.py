"""What one worker process can do at most, whatever the device: its work without the forward pass."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.child import child
from bench.site import Site
from bench.table import Found, Note, Row


def of_one_process(site: Site, *, files: int, rounds: int) -> Iterator[Found]:
    """640-px files through a worker whose encoder costs nothing; and for how long it holds the interpreter's lock."""
    with site.database() as url:
        arguments = ("ours-free", site.bucket("640 px"), str(files))
        with child(site.environment(url), "bench.contenders", *arguments) as contender:
            turns = [contender.turn() for _ in range(max(2, rounds))]
    spent = statistics.median(1e3 * each["cpu"] for each in turns)
    rate = statistics.median(each["rate"] for each in turns)
    yield Note(
        sentence=f"One process without the encoder's work: {rate:,.0f} images/s here, {spent:.2f} ms of a core each"
    )
    if "held" not in turns[0]:
        yield Note(sentence="The interpreter's lock could not be watched here, so its share is not known")
        return
    held = statistics.median(1e3 * each["held"] for each in turns)
    yield Row(
        what="640 px, one process, interpreter's lock",
        unit="ms an image",
        ours=held,
        other=f"all of its work on cores; at most {1e3 / held:,.0f} images/s with any number of them",
        theirs=spent,
        less_is_better=True,
    )
