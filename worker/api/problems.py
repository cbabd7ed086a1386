"""Errors → responses. Every error of the API is a ``Problem`` (RFC 9457), even those that FastAPI itself raises."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from worker import logs
from worker.api.models import Problem
from worker.errors import (
    ApplyingError,
    ChoiceError,
    CursorError,
    DecoderLostError,
    DeviceMemoryError,
    EnrichError,
    FatalDeviceError,
    FeedGoneError,
    ImageRejectedError,
    ModelUnavailableError,
    ModelUnsupportedError,
    NotFoundError,
    OutdatedTaxonomiesError,
    SpaceMismatchError,
    TextTooLongError,
)
from worker.pipeline.intake.ingest import RejectedEventError
from worker.pipeline.maps.requests import NoMapError
from worker.pipeline.reading.examples import OtherSpaceError
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reading.label_search import LabelNotFoundError
from worker.pipeline.reading.saved_queries import OutdatedQueryError
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.pipeline.review.matching import CountChangedError
from worker.pipeline.review.plans import PlanOpenError
from worker.suggestions import suggested

_log = logs.get("api")

#: Seconds. The model needs an operator; a retry any sooner only costs another attempt to load it.
_MODEL_RETRY = 30


def unavailable(detail: str, *, after: int) -> HTTPException:
    """503: nothing was done; the client should retry after ``after`` seconds."""
    return HTTPException(503, detail, {"Retry-After": str(after)})


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may return these errors."""
    return {status: {"model": Problem, "description": _DESCRIPTIONS[status]} for status in statuses}


def as_problems(document: dict[str, Any]) -> None:
    """Set the media type of errors in an OpenAPI document; FastAPI uses one type for all responses of a route."""
    for operation in (each for path in document["paths"].values() for each in path.values()):
        for answer in operation["responses"].values():
            media = answer.get("content", {})
            if media.get("application/json", {}).get("schema") == _REFERENCE:
                media[ProblemResponse.media_type] = media.pop("application/json")


#: RFC 9110's names of these; older Pythons have others.
_TITLES: Mapping[int, str] = {413: "Content Too Large", 422: "Unprocessable Content"}
_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_DESCRIPTIONS: Mapping[int, str] = {
    400: "The request cannot be parsed.",
    401: "The token is missing or wrong.",
    403: "The token is of another scope.",
    404: "There is no such image, entry, bucket, taxonomy, plan or map; `state` says what is known about an "
    "object instead.",
    408: "The body did not arrive in time.",
    409: "Nothing was embedded with this API's model; or what was seen has changed; or another process is "
    "applying taxonomies; or a review plan is open; or a map has no points yet; "
    "or an object has other bytes than the catalog describes, or cannot be shown within the limits.",
    410: "The feed no longer has everything after the cursor: start over from `start`, as `detail` says.",
    413: "The body is too large.",
    415: "The body is not plain JSON.",
    422: "A parameter or a member of the body has a value that is not allowed.",
    429: "Too many uploaded images: retry after `Retry-After` seconds.",
    503: "Nothing was done: the database or the model is unavailable or busy. Retry after `Retry-After` seconds.",
}


def register(app: FastAPI) -> None:
    """Make ``app`` return all errors in one format. The handlers are asynchronous because none of them blocks."""
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RejectedEventError, _rejected)
    app.add_exception_handler(ImageNotFoundError, _image_not_found)
    app.add_exception_handler(NothingEmbeddedError, _conflict)
    app.add_exception_handler(NoMapError, _conflict)
    app.add_exception_handler(LabelNotFoundError, _not_found)
    for kind in (ModelUnavailableError, ModelUnsupportedError, SpaceMismatchError, DeviceMemoryError):
        app.add_exception_handler(kind, _model_away)
    app.add_exception_handler(FatalDeviceError, _device_broken)
    app.add_exception_handler(DecoderLostError, _decoder_lost)
    app.add_exception_handler(ImageRejectedError, _upload_rejected)
    app.add_exception_handler(CursorError, _no_cursor)
    app.add_exception_handler(OutdatedQueryError, _conflict)
    app.add_exception_handler(OtherSpaceError, _conflict)
    app.add_exception_handler(ChoiceError, _no_choice)
    app.add_exception_handler(CountChangedError, _conflict)
    app.add_exception_handler(PlanOpenError, _conflict)
    app.add_exception_handler(TextTooLongError, _no_choice)
    app.add_exception_handler(ApplyingError, _conflict)
    app.add_exception_handler(OutdatedTaxonomiesError, _conflict)
    app.add_exception_handler(FeedGoneError, _gone)
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(EnrichError, _ours)
    app.add_exception_handler(Exception, _bug)


class ProblemResponse(JSONResponse):
    """RFC 9457."""

    media_type = "application/problem+json"


def answer(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: str | int | None
) -> ProblemResponse:
    """The response for an error."""
    problem = Problem(title=_TITLES.get(status) or HTTPStatus(status).phrase, status=status, detail=detail, **members)
    return ProblemResponse(problem.model_dump(exclude_none=True), status, headers)


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StarletteHTTPException):
        _impossible(error)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": ", ".join(_allowed(request))}
    return answer(error.status_code, _sentence(request, error), error.headers)


def _allowed(request: Request) -> list[str]:
    """The methods of every route at an address; Starlette names those of the first one."""
    routes = (route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


def _sentence(request: Request, error: StarletteHTTPException) -> str:
    """The error's own detail, unless it is only the name of its status."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return error.detail
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {path}; /docs lists all addresses"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{path} does not take {request.method}; it takes {(error.headers or {}).get('Allow', 'other methods')}"
    return error.detail


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        _impossible(error)
    return answer(422, "; ".join(_complaint(each) for each in error.errors()))


def complaints(errors: Sequence[Mapping[str, Any]], *, of: str) -> str:
    """What is wrong with JSON that is not a body: ``of`` says what it is."""
    return "; ".join(_complaint({**each, "loc": (of, *each["loc"])}, of) for each in errors)


def _complaint(error: Mapping[str, Any], of: str = "the body") -> str:
    if error["type"] == "json_invalid" and "ctx" in error and of != "the body":
        return f"{of} is not JSON: {error['ctx']['error']}"
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    return f"{_path(error['loc'])}: {error['msg'].removeprefix('Value error, ')}{_nearest(error)}"


def _nearest(error: Mapping[str, Any]) -> str:
    """A suggestion, if the value is none of the allowed ones."""
    given, choices = error.get("input"), re.findall(r"'([^']+)'", error.get("ctx", {}).get("expected", ""))
    nearest = suggested(given, choices, otherwise="") if isinstance(given, str) else ""
    return f"; {nearest}" if nearest else ""


def _path(location: Sequence[str | int]) -> str:
    """``("body", "tags", 0, "label")`` → ``tags[0].label``; ``body`` for the body itself."""
    names = location[1:] or location[:1]
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).lstrip(".")


async def _rejected(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RejectedEventError):
        _impossible(error)
    return answer(400, str(error), rejected_id=error.rejected_id)


async def _image_not_found(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ImageNotFoundError):
        _impossible(error)
    return answer(404, str(error), state=error.state, reason=error.reason)


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    return answer(409, str(error))


async def _device_broken(_: Request, error: Exception) -> JSONResponse:
    _log.error("images cannot be encoded until this process is restarted", action="model", error=str(error))
    return answer(503, f"{error}; restart the API", {"Retry-After": str(_MODEL_RETRY)})


async def _decoder_lost(_: Request, error: Exception) -> JSONResponse:
    return answer(503, str(error), {"Retry-After": "5"})


async def _upload_rejected(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ImageRejectedError):
        _impossible(error)
    return answer(422, str(error), reason=error.reason)


async def _no_cursor(_: Request, error: Exception) -> JSONResponse:
    return answer(400, str(error))


async def _no_choice(_: Request, error: Exception) -> JSONResponse:
    return answer(422, str(error))


async def _gone(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, FeedGoneError):
        _impossible(error)
    return answer(410, str(error), start=error.start)


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return answer(404, str(error))


async def _model_away(_: Request, error: Exception) -> JSONResponse:
    _log.error("searches cannot be answered", action="model", error=str(error))
    return answer(503, str(error), {"Retry-After": str(_MODEL_RETRY)})


async def _ours(_: Request, error: Exception) -> JSONResponse:
    _log.error("a request failed", action="request", error=str(error), exc_info=error)
    return answer(500, str(error))


async def _bug(request: Request, error: Exception) -> JSONResponse:
    number = secrets.token_hex(4)
    _log.error(f"{request.method} {request.url.path} failed", action="request", error_id=number, exc_info=error)
    return answer(500, f"this is a bug; the API's log has it as error_id {number}")


def _impossible(error: Exception) -> NoReturn:
    raise TypeError(f"registered for another class than {type(error).__name__}") from error
