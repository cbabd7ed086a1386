"""Request and response models of calibrations and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from pydantic import Field

from worker.api.models import Asked, Name, Text, Values
from worker.api.taxonomy_models import ChangePlan
from worker.pipeline.evaluation.certificates import CertificateState, CertificateView

_Share = Annotated[float, Field(ge=0.5, lt=1)]
_Label = Annotated[Text, Field(min_length=1, max_length=200)]


class CalibrationAsked(Asked):
    """What to prove from people's reviews."""

    taxonomies: list[Name] = Field([], max_length=64, description="In force; none named: all.")
    label: _Label | None = Field(None, description="Only this label of the one taxonomy named: name, title or alias.")
    target: _Share | None = Field(
        None, description="The precision to prove; by default the taxonomy's `target_precision`, else 0.95."
    )
    confidence: _Share = Field(0.95, description="That a proof is right, whatever the reviews were.")
    pooled: bool = Field(False, description="One threshold for all labels of a taxonomy; it may hide a weak label.")


class CalibrationPlanRequest(CalibrationAsked):
    """A calibration to preview."""

    sample: int = Field(20_000, ge=1, le=20_000, description="Images to examine; of fewer, all are.")


class CalibrationApplyRequest(CalibrationAsked):
    """A calibration to put into force."""

    planned: int | None = Field(
        None,
        ge=0,
        description="The `revision` of the plan that was looked at: if another one is in force by now, the answer is "
        "409 and nothing is changed. Left out, the change is made to whatever is in force.",
    )


class LabelTest(Values):
    """The exact test of the reviews at the last complete look."""

    target: float
    delta: float = Field(description="Error probability that this look spends.")
    reviewed: int = Field(description="Images that count: drawn at random, one per scene, with the label nearest.")
    wrong: int = Field(description="Of these.")
    threshold: float | None = Field(description="From this probability on, the target is proven; null: nothing is.")
    accepted: int = Field(description="Reviewed images that the threshold accepts.")
    errors: int = Field(description="Of the accepted ones.")
    lower_bound: float | None = Field(description="Of the precision of the accepted ones (Clopper and Pearson).")
    coverage: float = Field(description="`accepted / reviewed`.")


class MissingReviews(Values):
    """What a proof would need."""

    least: int = Field(description="Reviews in all, if none is wrong.")
    if_one_in_100: int | None = Field(description="About so many in all, if 1 in 100 is wrong; null: too many.")
    if_two_in_100: int | None
    more: int | None = Field(description="So many more without a further mistake would do; null: too many.")
    is_hopeless: bool = Field(description="Whether no threshold reaches the target, as far as can be seen.")


class LabelResult(Values):
    """What the reviews prove about one label."""

    label: str | None = Field(description="null: all labels together.")
    test: LabelTest
    missing: MissingReviews | None = Field(description="null: it is proven.")
    threshold: float | None = Field(description="In force before; null: of all labels together.")
    look: int = Field(description="How many looks were spent before this one.")
    images: int = Field(description="Reviewed images.")
    scenes: int = Field(description="Of which so many look different.")
    waiting: int = Field(description="Reviewed since the last look.")
    queued: int = Field(description="Images that wait for a reviewer in an open plan.")
    plan: int | None = Field(description="That plan.")
    certificate: int | None = Field(description="Its number; null: this was a preview.")
    stands: int | None = Field(description="An earlier certificate that goes on.")
    lost: int | None = Field(description="An earlier certificate that ends: the file's threshold holds again.")
    message: str = Field(description="For people.")
    notes: Sequence[str]


class TaxonomyResult(Values):
    """What the reviews prove about one taxonomy."""

    taxonomy: str
    version: str = Field(description="In force before.")
    target: float
    reviewed: int = Field(description="Images that people decided about, however they were chosen.")
    changes: bool = Field(description="Whether thresholds or proofs change.")
    labels: list[LabelResult]


class CalibrationPlan(Values):
    """What the reviews prove, and what putting it into force would do."""

    space: int
    revision: int = Field(description="In force; for `planned`.")
    taxonomies: list[TaxonomyResult]
    plan: ChangePlan | None = Field(description="null: nothing would change.")


class CalibrationResult(Values):
    """What the reviews prove, and what was put into force."""

    space: int
    taxonomies: list[TaxonomyResult]
    revision: int | None = Field(description="Put into force; null: nothing had to be changed.")


class CertificateInfo(Values):
    """What reviews prove about a label, or that they prove nothing."""

    id: int
    space: int
    taxonomy: str
    label: str | None = Field(description="null: all labels together.")
    state: CertificateState
    reason: str | None = Field(description="Why it expired.")
    in_force: bool = Field(description="Whether its threshold is the one that tags.")
    target: float = Field(description="The precision that is proven, or was to be.")
    confidence: float
    threshold: float | None = Field(description="null: nothing is proven.")
    reviewed: int
    accepted: int = Field(description="Reviewed images that the threshold accepts; nothing proven: all.")
    errors: int = Field(description="Of these.")
    lower_bound: float | None
    coverage: float | None
    look: int
    plans: Sequence[int] = Field(description="Review plans whose images count.")
    head: int | None
    at: datetime
    made_by: str


class CertificateList(Values):
    """The newest certificate of each label and target, and those whose thresholds are in force."""

    certificates: list[CertificateInfo]

    @classmethod
    def of(cls, found: Sequence[CertificateView]) -> CertificateList:
        """As they were read."""
        return cls(certificates=[_certificate(each) for each in found])


def _certificate(found: CertificateView) -> CertificateInfo:
    own = asdict(found.certificate)
    return CertificateInfo(
        **{name: own[name] for name in CertificateInfo.model_fields if name in own},
        state=found.state,
        reason=found.reason,
        in_force=found.in_force,
        confidence=round(1 - found.certificate.delta, 6),
    )
