"""The FastAPI application: routes are a few lines each, the work is in ``pipeline``."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import swagger_ui_bundle
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

import worker
from worker import db, metrics
from worker.api import present
from worker.api.models import Accepted, Changes, Image, Problem, Ready, SearchRequest, SearchResponse, Status
from worker.db import Engine
from worker.errors import EnrichError, ModelUnavailableError, NotFoundError
from worker.pipeline import query
from worker.pipeline.ingest import Ingest, RejectedEventError
from worker.pipeline.query import Search
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What the routes need."""

    engine: Engine
    ingest: Ingest
    search: Search
    model: str  # for /readyz: which model is configured and what it is for
    token: str | None
    max_event_bytes: int


_UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The bearer token is missing or wrong."}
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The notification cannot be parsed; it was kept for inspection."},
    413: {"model": Problem, "description": "Larger than ENRICH_MAX_EVENT_BYTES."},
    503: {"model": Problem, "description": "The database is away; send the notification again."},
}


def create_app(services: Services) -> FastAPI:
    """The whole HTTP surface over finished parts."""
    app = FastAPI(
        title="Image Enricher",
        version=worker.__version__,
        description="Upload events in; searchable tags and vectors out.",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    _add_errors(app)
    _add_health(app, services)
    _add_docs(app)
    guarded = Depends(_guard(services.token))
    _add_intake(app, services, guarded)
    _add_reading(app, services, guarded)
    return app


def openapi() -> dict[str, Any]:
    """The document that ``schemas/openapi.json`` holds; needs no database."""
    nothing: Any = None
    services = Services(engine=nothing, ingest=nothing, search=nothing, model="", token=None, max_event_bytes=0)
    return create_app(services).openapi()


def _guard(token: str | None) -> Callable[..., None]:
    bearer = HTTPBearer(auto_error=False, description="ENRICH_API_TOKEN")

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if token is None:
            return
        given = credentials.credentials if credentials else ""
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(
                401,
                "send the header `Authorization: Bearer <ENRICH_API_TOKEN>`; "
                "`enrich env` prints the token of a local system",
                {"WWW-Authenticate": "Bearer"},
            )

    return check


def _add_intake(app: FastAPI, services: Services, guarded: Any) -> None:
    def route(path: str, source: str, summary: str) -> None:
        async def intake(request: Request) -> Accepted:
            body = await _read(request, services.max_event_bytes)
            with metrics.INTAKE_SECONDS.time():
                accepted = await run_in_threadpool(services.ingest.accept, source, body)
            return Accepted(hinted=accepted.hinted, ignored=dict(accepted.ignored), test=accepted.test)

        app.post(
            path,
            name=f"events_{source}",
            summary=summary,
            description="Answers 2xx only once the work is committed: a sender that retries on anything else loses "
            "nothing.",
            tags=["events"],
            dependencies=[guarded],
            responses={**_UNAUTHORIZED, **_REFUSED},
            openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        )(intake)

    route("/v1/events/s3", "s3", "S3-shaped Records: AWS, RustFS, Ceph RGW")
    route("/v1/events/seaweedfs", "seaweedfs", "SeaweedFS filer webhook")


def _add_reading(app: FastAPI, services: Services, guarded: Any) -> None:
    options: dict[str, Any] = {"dependencies": [guarded]}

    @app.get(
        "/v1/images/{bucket}/{key:path}",
        tags=["images"],
        responses={**_UNAUTHORIZED, 404: {"model": Problem}},
        **options,
    )
    def get_image(bucket: str, key: str) -> Image:
        """One image: metadata, and every tag with its provenance."""
        return present.image(query.image(services.engine, ObjectRef(bucket=bucket, key=key)))

    @app.post("/v1/search", tags=["images"], responses={**_UNAUTHORIZED, 503: {"model": Problem}}, **options)
    def search(request: SearchRequest) -> SearchResponse:
        """The images that match a text best, optionally only those with certain tags."""
        hits = services.search(request.text, limit=request.limit, tags=present.filters(request.tags))
        return present.hits(hits)

    @app.get("/v1/changes", tags=["images"], responses={**_UNAUTHORIZED, 400: {"model": Problem}}, **options)
    def changes(after: str | None = None, limit: int = 1_000) -> Changes:
        """What changed since a cursor, in commit order. Nothing is skipped; poll with the last `id` seen."""
        return present.changes(query.changes(services.engine, after=after, limit=min(max(limit, 1), 10_000)))

    @app.get("/v1/status", tags=["operation"], responses={**_UNAUTHORIZED}, **options)
    def status(bucket: str | None = None) -> Status:
        """Where every known object stands."""
        return Status.model_validate(query.totals(services.engine, bucket=bucket))


def _add_health(app: FastAPI, services: Services) -> None:
    @app.get("/healthz", tags=["operation"])
    def healthz() -> dict[str, str]:
        """The process answers. Nothing else is checked: a database that is away is no reason to restart the API."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], responses={503: {"model": Ready}})
    def readyz(response: Response) -> Ready:
        """Whether events can be committed, and which model is in use."""
        problem = db.problem(services.engine)
        response.status_code = 503 if problem else 200
        return Ready(ready=problem is None, model=services.model, database=problem or "ok")

    @app.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        body, media_type = metrics.exposition()
        return Response(body, media_type=media_type)


def _add_docs(app: FastAPI) -> None:
    # The page's scripts come from a package: /docs works behind a proxy and offline.
    app.mount("/docs/assets", StaticFiles(directory=str(swagger_ui_bundle.swagger_ui_path)), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Image Enricher API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-32x32.png",
        )


def _add_errors(app: FastAPI) -> None:
    def answer(status: int, error: Exception, **extra: object) -> JSONResponse:
        return JSONResponse({"detail": str(error), **extra}, status)

    @app.exception_handler(RejectedEventError)
    def rejected(_: Request, error: RejectedEventError) -> JSONResponse:
        return answer(400, error, rejected_id=error.rejected_id)

    @app.exception_handler(NotFoundError)
    def not_found(_: Request, error: NotFoundError) -> JSONResponse:
        return answer(404, error)

    @app.exception_handler(ValueError)
    def bad_value(_: Request, error: ValueError) -> JSONResponse:
        return answer(400, error)

    @app.exception_handler(EnrichError)
    def unavailable(_: Request, error: EnrichError) -> JSONResponse:
        return answer(503 if isinstance(error, ModelUnavailableError) else 500, error)

    @app.middleware("http")
    async def database_away(request: Request, call_next: Callable[[Request], Any]) -> Any:
        try:
            return await call_next(request)
        except Exception as error:
            if db.is_unavailable(error):
                return JSONResponse({"detail": "the database is away; try again"}, 503, {"Retry-After": "5"})
            raise


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"larger than {limit:,} bytes (ENRICH_MAX_EVENT_BYTES); send smaller batches")
    return bytes(body)
