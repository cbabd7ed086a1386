"""Request and response models of people's decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StringConstraints

from worker.api.filter_models import Filter
from worker.api.image_models import Image
from worker.api.models import Asked, Text
from worker.catalog.decisions import Chosen, Verdict
from worker.pipeline.review.decide import MOST, DecisionOutcome


def _not_an_undo(verdict: Verdict) -> Verdict:
    if verdict is Verdict.UNDO:
        raise ValueError("undo with DELETE /v1/decisions")
    return verdict


_Name = Annotated[Text, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
_Label = Annotated[Text, Field(min_length=1, max_length=200, description="Its name, title or an alias.")]
_Reason = Annotated[Text | None, Field(max_length=2_000, description="Why, in the reviewer's words.")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
_Verdict = Annotated[
    Verdict,
    Strict(strict=False),  # a text
    AfterValidator(_not_an_undo),
    Field(
        description="`accept`: the label holds. `reject`: it does not, whatever a model says. `replace`: this label "
        "holds instead of the one shown. `none`: none of the taxonomy's labels holds. `unsure`: the reviewer cannot "
        "tell. `withdraw`: what was decided before no longer stands."
    ),
]


class SeenState(Asked):
    """What the reviewer saw. What is left out is not compared with what is there now."""

    sha256: _Sha256 | None = Field(
        None, description="Of the picture. If the key has other bytes by now, the decision is kept for these."
    )
    labels: list[_Label] | None = Field(
        None, max_length=1_000, description="Labels of the taxonomy that were in force. If others are: a conflict."
    )
    decision: int | None = Field(
        None,
        ge=0,
        lt=1 << 63,
        description="The newest decision about the image in the taxonomy; 0: none. If another is: a conflict.",
    )
    label: _Label | None = Field(None, description="The label that was asked about; for `replace`, the one replaced.")
    version: _Name | None = Field(None, description="Version of the taxonomy that had decided the label.")
    space: int | None = Field(None, ge=1, lt=1 << 31, description="Embedding space in which it was decided.")


class OneDecision(Asked):
    """A decision about one image."""

    taxonomy: _Name
    verdict: _Verdict
    label: _Label | None = None
    reason: _Reason = None
    chosen: Annotated[Chosen, Strict(strict=False)] = Field(
        Chosen.DIRECT, description="How the image was chosen. Only `random` draws can prove a model's precision."
    )
    inclusion_probability: float | None = Field(
        None, gt=0, le=1, description="With what probability the image was drawn, if it was."
    )
    plan: int | None = Field(None, ge=1, lt=1 << 63, description="Number of the review plan.")
    seen: SeenState = Field(SeenState(), description="Send what you showed, so that a change since then is noticed.")


class DecisionAbout(OneDecision):
    """A decision, and the image it is about."""

    bucket: Text = Field(min_length=1, max_length=200)
    key: Text = Field(min_length=1, max_length=1_024)


class PutDecision(OneDecision):
    """One decision, and who makes it."""

    reviewer: _Name = Field(description="Who decides.")
    new_labels: bool = Field(False, description="Allow a label or taxonomy that does not exist yet.")


class PostDecisions(Asked):
    """Decisions of one reviewer."""

    reviewer: _Name = Field(description="Who decides.")
    decisions: list[DecisionAbout] = Field(min_length=1, max_length=MOST)
    batch: Annotated[UUID, Strict(strict=False)] | None = Field(
        None, description="Your own number for all of it, to undo it by. Sending a batch again records nothing twice."
    )
    new_labels: bool = Field(False, description="Allow labels and taxonomies that do not exist yet.")


class MatchedImages(Filter):
    """Which images: they must match all that is given, and something must be given."""


class DecideMatching(Asked):
    """One decision about all images that match."""

    images: MatchedImages
    taxonomy: _Name
    verdict: _Verdict
    label: _Label | None = None
    reason: _Reason = None
    reviewer: _Name = Field(description="Who decides.")
    confirm: int | None = Field(
        None, ge=0, description="How many images you expect, from a call without it. If another number matches: 409."
    )
    after: str | None = Field(
        None, max_length=10_000, description="`next` of the previous response, with everything else unchanged."
    )


class _Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CurrentAnswer(_Response):
    """What holds now for an image in a taxonomy."""

    labels: list[str] = Field(description="In force.")
    decision: int | None = Field(description="The newest decision that stands; null: none.")
    verdict: Verdict | None
    label: str | None
    reviewer: str | None
    at: datetime | None


class DecisionResult(_Response):
    """What became of one decision."""

    outcome: DecisionOutcome = Field(
        description="`saved`. `unchanged`: it was recorded before. `other-bytes`: saved for the bytes that were seen, "
        "which the key no longer has. `conflict`: not saved, because what was seen has changed. `refused`: not saved, "
        "because it names something that does not exist."
    )
    message: str = Field(description="Why it was not saved, or not as asked; else empty.")
    decision: int | None = Field(description="Its number; null if it was not saved.")
    now: CurrentAnswer | None = Field(description="For a conflict: what holds instead of what was seen.")


class DecisionBatch(_Response):
    """What became of all decisions."""

    batch: UUID = Field(description="Undo all of it with this.")
    saved: int = Field(description="Of them, how many were recorded now.")
    results: list[DecisionResult] = Field(description="In the order of the request.")


class Matching(_Response):
    """What a decision about many images would do, or did."""

    count: int | None = Field(description="Without `confirm`: how many images match. Send it as `confirm`.")
    examples: list[Image] = Field(description="Without `confirm`: those of which the model is least certain.")
    batch: UUID | None = Field(description="With `confirm`: undo all of it with this.")
    outcomes: dict[str, int] = Field(description="Outcome → images, of this call.")
    refused: str | None = Field(description="The first reason why one was not saved.")
    next: str | None = Field(description="Repeat the call with this as `after` for the rest; null: done.")


class Decision(_Response):
    """A recorded decision."""

    id: int
    batch: UUID
    bucket: str
    key: str
    sha256: str | None = Field(description="Of the bytes that were seen; null if it was not recorded.")
    taxonomy: str
    taxonomy_version: str = Field(description="Version in use at the time, or `by hand`.")
    verdict: Verdict
    label: str | None
    adds: list[str] = Field(description="Labels that hold by it: the accepted one, and those above it.")
    removes: list[str] = Field(description="Labels that do not: the rejected one, and those below it.")
    answers: bool = Field(description="Whether it answers the whole taxonomy, instead of one label of several.")
    shown_label: str | None
    shown_version: str | None
    shown_space: int | None
    reviewer: str
    reason: str | None
    chosen: str
    inclusion_probability: float | None
    plan: int | None
    undoes: int | None = Field(description="For an undo: the decision that it takes back.")
    undone_by: int | None = Field(description="The undo that took it back; null: it stands.")
    at: datetime


class DecisionList(BaseModel):
    """Decisions, newest first."""

    decisions: list[Decision]
    next: int | None = Field(description="Pass it as `after` for older ones; null: there are none.")


class Undone(_Response):
    """What an undo did."""

    batch: UUID = Field(description="Of the undo itself.")
    undone: int
    already: int = Field(description="Decisions that had been undone before.")
