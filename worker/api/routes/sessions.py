"""Sessions of the pages: logging in and out, and links that log in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field

from worker.api import access
from worker.api.access import Scope, granted_by
from worker.api.authentication import JsonRoute, SearchRoute, granted, refuse_other_sites
from worker.api.models import Asked
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.sessions import LINK_SECONDS, MOST_LINK_SECONDS, SESSION_SECONDS, Signed, cookie_name
from worker.catalog import login_codes
from worker.db import transaction

_Parts = Annotated[Parts, Depends(parts_of)]
#: In this order, because a code or session is made for the first one that a token grants.
_OF_PAGES = (Scope.ADMIN, Scope.REVIEW, Scope.READ)


class SessionRoute(JsonRoute):
    """A route that anybody may ask: it is what checks who is asking."""

    def let_in(self, request: Request, parts: Parts) -> None:
        """No page of another site may log anybody in or out. Other clients send no such headers."""
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            refuse_other_sites(request, parts)

    def admit(self, request: Request) -> None:
        """Only what has a body needs to be JSON."""
        if request.method == "POST":
            super().admit(request)


router = APIRouter(tags=["sessions"], route_class=SessionRoute, responses=described(400, 403, 422))
links = APIRouter(
    prefix="/v1",
    tags=["sessions"],
    route_class=SearchRoute,
    dependencies=access.described(SearchRoute.scope),
    responses=described(400, 401, 403, 408, 413, 415, 422, 503),
)


class Session(BaseModel):
    """Who is asking."""

    scopes: Sequence[Scope] = Field(description="What the session may do; empty: nobody is logged in.")
    login_needed: bool = Field(description="Whether requests need a token or a session: not on an open loopback.")
    expires_at: datetime | None = Field(description="When the session ends; null: there is none.")


class LogIn(Asked):
    """Either one proves who is asking."""

    code: str | None = Field(None, max_length=300, description="Of a link of `POST /v1/login-links`; works once.")
    token: str | None = Field(None, max_length=8_000, description="A token of the API, except that for events.")


class LinkRequest(Asked):
    """What the link is for."""

    scope: Annotated[Scope, Field(strict=False)] | None = Field(
        None, description="What whoever opens it may do; unset: all that this token may."
    )
    seconds: int = Field(LINK_SECONDS, ge=1, le=MOST_LINK_SECONDS, description="For how long the link is valid.")


class LoginLink(BaseModel):
    """A link that logs in once."""

    path: str = Field(description="Relative to the API's own address. Whoever opens it first is logged in.")
    scope: Scope
    expires_at: datetime


_LogIn = Annotated[
    LogIn,
    Body(openapi_examples={"token": {"summary": "With a token", "value": {"token": "s3cret"}}}),
]
_LinkRequest = Annotated[
    LinkRequest,
    Body(openapi_examples={"read": {"summary": "To look, for a day", "value": {"scope": "read", "seconds": 86_400}}}),
]


@router.get("/session", summary="Show who is logged in")
async def get_session(request: Request, parts: _Parts) -> Session:
    """The session of the cookie, if it has one that is valid. Needs no token."""
    if not parts.services.tokens.wanted:
        return Session(scopes=sorted(granted_by(Scope.ADMIN)), login_needed=False, expires_at=None)
    found = parts.sessions.of_request(request)
    if found is None:
        return Session(scopes=[], login_needed=True, expires_at=None)
    return _session(found.scope, found.expires)


@router.post("/session", summary="Log in", responses=described(401, 409, 415, 503))
async def log_in(body: _LogIn, request: Request, response: Response, parts: _Parts) -> Session:
    """Exchange a code or a token for a session, which a cookie holds that scripts cannot read.

    The cookie is sent to this origin only. A session ends after 30 days, or when its token is changed.
    """
    if (body.code is None) == (body.token is None):
        raise HTTPException(422, "send either `code` or `token`")
    scope = await _of_code(parts, body.code) if body.code is not None else _of_token(parts, body.token or "")
    value, expires = parts.sessions.cookie(scope)
    response.set_cookie(
        cookie_name(request.headers),
        value,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:"),
    )
    return _session(scope, expires)


@router.delete("/session", status_code=204, summary="Log out")
async def log_out(request: Request, response: Response) -> None:
    """Have the browser forget the session. Change the token to end all of its sessions."""
    response.delete_cookie(cookie_name(request.headers), httponly=True, samesite="strict")


@links.post("/login-links", summary="Make a link that logs in")
async def make_login_link(body: _LinkRequest, request: Request, parts: _Parts) -> LoginLink:
    """A link to the pages that works once: `enrich login` prints one. It grants no more than the token of the request.

    An API without tokens needs none, and refuses with 422.
    """
    if not parts.services.tokens.wanted:
        raise HTTPException(422, "this API has no tokens: its pages open without logging in")
    own = granted(request, parts)
    scope = body.scope or next(each for each in _OF_PAGES if each in own)
    if scope not in own or scope not in _OF_PAGES:
        choices = " or ".join(each for each in _OF_PAGES if each in own)
        raise HTTPException(422, f"scope: this token makes no links for {scope}; choose {choices}")
    code, expires = parts.sessions.code(scope, seconds=body.seconds)
    return LoginLink(path=f"login#{code}", scope=scope, expires_at=datetime.fromtimestamp(expires, UTC))


def _session(scope: Scope, expires: int) -> Session:
    return Session(scopes=sorted(granted_by(scope)), login_needed=True, expires_at=datetime.fromtimestamp(expires, UTC))


def _of_token(parts: Parts, token: str) -> Scope:
    """The widest scope of a token.

    Raises:
        HTTPException: 401, because it is none of ours; 403, because it sends events only.
    """
    own = parts.services.tokens.granted([token.strip().encode(errors="surrogatepass")])
    if not own:
        parts.refusals.count("wrong-token", path="/session")
        raise HTTPException(401, "this is none of the API's tokens; `enrich env` prints that of a local system")
    found = next((each for each in _OF_PAGES if each in own), None)
    if found is None:
        raise HTTPException(403, "the events token only sends notifications: use the read, review or admin token")
    return found


async def _of_code(parts: Parts, code: str) -> Scope:
    """What a code logs in as, once.

    Raises:
        HTTPException: 401, because it is not valid; 409, because it was used.
    """
    found = parts.sessions.of_code(code)
    if found is None:
        parts.refusals.count("wrong-code", path="/session")
        raise HTTPException(401, "this link is not valid any more: `enrich login` prints a new one")
    if not await parts.reading(lambda: _use(parts, found)):
        raise HTTPException(409, "this link was used before; each works once: `enrich login` prints a new one")
    return found.scope


def _use(parts: Parts, code: Signed) -> bool:
    with transaction(parts.services.engine) as connection:
        return login_codes.use(connection, code.nonce, expires_at=datetime.fromtimestamp(code.expires, UTC))
