"""Response models that explain an image's tags."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.api.image_models import DecidedTag, Tag
from worker.api.links import Linked
from worker.pipeline.reading.explain import ExplainedTaxonomy, ImageExplanation
from worker.tagging import LabelReason

_OF_PROMPTS = (
    "The cosine used: of the nearest prompt. If the aggregate is the mean, all texts of a prompt are one vector."
)


#: A single enumeration: generated clients do not understand a union of a constant and another enumeration.
_DecidedBy = Annotated[
    str, Field(json_schema_extra={"enum": ["human-decision", *(reason.value for reason in LabelReason)]})
]


class _Values(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ComparedText(_Values):
    """A text that was compared with the image."""

    text: str
    similarity: float = Field(description="Cosine of text and image, -1 to 1.")


class Opposite(_Values):
    """What a label is not, from `not` in its taxonomy. It competes as a candidate of its own."""

    similarity: float = Field(description=_OF_PROMPTS)
    texts: list[ComparedText] = Field(description="Nearest first.")


class ExplainedLabel(_Values):
    """A label's numbers, even if its taxonomy does not apply."""

    label: str
    title: str = Field(description="Display name; the label itself if none was given.")
    parent: str | None
    reason: LabelReason = Field(description="Why it holds or not.")
    similarity: float = Field(
        description="The cosine used: the aggregate of its texts, or of those of the nearest label below it."
    )
    probability: float = Field(
        description="Given that its parent holds: exp(factor · similarity), divided by the sum of that over all "
        "candidates, which are the labels of this parent, their opposites, and the background. At the top of a "
        "`multi-label` taxonomy, and wherever neutral prompts are given, the candidates are the label and its rival."
    )
    rival: float | None = Field(
        description="Cosine of the strongest other candidate: another label, the background, the opposite, or the "
        "neutral level. null: there is no other."
    )
    neutral_level: float | None = Field(
        description="Cosine that the label must exceed: the higher of 2.33 standard deviations above the mean of the "
        "neutral prompts, and of one standard deviation below the nearest neutral or background prompt. null: labels "
        "are not judged relative to neutral prompts, because the taxonomy has numbers for this model."
    )
    over_neutral: float | None = Field(description="Lead over the neutral level, in standard deviations.")
    lead: float = Field(description="Lead over that rival, in probability; negative if the rival is ahead.")
    threshold: float = Field(description="Least probability of a tag.")
    margin: float = Field(description="Least lead of a tag.")
    texts: list[ComparedText] = Field(description="Nearest first.")
    opposite: Opposite | None = Field(description="What the label is not; null: not given.")


class Background(_Values):
    """What the labels of one level compete with, besides each other."""

    parent: str | None = Field(description="null: at the top.")
    similarity: float = Field(description=_OF_PROMPTS)
    texts: list[ComparedText] = Field(description="Nearest first.")


class NeutralPrompts(_Values):
    """What the image is to prompts that ask nothing: a scale for models that a taxonomy has no numbers for."""

    mean: float = Field(description="Of their cosines.")
    deviation: float = Field(description="Their standard deviation.")
    nearest: ComparedText


class NewerVersion(_Values):
    """What the version now in use would decide."""

    version: str
    labels: list[str] = Field(description='Empty: "none of these".')
    applies: bool


class TaxonomyExplanation(BaseModel):
    """What one taxonomy compared, and the tags it has in the catalog."""

    taxonomy: str
    title: str
    version: str = Field(description="The version explained: that of the stored tags, if there are any.")
    mode: Literal["exclusive", "multi-label"]
    applies: bool = Field(description="False: its condition is not met, so it writes no tags.")
    calibrated: bool = Field(description="Whether it has thresholds for this model.")
    factor: float = Field(
        description="Logits are cosines times this. With neutral prompts, 2 divided by the temperature and by their "
        "deviation."
    )
    neutral: NeutralPrompts | None = Field(description="null: labels are not judged relative to neutral prompts.")
    decided_by: _DecidedBy = Field(
        description="What decided: a person, or the reason of the label that was chosen or came nearest."
    )
    standing: Literal["current", "older-version", "differs", "nothing"] = Field(
        description="Whether the catalog agrees with the explanation: yes, by the newest version; yes, by an older "
        "one; it differs; it has nothing."
    )
    written: list[Tag] = Field(description="The catalog's tags of this taxonomy in this space.")
    human: list[Tag] = Field(description="What people accepted, and who they are.")
    rejected: list[DecidedTag] = Field(description="What people rejected, and who they are.")
    newer: NewerVersion | None
    suggested: list[str] = Field(
        description="Labels that would hold, but are not applied, because their precision is not proven."
    )
    labels: list[ExplainedLabel] = Field(description="Parents before children.")
    background: list[Background]


class Explanation(Linked):
    """Why an image has its tags."""

    etag: str
    space: int
    model: str
    taxonomies: list[TaxonomyExplanation]
    uncalibrated: list[str] = Field(
        description="Taxonomies that are not calibrated for this model: their tags are unproven."
    )
    notes: list[str] = Field(description="What could not be explained in the way it was decided.")


def explanation(explained: ImageExplanation) -> Explanation:
    """The explanation."""
    record = explained.record
    return Explanation(
        bucket=record.bucket,
        key=record.key,
        etag=record.etag,
        space=explained.space.id,
        model=explained.space.model,
        taxonomies=[_taxonomy(each) for each in explained.taxonomies],
        uncalibrated=list(explained.uncalibrated),
        notes=list(explained.notes),
    )


def _taxonomy(each: ExplainedTaxonomy) -> TaxonomyExplanation:
    numbers = each.numbers
    values = {
        name: getattr(numbers, name)
        for name in ("taxonomy", "title", "version", "mode", "applies", "calibrated", "factor")
    }
    return TaxonomyExplanation(
        **values,
        decided_by="human-decision" if each.human or each.rejected else numbers.because,
        standing=each.standing,
        written=[Tag.model_validate(tag) for tag in each.written],
        human=[Tag.model_validate(tag) for tag in each.human],
        rejected=[DecidedTag.model_validate(tag) for tag in each.rejected],
        neutral=None if numbers.neutral is None else NeutralPrompts.model_validate(numbers.neutral),
        newer=None if each.newer is None else NewerVersion.model_validate(each.newer),
        suggested=list(numbers.suggested),
        labels=[ExplainedLabel.model_validate(label) for label in numbers.labels],
        background=[Background.model_validate(rivals) for rivals in numbers.background],
    )
