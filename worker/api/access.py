"""Access control: tokens and their scopes, and which requests are answered without a token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from urllib.parse import urlsplit

from fastapi.params import Depends
from fastapi.security import HTTPBasic, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from worker.api import problems
from worker.api.refusals import Refusals
from worker.errors import ConfigurationError

#: Least length of a token, in characters, if other machines can reach the API.
_LEAST = 16
_MAKE_ONE = "for example to the output of `openssl rand -hex 32`"


class Scope(StrEnum):
    """What a token may be used for."""

    EVENTS = "events"
    READ = "read"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """The bearer tokens, each for a scope; the admin token is valid for every route.

    Raises:
        ConfigurationError: one is empty (None means no token), or two are equal.
    """

    admin: str | None = None
    events: str | None = None
    read: str | None = None
    review: str | None = None

    def __post_init__(self) -> None:
        """Check them."""
        for name, token in self._given():
            if not token.strip():
                raise ConfigurationError(f"{name} is empty: set it, {_MAKE_ONE}")
        seen: dict[str, str] = {}
        for name, token in self._given():
            if token in seen:
                raise ConfigurationError(
                    f"{name} is the same as {seen[token]}, so each would also grant the other's rights: set it to "
                    "another value"
                )
            seen[token] = name

    @property
    def wanted(self) -> bool:
        """Whether requests need a token: if there is one of any scope, every route needs one."""
        return any(True for _ in self._given())

    def require_for(self, host: str) -> None:
        """Check that the tokens suffice for an address to listen on.

        Raises:
            ConfigurationError: other machines can reach it, and there is no token, or one short enough to guess.
        """
        if is_loopback(host):
            return
        if not self.wanted:
            raise ConfigurationError(
                f"the API would listen on {host} without a token: set ENRICH_API_TOKEN ({_MAKE_ONE}), "
                "or ENRICH_API_HOST=127.0.0.1"
            )
        for name, token in self._given():
            if len(token) < _LEAST:
                raise ConfigurationError(
                    f"{name} has {len(token)} characters; if the API listens on {host} it needs at least {_LEAST}: "
                    f"set it, {_MAKE_ONE}"
                )

    def granted(self, credentials: Iterable[bytes]) -> frozenset[Scope]:
        """The scopes that any of ``credentials`` grants. Takes the same time however much of a token is right."""
        scopes: frozenset[Scope] = frozenset()
        for given in credentials:
            for token, its_scopes in self._scopes():
                if _is_token(given, token):
                    scopes |= its_scopes
        return scopes

    def _scopes(self) -> Iterable[tuple[str, frozenset[Scope]]]:
        for scope, granted in _GRANTS.items():
            token = getattr(self, scope)
            if token is not None:
                yield token, granted

    def _given(self) -> Iterable[tuple[str, str]]:
        for field in fields(self):
            token = getattr(self, field.name)
            if token is not None:
                yield VARIABLES[Scope(field.name)], token


#: What the token of a scope grants.
_GRANTS = {
    Scope.ADMIN: frozenset(Scope),
    Scope.EVENTS: frozenset({Scope.EVENTS}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.REVIEW: frozenset({Scope.READ, Scope.REVIEW}),
}


def granted_by(scope: Scope) -> frozenset[Scope]:
    """The scopes that the token of ``scope`` grants."""
    return _GRANTS[scope]


#: The variable that sets each scope's token.
VARIABLES = {
    Scope.ADMIN: "ENRICH_API_TOKEN",
    Scope.EVENTS: "ENRICH_API_EVENTS_TOKEN",
    Scope.READ: "ENRICH_API_READ_TOKEN",
    Scope.REVIEW: "ENRICH_API_REVIEW_TOKEN",
}


def _is_token(given: bytes, token: str) -> bool:
    """Compare bytes in constant time. Clients send text that is not ASCII as UTF-8 or Latin-1: both are accepted."""
    return any([hmac.compare_digest(given, form) for form in _forms(token)])  # noqa: C419  # all of them, always


def _forms(token: str) -> Iterable[bytes]:
    yield token.encode()
    with suppress(UnicodeEncodeError):
        yield token.encode("latin-1")


def is_loopback(host: str) -> bool:
    """Whether a name or literal address is a loopback one, without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# -- OpenAPI -----------------------------------------------------------------------------------------------------------
_SCHEMES = {
    scope: HTTPBearer(
        auto_error=False,
        scheme_name=f"{scope.capitalize()}Token",
        description=f"The token of `{VARIABLES[scope]}`{what}",
    )
    for scope, what in (
        (Scope.ADMIN, ": allows every request. `enrich env` prints it."),
        (Scope.EVENTS, ": allows sending notifications only."),
        (Scope.READ, ": allows reading and searching only."),
        (Scope.REVIEW, ": allows reading, searching and deciding about tags."),
    )
}
_PASSWORD = HTTPBasic(
    auto_error=False,
    scheme_name="EventsPassword",
    description="For senders that do not support bearer tokens, such as SNS: one of the tokens above as the password.",
)


def described(scope: Scope) -> Sequence[Depends]:
    """The tokens that a route accepts, for /docs and the OpenAPI document. ``GuardedRoute`` checks them."""
    schemes = [_SCHEMES[each] for each, granted in _GRANTS.items() if scope in granted]
    return [Depends(scheme) for scheme in [*schemes, *([_PASSWORD] if scope is Scope.EVENTS else [])]]


# -- without a token ---------------------------------------------------------------------------------------------------
class LocalOnly:
    """Refuses requests that a web page of another site may have sent, for an API without a token.

    A page can make any browser on this machine send requests to loopback. With a name of its own that resolves to
    127.0.0.1 (DNS rebinding) it could even read the answers. ``Host`` has that name; ``Origin`` has the page's site.
    """

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self._app = app
        self._refusals = refusals

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if not all(is_loopback(_name(f"//{host}")) for host in hosts):
            await self._refuse("host", f"the host {hosts[0]!r}")(scope, receive, send)
        elif not all(origin.partition("://")[2] in hosts for origin in origins):
            await self._refuse("origin", f"the page of {origins[0]!r}")(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refuse(self, reason: str, what: str) -> ASGIApp:
        self._refusals.count(reason, of=what[:200])
        return problems.answer(
            403,
            "without ENRICH_API_TOKEN, only requests to localhost or 127.0.0.1 are answered, and none from other "
            f"sites' pages: not {what[:200]}; set a token to allow more",
        )


def _name(address: str) -> str:
    """The host name in an address, without port and brackets; empty if there is none."""
    with suppress(ValueError):
        return urlsplit(address).hostname or ""
    return ""
