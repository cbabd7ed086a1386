"""Evaluating, calibrating and learning from 10,000 decisions, and retagging by a head.

python -m bench.trust IMAGES          (into the database that ENRICH_DATABASE_URL names, which is to be empty)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from bench import promises
from bench.retag import fill
from bench.site import Site
from bench.table import Found, Note, Row
from worker import db, settings
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.evaluation import calibrate
from worker.pipeline.evaluation.calibrate import CalibrationRequest
from worker.pipeline.evaluation.evaluate import EvaluationRequest, evaluate
from worker.pipeline.learning import learn
from worker.pipeline.learning.learn import LearningRequest
from worker.pipeline.review.decide import MOST, DecisionRequest, decide
from worker.pipeline.taxonomies import changes, lifecycle
from worker.pipeline.taxonomies.changes import Change
from worker.tagging import Calibration, Label, Tagger, Taxonomy
from worker.types import DEFAULT_SET, Floats, ObjectRef

_DECISIONS = 10_000
_LIMIT = 10.0  # seconds
_DIMENSION = 512
_LABELS = ("first", "second", "third", "fourth")
_TAXONOMY = Taxonomy(
    name="kind",
    labels=tuple(Label(name=name, prompts=(name,)) for name in _LABELS),
    calibration=Calibration(threshold=0.5, temperature=1.0),
)
# No two images look alike. Each row's trigger looks for decisions about its bytes, so not all at once.
_OTHER_BYTES = text("""
    UPDATE images SET phash = hashint8extended(id, 1), sha256 = sha256(id::text::bytea)
    WHERE id BETWEEN :first AND :first + :count - 1
""")
_AT_ONCE = 10_000
_SCALE = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """Images of four kinds, and prompts that do not quite mean them."""

    vectors: Floats  # [n, d]
    kinds: npt.NDArray[np.intp]  # [n]
    prompts: Floats  # [4, d]

    def build(self, space: Space, desired: Sequence[Taxonomy]) -> Tagger:
        """A tagger whose prompts are these."""
        return Tagger(
            desired,
            lambda texts: self.prompts[[_LABELS.index(each) for each in texts]],
            logit_scale=_SCALE,
            model=space.model,
        )


def collection(images: int) -> Collection:
    """The same for the same number of images."""
    random = np.random.default_rng(16)
    centres = random.standard_normal((len(_LABELS), _DIMENSION)).astype(np.float32)
    prompts = _unit(centres + 1.2 * random.standard_normal(centres.shape).astype(np.float32))
    kinds = random.integers(0, len(_LABELS), images)
    vectors = random.standard_normal((images, _DIMENSION)).astype(np.float32)
    vectors += 0.25 * centres[kinds]
    return Collection(vectors=_unit(vectors), kinds=kinds, prompts=prompts)


def rows(site: Site, *, images: int, runs: int, draws: int) -> Iterator[Found]:
    """Over a catalog of so many images, in a process of its own; then what needs no catalog."""
    with site.database() as url:
        environment = {**os.environ, **site.environment(url)}
        command = [sys.executable, "-W", "ignore", "-m", "bench.trust", str(images)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    for what in ("evaluate", "calibrate", "learn"):
        yield Row(
            what=f"{what}, {min(_DECISIONS, images):,} decisions", unit="s", ours=found[what],
            other="asked for", theirs=_LIMIT, less_is_better=True, goal=1,
        )  # fmt: skip
    yield Row(
        what=f"retag {images:,} images by a head", unit="images/s", ours=found["by head"],
        other="zero-shot, the same tags back", theirs=found["zero-shot"], goal=0.8,
    )  # fmt: skip
    used = ", ".join(f"{what} {found[f'{what} CPU']:.1f} s" for what in ("evaluate", "calibrate", "learn"))
    yield Note(
        sentence=f"CPU time beside the database: {used}; the head won {found['won']:,.0f} images and lost "
        f"{found['lost']:,.0f} in cross-validation"
    )
    yield from promises.rows(runs=runs, draws=draws)


def measure(engine: Engine, images: int) -> dict[str, float]:
    """Seconds, and images/s."""
    made = collection(images)
    fill(engine, images, made.vectors)
    with transaction(engine) as connection:
        first, last = connection.execute(text("SELECT min(id), max(id) FROM images")).one()
    for start in range(first, last + 1, _AT_ONCE):
        with transaction(engine) as connection:
            connection.execute(_OTHER_BYTES, {"first": start, "count": _AT_ONCE})
    lifecycle.apply(engine, changes.declared([_TAXONOMY], own=DEFAULT_SET, remove=True), made.build)
    _decide(engine, made, min(_DECISIONS, images))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum does within a minute
    about, request = (_TAXONOMY.name,), LearningRequest(taxonomy=_TAXONOMY.name, promote=True)
    found = learn.store(engine, learn.examine(engine, made.build, request), made_by="bench")
    timed = {
        **_timed("evaluate", lambda: evaluate(engine, made.build, EvaluationRequest(taxonomies=about))),
        **_timed("calibrate", lambda: calibrate.examine(engine, made.build, CalibrationRequest(taxonomies=about))),
        **_timed("learn", lambda: learn.examine(engine, made.build, request)),
    }

    def apply(change: Change) -> float:
        return images / _seconds(lambda: lifecycle.apply(engine, change, made.build))

    by_head = apply(learn.change(found))
    zero_shot = apply(learn.forgotten(engine, request)[2])  # the same tags change back
    return {
        **timed,
        "by head": by_head,
        "zero-shot": zero_shot,
        "won": found.trial.test.won,
        "lost": found.trial.test.lost,
    }


def _decide(engine: Engine, made: Collection, count: int) -> None:
    drawn = np.sort(np.random.default_rng(8).choice(len(made.kinds), size=count, replace=False))
    requests = [
        DecisionRequest(
            ref=ObjectRef(bucket="bench", key=f"{image + 1:09}.jpg"),
            taxonomy=_TAXONOMY.name,
            verdict=Verdict.REPLACE,
            label=_LABELS[made.kinds[image]],
            chosen=Chosen.RANDOM,
        )
        for image in drawn
    ]
    for start in range(0, count, MOST):
        done = decide(engine, requests[start : start + MOST], reviewer="bench")
        assert {"saved"} == {each.outcome for each in done.results}


def _unit(vectors: Floats) -> Floats:
    scaled: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _timed(what: str, work: Callable[[], object]) -> dict[str, float]:
    """Seconds, and those of this process's CPU time."""
    begun = time.process_time()
    return {what: _seconds(work), f"{what} CPU": time.process_time() - begun}


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    engine = db.connect(settings.load().database_url, name="bench")
    found = measure(engine, int(sys.argv[1]))
    engine.dispose()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
