"""Request and response models of taxonomies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worker.api.links import Linked
from worker.api.models import Asked, Name, storable
from worker.types import BY_HAND, DEFAULT_SET

#: A whole taxonomy, as a file has it.
TaxonomyYaml = Annotated[str, StringConstraints(min_length=1, max_length=1 << 20), AfterValidator(storable)]
_SetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


class DeclaredTaxonomies(Asked):
    """All taxonomies of a set, as `enrich taxonomy apply` reads them from files."""

    taxonomies: list[TaxonomyYaml] = Field(max_length=100, description="Each as YAML.")
    set: _SetName = Field(DEFAULT_SET, description=f"The set that they belong to. `{BY_HAND}` is reserved.")
    remove: bool = Field(False, description="Remove taxonomies of this set that are not among them.")

    @model_validator(mode="after")
    def _is_a_set_of_files(self) -> DeclaredTaxonomies:
        if self.set == BY_HAND:
            raise ValueError(f"{BY_HAND!r} is the set of what `add` puts into force; name another one")
        return self


class TaxonomyChange(Asked):
    """A change of the taxonomies in force: exactly one of `add`, `remove`, `declare` and `back_to`."""

    add: list[TaxonomyYaml] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Put these into force, each as YAML, beside all others or in place of one of the same name.",
    )
    remove: list[Name] | None = Field(None, min_length=1, max_length=100, description="Remove taxonomies by name.")
    declare: DeclaredTaxonomies | None = Field(None, description="Put the taxonomies of a set into force.")
    back_to: Name | None = Field(
        None, description="Go back: to a revision's number, to NAME@VERSION for one taxonomy, or to `previous`."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> TaxonomyChange:
        if sum(each is not None for each in (self.add, self.remove, self.declare, self.back_to)) != 1:
            raise ValueError("needs exactly one of 'add', 'remove', 'declare' and 'back_to'")
        return self


class TaxonomyPlanRequest(TaxonomyChange):
    """A change to preview."""

    sample: int = Field(20_000, ge=1, le=20_000, description="Images to examine; of fewer, all are.")


class TaxonomyApplyRequest(TaxonomyChange):
    """A change to make."""

    planned: int | None = Field(
        None,
        ge=0,
        description="The `revision` of the plan that was looked at, 0 for null: if another one is in force by now, the "
        "answer is 409 and nothing is changed. Left out, the change is made to whatever is in force.",
    )


class TaxonomyInForce(BaseModel):
    """A taxonomy that images are tagged by."""

    name: str
    title: str
    version: str
    mode: Literal["exclusive", "multi-label", "vocabulary"]
    many: bool = Field(description="Whether an image can have several of its labels.")
    set: str = Field(description=f"The set of files that owns it; `{BY_HAND}`: it was added by hand.")
    made_by: str = Field(description="Who put this version into force.")
    since: datetime = Field(description="Since when this version has been in force.")
    revision: int = Field(description="The revision that put it into force.")
    labels: int = Field(description="How many it has, of all levels.")
    calibrated: bool = Field(description="Whether it has numbers of its own for the active model.")
    target_precision: float | None = Field(
        description="Labels that are not proven to reach it are only suggested; null: all are applied."
    )
    proven: int = Field(description="Labels with a certificate that holds; `GET /v1/certificates` has them.")
    expired: int = Field(description="Labels with a certificate that no longer holds.")


class TaxonomyDetails(TaxonomyInForce):
    """A taxonomy with its definition."""

    definition: dict[str, Any] = Field(description="As `enrich taxonomy show --json` prints it.")
    document: dict[str, Any] | None = Field(
        description="As a file declares it, without what reviews taught, which stays in force as long as a change "
        "leaves scores alone; null: a vocabulary, whose words are in a file of their own, or one that another "
        "release stored."
    )


class RetaggingProgress(BaseModel):
    """How far stored tags follow the revision in force."""

    model_config = ConfigDict(from_attributes=True)

    images: int = Field(description="Examined so far.")
    changed: int = Field(description="Of which a label came or went.")
    started_at: datetime
    finished_at: datetime | None = Field(description="null: not finished.")


class TaxonomyList(BaseModel):
    """The taxonomies in force, by name."""

    revision: int | None = Field(description="Their number; null: none are in force yet.")
    retagging: RetaggingProgress | None = Field(description="null: it has not begun, or there is nothing to tag.")
    taxonomies: list[TaxonomyInForce]


class TaxonomyRevision(BaseModel):
    """Taxonomies that are, or were, in force together."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    versions: dict[str, str] = Field(description="Name → version.")
    sets: dict[str, str] = Field(description=f"Name → set; `{DEFAULT_SET}` where it is missing.")
    action: Literal["begin", "apply", "rollback"] = Field(description="`begin`: by the first worker.")
    back_to: int | None = Field(description="The revision that a rollback brought back.")
    made_by: str
    made_at: datetime


class TaxonomyRevisionList(BaseModel):
    """Revisions, newest first."""

    revisions: list[TaxonomyRevision]


# -- plans -------------------------------------------------------------------------------------------------------------
class _Value(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Estimate(_Value):
    """A number of images, with a 95 % interval if it is estimated from a sample."""

    seen: int = Field(description="Among those examined.")
    about: int = Field(description="Of all.")
    low: int
    high: int


class Sampling(_Value):
    """What a plan's numbers are based on."""

    images: int = Field(description="Examined.")
    total: int
    exact: bool = Field(description="Whether the total was counted, not estimated.")


class TaxonomyEdit(_Value):
    """How a taxonomy changes."""

    name: str
    edit: Literal["same", "added", "changed", "removed", "words", "moved"] = Field(
        description="`words`: only texts for people; `moved`: only the set that owns it."
    )
    before: str | None = Field(description="Version.")
    after: str | None
    edits: list[str] = Field(description="For people: one line for each place.")
    set_before: str | None
    set_after: str | None
    unproven: list[str] = Field(
        description="Labels that are only suggested, until reviews prove the taxonomy's `target_precision`."
    )
    unlearned: list[str] = Field(description="Labels without prompts that no head knows yet: no image gets them.")


class LabelChange(_Value):
    """A label before and after."""

    label: str
    before: Estimate
    after: Estimate
    suggested: Estimate = Field(description="Images for which it is only suggested; not counted as `after`.")
    unchanged: Estimate
    added: Estimate
    removed: Estimate
    abstained: Estimate
    flipped_away: Estimate
    flipped_here: Estimate


class ChangedImage(_Value, Linked):
    """An image that would change."""

    ref: str = Field(description="`BUCKET/KEY`.")
    bucket: str
    key: str
    sha256: str
    probability: float = Field(description="Of the label after the change; where there is none, of the one before it.")


class PlannedChange(_Value):
    """One kind of change, with examples."""

    kind: Literal["unchanged", "added", "removed", "flipped", "abstained"]
    before: str | None = Field(description="Label.")
    after: str | None
    images: Estimate
    samples: list[ChangedImage]


class NearestLabelCount(_Value):
    """Images to which a label came nearest."""

    label: str
    images: Estimate


class ReasonCount(_Value):
    """Images without a label for one reason."""

    reason: str = Field(description="As in an explanation.")
    images: Estimate
    nearest: list[NearestLabelCount]


class AbstentionSummary(_Value):
    """Images that would have no label, and why."""

    asked: Estimate = Field(description="Images to which the taxonomy applies.")
    not_asked: Estimate = Field(description="Its condition is not met.")
    abstained: Estimate = Field(description="Asked, and without a label.")
    reasons: list[ReasonCount]


class TaxonomyPlan(_Value):
    """How the tags of one taxonomy would change."""

    edit: TaxonomyEdit
    abstentions_before: Estimate
    abstentions_after: Estimate
    labels: list[LabelChange]
    changes: list[PlannedChange] = Field(description="Most images first.")
    hidden: Estimate = Field(description="Images that would change if no person had decided.")
    abstentions: AbstentionSummary | None = Field(description="null: no image was examined, or it decides nothing.")


class KeptTaxonomy(_Value):
    """A taxonomy that stays in force although the set does not declare it."""

    name: str
    version: str
    set: str
    is_own: bool = Field(description="Whether it belongs to the set that was declared: then `remove` removes it.")
    made_by: str
    since: datetime


class ChangePlan(_Value):
    """What a change would do."""

    is_empty: bool = Field(description="Whether applying would do nothing.")
    revision: int | None = Field(description="In force; for `planned`.")
    space: int | None
    model: str | None
    unfinished: bool = Field(description="Whether the revision in force has not reached all images yet.")
    sampling: Sampling
    changed: Estimate = Field(description="Images that gain or lose a label for readers.")
    hidden: Estimate = Field(description="Images where a person's decision hides the change.")
    touched: Estimate = Field(description="Images with anything to write.")
    taxonomies: list[TaxonomyPlan]
    kept: list[KeptTaxonomy]
