"""A catalog of many scenes, and people who review a random sample of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from tests.factories import DIMENSION
from tests.integration.pipeline.review.gallery import Gallery, answered
from tests.integration.pipeline.taxonomies.archive import colours
from tests.ledger import ref
from worker.catalog.decisions import Chosen, Verdict
from worker.db import Engine
from worker.pipeline.evaluation import calibrate, proofs
from worker.pipeline.evaluation.calibrate import Calibration, CalibrationRequest
from worker.pipeline.review import decide, plans
from worker.pipeline.review.decide import DecisionRequest, Seen
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.plans import PlanState
from worker.pipeline.review.queues import Queue, QueueItem
from worker.tagging import Calibration as Numbers
from worker.types import Floats

#: Red images only hold from a probability of .9 on, until reviews say otherwise.
CAREFUL = replace(colours(), calibration=Numbers(threshold=0.9, temperature=1.0))
RED = CalibrationRequest(taxonomies=("colour",), label="red")


def red_scenes(engine: Engine) -> Gallery:
    """A catalog of many red scenes, of which some are not certain enough to be tagged."""
    made = Gallery.of(engine, CAREFUL)
    assert isinstance(made, Gallery)
    add_scenes(made, 700)
    return made


def scenes(count: int, *, seed: int = 0, colour: int | None = 0) -> Floats:
    """``[count, DIMENSION]``: as many scenes of one colour, or of any; no two alike."""
    random = np.random.default_rng(seed)
    made = random.standard_normal((count, DIMENSION)).astype(np.float32)
    made[:, :3] = np.abs(made[:, :3]) * 0.3
    main = np.full(count, colour) if colour is not None else random.integers(0, 3, count)
    made[np.arange(count), main] = random.uniform(0.4, 2.0, count)
    unit: Floats = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def add_scenes(gallery: Gallery, count: int, *, seed: int = 0, colour: int | None = 0) -> list[str]:
    """Write them; their keys."""
    made = scenes(count, seed=seed, colour=colour)
    keys = [f"scene-{seed:02}-{number:05}.jpg" for number in range(count)]
    for start in range(0, count, 500):
        gallery.write(dict(zip(keys[start : start + 500], made[start : start + 500], strict=True)))
    return keys


def draw(gallery: Gallery, label: str | None = "red", *, target: float = 0.95, seed: int = 1) -> PlanState:
    """A random review plan."""
    request = PlanRequest(queue=Queue.RANDOM, taxonomy="colour", label=label, target=target, seed=seed)
    return plans.create(gallery.queues, request, reviewer="ada")


def review(
    gallery: Gallery, plan: PlanState, count: int, *, wrong: Callable[[int, QueueItem], bool] = lambda *_: False
) -> None:
    """Decide about the next images of a plan: the label is right, unless ``wrong`` says otherwise."""
    done = 0
    while done < count:
        items = plans.following(gallery.engine, plan.plan.id, reviewer="ada", limit=min(count - done, 300))
        assert items, "the plan has no more images"
        for item in items:
            verdict = Verdict.REJECT if wrong(done, item) else Verdict.ACCEPT
            result = answered(gallery, item, verdict, item.label)
            assert {"saved"} == {each.outcome for each in result.results}
            done += 1


def imported(
    gallery: Gallery, keys: Sequence[str], *, wrong: Sequence[str] = (), label: str = "red", seen: Seen | None = None
) -> None:
    """As an imported file of answers about images that were drawn at random elsewhere."""
    made = [
        DecisionRequest(
            ref=ref(key), taxonomy="colour", verdict=Verdict.REJECT if key in wrong else Verdict.ACCEPT, label=label,
            chosen=Chosen.RANDOM, seen=seen or Seen(),
        )
        for key in keys
    ]  # fmt: skip
    result = decide.decide(gallery.engine, made, reviewer="eve", batch=uuid5(NAMESPACE_OID, repr(made)))
    assert {"saved"} == {each.outcome for each in result.results}


def examine(gallery: Gallery, request: CalibrationRequest = RED) -> Calibration:
    return calibrate.examine(gallery.engine, gallery.build, request)


def calibrated(gallery: Gallery, request: CalibrationRequest = RED) -> tuple[Any, Any]:
    """Certificates are stored, and what is proven is put into force."""
    found = proofs.store(gallery.engine, examine(gallery, request), made_by="ada@here")
    first = found.taxonomies[0].labels[0]
    if not found.changes:
        return first, None
    return first, gallery.change(proofs.change(found), planned=found.revision)


def threshold_of(gallery: Gallery, label: str = "red") -> float:
    """As images are tagged by it now."""
    [rule] = gallery.labels.follow().tagger.rules
    return float(rule.thresholds[rule.matrix.labels.index(label)])
