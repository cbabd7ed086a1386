"""The quarantine over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from worker.api.models import Asked, MomentText, Name, Text
from worker.types import Reason

#: Answers name reasons that a newer release may add to; what is asked for must be one of these.
_ReasonCode = Annotated[str, Field(json_schema_extra={"enum": [reason.value for reason in Reason]})]


class QuarantineEntry(BaseModel):
    """An object that cannot be enriched, and why."""

    model_config = ConfigDict(from_attributes=True)

    bucket: str
    key: str
    reason: _ReasonCode = Field(description="docs/reference/images.md says what each means and what to do.")
    message: str = Field(description="The error itself, with its numbers.")
    etag: str | None = Field(description="Of the bytes that were refused; null where none were read.")
    size: int | None
    attempts: int
    since: datetime = Field(description="When it was put into quarantine, for the last time.")
    pending: bool = Field(description="It is being tried again; the rest describes the last time.")


class QuarantineDetails(QuarantineEntry):
    """An entry with what its file begins with."""

    first_bytes: str | None = Field(description="Hexadecimal, at most 512 bytes; null where none were read.")
    hexdump: list[str] = Field(description="The same for people, a line for each sixteen bytes.")


class QuarantineList(BaseModel):
    """A page of the quarantine, newest first."""

    entries: list[QuarantineEntry]
    next: str | None = Field(description="Pass it as `after` for older ones; null: there are none.")


class QuarantineCounts(BaseModel):
    """How many entries there are."""

    total: int
    reasons: dict[str, int] = Field(description="By reason, most first.")


class QuarantineChoice(Asked):
    """Which entries to change. All that is given must hold; something must be given."""

    reason: Annotated[Reason, Strict(strict=False)] | None = None  # a text
    bucket: Name | None = None
    prefix: Text | None = Field(None, max_length=1_024, description="Of the key; with `bucket`.")
    key: Text | None = Field(None, min_length=1, max_length=1_024, description="One object; with `bucket`.")
    since: MomentText | None = Field(None, description="Put into quarantine since: `2d`, `12h`, or a time.")
    older_than: MomentText | None = Field(None, description="Put into quarantine before: `30d`, or a time.")
    given_up: bool = Field(
        False, description="Of what was given up, with the times of that; not of the quarantine. For a retry."
    )
    all: bool = Field(False, description="Everything, where nothing else is given.")
    after: str | None = Field(
        None, max_length=256, description="`next` of the answer before: go on there, with the same choice."
    )


class QuarantineChanged(BaseModel):
    """What a retry or a drop did."""

    changed: int = Field(
        description="Entries changed by this call; those that were pending already are not among them."
    )
    next: str | None = Field(description="Ask again with this as `after` to change the rest; null: all is done.")
