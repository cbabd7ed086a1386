"""Reviewed images with their vectors: what tags are measured by, and what heads learn from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from worker import catalog, tagging
from worker.catalog.reviewed_images import Draw, ReviewedImage
from worker.catalog.spaces import Space
from worker.db import Connection
from worker.errors import TaxonomyError
from worker.pipeline.review.sampling import clusters
from worker.pipeline.review.subject import Subject
from worker.tagging import Tagger, Taxonomy
from worker.tagging.label_probabilities import LabelProbabilities, label_probabilities
from worker.types import Floats

#: Most images with decisions that are read: those with the newest. Near-duplicates among them are found pair by pair.
MOST = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Reviewed:
    """The images that people decided about in one taxonomy, and have a vector in a space."""

    space: Space
    taxonomy: str
    images: tuple[ReviewedImage, ...]
    vectors: Floats  # [images, d], of unit length
    total: int  # images that people decided about, also those that were not read or have no vector

    @cached_property
    def scenes(self) -> npt.NDArray[np.intp]:
        """``[images]``: a number for each, the same for near-duplicates; the same at every call."""
        phashes = np.array([each.phash for each in self.images], dtype=np.int64).view(np.uint64)
        return clusters(phashes, self.vectors, np.random.default_rng(0))

    def some(self, wanted: Callable[[ReviewedImage], bool]) -> npt.NDArray[np.intp]:
        """The places of some of the images."""
        return np.array([place for place, each in enumerate(self.images) if wanted(each)], dtype=np.intp)


def reviewed(connection: Connection, space: Space, taxonomy: str, *, most: int = MOST) -> Reviewed:
    """Read the decisions of a taxonomy that stand, and the vectors of their images.

    Where it has a condition, images that do not meet it now are left out: nothing is decided about them.

    Args:
        connection: in a snapshot.
        space: whose vectors.
        taxonomy: its name.
        most: images, those with the newest decisions.
    """
    found = catalog.reviewed_images.reviewed(connection, taxonomy, most=most)
    total = len(found) if len(found) < most else catalog.reviewed_images.count(connection, taxonomy)
    if _has_condition(connection, taxonomy):
        asked = catalog.reviewed_images.asked(connection, space.id, taxonomy, [each.id for each in found])
        found = [each for each in found if each.id in asked]
    return with_vectors(connection, space, taxonomy, found, total=total)


def _has_condition(connection: Connection, taxonomy: str) -> bool:
    kept = next(iter(catalog.taxonomies.kept(connection, [taxonomy])), None)  # the one in force comes first
    return kept is not None and bool(kept.definition.get("when"))


def with_vectors(
    connection: Connection, space: Space, taxonomy: str, found: Sequence[ReviewedImage], *, total: int
) -> Reviewed:
    """Read the vectors of images, which are in the order of their ids; those without one are left out."""
    ids, vectors = catalog.bulk_read.read_vectors(connection, space, [each.id for each in found])
    with_vector = set(ids.tolist())
    images = tuple(each for each in found if each.id in with_vector)
    return Reviewed(space=space, taxonomy=taxonomy, images=images, vectors=vectors, total=total)


def scores(tagger: Tagger, vectors: Floats) -> LabelProbabilities:
    """Every label's probability for all images at once.

    Args:
        tagger: of exactly one taxonomy, without its condition.
        vectors: ``[n, d]`` of unit length.
    """
    parts = list(label_probabilities(tagger, vectors))
    [by] = tagger.rules
    count = len(by.matrix.labels)
    if not parts:
        none = np.empty((count, 0), dtype=np.float32)
        held = np.empty((count, 0), dtype=bool)
        level = np.zeros(count, dtype=np.intp)
        return LabelProbabilities(
            labels=by.matrix.labels, level=level, probability=none, holds=held, eligible=held, thresholds=by.thresholds
        )
    return LabelProbabilities(
        labels=parts[0].labels,
        level=parts[0].level,
        probability=np.concatenate([each.probability for each in parts], axis=1),
        holds=np.concatenate([each.holds for each in parts], axis=1),
        eligible=np.concatenate([each.eligible for each in parts], axis=1),
        thresholds=parts[0].thresholds,
    )


def shown_alike(connection: Connection, asked: Subject, found: Reviewed) -> frozenset[str]:
    """The versions that reviewers without a plan were shown, and that score images as the one in force does."""
    draws = [own.draw for each in found.images for own in each.answers if own.draw is not None]
    shown = {each.version for each in draws if each.plan is None and each.version is not None}
    versions = _versions(connection, asked.taxonomy, shown)
    return frozenset(
        version
        for version, each in versions.items()
        if each.scoring(asked.space.model, asked.space.id) == asked.scoring
    )


def drawn_by(connection: Connection, taxonomy: Taxonomy, found: Reviewed) -> dict[str, Taxonomy]:
    """The versions by which images were drawn label by label, where the draw itself does not say how they scored."""
    draws = [own.draw for each in found.images for own in each.answers if own.draw is not None]
    return _versions(connection, taxonomy, {each.version for each in draws if each.version and each.scoring is None})


def draws_alike(taxonomy: Taxonomy, space: Space, versions: Mapping[str, Taxonomy]) -> Callable[[Draw], bool]:
    """Whether a draw is also one from the images that have its label by this taxonomy in this space, or from all.

    Images that had a label by other prompts, a head or another model are not a sample of those that have it now.

    Args:
        taxonomy: with its condition.
        space: whose vectors are scored.
        versions: what ``drawn_by`` returned.
    """
    scoring = taxonomy.scoring(space.model, space.id)
    same = {version for version, each in versions.items() if each.scoring(space.model, space.id) == scoring}

    def alike(draw: Draw) -> bool:
        if draw.everything or (draw.plan is None and draw.asked is None):
            return True
        if draw.space not in (None, space.id):
            return False
        if draw.scoring is not None:
            return draw.scoring == scoring
        return draw.version in same

    return alike


def _versions(connection: Connection, taxonomy: Taxonomy, wanted: Collection[str]) -> dict[str, Taxonomy]:
    found = {
        each: taxonomy if each == taxonomy.version else _restored(connection, taxonomy.name, each) for each in wanted
    }
    return {version: each for version, each in found.items() if each is not None}


def _restored(connection: Connection, name: str, version: str) -> Taxonomy | None:
    """A version from before; None: it was dropped, or this release would decide otherwise."""
    stored = catalog.taxonomies.definition(connection, name, version)
    try:
        return None if stored is None else tagging.restore(stored, version=version)
    except TaxonomyError:
        return None
