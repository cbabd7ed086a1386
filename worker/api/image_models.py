"""Response models of images, their tags, and what searches find."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from worker.api.links import Linked
from worker.api.models import TagSource, Values


class Proven(Values):
    """What reviews prove about the tags of a label, by a certificate that has not expired."""

    precision: float = Field(description="At least this share of the label's tags is right.")
    n: int = Field(description="Reviewed images with the label that prove it.")
    date: datetime = Field(description="When it was proven.")


class Tag(Values):
    """A decision and its provenance."""

    taxonomy: str
    label: str | None = Field(description="null: the taxonomy abstained because none of its labels fits.")
    probability: float | None
    score: float | None = Field(description="Cosine similarity of the image and the best label.")
    source: TagSource
    taxonomy_version: str
    space: int | None = Field(description="Number of the embedding space of the decision; null if a human made it.")
    model: str | None = Field(description="null if a human made the decision.")
    active: bool = Field(description="Whether the decision was made in the active embedding space.")
    in_force: bool = Field(description="Whether views, searches and counts see it.")
    proven: Proven | None = Field(description="What reviews prove about such tags; null: nothing, or no longer.")
    decided_at: datetime
    decision: int | None = Field(description="Number of the person's decision; null if a model made it.")
    reviewer: str | None = Field(description="Who decided; null if a model did.")


class DecidedTag(Values):
    """What a person decided about a label."""

    taxonomy: str
    label: str | None = Field(description="null: none of the labels.")
    rejected: bool = Field(description="Whether the label does not hold.")
    taxonomy_version: str
    decided_at: datetime
    decision: int = Field(description="Number of the decision.")
    reviewer: str = Field(description="Who decided.")
    sha256: str | None = Field(description="Of the bytes that were seen; null if it was not recorded.")


class Suggestion(Values):
    """A label that the model would give, but whose precision is not proven: it is not a tag until a person accepts it.

    Only taxonomies with a `target_precision` have any.
    """

    taxonomy: str
    label: str
    probability: float | None
    score: float | None = Field(description="Cosine similarity of the image and the label.")
    taxonomy_version: str
    model: str | None
    decided_at: datetime


class Location(BaseModel):
    """Where the picture was taken, according to its EXIF."""

    latitude: float
    longitude: float
    altitude: float | None = Field(description="Metres above sea level.")


class Image(Linked):
    """An image as the catalog knows it."""

    etag: str = Field(description="Of the bytes that were read.")
    version_id: str | None
    size: int
    last_modified: datetime | None
    content_type: str | None
    width: int = Field(description="Pixels, as displayed.")
    height: int
    format: str
    mode: str
    frames: int
    orientation: int = Field(description="EXIF 1 to 8, as stored; width and height are of the upright picture.")
    taken_at: str | None = Field(description="EXIF wall-clock time, ISO 8601, with an offset where EXIF gives one.")
    camera_make: str | None
    camera_model: str | None
    lens_make: str | None
    lens_model: str | None
    iso: int | None = Field(description="Sensitivity; this and the next four are from EXIF.")
    exposure_time: float | None = Field(description="Seconds.")
    f_number: float | None
    focal_length: float | None = Field(description="Millimetres.")
    focal_length_35mm: int | None = Field(description="Millimetres that give the same angle on 35 mm film.")
    location: Location | None
    sha256: str
    phash: str = Field(description="64-bit perceptual hash, 16 hex digits.")
    user_metadata: dict[str, str] = Field(
        description="The object's `x-amz-meta-…` headers, without the prefix, as far as `ENRICH_USER_METADATA` names "
        "them."
    )
    enriched_at: datetime
    searchable_after_seconds: float = Field(
        description="Time from the store's event, or from our first hint, until the image was searchable."
    )
    tags: list[Tag]
    suggestions: list[Suggestion] = Field(
        description="Labels of the active model that are not applied, because their precision is not proven; without "
        "those that people decided about."
    )
    rejected_tags: list[DecidedTag] = Field(
        description="Labels that people rejected for the present bytes: never in force, whatever a model says."
    )
    earlier_tags: list[DecidedTag] = Field(
        description="What people decided about earlier bytes under this key, newest first. In force again if these "
        "bytes come back."
    )


class ImageList(BaseModel):
    """A page of images, by bucket and key."""

    images: list[Image]
    next: str | None = Field(
        description="Pass it as `after`, with the same filters, for the next page; null on the last page."
    )


class NearestLabel(Values):
    """A label, and how near it is."""

    taxonomy: str
    version: str
    label: str
    title: str = Field(description="Display name; the label itself if none was given.")
    description: str
    text: str | None = Field(description="Which of the label's texts was compared; null: the mean of all.")
    similarity: float = Field(description="Cosine of label and image, -1 to 1; comparable within one model only.")


class NearestLabels(BaseModel):
    """Labels, nearest first. A near label is not a tag."""

    space: int
    model: str
    labels: list[NearestLabel]
