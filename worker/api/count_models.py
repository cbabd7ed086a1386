"""Response models of label counts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LabelCount(BaseModel):
    """Images that have a label."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    images: int


class TaxonomyCounts(BaseModel):
    """Counts for one taxonomy."""

    model_config = ConfigDict(from_attributes=True)

    taxonomy: str
    labels: list[LabelCount] = Field(
        description="Most images first. An image with several labels of the taxonomy counts for each of them."
    )
    left_out: int = Field(description="How many more labels there are: see `limit`.")
    undecided: int = Field(description="Images to which the taxonomy applies, but none of its labels.")


class LabelCounts(BaseModel):
    """How many images have each label now."""

    model_config = ConfigDict(from_attributes=True)

    taxonomies: list[TaxonomyCounts]
    exact: bool = Field(
        description="False: there are more than a million rows of tags, so the counts are estimated from those on "
        "randomly drawn pages."
    )
