"""Request and response models of heads."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from worker.api.models import Asked, Name, Values
from worker.api.taxonomy_models import ChangePlan

_PromotedBy = Literal["test", "person"]


class HeadAsked(Asked):
    """What to learn from people's decisions."""

    taxonomy: Name = Field(description="In force.")
    space: int | None = Field(None, ge=1, le=2**31 - 1, description="Learn for this space instead of the active one.")
    promote: bool = Field(
        False, description="Also a head that is ahead by 2 images but not proven to be better; it is marked so."
    )
    pooled: bool = Field(
        False, description="Prove one threshold for all labels together; it may hide a label that is often wrong."
    )
    zero_shot: bool = Field(False, description="Learn nothing: take the head out of force.")

    @model_validator(mode="after")
    def _one_of_them(self) -> HeadAsked:
        if self.zero_shot and (self.promote or self.pooled):
            raise ValueError("'zero_shot' takes the head out of force: leave 'promote' and 'pooled' out")
        return self


class HeadPlanRequest(HeadAsked):
    """A head to preview."""

    sample: int = Field(20_000, ge=1, le=20_000, description="Images to examine; of fewer, all are.")


class HeadApplyRequest(HeadAsked):
    """A head to put into force."""

    planned: int | None = Field(
        None,
        ge=0,
        description="The `revision` of the plan that was looked at: if another one is in force by now, the answer is "
        "409 and nothing is changed. Left out, the change is made to whatever is in force.",
    )


class LabelDecisions(Values):
    """What people decided about a label at the top of the taxonomy."""

    label: str
    has: int = Field(description="Reviewed images that have it.")
    has_not: int = Field(description="Reviewed images that do not.")
    has_prompts: bool = Field(description="false: only decisions teach it.")


class CurvePoint(Values):
    """Right answers about images that were left out, with heads that were learned from some of the reviews."""

    reviews: int
    zero_shot: float | None = Field(description="Share of right answers; null: no image that judges.")
    head: float | None


class NeededWins(Values):
    """What would pass the test."""

    won: int
    lost: int


class HeadCertificate(Values):
    """What the reviews that taught a head prove about one of its labels."""

    label: str
    message: str = Field(description="For people; `GET /v1/certificates` has the numbers once it is stored.")


class LearnedHead(Values):
    """A head, and how it compares with zero-shot on images that it was not learned from."""

    taxonomy: str
    space: int
    revision: int = Field(description="In force when it was learned; for `planned`.")
    scoring: str = Field(description="Hash of what probabilities depend on without a head.")
    head: int | None = Field(description="Its number; null: this was a preview.")
    in_force: int | None = Field(description="The head in force before; null: none.")
    decisions: int = Field(description="Images that it was learned from.")
    judged: int = Field(description="Scenes, drawn at random, on which it was compared.")
    won: int = Field(description="Of these, answered rightly by the head alone.")
    lost: int = Field(description="Answered rightly by zero-shot alone.")
    p: float = Field(description="One-sided exact sign test; 0.05 or less promotes a head.")
    promoted_by: _PromotedBy | None = Field(description="null: it is not put into force.")
    penalty: float = Field(description="λ of the regression.")
    labels: list[LabelDecisions]
    curve: list[CurvePoint]
    would_do: list[NeededWins] = Field(description="The fewest wins that pass, with no further loss and with one more.")
    more: int | None = Field(
        description="About how many further random reviews the test needs at the rate so far; null: cannot be said."
    )
    message: str = Field(description="For people.")
    notes: list[str]
    certificates: list[HeadCertificate] = Field(description="Of a promoted head, by the fits without each image.")


class HeadPlan(BaseModel):
    """What was learned, and what putting it into force would do."""

    learned: LearnedHead | None = Field(description="null: with `zero_shot`.")
    plan: ChangePlan | None = Field(description="null: the head is not promoted.")


class HeadResult(BaseModel):
    """What was learned, and what was put into force."""

    learned: LearnedHead | None = Field(description="null: with `zero_shot`.")
    revision: int | None = Field(description="Put into force; null: nothing was changed.")


class HeadInfo(Values):
    """A head that was learned."""

    id: int
    space: int
    taxonomy: str
    in_force: bool = Field(description="Whether tags are decided by it now.")
    scoring: str
    labels: list[str]
    decisions: int
    last_decision: int
    judged: int
    won: int
    lost: int
    p: float
    promoted_by: _PromotedBy | None
    at: datetime
    made_by: str


class HeadList(BaseModel):
    """Heads, newest first."""

    heads: list[HeadInfo]
    next: int | None = Field(description="Pass it as `before` for older ones; null: there are none.")
