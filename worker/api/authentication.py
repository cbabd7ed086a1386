"""What comes before a route of /v1: the tokens, then the request itself, before any of its body is read."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from worker.api.access import VARIABLES, Scope
from worker.api.services import Parts
from worker.api.strict_route import Handler, StrictRoute
from worker.suggestions import shown

#: Bytes. A search of 2,000 characters and 16 filters needs a fraction.
_BODY_LIMIT = 64 << 10
_BEARER = 'Bearer realm="Image Enricher"'
#: SNS sends the password of its URL once it was asked for one in this scheme; nobody else is asked, for browsers would
#: open a dialogue.
_BASIC = 'Basic realm="Image Enricher"'
_SNS = "x-amz-sns-message-type"
_NOBODY = 499  # nginx's status for a client that hung up; nobody reads it


class GuardedRoute(StrictRoute):
    """A route that nobody without a token of its scope gets to, and whose bodies are bounded.

    FastAPI reads and parses a body before it asks any dependency. So this is no dependency.
    """

    #: The admin's, unless a class of routes says otherwise: a route that was not thought about is not open to more.
    scope: ClassVar[Scope] = Scope.ADMIN

    def get_route_handler(self) -> Handler:
        """FastAPI's hook for what wraps reading the request."""
        handle = self.handler()

        async def guarded(request: Request) -> Response:
            parts: Parts = request.app.state.parts
            self.let_in(request, parts)
            require_unicode(request)
            self.check_query(request)
            self.admit(request)
            try:
                with parts.bodies.of(request, self.body_limit(parts)) as bounded:
                    return await handle(bounded)
            except ClientDisconnect:
                return Response(status_code=_NOBODY)

        return guarded

    def let_in(self, request: Request, parts: Parts) -> None:
        """Let a request pass that has a token of this scope.

        Raises:
            HTTPException: 401 without a token that is one of ours, 403 with one of another scope.
        """
        tokens = parts.services.tokens
        if not tokens.wanted:
            return
        credentials = list(self.credentials(request))
        granted = tokens.granted(credentials)
        if self.scope not in granted:
            reason = "scope" if granted else "wrong-token" if credentials else "no-token"
            parts.refusals.count(reason, method=request.method, path=self.path, client=_client(request))
            raise self._forbidden(granted) if granted else self._unknown(request)

    def credentials(self, request: Request) -> Iterable[bytes]:
        """What may be a token."""
        return _given(request)

    def challenge(self, request: Request) -> str:  # noqa: ARG002  # EventRoute needs it
        """How to send one."""
        return _BEARER

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
            f"this is the token of {sent}, which is not for this address; send that of " + " or ".join(fitting),
            {"WWW-Authenticate": f'{_BEARER}, error="insufficient_scope", scope="{self.scope}"'},
        )

    def admit(self, request: Request) -> None:
        """Refuse what can be refused by its headers."""

    def body_limit(self, parts: Parts) -> int:  # noqa: ARG002  # EventRoute needs it
        """Bytes."""
        return _BODY_LIMIT


class ReadRoute(GuardedRoute):
    """A guarded route that changes nothing."""

    scope = Scope.READ


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

    def handler(self) -> Handler:
        """Read the body as FastAPI does, but for members that are there twice."""
        handle = super().handler()

        async def unambiguous(request: Request) -> Response:
            return await handle(_Unambiguous(request.scope, request.receive))

        return unambiguous


class _Unambiguous(Request):
    """A request whose JSON has each member of an object once; of two, Python would take the last without a word."""

    async def json(self) -> Any:
        return json.loads(await self.body(), object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(name, times)] = Counter(name for name, _ in pairs).most_common(1)
        raise HTTPException(422, f"member {shown(name)}: given {times} times; give it once")
    return members


class SearchRoute(JsonRoute):
    """One that changes nothing."""

    scope = Scope.READ


class EventRoute(GuardedRoute):
    """A guarded route for notifications: larger, and of any content type, for every store calls JSON something else.

    Senders that know no bearer tokens, such as SNS, may have the token as the password in their URL:
    ``https://anybody:TOKEN@…``.

    Its endpoints take the request and return the response. What they declare besides is for the API's documents only:
    FastAPI's dependencies and models, which notifications have no use for, would cost a third of the whole request.
    """

    scope = Scope.EVENTS
    #: Stores call the URL that somebody gave them, with what they or a proxy add: it must not cost a notification.
    strict = False

    def handler(self) -> Handler:
        """The endpoint itself."""
        return self.endpoint

    def credentials(self, request: Request) -> Iterable[bytes]:
        """Take the token in HTTP's basic scheme as well."""
        return [*_given(request), *_passwords(request)]

    def challenge(self, request: Request) -> str:
        """SNS goes by this."""
        return _BASIC if _SNS in request.headers else _BEARER

    def body_limit(self, parts: Parts) -> int:
        """``ENRICH_MAX_EVENT_BYTES``."""
        return parts.services.max_event_bytes


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


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


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
