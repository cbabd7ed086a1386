"""Thresholds that people's reviews prove, and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query

from worker.api import access
from worker.api.authentication import JsonRoute, ReadRoute
from worker.api.calibration_models import (
    CalibrationApplyRequest,
    CalibrationAsked,
    CalibrationPlan,
    CalibrationPlanRequest,
    CalibrationResult,
    CertificateList,
    LabelResult,
    LabelTest,
    TaxonomyResult,
)
from worker.api.models import Text
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.taxonomy_models import ChangePlan
from worker.pipeline.evaluation import certificates, messages
from worker.pipeline.evaluation.calibrate import CalibrationRequest, LabelCalibration, TaxonomyCalibration
from worker.pipeline.evaluation.certificates import CertificateState
from worker.pipeline.evaluation.requests import Calibrations

router = APIRouter(
    prefix="/v1",
    tags=["calibration"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)
changes = APIRouter(
    prefix="/v1/calibrations",
    tags=["calibration"],
    route_class=JsonRoute,
    dependencies=access.described(JsonRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_Label = Annotated[Text | None, Query(max_length=200, description="Only this label.")]
_State = Annotated[CertificateState | None, Query(description="Only those in this state.")]
_EXAMPLES: Any = {
    "all": {"summary": "All labels of a taxonomy", "value": {"taxonomies": ["time-of-day"], "target": 0.95}},
    "one": {"summary": "One label", "value": {"taxonomies": ["time-of-day"], "label": "night"}},
}
_PlanBody = Annotated[CalibrationPlanRequest, Body(openapi_examples=_EXAMPLES)]
_ApplyBody = Annotated[CalibrationApplyRequest, Body(openapi_examples=_EXAMPLES)]


@router.get("/certificates", summary="List certificates")
async def list_certificates(
    parts: _Parts, taxonomy: _Taxonomies = (), label: _Label = None, state: _State = None
) -> CertificateList:
    """What reviews proved about labels in the active space, what they did not, and what no longer holds."""
    found = await parts.reading(
        lambda: certificates.certificates(parts.services.engine, taxonomies=taxonomy, label=label, state=state)
    )
    return CertificateList.of(found)


@changes.post("/plan", summary="Preview a calibration")
async def plan_calibration(body: _PlanBody, parts: _Parts) -> CalibrationPlan:
    """What people's reviews prove, and what putting it into force would do. Stores and changes nothing."""
    own = Calibrations(parts.services.engine, parts.services.taxonomies)
    found, plan = await parts.searching(lambda: own.plan(_asked(body), sample=body.sample))
    return CalibrationPlan(
        space=found.space.id,
        revision=found.revision,
        taxonomies=[_taxonomy(each) for each in found.taxonomies],
        plan=None if plan is None else ChangePlan.model_validate(plan),
    )


@changes.post("/apply", summary="Put proven thresholds into force", status_code=202)
async def apply_calibration(body: _ApplyBody, parts: _Parts) -> CalibrationResult:
    """Stores a certificate of each label, also where nothing is proven, and puts proven thresholds into force.

    Workers follow, and the API updates stored tags, which may take minutes: `GET /v1/taxonomies` shows how far it is.
    """
    own = Calibrations(parts.services.engine, parts.services.taxonomies)
    found, revision = await parts.searching(lambda: own.apply(_asked(body), planned=body.planned))
    return CalibrationResult(
        space=found.space.id,
        taxonomies=[_taxonomy(each) for each in found.taxonomies],
        revision=None if revision is None else revision.id,
    )


def _asked(body: CalibrationAsked) -> CalibrationRequest:
    return CalibrationRequest(
        taxonomies=tuple(body.taxonomies),
        label=body.label,
        target=body.target,
        confidence=body.confidence,
        pooled=body.pooled,
    )


def _taxonomy(found: TaxonomyCalibration) -> TaxonomyResult:
    return TaxonomyResult(
        taxonomy=found.name,
        version=found.taxonomy.version,
        target=found.target,
        reviewed=found.reviewed,
        changes=found.changes,
        labels=[_label(each) for each in found.labels],
    )


def _label(own: LabelCalibration) -> LabelResult:
    numbers = {name: getattr(own, name) for name in LabelResult.model_fields if hasattr(own, name)}
    return LabelResult.model_validate(
        numbers
        | {
            "test": LabelTest.model_validate(own.test),
            "stands": own.stands.id if own.stands else None,
            "lost": own.lost.id if own.lost else None,
            "message": messages.message(own),
            "notes": list(messages.notes(own)),
        }
    )
