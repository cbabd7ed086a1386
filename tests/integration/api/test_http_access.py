"""Who gets in, and the one shape of every error, over real HTTP."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.integration.api.live import TOKEN, record, serve
from worker import ledger
from worker.api import Tokens
from worker.db import transaction

GUARDED = [
    ("POST", "/v1/events/s3"),
    ("POST", "/v1/events/seaweedfs"),
    ("GET", "/v1/images"),
    ("GET", "/v1/images/photos/a.jpg"),
    ("GET", "/v1/label-counts"),
    ("GET", "/v1/search"),
    ("POST", "/v1/facets"),
    ("POST", "/v1/samples"),
    ("POST", "/v1/duplicates"),
    ("POST", "/v1/search"),
    ("POST", "/v1/similarity"),
    ("GET", "/v1/queries"),
    ("GET", "/v1/queries/mine"),
    ("PUT", "/v1/queries/mine"),
    ("DELETE", "/v1/queries/mine"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/classify"),
    ("GET", "/v1/changes"),
    ("GET", "/v1/explanations/photos/a.jpg"),
    ("GET", "/v1/nearest-labels/photos/a.jpg"),
    ("GET", "/v1/previews/256/photos/a.jpg"),
    ("GET", "/v1/model-inputs/photos/a.jpg"),
    ("GET", "/v1/originals/photos/a.jpg"),
    ("GET", "/v1/spaces"),
    ("GET", "/v1/maps"),
    ("POST", "/v1/maps"),
    ("GET", "/v1/maps/7/points"),
    ("GET", "/v1/maps/7/colours"),
    ("POST", "/v1/maps/7/images"),
    ("GET", "/v1/stats"),
    ("GET", "/v1/backlog"),
    ("GET", "/v1/throughput"),
    ("GET", "/v1/processes"),
    ("GET", "/v1/reconciliations"),
    ("GET", "/v1/feed"),
    ("GET", "/v1/rejected-events"),
    ("GET", "/v1/rejected-events/7"),
    ("GET", "/v1/status"),
    ("GET", "/v1/quarantine"),
    ("GET", "/v1/quarantine/counts"),
    ("GET", "/v1/quarantine/photos/a.jpg"),
    ("POST", "/v1/quarantine/retry"),
    ("POST", "/v1/quarantine/drop"),
    ("GET", "/v1/decisions"),
    ("POST", "/v1/decisions"),
    ("DELETE", "/v1/decisions"),
    ("POST", "/v1/decisions/matching"),
    ("PUT", "/v1/decisions/photos/a.jpg"),
    ("GET", "/v1/review-queues/random/colour"),
    ("GET", "/v1/review-plans"),
    ("POST", "/v1/review-plans"),
    ("GET", "/v1/review-plans/7"),
    ("GET", "/v1/review-plans/7/items"),
    ("POST", "/v1/review-plans/7/next"),
    ("POST", "/v1/review-plans/7/release"),
    ("POST", "/v1/review-plans/7/close"),
    ("POST", "/v1/login-links"),
    ("GET", "/v1/buckets"),
    ("DELETE", "/v1/buckets/photos"),
    ("GET", "/v1/heads"),
    ("POST", "/v1/heads/plan"),
    ("POST", "/v1/heads/apply"),
    ("GET", "/v1/taxonomies"),
    ("GET", "/v1/taxonomies/colour"),
    ("GET", "/v1/taxonomy-revisions"),
    ("POST", "/v1/taxonomy-trials"),
    ("POST", "/v1/taxonomy-changes/plan"),
    ("POST", "/v1/taxonomy-changes/apply"),
    ("GET", "/v1/certificates"),
    ("POST", "/v1/calibrations/plan"),
    ("POST", "/v1/calibrations/apply"),
    ("POST", "/v1/evaluations"),
]
OPEN = ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"]


def test_every_route_is_listed_here(shared_api):
    """A route that is added must be put among those that want the token, or deliberately not."""
    paths = shared_api.get("/openapi.json", token=None).json["paths"]
    served = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    names = {
        "photos/a.jpg": "{bucket}/{key}", "buckets/photos": "buckets/{bucket}", "random/colour": "{queue}/{taxonomy}",
        "plans/7": "plans/{plan}", "taxonomies/colour": "taxonomies/{name}",
        "queries/mine": "queries/{name}", "events/7": "events/{number}", "maps/7": "maps/{map}",
    }  # fmt: skip
    listed = {
        (
            method,
            next((path.replace(name, each) for name, each in names.items() if name in path), path).replace(
                "previews/256", "previews/{size}"
            ),
        )
        for method, path in GUARDED
    }
    sessions = {(method, "/session") for method in ("GET", "POST", "DELETE")}
    assert served == listed | sessions | {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer gr\u00fc\u00df dich",
        b"Bearer \xff\xfe\x80",
        "Bearer " + "x" * 8_000,
    ],
)
def test_nobody_gets_in_without_the_token(shared_api, method, path, authorization):
    """401 with what to send instead, whatever else is wrong with the request."""
    headers = {} if authorization is None else {"Authorization": authorization}
    if isinstance(headers.get("Authorization"), str):
        headers["Authorization"] = headers["Authorization"].encode("latin-1")
    answer = shared_api.send(method, path, b"{not json" if method == "POST" else None, token=None, headers=headers)
    assert (401, 'Bearer realm="Image Enricher"') == (answer.status, answer.headers["www-authenticate"])
    assert "Authorization: Bearer" in answer.detail


def test_a_body_is_not_read_for_strangers(shared_api):
    """Without the token, a body that is too large or compressed is 401 as well, and nothing is kept of it."""
    for headers in ({}, {"Content-Encoding": "gzip"}, {"Content-Length": "100000000"}):
        assert 401 == shared_api.send("POST", "/v1/events/s3", b"x", token="wrong", headers=headers).status
    with transaction(shared_api.services.engine) as connection:
        assert 0 == ledger.rejected_events.count(connection)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_is_case_insensitive(shared_api, scheme):
    """As HTTP has it (RFC 9110, 11.1)."""
    assert 200 == shared_api.get("/v1/status", token=None, headers={"Authorization": f"{scheme} {TOKEN}"}).status


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_token_may_be_any_text(services, encoding):
    """Clients disagree on how a header that is not ASCII is encoded; either works."""
    with serve(replace(services, tokens=Tokens(admin="schlüssel"))) as api:
        assert 200 == api.get("/v1/status", token="schlüssel".encode(encoding)).status
        assert 401 == api.get("/v1/status", token=b"schl?ssel").status


def test_a_token_beyond_latin_1_has_no_stand_in(services):
    """A token that one encoding cannot write is not replaced by question marks."""
    with serve(replace(services, tokens=Tokens(admin="ключ"))) as api:
        assert 200 == api.get("/v1/status", token="ключ".encode()).status
        assert 401 == api.get("/v1/status", token=b"????").status


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_pages_need_no_token(shared_api, path):
    """Supervisors, Prometheus and readers of /docs have none."""
    assert 200 == shared_api.get(path, token=None).status


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/events/s3/", "/v1/events/minio", "/v2/status", "/v1//status", "/docs/"]
)
def test_a_path_that_is_not_there(shared_api, path):
    """404 in the shape of all errors; no redirect, which would lose a webhook's token."""
    answer = shared_api.get(path)
    assert (404, f"there is nothing at {path}; /docs lists all addresses") == (answer.status, answer.detail)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/similarity", "POST"),
        ("DELETE", "/v1/images/a/b", "GET"),
        ("OPTIONS", "/v1/events/s3", "POST"),
        ("PATCH", "/v1/decisions", "DELETE, GET, POST"),
    ],
)
def test_a_method_that_is_not_there(shared_api, method, path, allowed):
    """405 names the methods that are."""
    answer = shared_api.send(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert f"{path} does not take {method}; it takes {allowed}" == answer.detail


@pytest.mark.parametrize("path", [*OPEN, "/v1/status", "/v1/changes"])
def test_head_is_answered_wherever_get_is(shared_api, path):
    """The same status and headers, without a body, as load balancers expect."""
    answer = shared_api.send("HEAD", path)
    assert (200, b"") == (answer.status, answer.body)
    assert answer.headers["content-type"] == shared_api.get(path).headers["content-type"]


def test_head_asks_for_the_token_too(shared_api):
    """It is no way around."""
    assert 401 == shared_api.send("HEAD", "/v1/status", token=None).status


@pytest.mark.parametrize("path", ["/v1/images/photos/%ff.jpg", "/v1/images/%C3/x.jpg", "/v1/images/photos/%ED%A0%80"])
def test_a_path_that_is_not_utf8(shared_api, path):
    """It is refused rather than taken for another key."""
    answer = shared_api.get(path)
    assert (400, "the path is not UTF-8 once its escapes are decoded") == (answer.status, answer.detail)


@pytest.mark.parametrize("query", ["bucket=%ff", "bucket=photos&prefix=%ED%A0%80", "%ff=1"])
def test_a_query_that_is_not_utf8(shared_api, query):
    """It is refused rather than answered for another name."""
    answer = shared_api.get(f"/v1/images?{query}")
    assert (400, "the query is not UTF-8 once its escapes are decoded") == (answer.status, answer.detail)


@pytest.mark.parametrize("request_line", [b"GET /v1/images/photos/\xc3\xa9.jpg HTTP/1.1", b"nonsense", b"\x16\x03\x01"])
def test_what_is_not_http_does_no_harm(shared_api, request_line):
    """The server says 400 and goes on."""
    assert shared_api.raw(request_line + b"\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert 200 == shared_api.get("/healthz").status


def test_huge_headers_do_no_harm(shared_api):
    """A megabyte of headers is refused, not collected."""
    with pytest.raises((ConnectionError, AssertionError)):
        assert 200 == shared_api.get("/v1/status", headers={"X-Junk": "x" * (1 << 20)}).status
    assert 200 == shared_api.get("/healthz").status


def test_a_bug_is_answered_and_logged_under_a_number(services):
    """500 gives away nothing but where to look."""

    class Broken:
        def begin(self, source: str, body: bytes) -> None:
            raise KeyError("secret")

    with serve(replace(services, ingest=Broken())) as api, capture_logs() as logged:
        answer = api.post("/v1/events/s3", record("a.jpg"))
    [number] = [each["error_id"] for each in logged if "error_id" in each]
    assert 500 == answer.status
    assert f"this is a bug; the API's log has it as error_id {number}" == answer.detail
    assert b"secret" not in answer.body
