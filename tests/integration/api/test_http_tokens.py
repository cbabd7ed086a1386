"""Four tokens, what each may do, and an API without any, over real HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.integration.api.live import LiveApi, record, serve
from worker import metrics
from worker.api import Tokens

TOKENS = {
    "AdminToken": "admin-0123456789",
    "EventsToken": "events-0123456789",
    "ReadToken": "read-0123456789",
    "ReviewToken": "review-0123456789",
}
CHANGING = {
    "/v1/quarantine/retry",
    "/v1/quarantine/drop",
    "/v1/buckets/{bucket}",
    "/v1/taxonomy-changes/plan",
    "/v1/taxonomy-changes/apply",
    "/v1/calibrations/plan",
    "/v1/calibrations/apply",
    "/v1/heads/plan",
    "/v1/heads/apply",
    "/v1/rejected-events/{number}",
}
READING = "/v1/status"


@pytest.fixture
def guarded(services) -> Iterator[LiveApi]:
    """An API with all four tokens."""
    admin, events, read, review = TOKENS.values()
    with serve(replace(services, tokens=Tokens(admin=admin, events=events, read=read, review=review))) as api:
        yield api


def refusals(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("enrich_api_refusals_total", {"reason": reason}) or 0.0


def test_each_token_opens_what_the_document_says(guarded):
    """Of every operation, exactly the tokens of its `security` are let in; the others get 403, and no token 401."""
    document = guarded.get("/openapi.json", token=None).json
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/")
    ]
    assert len(operations) > 10
    for method, path, operation in operations:
        names = {"bucket": "photos", "key": "a.jpg", "queue": "random", "taxonomy": "t", "name": "t"}
        target = path.format(**names, plan=1, size=256, number=1, map=1)
        assert 401 == guarded.send(method, target, token=None).status
        opens = {name for each in operation["security"] for name in each} - {"EventsPassword"}
        statuses = {name: guarded.send(method, target, token=token).status for name, token in TOKENS.items()}
        assert opens == {name for name, status in statuses.items() if status not in (401, 403)}, target
        assert {403} == {statuses[name] for name in set(TOKENS) - opens} or opens == set(TOKENS)


def test_the_scopes_are_what_they_are_called(guarded):
    """Sending, reading and changing are three things. Who reviews may read."""
    paths = guarded.get("/openapi.json", token=None).json["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if path.startswith("/v1/"):
                opens = {name for each in operation["security"] for name in each} - {"EventsPassword"}
                assert {"AdminToken"} | others(method, path) == opens, (method, path)


def others(method: str, path: str) -> set[str]:
    """Which tokens open an address besides the admin's."""
    if path.startswith(("/v1/decisions", "/v1/review-plans", "/v1/queries")) and method != "get":
        return {"ReviewToken"}
    if (method, path) == ("post", "/v1/maps"):
        return {"ReviewToken"}
    if path in CHANGING:
        return set()
    return {"EventsToken"} if "/events/" in path else {"ReadToken", "ReviewToken"}


def test_a_token_of_another_scope_is_told_which_to_send(guarded):
    """403 names the setting whose token this is, and those whose token would do; no token is in it."""
    answer = guarded.get(READING, token=TOKENS["EventsToken"])
    assert 403 == answer.status
    assert (
        "the token of ENRICH_API_EVENTS_TOKEN is not valid for this address; send that of "
        "ENRICH_API_READ_TOKEN or ENRICH_API_TOKEN"
    ) == answer.detail
    assert 'error="insufficient_scope", scope="read"' in answer.headers["www-authenticate"]


def test_two_tokens_of_other_scopes_open_no_more_than_each(guarded):
    """Both headers are looked at: what neither token is for is refused with 403, which names both."""
    with closing(http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=20)) as connection:
        connection.putrequest("POST", "/v1/quarantine/drop")
        for name in ("EventsToken", "ReadToken"):
            connection.putheader("Authorization", f"Bearer {TOKENS[name]}")
        connection.endheaders()
        answer = connection.getresponse()
        detail = json.load(answer)["detail"]
    assert 403 == answer.status
    assert "ENRICH_API_EVENTS_TOKEN and that of ENRICH_API_READ_TOKEN" in detail
    assert detail.endswith("send that of ENRICH_API_TOKEN")


def test_the_events_token_may_be_a_password(guarded):
    """SNS knows no bearer tokens: its URL holds the token that does least."""
    basic = base64.b64encode(f"sns:{TOKENS['EventsToken']}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    assert 200 == guarded.post("/v1/events/s3", record("a.jpg"), token=None, headers=headers).status
    assert 401 == guarded.get(READING, token=None, headers=headers).status


@pytest.mark.parametrize("name", ["events", "read"])
def test_one_token_of_one_scope_closes_everything_else(services, name):
    """An API that only takes events needs no admin token, and is not open to readers for that."""
    with serve(replace(services, tokens=Tokens(**{name: "0123456789abcdef"}))) as api:
        statuses = {path: api.send(method, path, token=None).status for method, path in
                    [("GET", READING), ("POST", "/v1/events/s3"), ("POST", "/v1/quarantine/drop")]}  # fmt: skip
        assert {401} == set(statuses.values())
        assert 403 == api.send("POST", "/v1/quarantine/drop", token="0123456789abcdef").status


def test_refusals_are_counted_each_and_logged_seldom(guarded):
    """A thousand strangers make a line or two, with where from and where to, and without what they sent as a token."""
    before = {reason: refusals(reason) for reason in ("no-token", "wrong-token", "scope")}
    with capture_logs() as logged:
        for _ in range(50):
            guarded.get(READING, token=None)
            guarded.get(READING, token="guess-0123456789")
            guarded.get(READING, token=TOKENS["EventsToken"])
    assert {reason: count + 50 for reason, count in before.items()} == {reason: refusals(reason) for reason in before}
    assert ["no-token", "wrong-token", "scope"] == [line["reason"] for line in logged]
    assert {("GET", READING, "127.0.0.1")} == {(each["method"], each["path"], each["client"]) for each in logged}
    assert not re.search("guess|0123456789", str(logged))


# -- without a token ---------------------------------------------------------------------------------------------------


def test_without_a_token_nobody_is_asked_for_one(open_api):
    """On loopback a developer may leave it out."""
    assert 200 == open_api.get(READING, token=None).status


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "localhost", "LOCALHOST:9000", "[::1]:8700", "127.3.2.1"])
def test_this_machine_is_let_in_by_any_of_its_names(open_api, host):
    """A tunnel may have another port."""
    assert 200 == open_api.get(READING, token=None, headers={"Host": host}).status


@pytest.mark.parametrize(
    "host",
    ["attacker.example:8700", "localhost.attacker.example", "127.0.0.1.nip.io", "attacker.example#@127.0.0.1", "[::2]",
     "127.0.0.1@attacker.example", "0.0.0.0", "[", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", [READING, "/metrics", "/readyz", "/openapi.json", "/nothing"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(open_api, host, path):
    """DNS rebinding: the page's own name is in the request, and no answer gives anything away."""
    before = refusals("host")
    answer = open_api.get(path, token=None, headers={"Host": host})
    assert 403 == answer.status
    assert "set a token to allow more" in answer.detail
    assert before + 1 == refusals("host")


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://localhost:3000", "http://["])
def test_a_page_of_another_site_cannot_send_anything(open_api, origin):
    """A form or a script may post to loopback from any page, and its browser says which."""
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    answer = open_api.send("POST", "/v1/events/s3", b"{}", token=None, headers=headers)
    assert 403 == answer.status
    assert "other sites' pages" in answer.detail


def test_its_own_page_may(open_api):
    """/docs tries addresses out from the same host and port."""
    origin = {"Origin": f"http://127.0.0.1:{open_api.port}"}
    assert 200 == open_api.post("/v1/events/s3", record("a.jpg"), token=None, headers=origin).status


def test_with_a_token_neither_matters(guarded):
    """Behind a proxy an API has other names, and no browser adds a bearer token by itself."""
    headers = {"Host": "photos.example", "Origin": "https://elsewhere.example"}
    assert 200 == guarded.get(READING, token=TOKENS["ReadToken"], headers=headers).status


# -- pages -------------------------------------------------------------------------------------------------------------


def test_the_metrics_name_nothing_that_is_stored(guarded):
    """They need no token: no bucket, key or token is a label."""
    guarded.post("/v1/events/s3", record("secret.jpg", bucket="secret"), token=TOKENS["EventsToken"])
    page = guarded.get("/metrics", token=None).body.decode()
    assert 'enrich_hints_total{source="' in page
    assert not re.search("secret|0123456789|bucket=|key=", page)


def test_the_docs_page_cannot_be_framed(guarded):
    """No other page may lay itself over one where somebody typed a token."""
    assert "frame-ancestors 'none'" in guarded.get("/docs", token=None).headers["content-security-policy"]
