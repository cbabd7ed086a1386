"""Request and response models. They are a public interface: ``schemas/openapi.json`` is generated from them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worker.pipeline.common import time_filters
from worker.pipeline.reading.image_lookup import State
from worker.suggestions import shown, suggested


def storable(text: str) -> str:
    """Refuse text that PostgreSQL cannot store."""
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("must not contain half of a surrogate pair")
    return text


#: Text that PostgreSQL can store.
Text = Annotated[str, AfterValidator(storable)]


def _moment(text: str) -> str:
    time_filters.parse(text)
    return text


#: How a tag was decided.
TagSource = Literal["zero-shot", "few-shot", "text-fusion", "human"]

#: A duration back from now, or a time.
MomentText = Annotated[str, StringConstraints(max_length=64), AfterValidator(_moment)]

_TAG = re.compile(r"[^=]{1,200}=.{1,200}", re.DOTALL)


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise ValueError("write TAXONOMY=LABEL, such as time-of-day=night, each of at most 200 characters")
    return text


#: ``TAXONOMY=LABEL``.
TagText = Annotated[
    str, AfterValidator(_tag), AfterValidator(storable), Field(json_schema_extra={"pattern": f"^{_TAG.pattern}$"})
]
#: Name of a taxonomy, a label or a bucket.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]


#: 0 to 1.
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Values(BaseModel):
    """A response made of the attributes of a value."""

    model_config = ConfigDict(from_attributes=True)


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
        None,
        description="For an uploaded image that cannot be decoded, and with `quarantined` and `given-up`: why. "
        "docs/reference/images.md lists the codes.",
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
    source: TagSource | None = Field(None, description="Only if it was decided so.")
    min_probability: Probability | None = Field(
        None, description="A person's decision has no probability, and passes every bound."
    )
    max_probability: Probability | None = None


class Change(Values):
    """One entry of the change feed; its schema is `schemas/events/change.schema.json`."""

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


class FeedBlocker(Values):
    """An open transaction that keeps changes from appearing in the feed."""

    pid: int = Field(description="The database's process: `pg_terminate_backend(pid)` ends it.")
    application: str = Field(description="The session's name, as the database shows it.")
    since: datetime | None = Field(description="When the transaction began; null if the database does not say.")


class OpenReview(Values):
    """A review plan that is not closed."""

    plan: int
    queue: str
    taxonomy: str
    label: str | None
    items: int
    remaining: int = Field(description="Images without a decision.")


class Reviews(Values):
    """What people have decided, in all buckets, and what is left for them."""

    decisions: int = Field(description="Recorded, also those that were undone.")
    reviewers: int
    newest: datetime | None
    open_plans: int = Field(description="Review plans that are not closed.")
    open: list[OpenReview] = Field(description="The newest 20 of them.")
    proven: int = Field(description="Labels in force whose precision is proven in the active space.")
    expired: int = Field(description="Labels in force whose certificate has expired.")


class Status(Values):
    """How many known objects are in each state."""

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
    reviews: Reviews


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
