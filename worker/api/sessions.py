"""Sessions of the pages: signed cookies, and one-time codes that log in. Neither needs a table to be valid.

Both are signed with a key made from the token of their scope, so that they end when that token is changed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers

from worker.api.access import Scope, Tokens

#: Seconds for which a browser stays logged in, and for which a login link is valid if nothing else is asked for.
SESSION_SECONDS, LINK_SECONDS, MOST_LINK_SECONDS = 30 * 86_400, 3_600, 7 * 86_400
_SESSION, _CODE = b"enrich session 1", b"enrich login code 1"
_SCOPES = frozenset(each.value for each in Scope)
_FORM = re.compile(r"(?P<scope>[a-z]+)\.(?P<expires>[0-9]{1,12})\.(?P<nonce>[\w-]+)\.(?P<mac>[\w-]+)", re.ASCII)
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """What a valid cookie or code says."""

    scope: Scope
    expires: int  # seconds since 1970
    nonce: str


class Sessions:
    """Makes and checks cookies and codes.

    Args:
        tokens: sign them. Without any, no login is needed, and there are no sessions.
        clock: seconds since 1970.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock

    def cookie(self, scope: Scope) -> tuple[str, int]:
        """A new cookie's value, and when it expires, in seconds since 1970."""
        return self._sign(_SESSION, scope, SESSION_SECONDS)

    def code(self, scope: Scope, *, seconds: int = LINK_SECONDS) -> tuple[str, int]:
        """A code for one login, and when it expires."""
        return self._sign(_CODE, scope, seconds)

    def of_code(self, code: str) -> Signed | None:
        """What a code says; None: it is not one of ours, or has expired."""
        return self._verified(_CODE, code)

    def of_request(self, request: Request) -> Signed | None:
        """The session of a request's cookie; None if it has none that is valid."""
        value = request.cookies.get(cookie_name(request.headers))
        return None if value is None else self._verified(_SESSION, value)

    def _sign(self, purpose: bytes, scope: Scope, seconds: int) -> tuple[str, int]:
        expires = int(self._clock()) + seconds
        said = f"{scope}.{expires}.{secrets.token_urlsafe(6)}"
        return f"{said}.{self._mac(purpose, scope, said)}", expires

    def _verified(self, purpose: bytes, value: str) -> Signed | None:
        form = _FORM.fullmatch(value)
        if form is None or form["scope"] not in _SCOPES:
            return None
        scope, expires = Scope(form["scope"]), int(form["expires"])
        expected = self._mac(purpose, scope, value.rpartition(".")[0])
        if not hmac.compare_digest(expected.encode(), form["mac"].encode()) or expires <= self._clock():
            return None
        return Signed(scope=scope, expires=expires, nonce=form["nonce"])

    def _mac(self, purpose: bytes, scope: Scope, said: str) -> str:
        """By the scope's own token, or the admin token; without either the key is random, so that nothing is valid."""
        token = getattr(self._tokens, scope) or self._tokens.admin
        key = secrets.token_bytes(32) if token is None else token.encode(errors="surrogatepass")
        digest = hmac.new(key, purpose + b"\0" + said.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")  # 128 bits, so that a link fits into a line


def cookie_name(headers: Headers) -> str:
    """Browsers send a cookie to every port of a host: the name has the port, so that two systems do not log each other
    out.
    """
    try:
        port = urlsplit(f"//{headers.get('host', '')}").port
    except ValueError:
        port = None
    return "enrich_session" if port is None else f"enrich_session_{port}"


def may_come_from_another_site(request: Request) -> bool:
    """Whether a page of another origin may have caused a request that changes something.

    Browsers say so in ``Sec-Fetch-Site``, which pages cannot set; older ones send ``Origin`` only. The cookie is
    ``SameSite=Strict``, but other ports of this host belong to the same site.
    """
    if request.method not in _UNSAFE:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    return request.headers.get("origin", "").partition("://")[2] != request.headers.get("host")
