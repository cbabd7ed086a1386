"""Models of facets, samples and near-duplicates."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.api.filter_models import Filter
from worker.api.image_models import Image
from worker.api.models import Asked, Name


class FacetRequest(Asked):
    """What to count."""

    filter: Filter = Field(default_factory=Filter, description="Which images; without it, all.")
    taxonomies: list[Name] = Field([], max_length=64, description="Only these; without it, all.")
    limit: int = Field(50, ge=1, le=1_000, description="Most labels of a taxonomy, and most cameras.")
    seed: int = Field(0, ge=0, lt=1 << 31, description="Of the sample, where the images are too many to examine all.")


class _Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Count(_Response):
    """A number of images: counted if all were examined, else estimated with a 95 % interval."""

    about: int
    low: int
    high: int


class Denominator(_Response):
    """Over which images something was counted."""

    images: int = Field(description="That match.")
    low: int
    high: int
    exact: bool = Field(
        description="Whether that number was counted; else it is estimated, and `low` and `high` are its 95 % interval."
    )
    examined: int = Field(description="Of them; all, or a uniform sample.")


class LabelFacet(_Response):
    """Images with a label."""

    label: str
    title: str
    count: Count
    probabilities: list[Count] = Field(
        description="By tenths of the label's probability. What people decided has none, and is in `count` only."
    )


class TaxonomyFacet(_Response):
    """Counts for one taxonomy."""

    taxonomy: str
    of: Denominator
    without_own: bool = Field(
        description="Whether the filter's tags of this taxonomy were left out, so that its other labels can be seen."
    )
    labels: list[LabelFacet] = Field(description="Most images first; an image with several labels counts for each.")
    left_out: int = Field(description="How many more labels there are: see `limit`.")
    undecided: Count = Field(description="The taxonomy applies, and none of its labels holds.")
    not_applicable: Count = Field(description="The taxonomy says nothing: it does not apply, or has not answered yet.")


class PeriodFacet(_Response):
    """Images taken in a year, month or day, by the camera's clock."""

    start: datetime | None = Field(description="null: not known.")
    count: Count


class NamedFacet(_Response):
    """Images with a value."""

    name: str = Field(description="Empty: not known.")
    count: Count


class ClassFacet(_Response):
    """Images from one size to another."""

    least: int
    below: int | None
    count: Count


class Facets(_Response):
    """What the images that match have."""

    of: Denominator
    taxonomies: list[TaxonomyFacet]
    unit: Literal["year", "month", "day"] = Field(description="Of `taken`.")
    taken: list[PeriodFacet]
    cameras: list[NamedFacet] = Field(description="Most images first.")
    more_cameras: int = Field(description="How many more cameras there are: see `limit`.")
    formats: list[NamedFacet]
    bytes: list[ClassFacet] = Field(description="By the size of the file.")
    pixels: list[ClassFacet] = Field(description="By the size of the picture.")
    quarantined: dict[str, int] | None = Field(
        description="Objects in quarantine by reason; null: the filter asks for what such objects have not, such as a "
        "tag."
    )


class SampleRequest(Asked):
    """A draw of a few images of each label."""

    taxonomy: Name
    filter: Filter = Field(default_factory=Filter, description="Which images; without it, all.")
    labels: list[Name] = Field([], max_length=200, description="Only these; without it, all, and undecided images.")
    per_label: int = Field(5, ge=1, le=100, description="Most images of a label.")
    most_labels: int = Field(50, ge=1, le=200, description="Most labels: the most frequent ones.")
    seed: int = Field(0, ge=0, lt=1 << 31, description="The same seed draws the same images while nothing changes.")


class LabelSample(_Response):
    """Some images of a label."""

    label: str | None = Field(description="null: the taxonomy applies, and none of its labels holds.")
    images: list[Image]
    total: int = Field(description="Images with the label that match.")
    exact: bool = Field(description="Whether that number was counted; else it is estimated.")


class Sample(_Response):
    """Images by label, the most frequent label first, undecided images last."""

    taxonomy: str
    seed: int
    labels: list[LabelSample]
    left_out: int = Field(description="How many more labels have images: see `most_labels`.")


class DuplicateRequest(Asked):
    """Which near-duplicates to list."""

    filter: Filter = Field(default_factory=Filter, description="Which images; without it, all.")
    bits: int = Field(4, ge=0, le=7, description="Most bits, of 64, in which the perceptual hashes of two may differ.")
    limit: int = Field(20, ge=1, le=200, description="Most groups.")
    per_group: int = Field(10, ge=2, le=100, description="Most images shown of a group.")
    after: str | None = Field(
        None, max_length=10_000, description="`next` of the previous page, with the same filter and bits."
    )


class Duplicate(_Response):
    """An image of a group."""

    image: Image
    same_bytes: bool = Field(description="As the first of the group.")
    bits: int = Field(description="Of 64 in which its perceptual hash differs from that of the first.")


class DuplicateGroup(_Response):
    """Images that look the same: each is near another one of the group."""

    images: list[Duplicate] = Field(description="The one that was stored first comes first.")
    total: int
    complete: bool = Field(description="False: the group is so large that not all of it was looked for.")


class Duplicates(_Response):
    """A page of groups."""

    groups: list[DuplicateGroup]
    examined: int = Field(description="Images that were looked at for this page.")
    next: str | None = Field(
        description="Pass it as `after` for the next page; null on the last. A page may have fewer groups than "
        "`limit`, even none, although more follow."
    )
