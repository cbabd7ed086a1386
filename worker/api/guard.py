"""What comes before a route of /v1: the token, then the request itself, before any of its body is read."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from worker.api.services import Parts

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

#: Only tells /docs and the OpenAPI document that there is a token; ``GuardedRoute`` asks for it.
BEARER = HTTPBearer(auto_error=False, description="The token of `ENRICH_API_TOKEN`; `enrich env` prints it.")

#: Bytes. A search of 2,000 characters and 16 filters needs a fraction.
_BODY_LIMIT = 64 << 10
_BEARER = 'Bearer realm="Image Enricher"'
#: SNS sends the password of its URL once it was asked for one in this scheme; nobody else is asked, for browsers would
#: open a dialogue.
_BASIC = 'Basic realm="Image Enricher"'
_SNS = "x-amz-sns-message-type"
_NOBODY = 499  # nginx's status for a client that hung up; nobody reads it


class GuardedRoute(APIRoute):
    """A route that nobody without the token gets to, and whose bodies are bounded.

    FastAPI reads and parses a body before it asks any dependency. So this is no dependency.
    """

    def get_route_handler(self) -> Handler:
        """FastAPI's hook for what wraps reading the request."""
        handle = self.handler()

        async def guarded(request: Request) -> Response:
            parts: Parts = request.app.state.parts
            self.let_in(request, parts.services.token)
            require_unicode(request)
            self.admit(request)
            try:
                with parts.bodies.of(request, self.body_limit(parts)) as bounded:
                    return await handle(bounded)
            except ClientDisconnect:
                return Response(status_code=_NOBODY)

        return guarded

    def handler(self) -> Handler:
        """What answers a request that was let in."""
        return super().get_route_handler()

    def let_in(self, request: Request, token: str | None) -> None:
        """Refuse strangers."""
        require_token(request, token)

    def admit(self, request: Request) -> None:
        """Refuse what can be refused by its headers."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002  # EventRoute needs it
        """Bytes."""
        return _BODY_LIMIT


class JsonRoute(GuardedRoute):
    """A guarded route that takes JSON, and says so if it gets something else."""

    def admit(self, request: Request) -> None:
        """Look at the content type.

        Raises:
            HTTPException: 415.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "send JSON, with the header `Content-Type: application/json`")


class EventRoute(GuardedRoute):
    """A guarded route for notifications: larger, and of any content type, for every store calls JSON something else.

    Senders that know no bearer tokens, such as SNS, may have the token as the password in their URL:
    ``https://anybody:TOKEN@…``.

    Its endpoints take the request and return the response. What they declare besides is for the API's documents only:
    FastAPI's dependencies and models, which notifications have no use for, would cost a third of the whole request.
    """

    def handler(self) -> Handler:
        """The endpoint itself."""
        return self.endpoint

    def let_in(self, request: Request, token: str | None) -> None:
        """Take the token in HTTP's basic scheme as well."""
        if token is None or not any(_is_token(value, token) for value in _passwords(request)):
            require_token(request, token, challenge=_BASIC if _SNS in request.headers else _BEARER)

    def body_limit(self, parts: Parts) -> int:
        """``ENRICH_MAX_EVENT_BYTES``."""
        return parts.services.max_event_bytes


def require_token(request: Request, token: str | None, *, challenge: str = _BEARER) -> None:
    """Let a request pass that has the token.

    Raises:
        HTTPException: 401, with ``challenge`` for whoever goes by that.
    """
    if token is not None and not any(_is_token(value, token) for value in _given(request)):
        raise HTTPException(
            401,
            "send the header `Authorization: Bearer <ENRICH_API_TOKEN>`; "
            "`enrich env` prints the token of a local system",
            {"WWW-Authenticate": challenge},
        )


def _given(request: Request, scheme: bytes = b"bearer") -> Iterable[bytes]:
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            used, _, credentials = value.partition(b" ")
            if used.lower() == scheme:
                yield credentials.strip()


def _passwords(request: Request) -> Iterable[bytes]:
    """Passwords of the basic scheme (RFC 7617); whose they are does not matter."""
    for credentials in _given(request, b"basic"):
        with suppress(ValueError):
            yield base64.b64decode(credentials, validate=True).partition(b":")[2]


def _is_token(given: bytes, token: str) -> bool:
    """Compare bytes, in constant time. Clients send text that is not ASCII as UTF-8 or as Latin-1: both will do."""
    return any(hmac.compare_digest(given, form) for form in _forms(token))


def _forms(token: str) -> Iterable[bytes]:
    yield token.encode()
    with suppress(UnicodeEncodeError):
        yield token.encode("latin-1")


def require_unicode(request: Request) -> None:
    """Refuse an address whose escapes are not UTF-8: servers put U+FFFD there, which is another name.

    Raises:
        HTTPException: 400.
    """
    for part, escaped in (("path", request.scope["raw_path"]), ("query", request.scope["query_string"])):
        try:
            unquote_to_bytes(escaped).decode()
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the {part} is not UTF-8 once its escapes are decoded") from error
