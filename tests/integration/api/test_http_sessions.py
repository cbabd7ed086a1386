"""Sessions and login links over real HTTP: what a page of another site, or a slip in a body, must not bring about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.api.live import LiveApi, serve
from worker.api import Services, Tokens
from worker.api.access import Scope
from worker.api.sessions import Sessions
from worker.catalog import login_codes
from worker.db import transaction
from worker.web.pages import Pages

TOKENS = Tokens(admin="s3cret", read="to-look")


@pytest.fixture
def two_tokens(services: Services) -> Iterator[LiveApi]:
    with serve(replace(services, tokens=TOKENS), Pages().routes()) as live:
        yield live


def cookie(api: LiveApi, scope: Scope) -> dict[str, str]:
    return {"Cookie": f"enrich_session_{api.port}={Sessions(TOKENS).cookie(scope)[0]}"}


@pytest.mark.parametrize(
    ("origin", "expected"), [("http://127.0.0.1:{}", "admin"), ("http://other.example", "read"), ("null", "read")]
)
def test_a_link_grants_what_our_own_page_may(two_tokens, origin, expected):
    """A session beside a token counts only where no other site may have sent the request."""
    headers = cookie(two_tokens, Scope.ADMIN) | {"Origin": origin.format(two_tokens.port)}
    assert expected == two_tokens.post("/v1/login-links", {}, token="to-look", headers=headers).json["scope"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"seconds": True}, "seconds: Input should be a valid integer"),
        ({"seconds": "5"}, "seconds: Input should be a valid integer"),
        ({"secnds": 5}, "body: unknown member 'secnds'; did you mean 'seconds'?"),
    ],
)
def test_bodies_are_strict(two_tokens, body, expected):
    """As everywhere: a slip is refused, with the nearest member."""
    refused = two_tokens.post("/v1/login-links", body)
    assert (422, expected) == (refused.status, refused.detail)


def test_a_scope_can_be_chosen(two_tokens):
    """By its name."""
    assert "read" == two_tokens.post("/v1/login-links", {"scope": "read", "seconds": 5}).json["scope"]


def test_a_used_code_is_remembered_beyond_its_end(engine):
    """The API's clock may be behind the database's, and takes it for valid still."""
    ended = datetime.now(UTC) - timedelta(minutes=10)
    for expected in (True, False):
        with transaction(engine) as connection:
            assert expected == login_codes.use(connection, "nonce", expires_at=ended)


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_pages_say_which_methods_they_take(two_tokens, method):
    """As the API does."""
    refused = two_tokens.send(method, "/review", token=None)
    assert (405, f"/review does not take {method}; it takes GET, HEAD") == (refused.status, refused.detail)
