"""Counts by label, as they go over the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LabelCount(BaseModel):
    """Images that have a label."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    images: int


class TaxonomyCounts(BaseModel):
    """What one taxonomy decided."""

    model_config = ConfigDict(from_attributes=True)

    taxonomy: str
    labels: list[LabelCount] = Field(
        description="Most images first. An image with several labels of the taxonomy counts for each of them."
    )
    left_out: int = Field(description="Labels that come behind these: see `limit`.")
    undecided: int = Field(description="Images to which the taxonomy applies, and of which none of its labels holds.")


class LabelCounts(BaseModel):
    """How many images have each label now."""

    model_config = ConfigDict(from_attributes=True)

    taxonomies: list[TaxonomyCounts]
    exact: bool = Field(
        description="False: estimated from a million rows of tags on pages that are drawn at random, because there "
        "are more."
    )
