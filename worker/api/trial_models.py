"""Request and response models of trials of taxonomies."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from worker.api.links import Linked
from worker.api.models import Asked, Name
from worker.api.taxonomy_models import AbstentionSummary, Estimate, Sampling, TaxonomyYaml
from worker.pipeline.reading import taxonomy_trials
from worker.pipeline.reading.taxonomy_trials import ImageStrips, TaxonomyTrial, TriedImage, TriedLabel
from worker.tagging.trials import BINS

_Bins = Annotated[list[int], Field(min_length=BINS, max_length=BINS)]


class TaxonomyTrialRequest(Asked):
    """A taxonomy to try on a sample of the catalog."""

    taxonomy: TaxonomyYaml = Field(
        description="As YAML, as `POST /v1/taxonomy-changes/plan` takes it in `add`; at most 2,000 texts, counted in "
        "all templates. Messages call it `taxonomy` and name its lines."
    )
    sample: int = Field(
        taxonomy_trials.SAMPLE,
        ge=1,
        le=taxonomy_trials.MOST_SAMPLE,
        description="Images to score; of fewer, all are. They are the same ones for every request, until the catalog "
        "changes.",
    )
    labels: list[Name] | None = Field(
        None,
        max_length=taxonomy_trials.MOST_SHOWN,
        description=f"Labels to return images of; if omitted, the first {taxonomy_trials.SHOWN}.",
    )
    strip: int = Field(
        taxonomy_trials.STRIP, ge=0, le=taxonomy_trials.MOST_STRIP, description="Most images of each strip."
    )


class TrialImage(Linked):
    """An image, and what a label makes of it."""

    bucket: str
    key: str
    sha256: str
    probability: float = Field(description="Among the label's rivals; of a child: given that its parent holds.")
    similarity: float = Field(description="Cosine of the label's nearest text and the image.")
    holds: bool = Field(description="Whether the label would be decided: applied, or only suggested.")


class TrialStrips(BaseModel):
    """A few images of one label. In a small sample, the strips may share images."""

    best: list[TrialImage] = Field(description="Likeliest first.")
    above: list[TrialImage] = Field(description="At or above the threshold, nearest to it first.")
    below: list[TrialImage] = Field(description="Below the threshold, nearest to it first.")
    worst: list[TrialImage] = Field(description="Least likely first.")


class TrialLabel(BaseModel):
    """What the sample says about one label. Numbers of images are of the sample, except in estimates."""

    label: str
    parent: str | None = Field(description="Of which it is a kind.")
    threshold: float = Field(description="Which counts for the active model: from reviews, the model's, or the file's.")
    asked: int = Field(description="Images for which it is a candidate; of a child: where its parent would hold.")
    histogram: _Bins = Field(description=f"These images by probability, in {BINS} equal bins from 0 to 1.")
    above: int = Field(
        description="At or above the threshold. Another label or the margin may keep some from getting it."
    )
    tagged: Estimate = Field(description="Images that would get it.")
    suggested: Estimate = Field(description="Images for which it would only be suggested.")
    strips: TrialStrips | None = Field(description="null: not asked for.")


class TaxonomyTrialResult(BaseModel):
    """What a taxonomy would say, if it were in force now."""

    name: str
    version: str = Field(description="That it would have.")
    space: int = Field(description="The active space.")
    model: str = Field(description="Its model.")
    calibrated: bool = Field(
        description="Whether it has numbers for this model; if not, it is judged relative to neutral prompts."
    )
    sampling: Sampling
    tagged: Estimate = Field(description="Images that would get one label or more.")
    suggested: Estimate = Field(description="Images that would get suggestions only.")
    abstentions: AbstentionSummary = Field(description="Images that would get none, and why.")
    differs: Estimate | None = Field(
        description="Images of which a label would come or go, compared with the stored tags of the taxonomy of this "
        "name; null: none is in force."
    )
    hidden: Estimate | None = Field(description="Images where a person's decision hides such a change.")
    labels: list[TrialLabel] = Field(description="In the order of the file, parents before children.")
    unlearned: list[str] = Field(description="Labels without prompts that no head knows yet: no image gets them.")
    unproven: list[str] = Field(
        description="Labels that are only suggested, until reviews prove the taxonomy's `target_precision`."
    )

    @classmethod
    def of(cls, found: TaxonomyTrial) -> TaxonomyTrialResult:
        """The answer for what the use case found."""
        return cls(
            name=found.taxonomy.name,
            version=found.taxonomy.version,
            space=found.space.id,
            model=found.space.model,
            calibrated=found.taxonomy.is_calibrated_for(found.space.model),
            sampling=Sampling.model_validate(found.sampling),
            tagged=Estimate.model_validate(found.tagged),
            suggested=Estimate.model_validate(found.suggested),
            abstentions=AbstentionSummary.model_validate(found.abstentions),
            differs=None if found.differs is None else Estimate.model_validate(found.differs),
            hidden=None if found.hidden is None else Estimate.model_validate(found.hidden),
            labels=[_label(each) for each in found.labels],
            unlearned=list(found.unlearned),
            unproven=list(found.unproven),
        )


def _label(found: TriedLabel) -> TrialLabel:
    trial = found.trial
    return TrialLabel(
        label=trial.label,
        parent=trial.parent,
        threshold=trial.threshold,
        asked=trial.asked,
        histogram=list(trial.histogram),
        above=trial.above,
        tagged=Estimate.model_validate(found.tagged),
        suggested=Estimate.model_validate(found.suggested),
        strips=None if found.strips is None else _strips(found.strips),
    )


def _strips(found: ImageStrips) -> TrialStrips:
    names = ("best", "above", "below", "worst")
    return TrialStrips(**{name: [_image(each) for each in getattr(found, name)] for name in names})


def _image(found: TriedImage) -> TrialImage:
    ref = found.image.ref
    return TrialImage(
        bucket=ref.bucket,
        key=ref.key,
        sha256=found.image.sha256,
        probability=found.probability,
        similarity=found.similarity,
        holds=found.holds,
    )
