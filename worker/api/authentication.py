"""Checks before a route of /v1 runs: the token, then the request's headers, before any of its body is read."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from worker.api.access import VARIABLES, Scope, granted_by
from worker.api.body_limits import Bodies
from worker.api.json_bodies import JsonRequest
from worker.api.services import Parts
from worker.api.sessions import may_come_from_another_site
from worker.api.strict_route import Handler, StrictRoute

#: Bytes. A search of 2,000 characters and 16 filters needs a fraction.
_BODY_LIMIT = 64 << 10
_DECISIONS_LIMIT = 4 << 20
UPLOAD_LIMIT = 32 << 20
_BEARER = 'Bearer realm="Image Enricher"'
#: SNS sends the password in its URL once it is challenged with this scheme. No other client is, because browsers would
#: open a dialogue.
_BASIC = 'Basic realm="Image Enricher"'
_SNS = "x-amz-sns-message-type"
_CLIENT_GONE = 499  # nginx's status for a client that hung up


class GuardedRoute(StrictRoute):
    """A route that needs a token of its scope, and whose bodies are bounded.

    This is not a dependency, because FastAPI reads and parses a body before it runs any dependency.
    """

    #: Admin by default, so that a route without an explicit scope is not open to other tokens.
    scope: ClassVar[Scope] = Scope.ADMIN
    #: Whether the cookie of a page's session will do, too.
    takes_sessions: ClassVar[bool] = True

    def get_route_handler(self) -> Handler:
        """FastAPI's hook around reading the request."""
        handle = self.handler()

        async def guarded(request: Request) -> Response:
            parts: Parts = request.app.state.parts
            self.let_in(request, parts)
            require_unicode(request)
            self.check_query(request)
            self.admit(request)
            try:
                with parts.bodies.of(request, self.body_limit(parts), large=self.large_bodies(parts)) as bounded:
                    return await handle(bounded)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_GONE)

        return guarded

    def let_in(self, request: Request, parts: Parts) -> None:
        """Require a token of this scope.

        Raises:
            HTTPException: 401 without a valid token, 403 with one of another scope.
        """
        tokens = parts.services.tokens
        if not tokens.wanted:
            return
        credentials = list(self.credentials(request))
        granted = tokens.granted(credentials)
        if self.scope not in granted and self.takes_sessions:
            granted |= self._of_session(request, parts)
        if self.scope not in granted:
            reason = "scope" if granted else "wrong-token" if credentials else "no-token"
            parts.refusals.count(reason, method=request.method, path=self.path, client=_client(request))
            raise self._forbidden(granted) if granted else self._unknown(request)

    def credentials(self, request: Request) -> Iterable[bytes]:
        """Whatever the request sends as a token."""
        return _given(request)

    def challenge(self, request: Request) -> str:  # noqa: ARG002  # EventRoute needs it
        """The ``WWW-Authenticate`` header that says how to send a token."""
        return _BEARER

    def _of_session(self, request: Request, parts: Parts) -> frozenset[Scope]:
        """The scopes of the cookie's session.

        Raises:
            HTTPException: 403, because a page of another site may have sent the request.
        """
        session = parts.sessions.of_request(request)
        if session is None:
            return frozenset()
        refuse_other_sites(request, parts)
        return granted_by(session.scope)

    def _unknown(self, request: Request) -> HTTPException:
        return HTTPException(
            401,
            f"send the header `Authorization: Bearer <{VARIABLES[self.scope]}>`; "
            "`enrich env` prints the token of a local system",
            {"WWW-Authenticate": self.challenge(request)},
        )

    def _forbidden(self, granted: frozenset[Scope]) -> HTTPException:
        sent = " and that of ".join(VARIABLES[scope] for scope in Scope if scope in granted)  # two headers, two tokens
        fitting = dict.fromkeys((VARIABLES[self.scope], VARIABLES[Scope.ADMIN]))
        return HTTPException(
            403,
            f"the token of {sent} is not valid for this address; send that of " + " or ".join(fitting),
            {"WWW-Authenticate": f'{_BEARER}, error="insufficient_scope", scope="{self.scope}"'},
        )

    def admit(self, request: Request) -> None:
        """Refuse a request by its headers."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002  # EventRoute needs it
        """Largest body, in bytes."""
        return _BODY_LIMIT

    def large_bodies(self, parts: Parts) -> Bodies:
        """Which limit on all large bodies together counts."""
        return parts.bodies


class ReadRoute(GuardedRoute):
    """A guarded route that changes nothing."""

    scope = Scope.READ


class JsonRoute(GuardedRoute):
    """A guarded route that takes JSON only."""

    def admit(self, request: Request) -> None:
        """Check the content type.

        Raises:
            HTTPException: 415.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "send JSON, with the header `Content-Type: application/json`")

    def handler(self) -> Handler:
        """Read the body as FastAPI does, but refuse duplicate members and too many values."""
        handle = super().handler()

        async def unambiguous(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return unambiguous


class SearchRoute(JsonRoute):
    """A guarded route that takes JSON and changes nothing."""

    scope = Scope.READ


class UploadRoute(SearchRoute):
    """A guarded route that takes image files in JSON, and changes nothing. They take no memory of others."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002
        """Enough for a file of 24 MB in base64, or 32 photos of 700 kB."""
        return UPLOAD_LIMIT

    def large_bodies(self, parts: Parts) -> Bodies:
        """Uploads have their own; requests without any need not wait for it."""
        return parts.uploads


class EvaluationRoute(SearchRoute):
    """A guarded route that takes the labels of a test set, and changes nothing."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002
        """Enough for ten thousand labels of images with usual keys."""
        return _DECISIONS_LIMIT


class ReviewRoute(JsonRoute):
    """A guarded route that takes people's decisions as JSON."""

    scope = Scope.REVIEW

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002
        """Enough for a thousand decisions, each with a long key and a reason."""
        return _DECISIONS_LIMIT


class ReviewUploadRoute(UploadRoute):
    """A guarded route that takes image files in JSON, and stores something that other people see."""

    scope = Scope.REVIEW


class UndoRoute(GuardedRoute):
    """A guarded route that takes back what people entered, and has no body."""

    scope = Scope.REVIEW


class EventRoute(GuardedRoute):
    """A guarded route for notifications: larger bodies, of any content type, because stores differ in theirs for JSON.

    Senders that do not support bearer tokens, such as SNS, may send the token as the password in their URL:
    ``https://anybody:TOKEN@…``.

    Its endpoints take the request and return the response. Everything else they declare is for the API's documents
    only: FastAPI's dependencies and models, which notifications do not need, would cost a third of the whole request.
    """

    scope = Scope.EVENTS
    takes_sessions = False  # stores have no cookies
    #: Stores, or proxies in between, may add parameters to the configured URL. No notification may be lost for that.
    strict = False

    def handler(self) -> Handler:
        """The endpoint itself."""
        return self.endpoint

    def credentials(self, request: Request) -> Iterable[bytes]:
        """Accept the token in HTTP's basic scheme as well."""
        return [*_given(request), *_passwords(request)]

    def challenge(self, request: Request) -> str:
        """SNS sends its password only after this challenge."""
        return _BASIC if _SNS in request.headers else _BEARER

    def body_limit(self, parts: Parts) -> int:
        """``ENRICH_MAX_EVENT_BYTES``."""
        return parts.services.max_event_bytes


def granted(request: Request, parts: Parts) -> frozenset[Scope]:
    """The scopes of a request that was let in, by its tokens, and by its session if no other site may have sent it."""
    session = None if may_come_from_another_site(request) else parts.sessions.of_request(request)
    of_session = frozenset() if session is None else granted_by(session.scope)
    return parts.services.tokens.granted(_given(request)) | of_session


def refuse_other_sites(request: Request, parts: Parts) -> None:
    """Let nobody but our own pages use a session to change something.

    Raises:
        HTTPException: 403.
    """
    if may_come_from_another_site(request):
        parts.refusals.count("cross-site", method=request.method, client=_client(request))
        raise HTTPException(
            403,
            "a session is for our own pages only, and this request may come from another site's: "
            "send the header `Authorization: Bearer <TOKEN>` instead",
        )


def _given(request: Request, scheme: bytes = b"bearer") -> Iterable[bytes]:
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            used, _, credentials = value.partition(b" ")
            if used.lower() == scheme:
                yield credentials.strip()


def _passwords(request: Request) -> Iterable[bytes]:
    """Passwords of the basic scheme (RFC 7617); the user name is ignored."""
    for credentials in _given(request, b"basic"):
        with suppress(ValueError):
            yield base64.b64decode(credentials, validate=True).partition(b":")[2]


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def require_unicode(request: Request) -> None:
    """Refuse an address whose escapes are not UTF-8: servers replace them with U+FFFD, which names something else.

    Raises:
        HTTPException: 400.
    """
    for part, escaped in (("path", request.scope["raw_path"]), ("query", request.scope["query_string"])):
        try:
            unquote_to_bytes(escaped).decode()
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the {part} is not UTF-8 once its escapes are decoded") from error
