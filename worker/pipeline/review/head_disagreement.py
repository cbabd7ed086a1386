"""Where a head and the prompts alone answer differently: what a person should look at before trusting a head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from worker import catalog
from worker.pipeline.review.candidates import SCORED, Finder
from worker.pipeline.review.picks import Pick
from worker.pipeline.review.subject import Subject, Taggers
from worker.tagging.label_probabilities import LabelProbabilities, label_probabilities

_NONE = -1


def applies(asked: Subject) -> bool:
    """Whether the taxonomy has a head, and the label that is asked about, if any, is at the top: heads decide those."""
    return asked.taxonomy.head(asked.space.id) is not None and asked.parent is None


def picks(finder: Finder, taggers: Taggers, *, limit: int) -> list[Pick]:
    """Images that nobody has decided about, those first about which both are certain.

    At most ``SCORED`` images are looked at, drawn at random if there are more.
    """
    asked = finder.subject
    images = _undecided(finder)
    read, vectors = catalog.bulk_read.read_vectors(finder.connection, asked.space, images)
    plain = replace(asked, taxonomy=replace(asked.taxonomy, learned={}))
    both = zip(
        label_probabilities(finder.tagger, vectors), label_probabilities(taggers.of(plain), vectors), strict=True
    )
    found: list[tuple[float, Pick]] = []
    done = 0
    for by_head, by_prompts in both:
        count = by_head.probability.shape[1]
        found += _differing(asked, by_head, by_prompts, read[done : done + count].tolist())
        done += count
    found.sort(key=lambda each: (-each[0], each[1].image))
    return [pick for _, pick in found[:limit]]


def _undecided(finder: Finder) -> list[int]:
    asked = finder.subject
    images = catalog.bulk_read.uniform_sample(finder.connection, asked.space.id, size=SCORED, seed=finder.seed)
    decided = catalog.review_candidates.decided(finder.connection, images, asked.taxonomy.name, asked.label or "")
    return sorted(set(images) - decided - set(finder.skipped))


def _differing(
    asked: Subject, by_head: LabelProbabilities, by_prompts: LabelProbabilities, images: Sequence[int]
) -> Iterator[tuple[float, Pick]]:
    if asked.label is not None and asked.one_by_one:
        head, prompts = ([_of(each, asked.label)] * len(images) for each in (by_head, by_prompts))
        gives = [_gives(each, asked.label) for each in (by_head, by_prompts)]
        for place in np.flatnonzero(gives[0] != gives[1]).tolist():
            chances = _chance(by_head, head[place], place), _chance(by_prompts, prompts[place], place)
            says = "gives" if gives[0][place] else "does not give"
            why = f"the head {says} {asked.label} ({chances[0]:.2f}), the prompts alone do not agree ({chances[1]:.2f})"
            yield (
                abs(chances[0] - chances[1]),
                _pick(images[place], asked.label, chances[0], why, given=gives[0][place]),
            )
        return
    head, prompts = _best(by_head), _best(by_prompts)
    for place, image in enumerate(images):
        ours = None if head[place] == _NONE else by_head.labels[head[place]]
        theirs = None if prompts[place] == _NONE else by_prompts.labels[prompts[place]]
        label = asked.label if asked.label is not None else ours or theirs
        if ours == theirs or label is None or label not in (ours, theirs):
            continue
        chances = _chance(by_head, head[place], place), _chance(by_prompts, prompts[place], place)
        why = (
            f"the head says {ours or 'none of these'} ({chances[0]:.2f}), the prompts alone "
            f"{theirs or 'none of these'} ({chances[1]:.2f})"
        )
        own = _chance(by_head, _of(by_head, label), place)
        yield min(chances), _pick(image, label, own, why, given=ours == label)


def _pick(image: int, label: str, probability: float, why: str, *, given: bool) -> Pick:
    return Pick(image=image, label=label, probability=probability, given=bool(given), why=why)


def _best(scored: LabelProbabilities) -> list[int]:
    """For each image the label at the top that is ahead of the others, whatever its threshold is, or ``_NONE``."""
    chances = np.where(scored.eligible & (scored.level == 0)[:, np.newaxis], scored.probability, -1.0)
    best = chances.argmax(axis=0)
    return np.where(chances.max(axis=0) >= 0, best, _NONE).tolist()  # type: ignore[no-any-return]


def _of(scored: LabelProbabilities, label: str) -> int:
    return scored.labels.index(label) if label in scored.labels else _NONE


def _gives(scored: LabelProbabilities, label: str) -> npt.NDArray[np.bool_]:
    row = _of(scored, label)
    given: npt.NDArray[np.bool_] = scored.eligible[row] if row != _NONE else np.zeros(scored.eligible.shape[1], bool)
    return given


def _chance(scored: LabelProbabilities, row: int, place: int) -> float:
    """Of a label, or where there is none, of that which came nearest at the top."""
    if row != _NONE:
        return float(scored.probability[row, place])
    return float(scored.probability[scored.level == 0, place].max(initial=0.0))
