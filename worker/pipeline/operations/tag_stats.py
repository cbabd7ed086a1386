"""The use case: what the model says about images, day by day, and how far each day is from those before it.

Only tags of the active space count: what the model says. What people corrected is left out, because corrections follow
reviews and would look like a change of the images. The tags are those of now: after new taxonomies were applied, all
days show what these say, so days stay comparable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from worker import catalog
from worker.catalog.tag_samples import Cell, SampledAnswers, TagSample
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.common.time_filters import TimeFilter
from worker.tagging import drift
from worker.tagging.drift import Answers, Drift

#: Each day is compared with so many days before it.
REFERENCE_DAYS = 14
#: Most days that are shown.
MOST_DAYS = 90
_DAY = timedelta(days=1)
_HUNDREDTHS = 100
_MOST_NAMED = 3  # labels in a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelStats:
    """One label in one period."""

    label: str
    images: int  # an estimate, where a sample was read
    share: float  # of the images to which the taxonomy applies
    p10: float | None  # the probability, to the nearest hundredth, that 10 % of these images are at or below
    median: float | None
    p90: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodStats:
    """What a taxonomy says about the images of a period."""

    day: date | None  # None: all days that are shown
    images: int  # to which the taxonomy applies; an estimate unless all were counted
    counted: int  # of which so many were read
    no_label: float  # share without a label
    labels: tuple[LabelStats, ...]  # most images first
    drift: Drift | None  # against the days before; None for all days, and where there is nothing to compare with
    finding: str | None  # what has changed, in a sentence; None: nothing large

    @property
    def exact(self) -> bool:
        """Whether all images were read."""
        return self.counted == self.images


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyStats:
    """One taxonomy, in all buckets or in one."""

    taxonomy: str
    bucket: str | None  # None: all
    total: PeriodStats
    days: tuple[PeriodStats, ...]  # those with an image to which the taxonomy applies, oldest first


@dataclass(frozen=True, kw_only=True, slots=True)
class TagStats:
    """What the model says, by day of enrichment (UTC)."""

    first: date
    last: date  # today: not over yet
    images: int  # enriched on these days and still in the catalog; an estimate unless all were counted
    counted: int  # of which so many were read
    most: int  # images that were read of each bucket and day, at most
    taxonomies: tuple[TaxonomyStats, ...]  # by name; all buckets first

    @property
    def exact(self) -> bool:
        """Whether all images were read."""
        return self.counted == self.images


@dataclass(slots=True)
class Tally:
    """Weighted sums over sampled images to which a taxonomy applies."""

    counted: int = 0
    weights: float = 0.0
    squares: float = 0.0
    without: float = 0.0
    labels: dict[str, dict[int | None, float]] = field(default_factory=dict)  # label → hundredths → weight

    def count(self, found: SampledAnswers, weight: float) -> None:
        """Count answers that are alike. ``weight``: for how many images each of theirs stands."""
        self.counted += found.images
        self.weights += found.images * weight
        self.squares += found.images * weight * weight
        if found.label is None:
            self.without += found.images * weight
        else:
            self.labels.setdefault(found.label, {})[found.hundredths] = found.answers * weight

    def add(self, other: Tally) -> None:
        """Add another one's images."""
        self.counted += other.counted
        self.weights += other.weights
        self.squares += other.squares
        self.without += other.without
        for label, histogram in other.labels.items():
            own = self.labels.setdefault(label, {})
            for hundredths, weight in histogram.items():
                own[hundredths] = own.get(hundredths, 0.0) + weight

    @property
    def answers(self) -> Answers:
        """For a comparison with another period."""
        total = self.weights or 1.0
        return Answers(
            images=drift.effective_size(self.weights, self.squares),
            labels={label: sum(own.values()) / total for label, own in self.labels.items()},
            none=self.without / total,
        )


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    found = Tally()
    for each in tallies:
        found.add(each)
    return found


def stats(
    engine: Engine,
    *,
    since: TimeFilter = timedelta(days=14),
    taxonomies: Sequence[str] = (),
    bucket: str | None = None,
    by_bucket: bool = False,
) -> TagStats:
    """Read a sample of bounded size in one snapshot, and compare each day with the ``REFERENCE_DAYS`` before it.

    Args:
        engine: of the catalog.
        since: the first day, or how many days up to today.
        taxonomies: only these; none: all.
        bucket: only its images.
        by_bucket: each bucket by itself, too.

    Raises:
        ChoiceError: ``since`` is in the future, or too long ago.
        UnknownNameError: the catalog has never heard of a taxonomy, or nothing is known of the bucket.
    """
    with snapshot(engine) as connection:
        require_bucket(connection, bucket)
        require_taxonomies(connection, taxonomies)
        last = catalog.embedding_queue.now(connection).astimezone(UTC).date()
        first = _first(since, last)
        found = _read(connection, first - REFERENCE_DAYS * _DAY, last, taxonomies, bucket)
    shown = [each for each in found.images if each.cell.day >= first]
    tallies = tallies_of(found)
    names = sorted({name for name, _, _ in tallies})
    buckets: list[str | None] = [None, *(sorted({cell.bucket for _, cell, _ in tallies}) if by_bucket else [])]
    return TagStats(
        first=first,
        last=last,
        images=round(sum(each.images * each.weight for each in shown)),
        counted=sum(each.images for each in shown),
        most=found.most,
        taxonomies=tuple(
            each
            for name in names
            for one in buckets
            if (each := _taxonomy(name, one, _by_day(tallies, name, one), first)) is not None
        ),
    )


def tallies_of(sample: TagSample) -> dict[tuple[str, Cell, bool], Tally]:
    """(taxonomy, cell, whether recent) → sums."""
    weights = {each.cell: each.weight for each in sample.images}
    found: dict[tuple[str, Cell, bool], Tally] = {}
    for each in sample.answers:
        tally = found.setdefault((each.taxonomy, each.cell, each.recent), Tally())
        tally.count(each, weights[each.cell])
    return found


def label_stats(tally: Tally) -> list[LabelStats]:
    """Most images first."""
    found = []
    for label, histogram in tally.labels.items():
        images = sum(histogram.values())
        low, middle, high = (_quantile(histogram, share) for share in (0.1, 0.5, 0.9))
        found.append(
            LabelStats(
                label=label, images=round(images), share=images / tally.weights, p10=low, median=middle, p90=high
            )
        )
    return sorted(found, key=lambda each: (-each.images, each.label))


def finding(now: Tally, before: Tally, compared: Drift) -> str | None:
    """A sentence about a large change; None if there is none."""
    said = []
    if compared.level == "large":
        moved = ", ".join(_moved(now.answers.labels, before.answers.labels))
        said.append(
            f"the shares of the labels have shifted (PSI {compared.psi:.2f}; chance explains up to "
            f"{compared.by_chance:.2f}): {moved}"
        )
    if compared.jump:
        said.append(f"images without a label: from {_percent(before.answers.none)} to {_percent(now.answers.none)}")
    return "; ".join(said) or None


def _first(since: TimeFilter, last: date) -> date:
    if isinstance(since, datetime):
        first = since.astimezone(UTC).date()
    else:
        first = last - (max(math.ceil(since / _DAY), 1) - 1) * _DAY
    if first > last:
        raise ChoiceError(f"{first} is in the future: name a day up to today, {last} (UTC)")
    if (last - first).days >= MOST_DAYS:
        raise ChoiceError(f"{first} is more than {MOST_DAYS} days ago: at most {MOST_DAYS}d are shown")
    return first


def _read(connection: Connection, first: date, last: date, taxonomies: Sequence[str], bucket: str | None) -> TagSample:
    space = catalog.spaces.active(connection)
    wanted = catalog.tag_samples.cells(connection, first=first, last=last, bucket=bucket) if space else []
    return catalog.tag_samples.read(connection, space.id if space else 0, wanted, taxonomies=taxonomies or None)


def _by_day(tallies: Mapping[tuple[str, Cell, bool], Tally], taxonomy: str, bucket: str | None) -> dict[date, Tally]:
    found: dict[date, Tally] = {}
    for (name, cell, _), each in tallies.items():
        if name == taxonomy and bucket in (None, cell.bucket):
            found.setdefault(cell.day, Tally()).add(each)
    return dict(sorted(found.items()))


def _taxonomy(name: str, bucket: str | None, days: Mapping[date, Tally], first: date) -> TaxonomyStats | None:
    shown = {day: tally for day, tally in days.items() if day >= first}
    if not shown:
        return None
    return TaxonomyStats(
        taxonomy=name,
        bucket=bucket,
        total=_period(None, total(shown.values()), None),
        days=tuple(
            _period(day, tally, total(days[each] for each in days if day - REFERENCE_DAYS * _DAY <= each < day))
            for day, tally in shown.items()
        ),
    )


def _period(day: date | None, tally: Tally, before: Tally | None) -> PeriodStats:
    compared = drift.drift(tally.answers, before.answers) if before and before.counted else None
    return PeriodStats(
        day=day,
        images=round(tally.weights),
        counted=tally.counted,
        no_label=tally.without / tally.weights,
        labels=tuple(label_stats(tally)),
        drift=compared,
        finding=finding(tally, before, compared) if before and compared else None,
    )


def _quantile(histogram: Mapping[int | None, float], share: float) -> float | None:
    """The smallest probability that this share of the images is at or below; None where none is stored."""
    known = sorted((key, weight) for key, weight in histogram.items() if key is not None)
    left = share * sum(weight for _, weight in known)
    for hundredths, weight in known:
        left -= weight
        if left <= 0:
            return hundredths / _HUNDREDTHS
    return None


def _moved(now: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """The labels whose shares have changed most."""
    labels = sorted(now.keys() | before.keys(), key=lambda each: -abs(now.get(each, 0.0) - before.get(each, 0.0)))
    return [
        f"{each} from {_percent(before.get(each, 0.0))} to {_percent(now.get(each, 0.0))}"
        for each in labels[:_MOST_NAMED]
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
