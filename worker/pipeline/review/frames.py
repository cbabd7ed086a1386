"""Frames of review plans: which images, in which order, drawn with what probability."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker import catalog
from worker.catalog.review_candidates import ReviewImage
from worker.catalog.review_plans import NewItem, NewPlan
from worker.db import snapshot
from worker.errors import ChoiceError
from worker.pipeline.review.candidates import Candidate
from worker.pipeline.review.drawing import Drawn, draw
from worker.pipeline.review.queues import Queue, QueueRequest, ReviewQueues
from worker.pipeline.review.sampling import CLUSTER_RULE, LOOKS, Frame, batch, clusters, frame, looks
from worker.pipeline.review.subject import Subject, subject
from worker.types import Floats

#: Images drawn for each item of a frame, so that near-duplicates can be collapsed.
_DRAWN_PER_ITEM = 4
#: Precision to prove.
DEFAULT_TARGET = 0.95
#: Items of a list that proves nothing.
_LISTED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """What to plan."""

    queue: Queue
    taxonomy: str
    label: str | None = None
    query: str | None = None
    other_space: int | None = None
    unsure: bool = False
    target: float = DEFAULT_TARGET  # precision to prove, with RANDOM
    confidence: float = 0.95
    size: int | None = None  # most items; None: as many as the target needs
    seed: int | None = None


def made(queues: ReviewQueues, request: PlanRequest, *, reviewer: str) -> tuple[NewPlan, list[NewItem]]:
    """Draw or list the images of a plan. Raises what the queue raises."""
    seed = secrets.randbelow(1 << 31) if request.seed is None else request.seed
    how = _drawn if request.queue is Queue.RANDOM else _listed
    return how(queues, request, seed, reviewer)


def _drawn(queues: ReviewQueues, request: PlanRequest, seed: int, reviewer: str) -> tuple[NewPlan, list[NewItem]]:
    first = batch(request.target)
    most = first << (LOOKS - 1)
    size = min(request.size or most, most)
    random = np.random.default_rng(seed)
    with snapshot(queues.engine) as connection:
        asked = subject(connection, request.taxonomy, request.label)
        if asked.label is None and asked.one_by_one:
            raise ChoiceError(f"{request.taxonomy} allows several labels: name the one to review")
        drawn = draw(queues.finder(connection, asked, seed=seed, unsure=request.unsure), _DRAWN_PER_ITEM * size)
        images = catalog.review_candidates.described(connection, {each.image for each in drawn.candidates})
        ids, vectors = catalog.bulk_read.read_vectors(connection, asked.space, list(images))
    places = {image: place for place, image in enumerate(ids.tolist())}
    kept = [n for n, each in enumerate(drawn.candidates) if each.image in places]
    candidates = [drawn.candidates[n] for n in kept]
    own: Floats = vectors[[places[each.image] for each in candidates]]
    phashes = np.array([images[each.image].phash for each in candidates], dtype=np.int64).view(np.uint64)
    chosen = frame(drawn.shares[kept], clusters(phashes, own, random), size, random)
    items = list(_items(candidates, images, chosen, drawn))
    return _plan(
        request, asked, seed, reviewer, looks=looks(first, len(items)), size=len(items), population=drawn.population,
        exact=drawn.exact, drawn=len(candidates),
    ), items  # fmt: skip


def _items(
    candidates: Sequence[Candidate], images: dict[int, ReviewImage], chosen: Frame, drawn: Drawn
) -> Iterator[NewItem]:
    of = f"{drawn.population:,}" if drawn.exact else f"about {drawn.population:,}"
    for place, probability, alike in zip(chosen.places, chosen.probability, chosen.alike, strict=True):
        each = candidates[place]
        image = images[each.image]
        more = f"; {alike} of those drawn look alike" if alike > 1 else ""
        yield NewItem(
            ref=image.ref,
            sha256=image.sha256,
            label=each.label,
            probability=each.probability,
            given=each.given,
            inclusion_probability=float(probability),
            alike=int(alike),
            why=f"drawn at random from {of}{more}",
        )


def _listed(queues: ReviewQueues, request: PlanRequest, seed: int, reviewer: str) -> tuple[NewPlan, list[NewItem]]:
    page = queues.page(
        QueueRequest(
            queue=request.queue,
            taxonomy=request.taxonomy,
            label=request.label,
            query=request.query,
            other_space=request.other_space,
            unsure=request.unsure,
            limit=request.size or _LISTED,
            seed=seed,
        )
    )
    items = [
        NewItem(
            ref=each.ref,
            sha256=each.sha256,
            label=each.label,
            probability=each.probability,
            given=each.given,
            inclusion_probability=None,
            alike=1,
            why=each.why,
        )
        for each in page.items
    ]
    size = len(items)
    return _plan(
        request, page.subject, seed, reviewer, looks=(size,), size=size, population=page.total, exact=page.exact,
        drawn=size,
    ), items  # fmt: skip


def _plan(
    request: PlanRequest,
    asked: Subject,
    seed: int,
    reviewer: str,
    *,
    looks: tuple[int, ...],
    size: int,
    population: int,
    exact: bool,
    drawn: int,
) -> NewPlan:
    proves = request.queue is Queue.RANDOM
    return NewPlan(
        queue=request.queue.value,
        taxonomy=asked.taxonomy.name,
        label=asked.label,
        query=request.query,
        space=asked.space.id,
        taxonomy_version=asked.taxonomy.version,
        scoring=asked.scoring,
        target=request.target if proves else None,
        delta=1 - request.confidence if proves else None,
        looks=looks,
        population=population,
        exact=exact,
        drawn=drawn,
        frame_size=size,
        cluster_rule=CLUSTER_RULE if proves else None,
        seed=seed,
        reviewer=reviewer,
    )
