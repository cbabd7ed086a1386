"""The FastAPI application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

import worker
from worker.api import problems
from worker.api.access import LocalOnly, Tokens
from worker.api.routes import (
    buckets,
    calibrations,
    classify,
    decisions,
    docs,
    embeddings,
    evaluations,
    events,
    facets,
    heads,
    images,
    maps,
    operation,
    operators,
    pictures,
    quarantine,
    review,
    search,
    sessions,
    spaces,
    taxonomies,
)
from worker.api.services import Parts, Services

__all__ = ["Services", "Tokens", "create_app"]

_DESCRIPTION = """\
Takes notifications from object stores; returns tags, metadata and search results.

Everything under `/v1` needs `Authorization: Bearer TOKEN`: the admin token allows every request, the events token
sending notifications, the read token reading and searching. The cookie of a session takes a token's place: see
`POST /session`. Every error is a `Problem` (RFC 9457): `detail` says what
is wrong and what to do next. After a 503, retry when `Retry-After` says. `HEAD` is supported wherever `GET` is.
"""
_TAGS = [
    {"name": "events", "description": "Notifications from object stores."},
    {"name": "images", "description": "Reading what is known about images."},
    {"name": "embeddings", "description": "Vectors of texts, images and labels, in the format of OpenAI's API."},
    {"name": "classification", "description": "Classifying images by any labels; nothing is stored."},
    {"name": "search", "description": "Searching by words, images, labels and vectors; saved queries; similarities."},
    {"name": "quarantine", "description": "Objects that could not be enriched, and why: list, retry, give up."},
    {"name": "decisions", "description": "What people decide about tags: record, list, undo."},
    {"name": "taxonomies", "description": "The questions that images are asked: list, preview changes, change."},
    {"name": "review", "description": "Which images people should look at next, and plans that prove a precision."},
    {"name": "calibration", "description": "Thresholds that people's reviews prove, and whether they still hold."},
    {"name": "heads", "description": "What people's decisions taught, beyond the prompts: learn, list."},
    {"name": "evaluation", "description": "How right tags are, measured by what people decided."},
    {"name": "sessions", "description": "Logging in to the pages, which use this API as anybody can."},
    {"name": "maps", "description": "2-D maps of all images: ask for one, read its points and colours."},
    {"name": "operation", "description": "For operators, load balancers and monitoring."},
]

_ROUTERS = (
    events.router,
    embeddings.router,
    classify.router,
    images.router,
    search.router,
    facets.router,
    search.searches,
    search.changes,
    search.removals,
    pictures.router,
    quarantine.router,
    quarantine.changes,
    decisions.router,
    decisions.changes,
    decisions.undos,
    review.router,
    review.changes,
    calibrations.router,
    calibrations.changes,
    evaluations.router,
    buckets.router,
    buckets.changes,
    heads.router,
    heads.changes,
    taxonomies.router,
    taxonomies.trials,
    taxonomies.changes,
    spaces.router,
    sessions.links,
    sessions.router,
    maps.router,
    maps.searches,
    maps.changes,
    operation.guarded,
    operators.router,
    operators.bodies,
    operation.router,
    docs.router,
)


def create_app(services: Services, pages: Sequence[BaseRoute] = ()) -> FastAPI:
    """The whole application over services that are ready, and the routes of the pages, if they are served."""
    app = _new_app()
    app.router.routes.extend(pages)
    app.state.routes = [*app.state.routes, *pages]
    app.state.parts = parts = Parts(services=services)
    if not services.tokens.wanted:
        app.add_middleware(LocalOnly, refusals=parts.refusals)
    return app


def openapi_document() -> dict[str, Any]:
    """What ``/openapi.json`` serves and ``schemas/openapi.json`` holds; needs no services."""
    return _new_app().openapi()


def _new_app() -> FastAPI:
    app = _App(
        title="Image Enricher",
        version=worker.__version__,
        summary="Uploads become searchable tags and vectors.",
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        openapi_url=None,  # served by `routes.docs`, as strict as the rest
        docs_url=None,
        redoc_url=None,
        # A webhook that is set to …/s3/ gets a 404; with a redirect some clients would lose the token or the body.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.register(app)
    docs.mount(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.state.routes = [route for router in _ROUTERS for route in router.routes]  # FastAPI keeps them by router
    app.add_middleware(_Head)
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        problems.as_problems(document)
        return document


class _Head:
    """Supports ``HEAD`` wherever there is ``GET`` (RFC 9110, 9.3.2): the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
