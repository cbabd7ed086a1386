"""The taxonomies in force, and changes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query

from worker import tagging
from worker.api import access
from worker.api.authentication import JsonRoute, ReadRoute, SearchRoute
from worker.api.models import Name
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.taxonomy_models import (
    ChangePlan,
    RetaggingProgress,
    TaxonomyApplyRequest,
    TaxonomyChange,
    TaxonomyDetails,
    TaxonomyInForce,
    TaxonomyList,
    TaxonomyPlanRequest,
    TaxonomyRevision,
    TaxonomyRevisionList,
)
from worker.api.trial_models import TaxonomyTrialRequest, TaxonomyTrialResult
from worker.catalog.proofs import ProofCounts
from worker.errors import ChoiceError, NotFoundError, TaxonomyError
from worker.pipeline.reading.taxonomy_trials import TaxonomyTrial, TaxonomyTrials
from worker.pipeline.taxonomies.catalog_state import CatalogState
from worker.pipeline.taxonomies.requests import Requested, TaxonomyChanges
from worker.suggestions import shown, suggested

_BODY_LIMIT = 4 << 20

router = APIRouter(
    prefix="/v1",
    tags=["taxonomies"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)


class _ChangeRoute(JsonRoute):
    """Taxonomies are larger than other bodies."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002
        """Largest body, in bytes."""
        return _BODY_LIMIT


class _TrialRoute(SearchRoute):
    """Changes nothing."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002
        """Largest body, in bytes."""
        return _BODY_LIMIT


trials = APIRouter(
    prefix="/v1",
    tags=["taxonomies"],
    route_class=_TrialRoute,
    dependencies=access.described(_TrialRoute.scope),
    responses=described(400, 401, 403, 408, 409, 413, 415, 422, 503),
)
changes = APIRouter(
    prefix="/v1/taxonomy-changes",
    tags=["taxonomies"],
    route_class=_ChangeRoute,
    dependencies=access.described(_ChangeRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_NamePath = Annotated[Name, Path(description="Name of a taxonomy in force.")]
_Limit = Annotated[int, Query(ge=1, le=1_000, description="Most revisions to return.")]
_MOOD = "name: mood\nlabels:\n  happy: [a smiling face]\n  sad: [a crying face]\n"
_EXAMPLES = {
    "add": {"summary": "Put a taxonomy into force", "value": {"add": [_MOOD]}},
    "remove": {"summary": "Remove one", "value": {"remove": ["time-of-day"]}},
    "declare": {"summary": "All taxonomies of a set", "value": {"declare": {"taxonomies": [_MOOD], "set": "art"}}},
}
_PlanBody = Annotated[TaxonomyPlanRequest, Body(openapi_examples=_EXAMPLES)]
_TRIAL = {"mood": {"summary": "A new taxonomy", "value": {"taxonomy": _MOOD, "labels": ["happy"]}}}
_TrialBody = Annotated[TaxonomyTrialRequest, Body(openapi_examples=_TRIAL)]
_ApplyBody = Annotated[TaxonomyApplyRequest, Body(openapi_examples=_EXAMPLES)]


@router.get("/taxonomies", summary="List the taxonomies in force")
async def list_taxonomies(parts: _Parts) -> TaxonomyList:
    """Which taxonomies images are tagged by, who put them into force, and how far stored tags follow."""
    found, proofs = await parts.reading(parts.services.taxonomies.state_and_proofs)
    return TaxonomyList(
        revision=found.revision.id if found.revision else None,
        retagging=RetaggingProgress.model_validate(found.retagging) if found.retagging else None,
        taxonomies=[TaxonomyInForce.model_validate(_in_force(name, found, proofs)) for name in sorted(found.versions)],
    )


@router.get("/taxonomies/{name}", summary="Get one taxonomy in force", responses=described(404))
async def get_taxonomy(name: _NamePath, parts: _Parts) -> TaxonomyDetails:
    """With its labels, prompts and numbers."""
    found, proofs = await parts.reading(parts.services.taxonomies.state_and_proofs)
    if name not in found.versions:
        known = f"in force are {', '.join(sorted(found.versions)) or 'none'}"
        hint = suggested(name, found.versions, otherwise=known)
        raise NotFoundError(f"no taxonomy {shown(name)} is in force; {hint}")
    return TaxonomyDetails.model_validate(
        _in_force(name, found, proofs) | {"definition": found.definitions[name], "document": found.as_file(name)}
    )


@router.get("/taxonomy-revisions", summary="List earlier taxonomies")
async def list_taxonomy_revisions(parts: _Parts, limit: _Limit = 20) -> TaxonomyRevisionList:
    """Which taxonomies were in force when, and who put them there."""
    found = await parts.reading(lambda: parts.services.taxonomies.history(limit=limit))
    return TaxonomyRevisionList(revisions=[TaxonomyRevision.model_validate(each) for each in found])


@trials.post("/taxonomy-trials", summary="Try a taxonomy")
async def try_taxonomy(body: _TrialBody, parts: _Parts) -> TaxonomyTrialResult:
    """What a taxonomy would say about a random sample of the catalog: histograms, and images at the thresholds.

    For a taxonomy that is being written: nothing is stored, and only texts that are new are encoded. It is scored as if
    it were in force, with its condition, and with what reviews taught about the one of its name where that still holds.
    """
    with _bad_taxonomies_refused():
        found = await parts.counting(lambda: _tried(body, parts.services.trials))
    return TaxonomyTrialResult.of(found)


@changes.post("/plan", summary="Preview a change of taxonomies")
async def plan_taxonomies(body: _PlanBody, parts: _Parts) -> ChangePlan:
    """What a change would do to the tags of stored images. Changes nothing.

    A new prompt needs the model's text tower, whose first use takes seconds.
    """
    taxonomies = parts.services.taxonomies
    with _bad_taxonomies_refused():
        found = await parts.searching(lambda: taxonomies.plan(_requested(body, taxonomies), sample=body.sample))
    return ChangePlan.model_validate(found)


@changes.post("/apply", summary="Change the taxonomies in force", status_code=202)
async def apply_taxonomies(body: _ApplyBody, parts: _Parts) -> TaxonomyRevision:
    """Answers once the change is in force; workers follow, and the API updates stored tags, which may take minutes.

    `GET /v1/taxonomies` shows how far it is. If the API ends before that, repeat the request: it goes on.
    """
    taxonomies = parts.services.taxonomies
    with _bad_taxonomies_refused():
        made = await parts.searching(lambda: taxonomies.apply(_requested(body, taxonomies), planned=body.planned))
    return TaxonomyRevision.model_validate(made)


def _tried(body: TaxonomyTrialRequest, trials: TaxonomyTrials) -> TaxonomyTrial:
    [file] = tagging.parse_files({"taxonomy": body.taxonomy})
    return trials(file, sample=body.sample, shown=body.labels, strip=body.strip)


@contextmanager
def _bad_taxonomies_refused() -> Iterator[None]:
    try:
        yield
    except TaxonomyError as error:
        raise ChoiceError(str(error)) from error


def _requested(body: TaxonomyChange, taxonomies: TaxonomyChanges) -> Requested:
    if body.add is not None:
        return taxonomies.added(_parsed("add", body.add))
    if body.remove is not None:
        return taxonomies.removed(body.remove)
    if body.declare is not None:
        files = _parsed("declare.taxonomies", body.declare.taxonomies)
        return taxonomies.declared(files, own=body.declare.set, remove=body.declare.remove)
    return taxonomies.gone_back(None if body.back_to == "previous" else body.back_to)


def _parsed(member: str, texts: list[str]) -> tuple[tagging.TaxonomyFile, ...]:
    return tagging.parse_files({f"{member}[{place}]": text for place, text in enumerate(texts)})


def _in_force(name: str, found: CatalogState, proofs: Mapping[str, ProofCounts]) -> dict[str, object]:
    definition, origin, proof = found.definitions[name], found.origins[name], proofs.get(name)
    return {
        "name": name,
        "title": definition.get("title") or name,
        "version": origin.version,
        "mode": definition.get("mode", "exclusive"),
        "many": _many(definition),
        "set": found.sets[name],
        "made_by": origin.made_by,
        "since": origin.since,
        "revision": origin.revision,
        "labels": _labels(definition["labels"]),
        "calibrated": found.space is not None and found.space.model in definition.get("models", {}),
        "target_precision": definition.get("target_precision"),
        "proven": proof.proven if proof else 0,
        "expired": proof.expired if proof else 0,
    }


def _labels(labels: Sequence[Mapping[str, Any]]) -> int:
    return sum(1 + _labels(label.get("children", ())) for label in labels)


def _many(definition: Mapping[str, Any]) -> bool:
    return definition.get("mode") == "multi-label" or any(label.get("children") for label in definition["labels"])
