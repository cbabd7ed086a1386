"""Reviewed images that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from worker.catalog.reviewed_images import Draw, PersonAnswer, ReviewedImage
from worker.pipeline.evaluation.judgements import Answers, Truth, truth_of
from worker.tagging import Label, Taxonomy
from worker.types import ObjectRef

LIGHT = Taxonomy(name="light", labels=(Label(name="day", prompts=("day",)), Label(name="night", prompts=("night",))))
THINGS = replace(LIGHT, name="things", mode="multi-label")
DRAW = Draw(decision=1, batch="", plan=1, place=0, asked="day", given=True, probability=0.5, alike=1, frame=100)


def image(
    number: int, label: str | None, *, draw: Draw | None = None, chosen: str = "direct", **more: bool
) -> ReviewedImage:
    """About which a person said that a label holds, or none of them."""
    answer = PersonAnswer(
        label=label, holds=more.get("holds", label is not None), whole=more.get("whole", True), decision=number,
        reviewer="ada", at=datetime(2026, 1, 1, tzinfo=UTC), chosen="random" if draw else chosen, batch="", draw=draw,
    )  # fmt: skip
    ref = ObjectRef(bucket="photos", key=f"{number}.jpg")
    return ReviewedImage(id=number, ref=ref, sha256="ab" * 32, etag="", phash=number, answers=(answer,))


def drawn(labels: Sequence[str | None], **draw: object) -> list[ReviewedImage]:
    """Drawn at random."""
    return [
        image(number, label, draw=replace(DRAW, decision=number, **draw))  # type: ignore[arg-type]
        for number, label in enumerate(labels, 1)
    ]


def said(truth: Truth, labels: Sequence[str | None], chance: float = 0.9) -> Answers:
    """A model that gives these labels."""
    chances = np.full(truth.holds.shape, 0.05, dtype=np.float32)
    given = np.zeros(truth.holds.shape, dtype=bool)
    for place, label in enumerate(labels):
        if label is not None:
            row = truth.labels.index(label)
            chances[row, place], given[row, place] = chance, True
    return Answers(chance=chances, given=given)


def truth(images: Sequence[ReviewedImage], taxonomy: Taxonomy = LIGHT) -> Truth:
    return truth_of(taxonomy, images)
