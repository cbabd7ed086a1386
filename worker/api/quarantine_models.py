"""Request and response models of the quarantine."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from worker.api.models import Asked, MomentText, Name, Text
from worker.types import Reason

#: Responses may name reasons that a newer release added; requests must name one of these.
_ReasonCode = Annotated[str, Field(json_schema_extra={"enum": [reason.value for reason in Reason]})]


class QuarantineEntry(BaseModel):
    """An object that cannot be enriched, and why."""

    model_config = ConfigDict(from_attributes=True)

    bucket: str
    key: str
    reason: _ReasonCode = Field(description="docs/reference/images.md says what each means and what to do.")
    message: str = Field(description="The error message.")
    etag: str | None = Field(description="Of the bytes that were refused; null if none were read.")
    size: int | None
    attempts: int
    since: datetime = Field(description="When it was last put into quarantine.")
    pending: bool = Field(description="Whether it is being retried; the other fields describe the last attempt.")
    thumbnail: str | None = Field(
        None,
        description="Address of a preview of at most 256 × 256 pixels, if the image was enriched before and is still "
        "in the catalog; null: it was never decoded.",
    )


class QuarantineDetails(QuarantineEntry):
    """An entry with the first bytes of its file."""

    first_bytes: str | None = Field(description="Hexadecimal, at most 512 bytes; null if none were read.")
    hexdump: list[str] = Field(description="The same for people, sixteen bytes per line.")


class QuarantineList(BaseModel):
    """A page of the quarantine, newest first."""

    entries: list[QuarantineEntry]
    next: str | None = Field(description="Pass it as `after` for older entries; null on the last page.")


class QuarantineCounts(BaseModel):
    """How many entries there are."""

    total: int
    reasons: dict[str, int] = Field(description="By reason, most frequent first.")


class QuarantineChoice(Asked):
    """Which entries to change. At least one member is needed; an entry must match all of them."""

    reason: Annotated[Reason, Strict(strict=False)] | None = None  # a text
    bucket: Name | None = None
    prefix: Text | None = Field(None, max_length=1_024, description="Only keys with this prefix; requires `bucket`.")
    key: Text | None = Field(None, min_length=1, max_length=1_024, description="Only this object; requires `bucket`.")
    since: MomentText | None = Field(None, description="Put into quarantine since: `2d`, `12h`, or a time.")
    older_than: MomentText | None = Field(None, description="Put into quarantine before: `30d`, or a time.")
    given_up: bool = Field(
        False, description="For a retry: objects that were given up, and when, instead of the quarantine."
    )
    all: bool = Field(False, description="All entries; without any other filter.")
    after: str | None = Field(
        None, max_length=256, description="`next` of the previous response, with the same filters: continue from there."
    )


class QuarantineChanged(BaseModel):
    """What a retry or a drop did."""

    changed: int = Field(description="Entries changed by this call, without those that were already pending.")
    next: str | None = Field(description="Repeat the call with this as `after` to change the rest; null: done.")
