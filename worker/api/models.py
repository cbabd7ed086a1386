"""Request and response models. They are a public interface: ``schemas/openapi.json`` is generated from them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worker.pipeline.common import time_filters
from worker.pipeline.reading.image_lookup import State
from worker.suggestions import shown, suggested


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


#: Text that PostgreSQL can store.
Text = Annotated[str, AfterValidator(_storable)]


def _moment(text: str) -> str:
    time_filters.parse(text)
    return text


#: How a tag was decided.
TagSource = Literal["zero-shot", "few-shot", "text-fusion", "human"]

#: A duration back from now, or a time.
MomentText = Annotated[str, StringConstraints(max_length=64), AfterValidator(_moment)]

_Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
_TAG = re.compile(r"[^=]{1,200}=.{1,200}", re.DOTALL)


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise ValueError("write TAXONOMY=LABEL, such as time-of-day=night, each of at most 200 characters")
    return text


#: ``TAXONOMY=LABEL``.
TagText = Annotated[
    str, AfterValidator(_tag), AfterValidator(_storable), Field(json_schema_extra={"pattern": f"^{_TAG.pattern}$"})
]
#: Name of a taxonomy, a label or a bucket.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable)]


class Problem(BaseModel):
    """Every error's body: RFC 9457, `application/problem+json`. It has no `type`; `title` names the problem."""

    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and what to do next.")
    rejected_id: int | None = Field(
        None, description="For a rejected notification: its number. `enrich rejected` shows it."
    )
    state: State | None = Field(
        None, description="For an object that is not in the catalog: what is known about it instead."
    )
    start: str | None = Field(
        None, description="For a cursor that has expired: the one to follow from, once all images were read."
    )
    reason: str | None = Field(
        None, description="With `quarantined` and `given-up`: why. docs/reference/images.md lists the codes."
    )


class Accepted(BaseModel):
    """A notification whose work is committed."""

    hinted: int = Field(description="Distinct objects that are now pending.")
    ignored: dict[str, int] = Field(description="Objects in the notification that were ignored, by reason.")
    test: bool = Field(description="Whether it was a store's test event.")
    refused: int = Field(
        0, description="Parts that could not be parsed; `enrich rejected` shows them. Left out if there are none."
    )
    reasons: list[str] = Field([], description="Why, for the first ten of them.")


class Tag(BaseModel):
    """A decision and its provenance."""

    model_config = ConfigDict(from_attributes=True)

    taxonomy: str
    label: str | None = Field(description="null: the taxonomy abstained because none of its labels fits.")
    probability: float | None
    score: float | None = Field(description="Cosine similarity of the image and the best label.")
    source: TagSource
    taxonomy_version: str
    space: int | None = Field(description="Number of the embedding space of the decision; null if a human made it.")
    model: str | None = Field(description="null if a human made the decision.")
    active: bool = Field(description="Whether the decision was made in the active embedding space.")
    decided_at: datetime


class EarlierTag(BaseModel):
    """What a person decided about earlier bytes under the same key."""

    model_config = ConfigDict(from_attributes=True)

    taxonomy: str
    label: str | None = Field(description="null: none of the labels.")
    taxonomy_version: str
    decided_at: datetime
    sha256: str | None = Field(description="Of the bytes that were tagged; null if it was not recorded.")


class Location(BaseModel):
    """Where the picture was taken, according to its EXIF."""

    latitude: float
    longitude: float
    altitude: float | None = Field(description="Metres above sea level.")


class Image(BaseModel):
    """An image as the catalog knows it."""

    bucket: str
    key: str
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
    enriched_at: datetime
    searchable_after_seconds: float = Field(
        description="Time from the store's event, or from our first hint, until the image was searchable."
    )
    tags: list[Tag]
    earlier_tags: list[EarlierTag] = Field(
        description="What people decided about earlier bytes under this key, newest first. In force again if these "
        "bytes come back."
    )


class ImageList(BaseModel):
    """A page of images, by bucket and key."""

    images: list[Image]
    next: str | None = Field(
        description="Pass it as `after`, with the same filters, for the next page; null on the last page."
    )


class Asked(BaseModel):
    """A request body with known members only, each strictly of its documented type.

    Without this, ``"5"`` and ``true`` would pass as numbers, and a misspelt filter would be ignored.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        """Suggest the nearest member, which pydantic's own error does not do."""
        known = cls.model_fields
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                takes = f"the members are {', '.join(known)}"
                raise ValueError(f"unknown member {shown(name)}; {suggested(name, known, otherwise=takes)}")
        return given


class TagFilter(Asked):
    """Only images to which this tag applies."""

    taxonomy: Name = Field(examples=["time-of-day"])
    label: Name = Field(examples=["night"])


class LabelName(Asked):
    """A label, given by its name, title or an alias."""

    taxonomy: Name = Field(examples=["setting"])
    label: Name = Field(examples=["indoor"])


class SearchRequest(Asked):
    """A search by words, or by a label's vector."""

    text: _Query | None = Field(None, description="What to look for, in words.")
    label: LabelName | None = Field(None, description="Instead of `text`: the images nearest to this label.")
    limit: int = Field(10, ge=1, le=1_000, description="Most hits to return.")
    tags: list[TagFilter] = Field([], max_length=16, description="Only images to which all of these tags apply.")
    min_similarity: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Leave out hits below this. Typical values differ by model.",
    )
    exact: bool = Field(
        False,
        description="Compare every image that passes the filter, without an index, however long that takes.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchRequest:
        if (self.text is None) == (self.label is None):
            raise ValueError("needs either 'text' or 'label'")
        return self


class Hit(BaseModel):
    """One result."""

    model_config = ConfigDict(from_attributes=True)

    bucket: str
    key: str
    similarity: float = Field(description="Cosine of text and image, -1 to 1; comparable within one model only.")
    tags: dict[str, str | list[str]] = Field(
        description="Taxonomy → label; a sorted list if the taxonomy allows several, even if there is only one."
    )


class SearchResponse(BaseModel):
    """Results, best first, and how reliable they are."""

    hits: list[Hit]
    exact: bool = Field(
        description="Whether every image that passes the filter was compared. If not, an index was used, which finds "
        "nearly all of the nearest."
    )
    complete: bool = Field(
        description="False: the search stopped at a limit, so nearer images may be missing. Repeat it with `exact`."
    )


class NearestLabel(BaseModel):
    """A label, and how near it is."""

    model_config = ConfigDict(from_attributes=True)

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


class Change(BaseModel):
    """One entry of the change feed; its schema is `schemas/events/change.schema.json`."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Cursor: pass the last one as `after`.")
    kind: Literal["enriched", "removed"]
    bucket: str
    key: str
    etag: str | None
    at: datetime


class Changes(BaseModel):
    """A page of the change feed."""

    changes: list[Change]
    next: str | None = Field(description="Pass it as `after` to continue; null while nothing has ever changed.")


class FeedBlocker(BaseModel):
    """An open transaction that keeps changes from appearing in the feed."""

    model_config = ConfigDict(from_attributes=True)

    pid: int = Field(description="The database's process: `pg_terminate_backend(pid)` ends it.")
    application: str = Field(description="The session's name, as the database shows it.")
    since: datetime | None = Field(description="When the transaction began; null if the database does not say.")


class Status(BaseModel):
    """How many known objects are in each state."""

    model_config = ConfigDict(from_attributes=True)

    enriched: int
    excluded: int
    quarantined: int
    gone: int
    pending: int
    pending_live: int
    pending_retry: int
    pending_backfill: int
    in_flight: int
    oldest_pending_seconds: float
    feed_blocker: FeedBlocker | None = Field(description="The transaction that the change feed waits for; null: none.")


class KnownBucket(BaseModel):
    """A bucket in which an object has been announced."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    endpoint: str | None = Field(description="The store where it was last found; null: it was never found.")
    found_at: datetime | None = Field(description="When it was last found in the store.")
    missing_since: datetime | None = Field(description="Since when the store has not had it; null: it has it.")
    gone_at: datetime | None = Field(description="Since when it counts as deleted: its images leave the catalog.")


class BucketList(BaseModel):
    """All known buckets, by name."""

    buckets: list[KnownBucket]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether requests can be served, and with which model."""

    ready: bool
    model: str = Field(description="The configured model, and what it is for.")
    database: Literal["ok", "away", "read-only", "full", "out of connections", "busy"]
    reason: str | None = Field(None, description="Why it is not ready, in a sentence.")
    refused: list[str] = Field(
        description="What refuses to work because its model produces different vectors from those stored in its space: "
        "processes that did not start, and searches of this one. Events are committed all the same."
    )
