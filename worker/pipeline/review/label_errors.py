"""People's decisions that the model contradicts most: probable errors, of either.

Each decision's score is the probability of the label that was given, less that of the strongest other label
(Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70, 2021: normalised margin). Below 0, the model disagrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker import catalog
from worker.catalog.review_candidates import Asked, GivenLabel
from worker.db import Connection
from worker.pipeline.review.candidates import SCORED
from worker.pipeline.review.picks import Pick
from worker.pipeline.review.subject import Subject
from worker.tagging import Tagger
from worker.tagging.label_probabilities import LabelProbabilities, label_probabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contradiction:
    """A decision, and what speaks against it."""

    score: float
    decision: GivenLabel
    asked: str  # the label that the person gave or rejected; for none of these, the one that the model prefers
    probability: float  # of that label
    against: str  # the model's label
    chance: float  # and its probability


def picks(connection: Connection, asked: Asked, subject: Subject, tagger: Tagger, limit: int) -> tuple[list[Pick], int]:
    """The decisions that the model contradicts, the worst first; and how many decisions were examined, at random if
    there are very many.
    """
    given = catalog.review_candidates.given(connection, asked, limit=SCORED)
    found = sorted(_scored(connection, subject, tagger, given), key=lambda each: (each.score, each.decision.image))
    chosen: dict[int, Pick] = {}
    for each in found:
        if each.score >= 0:
            break
        chosen.setdefault(each.decision.image, _pick(each))
    return list(chosen.values())[:limit], len(given)


def _pick(found: _Contradiction) -> Pick:
    decision = found.decision
    said = f"not {decision.label}" if decision.rejected else decision.label or "none of these"
    says = (
        f"{found.against} ({found.chance:.2f})"
        if found.against != decision.label or decision.rejected
        else (f"only {found.chance:.2f}")
    )
    return Pick(
        image=decision.image,
        label=found.asked,
        probability=found.probability,
        given=False,
        why=f"a person said {said}; the model says {says}",
    )


def _scored(
    connection: Connection, subject: Subject, tagger: Tagger, given: Sequence[GivenLabel]
) -> Iterator[_Contradiction]:
    by_image: dict[int, list[GivenLabel]] = {}
    for each in given:
        by_image.setdefault(each.image, []).append(each)
    read, vectors = catalog.bulk_read.read_vectors(connection, subject.space, list(by_image))
    images = iter(read.tolist())
    for part in label_probabilities(tagger, vectors):
        places = {label: place for place, label in enumerate(part.labels)}
        for column in range(part.probability.shape[1]):
            for decision in by_image[next(images)]:
                found = _contradiction(decision, part, column, places, one_by_one=subject.one_by_one)
                if found is not None:
                    yield found


def _contradiction(
    decision: GivenLabel, part: LabelProbabilities, column: int, places: Mapping[str, int], *, one_by_one: bool
) -> _Contradiction | None:
    if decision.label is not None and decision.label not in places:
        return None  # of an older version, or one that only people use
    own = None if decision.label is None else places[decision.label]
    level = part.level == (0 if own is None else part.level[own])
    chances = np.where(level, part.probability[:, column], -1.0)
    if own is None or decision.rejected:
        against = int(chances.argmax()) if own is None else own
        score, asked = 1.0 - 2.0 * float(chances[against]), against
    elif one_by_one and part.level[own] == 0:
        score, asked, against = 2.0 * float(chances[own]) - 1.0, own, own
    else:
        others = chances.copy()
        others[own] = -1.0
        asked, against = own, int(others.argmax())
        if others[against] < 0:
            return None  # nothing competes with it
        score = float(chances[own] - others[against])
    return _Contradiction(
        score=score,
        decision=decision,
        asked=part.labels[asked],
        probability=float(chances[asked]),
        against=part.labels[against],
        chance=float(chances[against]),
    )
