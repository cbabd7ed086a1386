"""The use case: how many images have each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from worker import catalog
from worker.catalog.label_counts import LabelCount
from worker.db import Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.tag_filters import require_taxonomies


@dataclass(frozen=True, kw_only=True, slots=True)
class CountScope:
    """Where images are counted.

    Raises:
        ChoiceError: a prefix without a bucket.
    """

    bucket: str | None = None
    prefix: str | None = None  # of the key

    def __post_init__(self) -> None:
        if self.bucket is None and self.prefix is not None:
            raise ChoiceError("a prefix needs a bucket: name the bucket, too")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyCounts:
    """Counts for one taxonomy."""

    taxonomy: str
    labels: tuple[LabelCount, ...]  # most images first
    left_out: int  # how many more labels there are
    undecided: int  # images to which it applies, but none of its labels


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCountResult:
    """Counts for all taxonomies, by name."""

    taxonomies: tuple[TaxonomyCounts, ...]
    exact: bool  # False: estimated from a sample, because there are very many tags


def count(
    engine: Engine, place: CountScope, *, taxonomies: Sequence[str] = (), source: str | None = None, limit: int
) -> LabelCountResult:
    """Count in one snapshot. ``limit`` applies to the labels of each taxonomy.

    Raises:
        UnknownNameError: the catalog has never heard of a taxonomy, or nothing is known of the bucket.
    """
    with snapshot(engine) as connection:
        require_bucket(connection, place.bucket)
        require_taxonomies(connection, taxonomies)
        space = catalog.spaces.active(connection)
        found = catalog.label_counts.label_counts(
            connection,
            None if space is None else space.id,
            taxonomies=taxonomies,
            bucket=place.bucket,
            prefix=place.prefix,
            source=source,
        )
    grouped = groupby(found.counts, key=lambda each: each.taxonomy)
    return LabelCountResult(taxonomies=tuple(_of(name, list(own), limit) for name, own in grouped), exact=found.exact)


def _of(taxonomy: str, counts: Sequence[LabelCount], limit: int) -> TaxonomyCounts:
    labels = [each for each in counts if each.label is not None]
    return TaxonomyCounts(
        taxonomy=taxonomy,
        labels=tuple(labels[:limit]),
        left_out=max(len(labels) - limit, 0),
        undecided=sum(each.images for each in counts if each.label is None),
    )
