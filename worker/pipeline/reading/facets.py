"""The use case: what the images that match a filter have, with counts over exactly these images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from worker import catalog, label_names, ledger
from worker.catalog.facet_counts import BYTES, PIXELS, FileFacets, LabelFacet, Unit
from worker.catalog.image_filter import ImageFilter
from worker.catalog.matched import Matched
from worker.db import Connection, Engine, snapshot
from worker.ledger.quarantine import QuarantineSelection
from worker.pipeline.common import image_filters
from worker.pipeline.common.estimates import Estimate, Sampling
from worker.pipeline.common.image_filters import camera_name
from worker.pipeline.common.tag_filters import require_taxonomies


@dataclass(frozen=True, kw_only=True, slots=True)
class Denominator:
    """Over which images something was counted."""

    images: int  # that match
    low: int
    high: int
    exact: bool  # whether that was counted; else it is estimated, with a 95 % interval
    examined: int  # of them; all, or a uniform sample


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCount:
    """Images with a label."""

    label: str
    title: str
    count: Estimate
    probabilities: tuple[Estimate, ...]  # by tenths; people's tags have none


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyFacet:
    """Counts for one taxonomy."""

    taxonomy: str
    of: Denominator
    without_own: bool  # the filter's tags of this taxonomy were left out, so that its other labels can be seen
    labels: tuple[LabelCount, ...]  # most images first
    left_out: int  # how many more labels there are
    undecided: Estimate  # the taxonomy applies, and none of its labels holds
    not_applicable: Estimate  # it does not apply, or has not answered yet


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodCount:
    """Images taken in a year, month or day, by the camera's clock."""

    start: datetime | None  # None: unknown
    count: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedCount:
    """Images with a value."""

    name: str
    count: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount:
    """Images with a size from one number to another."""

    least: int
    below: int | None  # None: no end
    count: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Facets:
    """What the images have."""

    of: Denominator
    taxonomies: tuple[TaxonomyFacet, ...]
    unit: Unit
    taken: tuple[PeriodCount, ...]
    cameras: tuple[NamedCount, ...]  # most images first; an empty name: unknown
    more_cameras: int
    formats: tuple[NamedCount, ...]
    bytes: tuple[ClassCount, ...]
    pixels: tuple[ClassCount, ...]
    quarantined: dict[str, int] | None  # objects by reason; None: the filter asks for what such objects have not


def facets(
    engine: Engine, wanted: ImageFilter, *, taxonomies: Sequence[str] = (), limit: int = 50, seed: int = 0
) -> Facets:
    """Count over all images that match, or over a uniform sample of them, with 95 % intervals.

    Args:
        engine: the database.
        wanted: which images.
        taxonomies: only these; none: all.
        limit: most labels of a taxonomy, and most cameras.
        seed: of the sample.

    Raises:
        UnknownNameError: the filter or ``taxonomies`` name something that is unknown.
        ChoiceError: no image can match.
    """
    with snapshot(engine) as connection:
        require_taxonomies(connection, taxonomies)
        filter_ = image_filters.resolved(connection, wanted)
        active = catalog.spaces.active(connection)
        counting = _Counting(connection, None if active is None else active.id, limit=limit, seed=seed)
        found = catalog.matched.matched(connection, filter_, seed=seed)
        own = {tag.taxonomy for tag in filter_.tags if not taxonomies or tag.taxonomy in taxonomies}
        counted = [each for each in counting.taxonomies(found, taxonomies) if each.taxonomy not in own]
        for name in sorted(own):
            rest = replace(filter_, tags=tuple(tag for tag in filter_.tags if tag.taxonomy != name))
            others = catalog.matched.matched(connection, rest, seed=seed)
            counted += [replace(each, without_own=True) for each in counting.taxonomies(others, [name])]
        files = catalog.facet_counts.file_facets(connection, found.images)
        quarantined = _quarantined(connection, filter_)
    return _together(found, sorted(counted, key=lambda each: each.taxonomy), files, limit, quarantined)


class _Counting:
    """Counts labels in one snapshot."""

    def __init__(self, connection: Connection, space: int | None, *, limit: int, seed: int) -> None:
        self._connection, self._space, self._limit, self._seed = connection, space, limit, seed

    def taxonomies(self, found: Matched, names: Sequence[str]) -> list[TaxonomyFacet]:
        """Counts over these images."""
        rows = catalog.facet_counts.label_facets(self._connection, found.images, space=self._space, taxonomies=names)
        by_name: dict[str, list[LabelFacet]] = {name: [] for name in names}
        for row in rows:
            by_name.setdefault(row.taxonomy, []).append(row)
        applying = catalog.facet_counts.applying(self._connection, found.images, space=self._space, taxonomies=names)
        titles = self._titles(by_name)
        return [
            self._taxonomy(name, own, found, applying=applying.get(name, 0), titles=titles.get(name, {}))
            for name, own in by_name.items()
        ]

    def _titles(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        kept = catalog.taxonomies.kept(self._connection, sorted(names))
        found: dict[str, dict[str, str]] = {}
        for each in kept:
            for label, (title, _) in label_names.titles(each.definition).items():
                found.setdefault(each.name, {}).setdefault(label, title)
        return found

    def _taxonomy(
        self, name: str, rows: Sequence[LabelFacet], found: Matched, *, applying: int, titles: dict[str, str]
    ) -> TaxonomyFacet:
        sampling = _sampling(found)
        labels = [row for row in rows if row.label is not None]
        return TaxonomyFacet(
            taxonomy=name,
            of=_denominator(found),
            without_own=False,
            labels=tuple(
                LabelCount(
                    label=row.label or "",
                    title=titles.get(row.label or "") or row.label or "",
                    count=sampling.count(row.images),
                    probabilities=tuple(sampling.count(each) for each in row.probabilities),
                )
                for row in labels[: self._limit]
            ),
            left_out=max(len(labels) - self._limit, 0),
            undecided=sampling.count(sum(row.images for row in rows if row.label is None)),
            not_applicable=sampling.count(len(found.images) - applying),
        )


def _together(
    found: Matched,
    taxonomies: Sequence[TaxonomyFacet],
    files: FileFacets,
    limit: int,
    quarantined: dict[str, int] | None,
) -> Facets:
    count = _sampling(found).count
    return Facets(
        of=_denominator(found),
        taxonomies=tuple(taxonomies),
        unit=files.unit,
        taken=tuple(PeriodCount(start=start, count=count(images)) for start, images in files.taken),
        cameras=tuple(
            NamedCount(name=camera_name(make, model), count=count(images))
            for make, model, images in files.cameras[:limit]
        ),
        more_cameras=max(len(files.cameras) - limit, 0),
        formats=tuple(NamedCount(name=name, count=count(images)) for name, images in files.formats),
        bytes=_classes(BYTES, [count(images) for images in files.bytes]),
        pixels=_classes(PIXELS, [count(images) for images in files.pixels]),
        quarantined=quarantined,
    )


def _classes(ends: Sequence[int], counts: Sequence[Estimate]) -> tuple[ClassCount, ...]:
    bounds = zip((0, *ends), (*ends, None), counts, strict=True)
    return tuple(ClassCount(least=least, below=below, count=count) for least, below, count in bounds)


def _sampling(found: Matched) -> Sampling:
    """Where the total is an estimate, too, counts are shares of the whole catalog, whose size is known."""
    if found.counted:
        return Sampling(images=len(found.images), total=found.total, exact=True)
    return Sampling(images=found.drawn, total=found.catalog, exact=False)


def _denominator(found: Matched) -> Denominator:
    """How many images match."""
    if found.counted:
        low = high = found.total
    else:
        about = _sampling(found).count(len(found.images))
        low, high = about.low, about.high
    return Denominator(images=found.total, low=low, high=high, exact=found.counted, examined=len(found.images))


def _quarantined(connection: Connection, filter_: ImageFilter) -> dict[str, int] | None:
    """Objects in quarantine have a name, and nothing else that a filter asks for."""
    if replace(filter_, bucket=None, prefix=None) != ImageFilter():
        return None
    return ledger.quarantine.counts(connection, QuarantineSelection(bucket=filter_.bucket, prefix=filter_.prefix))
