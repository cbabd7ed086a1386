"""The API's documentation page. All its files come from a package, so it works behind a proxy and offline."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from worker.api.strict_route import StrictRoute

# Browsers load from this origin only, whatever the page's scripts try. Swagger UI styles elements and embeds pictures;
# the page starts it from an inline script.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)
_ASSETS = "docs/assets"

router = APIRouter(route_class=StrictRoute)


def mount(app: FastAPI) -> None:
    """Serve Swagger UI's files: the copy that the package fastapi-offline carries."""
    app.mount(f"/{_ASSETS}", StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs-assets")


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI. Every address is relative, so that the API may live under a prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Image Enricher API",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> JSONResponse:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())
