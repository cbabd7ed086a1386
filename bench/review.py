"""How long a page of a review queue and a review plan take in a large catalog.

python -m bench.review FOLDER [IMAGES]      (made once under the folder, and used again; four tags an image)
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from bench.clusters import _database
from bench.retag import fill
from tests.active_taxonomies import put_into_force
from worker.catalog.image_filter import TagFilter
from worker.catalog.search import Nearest
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.review import plans
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.queues import Queue, QueueRequest, ReviewQueues
from worker.tagging import Calibration, Label, Tagger, Taxonomy
from worker.types import Floats

_DIMENSION, _STEP = 512, 20_000
#: Label → share of the images that lean to it.
_SHARES = {"half": 0.5, "fifth": 0.2, "tenth": 0.1, "other": 0.199, "rare": 0.001}
_CENTRES = np.random.default_rng(0).standard_normal((len(_SHARES), _DIMENSION)).astype(np.float32)
_CENTRES /= np.linalg.norm(_CENTRES, axis=1, keepdims=True)
_TAXONOMIES = [
    Taxonomy(
        name=f"taxonomy-{number}",
        labels=tuple(Label(name=name, prompts=(name,)) for name in _SHARES),
        calibration=Calibration(threshold=0.6),
    )
    for number in range(4)
]
_OTHER_BYTES = text("UPDATE images SET phash = hashint8extended(id, 1), sha256 = sha256(id::text::bytea)")
_ROW, _NULL = "{}\t{}\t{}\t{}\t{}\t{}\t{}\tzero-shot\n", r"\N"
_COPY = "COPY tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source) FROM STDIN"


def build(space: Space, desired: Sequence[Taxonomy]) -> Tagger:
    places = {name: place for place, name in enumerate(_SHARES)}
    return Tagger(desired, lambda texts: _CENTRES[[places[each] for each in texts]], logit_scale=8.0, model=space.model)


def _filled(engine: Engine, images: int) -> None:
    random = np.random.default_rng(1)
    of = random.choice(len(_SHARES), size=images, p=list(_SHARES.values()))
    vectors = random.standard_normal((images, _DIMENSION)).astype(np.float32) / np.sqrt(_DIMENSION)
    vectors += _CENTRES[of] * random.random((images, 1)).astype(np.float32) * 1.2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = fill(engine, images, vectors)
    put_into_force(engine, *_TAXONOMIES)
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_OTHER_BYTES)
        ids = list(connection.execute(text("SELECT id FROM images ORDER BY id")).scalars())
    tagger = build(space, _TAXONOMIES)
    for start in range(0, images, _STEP):
        _tagged(engine, space, tagger, ids[start : start + _STEP], vectors[start : start + _STEP])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.invalidate()


def _tagged(engine: Engine, space: Space, tagger: Tagger, ids: Sequence[int], vectors: Floats) -> None:
    lines = "".join(
        _ROW.format(id_, space.id, tag.taxonomy, tag.version, tag.label or _NULL, tag.score, tag.probability)
        for id_, tags in zip(ids, tagger.tag(vectors), strict=True)
        for tag in tags
    )
    with transaction(engine) as connection:
        cursor: Any = connection.connection.cursor()
        cursor.copy_expert(_COPY, io.BytesIO(lines.encode()))


def _median(action: Callable[[], object], rounds: int = 5) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def _nothing(_: str | TagFilter, /, *, limit: int) -> Nearest:
    raise AssertionError(limit)


def main() -> None:
    folder, images = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 250_000
    with _database(folder) as engine:
        with transaction(engine) as connection:
            made = connection.execute(text("SELECT count(*) FROM tags")).scalar_one()
        if not made:
            _filled(engine, images)
        queues = ReviewQueues(engine, build, _nothing, _nothing)
        for queue in (Queue.RANDOM, Queue.UNCERTAIN):
            for label in (*_SHARES, None):
                asked = QueueRequest(queue=queue, taxonomy="taxonomy-0", label=label, limit=100)
                print(f"{queue:10} {label or 'any label':10} {_median(partial(queues.page, asked)):.2f} s")
        for target in (0.9, 0.95, 0.98):
            request = PlanRequest(queue=Queue.RANDOM, taxonomy="taxonomy-0", label="half", target=target)
            begun = time.perf_counter()
            plan = plans.create(queues, request, reviewer="bench").plan
            print(f"plan {target}: {plan.frame_size:,} of {plan.drawn:,} drawn, {time.perf_counter() - begun:.2f} s")
            following = _median(partial(plans.following, engine, plan.id, reviewer="bench", limit=20))
            print(f"  its next 20 images: {following:.3f} s")
            plans.close(engine, plan.id, reviewer="bench")


if __name__ == "__main__":
    main()
