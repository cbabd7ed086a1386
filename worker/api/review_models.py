"""Request and response models of review queues and plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints

from worker.api.links import Linked
from worker.api.models import Asked, Name, Text
from worker.catalog.decisions import Chosen
from worker.catalog.review_plans import ItemState
from worker.pipeline.review.plans import HELD
from worker.pipeline.review.queues import MOST, Queue

_Reviewer = Annotated[Name, StringConstraints(strip_whitespace=True)]
_Label = Annotated[Text, Field(min_length=1, max_length=200, description="Its name, title or an alias.")]


class _Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class SeenItem(_Response):
    """Send it back as `seen` of the decision."""

    sha256: str
    labels: Sequence[str] = Field(description="Labels of the taxonomy in force.")
    decision: int = Field(description="The newest decision about the image in the taxonomy; 0: none.")
    label: str = Field(description="The label that is asked about.")
    version: str = Field(description="Version of the taxonomy.")
    space: int = Field(description="Embedding space of the model.")


class ReviewItem(Linked, _Response):
    """An image to look at, and the question: does the label hold?

    Send `seen`, `chosen`, `inclusion_probability` and `plan` back with the decision.
    """

    sha256: str
    etag: str
    label: str = Field(description="That is asked about.")
    probability: float | None = Field(
        description="Of this label, by the active space's model; null: it does not give the label, and the number was "
        "not computed."
    )
    given: bool = Field(description="Whether that model gives the label. If not, the label was near.")
    taxonomy_version: str
    space: int
    tags: Mapping[str, Sequence[str]] = Field(description="Taxonomy → labels in force.")
    why: str = Field(description="Why this image was chosen.")
    seen: SeenItem
    chosen: Chosen
    inclusion_probability: float | None = Field(
        description="With what probability the image was drawn; null: it was not drawn at random."
    )
    plan: int | None
    place: int | None = Field(description="In the plan, from 0.")


class ReviewPage(BaseModel):
    """Images to look at, the first ones first."""

    items: list[ReviewItem]
    taxonomy: str
    taxonomy_version: str
    space: int
    model: str
    examined: int = Field(description="Images among which these were chosen.")
    total: int = Field(description="Images that there are; estimated if there are more than a million.")
    exact: bool = Field(
        description="Whether all images were examined. If not, a uniform sample was: other images may fit better."
    )


class PostPlan(Asked):
    """A review to plan."""

    queue: Annotated[Queue, Strict(strict=False)] = Field(Queue.RANDOM, description="How images are chosen.")
    taxonomy: Name
    label: _Label | None = Field(None, description="Required for `search`, and if the taxonomy allows several labels.")
    query: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)] | None = Field(
        None, description="For `search`: words. Without it, the label itself is searched for."
    )
    other_space: int | None = Field(
        None,
        ge=1,
        lt=1 << 31,
        description="For `disagreement`: the space to compare with; by default the prompts alone if the taxonomy has "
        "a head, else the newest other one.",
    )
    target: float = Field(
        0.95, ge=0.5, lt=1, description="For `random`: the precision to prove. Decides how many images are drawn."
    )
    confidence: float = Field(0.95, ge=0.5, lt=1, description="For `random`: of the proof.")
    size: int | None = Field(
        None, ge=1, le=MOST, description="Most images; by default as many as the target needs, or 100."
    )
    unsure: bool = Field(False, description="Ask again about images where people could not tell.")
    seed: int | None = Field(None, ge=0, lt=1 << 31, description="Of the draw; by default another one each time.")
    reviewer: _Reviewer = Field(description="Who plans.")


class LookState(_Response):
    """A planned look at the results."""

    items: int = Field(description="The first so many of the plan.")
    delta: float = Field(description="Error probability that it may spend, if no plan about the label came before.")
    complete: bool
    right: int
    wrong: int
    unsure: int
    left_out: int = Field(description="Changed or gone: not counted.")


class ReviewPlan(BaseModel):
    """A review plan: its images and their order do not change."""

    id: int
    queue: Queue
    taxonomy: str
    label: str | None
    query: str | None
    space: int
    taxonomy_version: str
    target: float | None = Field(description="Precision to prove; null: the plan proves nothing.")
    delta: float | None = Field(description="Error probability that all looks share.")
    population: int = Field(description="Images that the plan was drawn from; an estimate unless `exact`.")
    exact: bool
    drawn: int = Field(description="Images drawn before near-duplicates were collapsed.")
    frame_size: int = Field(description="Images in the plan.")
    cluster_rule: str | None = Field(description="When two images are near-duplicates.")
    seed: int
    reviewer: str = Field(description="Who made it.")
    created_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    closed_because: str | None
    outdated: bool = Field(description="Another space or version of the taxonomy is in force now.")
    reviewed: int
    right: int = Field(description="The label holds.")
    wrong: int = Field(description="It does not.")
    unsure: int
    changed: int = Field(description="The key has other bytes now: not counted.")
    gone: int = Field(description="The image left the catalog: not counted.")
    remaining: int
    look: int = Field(description="How many looks are complete.")
    looks: list[LookState]


class ReviewPlanList(BaseModel):
    """Plans, newest first."""

    plans: list[ReviewPlan]
    next: int | None = Field(description="Pass it as `after` for older ones; null: there are none.")


class PlannedItem(Linked, _Response):
    """An image of a plan, and what became of it."""

    place: int
    sha256: str
    label: str
    probability: float | None
    given: bool
    inclusion_probability: float | None
    alike: int = Field(description="Drawn images that are near-duplicates of this one, itself included.")
    why: str
    state: ItemState = Field(
        description="`open`: not decided. `right`, `wrong`: whether the label holds. `unsure`. `changed`: the key has "
        "other bytes now. `gone`: the image left the catalog."
    )
    decision: int | None
    reviewer: str | None = Field(description="Who decided.")
    held_by: str | None = Field(description="Who is being asked.")


class PlannedItems(BaseModel):
    """All images of a plan, in order."""

    items: list[PlannedItem]


class NextItems(Asked):
    """Who wants to review, and how much."""

    reviewer: _Reviewer
    limit: int = Field(20, ge=1, le=MOST, description=f"Most items; they are this reviewer's for {HELD} seconds.")


class ReviewItems(BaseModel):
    """The next images of a plan; none: all others are decided, or being reviewed."""

    items: list[ReviewItem]


class ReleaseItems(Asked):
    """Items that are not going to be reviewed now."""

    reviewer: _Reviewer
    places: list[Annotated[int, Field(ge=0, lt=1 << 31)]] = Field(min_length=1, max_length=MOST)


class ClosePlan(Asked):
    """Who closes a plan, and why."""

    reviewer: _Reviewer
    reason: Text | None = Field(None, max_length=2_000)
