"""Response models of statistics by day."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelStats(BaseModel):
    """One label in one period. Probabilities are to the nearest hundredth."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    images: int
    share: float = Field(description="Of the images to which the taxonomy applies.")
    p10: float | None = Field(description="The probability that a tenth of these images is at or below.")
    median: float | None
    p90: float | None


class Drift(BaseModel):
    """How far a day is from the 14 days before it."""

    model_config = ConfigDict(from_attributes=True)

    level: Literal["too-few", "none", "moderate", "large"] = Field(
        description="`moderate` from a PSI of 0.1 on, `large` from 0.25 on, if chance does not explain it; `too-few`: "
        "fewer than 30 images on one of the two sides."
    )
    psi: float = Field(description="Population stability index of the labels, images without one included.")
    by_chance: float = Field(description="What the index exceeds once in a thousand times if nothing has changed.")
    abstentions: float = Field(description="Change of the share without a label: 0.1 is ten percentage points more.")
    jump: bool = Field(description="Whether that change is at least ten points, and chance does not explain it.")


class PeriodStats(BaseModel):
    """What a taxonomy says about the images of a period."""

    model_config = ConfigDict(from_attributes=True)

    day: date | None = Field(description="Null: all days together.")
    images: int = Field(description="To which the taxonomy applies; an estimate unless `exact`.")
    counted: int = Field(description="Of which so many were read.")
    exact: bool
    no_label: float = Field(description="Share of these images without a label.")
    labels: list[LabelStats] = Field(description="Most images first.")
    drift: Drift | None = Field(description="Null: all days together, or no image in the 14 days before.")
    finding: str | None = Field(description="A large change, in a sentence; null if there is none.")


class TaxonomyStats(BaseModel):
    """One taxonomy, in all buckets or in one."""

    model_config = ConfigDict(from_attributes=True)

    taxonomy: str
    bucket: str | None = Field(description="Null: all buckets that were asked for.")
    total: PeriodStats
    days: list[PeriodStats] = Field(description="Oldest first, without days that have no image.")


class TagStats(BaseModel):
    """What the model says about images, by the day of their enrichment (UTC). People's corrections are left out."""

    model_config = ConfigDict(from_attributes=True)

    first: date
    last: date = Field(description="Today, which is not over yet.")
    images: int = Field(description="Enriched on these days and still in the catalog; an estimate unless `exact`.")
    counted: int = Field(description="Of which so many were read.")
    exact: bool = Field(description="Whether all images were read.")
    most: int = Field(description="How many images were read of each bucket and day, at most.")
    taxonomies: list[TaxonomyStats]
