"""The use case: a few images of each label, drawn at random, to see what the label means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker import catalog
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.matched import Matched
from worker.catalog.read import ImageRecord
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.common import image_filters
from worker.pipeline.common.tag_filters import require_taxonomies, resolve_label

#: Most labels of one sample, and most images of one label.
MOST_LABELS, MOST_IMAGES = 200, 100


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSample:
    """Some images of a label."""

    label: str | None  # None: the taxonomy applies, and none of its labels holds
    images: tuple[ImageRecord, ...]
    total: int  # images with the label that match
    exact: bool  # whether that was counted

    def probability(self, image: ImageRecord, taxonomy: str) -> float | None:
        """With which probability one of the images has the label; None: a person decided, or it has none."""
        label = self.label
        has = (tag for tag in image.tags if label and tag.in_force and (tag.taxonomy, tag.label) == (taxonomy, label))
        return next((tag.probability for tag in has), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Images by label, most frequent labels first, and the undecided ones last."""

    taxonomy: str
    seed: int
    labels: tuple[LabelSample, ...]
    left_out: int  # how many more labels have images


def sample(
    engine: Engine,
    wanted: ImageFilter,
    *,
    taxonomy: str,
    labels: Sequence[str] = (),
    per_label: int = 5,
    seed: int = 0,
    most_labels: int = 50,
) -> Sample:
    """Draw images, each of a label's images equally likely. The same seed draws the same while nothing changes.

    Args:
        engine: the database.
        wanted: which images.
        taxonomy: whose labels.
        labels: only these, by name, title or alias; none: all that images have, and the undecided images.
        per_label: most images of a label.
        seed: of the draw.
        most_labels: most labels; the most frequent ones.

    Raises:
        UnknownNameError: something is unknown.
        ChoiceError: no image can match, or too many are asked for.
    """
    if not (1 <= per_label <= MOST_IMAGES and 1 <= most_labels <= MOST_LABELS):
        raise ChoiceError(f"a sample has 1 to {MOST_IMAGES} images of each of 1 to {MOST_LABELS} labels")
    with snapshot(engine) as connection:
        require_taxonomies(connection, [taxonomy])
        filter_ = image_filters.resolved(connection, wanted)
        names = _resolved(connection, taxonomy, labels) if labels else _frequent(connection, filter_, taxonomy, seed)
        groups: list[str | None] = [*names[:most_labels], *([] if labels else [None])]
        drawn = [_of(connection, filter_, taxonomy, label, per_label=per_label, seed=seed) for label in groups]
    return Sample(
        taxonomy=taxonomy,
        seed=seed,
        labels=tuple(each for each in drawn if each.images or labels),
        left_out=max(len(names) - most_labels, 0),
    )


def _resolved(connection: Connection, taxonomy: str, labels: Sequence[str]) -> list[str]:
    tags = [TagFilter(taxonomy=taxonomy, label=label) for label in dict.fromkeys(labels)]
    return [tag.label for tag in resolve_label(connection, tags)]


def _frequent(connection: Connection, filter_: ImageFilter, taxonomy: str, seed: int) -> list[str]:
    """The labels of the images that match, most frequent first."""
    active = catalog.spaces.active(connection)
    found = catalog.matched.matched(connection, filter_, seed=seed)
    rows = catalog.facet_counts.label_facets(
        connection, found.images, space=None if active is None else active.id, taxonomies=[taxonomy]
    )
    return [row.label for row in rows if row.label is not None]


def _of(
    connection: Connection, filter_: ImageFilter, taxonomy: str, label: str | None, *, per_label: int, seed: int
) -> LabelSample:
    has = (
        ImageFilter(undecided=(taxonomy,))
        if label is None
        else ImageFilter(tags=(TagFilter(taxonomy=taxonomy, label=label),))
    )
    found = catalog.matched.matched(connection, has.and_(filter_), seed=seed)
    chosen = _some(found, per_label, seed)
    return LabelSample(
        label=label,
        images=tuple(catalog.read.images(connection, chosen)),
        total=found.total,
        exact=found.counted,
    )


def _some(found: Matched, count: int, seed: int) -> list[int]:
    if len(found.images) <= count:
        return list(found.images)
    images = np.asarray(found.images, dtype=np.int64)
    drawn: list[int] = np.random.default_rng(seed).choice(images, count, replace=False).tolist()
    return drawn
