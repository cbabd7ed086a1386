"""The routes of the pages. Every address has one part, and all links are relative: they work under any prefix."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.web import files
from worker.web.files import StaticFile

#: The addresses of pages; the module of a page has its name (``static/pages/NAME.js``). The first one is at ``/``.
NAMES = ("search", "image", "review", "taxonomies", "map", "operations", "login")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class Pages:
    """What a browser gets. Holds all files in memory: a few hundred kilobytes."""

    def __init__(self) -> None:
        self._site = files.load()

    def routes(self) -> Sequence[BaseRoute]:
        """For the application that serves the API."""
        pages = [Route(f"/{name}", self._page, include_in_schema=False) for name in ("", *NAMES[1:])]
        first = Route(f"/{NAMES[0]}", self._first, include_in_schema=False)
        assets = Route("/assets/{version}/{name:path}", self._asset, include_in_schema=False)
        return [*pages, first, assets]

    async def _page(self, request: Request) -> Response:
        headers = {
            **_HEADERS,
            "Content-Security-Policy": self._site.policy,
            "Cache-Control": "no-cache",
            "ETag": f'"{self._site.version}"',
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return _answer(request, self._site.index, headers)

    async def _first(self, request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"./{query}", 308)

    async def _asset(self, request: Request) -> Response:
        found = self._site.assets.get(request.path_params["name"])
        if found is None or request.path_params["version"] != self._site.version:
            text = "no such file in this version of the pages; reload the page\n"
            return Response(text, 404, _HEADERS | {"Cache-Control": "no-store"}, "text/plain")
        return _answer(request, found, {**_HEADERS, "Cache-Control": _FOR_EVER})


def _answer(request: Request, file: StaticFile, headers: dict[str, str]) -> Response:
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.gzipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.body, headers=headers, media_type=file.media_type)
