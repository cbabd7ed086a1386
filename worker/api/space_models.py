"""Response models of embedding spaces."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from worker.api.models import Values


class PreviewParity(Values):
    """How vectors that were made from previews compare with those of their originals, in a sample."""

    images: int = Field(description="In the sample.")
    mean: float = Field(description="Of the cosines.")
    low: float = Field(description="A twentieth of the cosines is below.")
    least: float
    same_tags: float = Field(description="Share of images for which every taxonomy gives the same labels.")
    original_bytes: int = Field(description="Of the files of the sample.")
    preview_bytes: int = Field(description="Of their previews; 0: not known.")
    at: datetime = Field(description="When it was measured.")


class EmbeddingSpace(Values):
    """Vectors of one model. Those of two spaces are never compared."""

    id: int
    state: Literal["filling", "active", "retired"] = Field(
        description="`active`: searches and views read it. `filling`: uploads are embedded in it, too. `retired`: "
        "nothing is added to it."
    )
    dimension: int
    model: str
    revision: str
    images: int = Field(description="That have a vector in it.")
    from_previews: int = Field(description="Of these, those whose vector was made from their preview.")
    waiting: int = Field(
        description="Images that wait for a vector in it, as far as they were found. How many there are in all: "
        "`enriched` of `GET /v1/status`."
    )
    failed: int = Field(description="Images that its model could not embed.")
    indexed: bool = Field(description="Whether searches in it use an index.")
    bytes: int = Field(description="On disk, with indexes.")
    preview_parity: PreviewParity | None = Field(description="null: not measured.")


class SpaceList(BaseModel):
    """All spaces, oldest first."""

    spaces: list[EmbeddingSpace]
