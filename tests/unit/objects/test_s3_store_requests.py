"""What the S3 store sends, and what it makes of answers."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.objects.http_stub import Answer as Script
from tests.unit.objects.http_stub import Stub, refuse, respond, serve
from worker.errors import (
    AccessDeniedError,
    BucketElsewhereError,
    BucketNotFoundError,
    ConfigurationError,
    EnrichError,
    ObjectArchivedError,
    ObjectUnreadableError,
    StoreUnavailableError,
)
from worker.objects import Fetched, Gone, S3Store
from worker.types import ObjectInfo, ObjectRef

pytestmark = pytest.mark.slow

REF = ObjectRef(bucket="photos", key="a.jpg")

Start = Callable[..., tuple[Stub, S3Store]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with a script, and a store that talks to it."""
    with ExitStack() as stack:

        def started(*answers: Script, session_token: str | None = None) -> tuple[Stub, S3Store]:
            stub = stack.enter_context(serve(*answers))
            store = S3Store(
                endpoint_url=stub.url, access_key_id="id", secret_access_key="secret", session_token=session_token
            )
            stack.callback(store.close)
            return stub, store

        yield started


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a b+c.jpg", "/photos/a%20b%2Bc.jpg"),
        ("100%25.jpg", "/photos/100%2525.jpg"),
        ("é😀?#&.jpg", "/photos/%C3%A9%F0%9F%98%80%3F%23%26.jpg"),
        ("a/../../b.jpg", "/photos/a/../../b.jpg"),
        ("..", "/photos/.."),
        ("./a/./b.jpg", "/photos/./a/./b.jpg"),
        ("a//b///c.jpg", "/photos/a//b///c.jpg"),
        ("/leading.jpg", "/photos//leading.jpg"),
        ("trailing/", "/photos/trailing/"),
        ("~-_.jpg", "/photos/~-_.jpg"),
        ("new\nline", "/photos/new%0Aline"),
    ],
)
def test_keys_go_over_the_wire_as_they_were_signed(start: Start, key: str, target: str) -> None:
    """No part of the HTTP client resolves dots or merges slashes: the signature would not fit, or worse, it would."""
    stub, store = start(respond(body=b"x"))
    store.get(ObjectRef(bucket="photos", key=key), etag=None, max_bytes=10)
    store.head(ObjectRef(bucket="photos", key=key))
    assert stub.targets == [target, target]


def test_a_known_etag_is_sent_in_quotes(start: Start) -> None:
    """The store compares it."""
    stub, store = start(respond("304 Not Modified"))
    store.get(REF, etag="abc-2", max_bytes=10)
    assert 'If-None-Match: "abc-2"' in stub.requests[0]


def test_the_stored_bytes_are_wanted_and_not_a_decoded_form(start: Start) -> None:
    """An object stored with Content-Encoding is returned as it is stored; its length and etag are of those bytes."""
    packed = gzip.compress(b"hello")
    stub, store = start(respond(body=packed, Content_Encoding="gzip"))
    answer = store.get(REF, etag=None, max_bytes=1000)
    assert isinstance(answer, Fetched)
    assert (answer.data, answer.info.size, answer.info.content_encoding) == (packed, len(packed), "gzip")
    assert "Accept-Encoding: identity" in stub.requests[0]


def test_a_session_token_is_part_of_the_signature(start: Start) -> None:
    """Temporary credentials work."""
    stub, store = start(respond(body=b"x"), session_token="temporary")
    store.get(REF, etag=None, max_bytes=10)
    assert "X-Amz-Security-Token=temporary" in stub.requests[0]


def test_the_answer_is_described_from_its_headers(start: Start) -> None:
    """Weak etags lose their prefix, times are aware."""
    answer = respond(
        body=b"12345",
        ETag='W/"abc-2"',
        Last_Modified="Sat, 21 Nov 2026 07:37:39 GMT",
        Content_Type="image/png",
        x_amz_version_id="v1",
    )
    _, store = start(answer)
    fetched = store.get(REF, etag=None, max_bytes=10)
    assert isinstance(fetched, Fetched)
    assert fetched.info == ObjectInfo(
        ref=REF,
        etag="abc-2",
        size=5,
        last_modified=datetime(2026, 11, 21, 7, 37, 39, tzinfo=UTC),
        version_id="v1",
        content_type="image/png",
    )


def test_headers_that_are_missing_or_odd_do_no_harm(start: Start) -> None:
    """A gateway may leave them out."""
    _, store = start(respond(body=b"x", Last_Modified="yesterday"))
    answer = store.get(REF, etag=None, max_bytes=10)
    assert isinstance(answer, Fetched)
    assert ("", None, None) == (answer.info.etag, answer.info.last_modified, answer.info.version_id)


@pytest.mark.parametrize(
    "answer",
    [
        refuse("404 Not Found", "NoSuchKey"),
        respond("404 Not Found", x_amz_delete_marker="true"),
        refuse("404 Not Found", "NoSuchKey", x_amz_delete_marker="true"),
    ],
)
def test_an_object_is_gone_when_the_store_says_so(start: Start, answer: Script) -> None:
    """By its code or by a delete marker."""
    _, store = start(answer)
    assert store.get(REF, etag=None, max_bytes=10) == Gone()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (respond("404 Not Found", b"<html>nginx</html>"), StoreUnavailableError, "404"),
        (respond("404 Not Found"), StoreUnavailableError, "404"),
        (refuse("404 Not Found", "NoSuchBucket"), BucketNotFoundError, "photos: the store has no such bucket"),
        (refuse("403 Forbidden", "AccessDenied"), AccessDeniedError, "photos/a.jpg"),
        (respond("403 Forbidden"), AccessDeniedError, "photos/a.jpg"),
        (refuse("403 Forbidden", "InvalidAccessKeyId"), ConfigurationError, "ENRICH_S3_ACCESS_KEY_ID"),
        (refuse("403 Forbidden", "SignatureDoesNotMatch"), ConfigurationError, "ENRICH_S3_ACCESS_KEY_ID"),
        (refuse("403 Forbidden", "RequestTimeTooSkewed"), ConfigurationError, "clock"),
        (refuse("403 Forbidden", "InvalidObjectState"), ObjectArchivedError, "archived"),
        (refuse("403 Forbidden", "InvalidSecurity"), ConfigurationError, "ENRICH_S3_ACCESS_KEY_ID"),
        (respond("401 Unauthorized"), ConfigurationError, "ENRICH_S3_ACCESS_KEY_ID"),
        (refuse("400 Bad Request", "ExpiredToken"), ConfigurationError, "temporary credentials have expired"),
        (refuse("400 Bad Request", "InvalidRequest"), ObjectUnreadableError, "photos/a.jpg: the store answers 400"),
        (refuse("400 Bad Request", "InvalidArgument"), ObjectUnreadableError, "400 InvalidArgument"),
        (refuse("400 Bad Request", "KMS.DisabledException"), ObjectUnreadableError, "400 KMS.DisabledException"),
        (refuse("405 Not Allowed", "MethodNotAllowed"), ObjectUnreadableError, "405 MethodNotAllowed"),
        (refuse("416 Range", "InvalidRange"), ObjectUnreadableError, "416 InvalidRange"),
        (refuse("400 Bad Request", "XMinioInvalidObjectName"), ObjectUnreadableError, "XMinioInvalidObjectName"),
        (respond("400 Bad Request", b"<html>plain HTTP to an HTTPS port</html>"), StoreUnavailableError, "400"),
        (refuse("400 Bad Request", "RequestTimeout"), StoreUnavailableError, "400 RequestTimeout"),
        (refuse("400 Bad Request", "KMS.ThrottlingException"), StoreUnavailableError, "KMS.ThrottlingException"),
        (refuse("429 Too Many Requests", "TooManyRequests"), StoreUnavailableError, "429"),
        (respond("408 Request Timeout"), StoreUnavailableError, "408"),
        (refuse("503 Slow Down", "SlowDown"), StoreUnavailableError, "503 SlowDown"),
        (refuse("500 Error", "InternalError"), StoreUnavailableError, "500 InternalError"),
        (
            refuse("301 Moved", "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
            BucketElsewhereError,
            "set ENRICH_S3_REGION=eu-west-1",
        ),
        (
            refuse("307 Temporary", "TemporaryRedirect", Location="http://127.0.0.1:1/"),
            BucketElsewhereError,
            "redirects to http://127.0.0.1:1/ .*ENRICH_S3_ENDPOINT_URL",
        ),
        (
            refuse("400 Bad", "AuthorizationHeaderMalformed", more="<Region>eu-west-1</Region>"),
            BucketElsewhereError,
            "set ENRICH_S3_REGION=eu-west-1",
        ),
        (refuse("400 Bad", "AuthorizationHeaderMalformed"), ConfigurationError, "ENRICH_S3_ACCESS_KEY_ID"),
    ],
)
def test_each_refusal_has_its_own_meaning(start: Start, answer: Script, kind: type[EnrichError], message: str) -> None:
    """Nothing but the store's own word makes an object deleted, denied or unreadable; wrong settings are called so."""
    stub, store = start(answer)
    with pytest.raises(kind, match=message) as raised:
        store.get(REF, etag=None, max_bytes=10)
    assert type(raised.value) is kind
    assert 1 == len(stub.requests)


def test_a_head_that_is_refused_is_about_its_object(start: Start) -> None:
    """Its answer has no body that says why: one object that cannot be read must not break a comparison off."""
    _, store = start(respond("400 Bad Request"))
    with pytest.raises(ObjectUnreadableError, match="the store answers 400 Bad Request"):
        store.head(REF)


def test_a_head_of_nothing_asks_for_the_bucket(start: Start) -> None:
    """The answer to a HEAD cannot say what was not found."""
    stub, store = start(respond("404 Not Found"), respond("200 OK"))
    assert store.head(REF) is None
    assert ["/photos/a.jpg", "/photos"] == stub.targets


def test_a_head_in_a_bucket_that_is_missing_is_no_deleted_object(start: Start) -> None:
    """Both are not found."""
    _, store = start(respond("404 Not Found"))
    with pytest.raises(BucketNotFoundError, match="photos"):
        store.head(REF)


@pytest.mark.parametrize("bucket", ["no spaces", "", "a/b", "no:colon"])
def test_a_bucket_that_cannot_be_is_not_asked_for(start: Start, bucket: str) -> None:
    """Nothing is sent."""
    stub, store = start(respond(body=b"x"))
    with pytest.raises(BucketNotFoundError):
        store.get(ObjectRef(bucket=bucket, key="a"), etag=None, max_bytes=10)
    assert [] == stub.requests


@pytest.mark.parametrize("keys", [{"access_key_id": "id"}, {"secret_access_key": "secret"}])
def test_half_of_the_keys_is_a_wrong_setting(keys: dict[str, str]) -> None:
    """Else boto3 would silently look elsewhere."""
    with pytest.raises(ConfigurationError, match="or neither"):
        S3Store(endpoint_url="http://127.0.0.1:1", **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["ftp://store.example", "http://store.example:99999", "http://store.example?region=1"])
def test_an_endpoint_that_no_request_can_go_to_is_a_wrong_setting(url: str) -> None:
    """Said at the start: at each request it would look like an outage, which is waited out."""
    with pytest.raises(ConfigurationError, match="ENRICH_S3_ENDPOINT_URL is not the address of a store"):
        S3Store(endpoint_url=url, access_key_id="id", secret_access_key="secret")


def test_an_endpoint_that_is_no_url_is_a_wrong_setting() -> None:
    """The message has the endpoint in it."""
    with pytest.raises(ConfigurationError, match="nonsense"):
        S3Store(endpoint_url="nonsense", access_key_id="id", secret_access_key="secret")


def test_a_profile_that_is_missing_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names it."""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(ConfigurationError, match="no-such-profile"):
        S3Store()


def test_without_credentials_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The usual chain has nothing either."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = S3Store(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="ENRICH_S3_ACCESS_KEY_ID"):
        store.get(REF, etag=None, max_bytes=10)
    store.close()


def test_the_usual_chain_is_used_where_no_keys_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the environment, with a session token."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    store = S3Store(endpoint_url="http://127.0.0.1:1")
    url = store._signed(REF)
    assert "X-Amz-Credential=from-the-environment%2F" in url
    assert "X-Amz-Security-Token=temporary" in url
    assert "X-Amz-Expires=900" in url
    store.close()


@pytest.mark.parametrize(
    ("endpoint_url", "style", "expected"),
    [
        (None, "auto", "https://photos.s3.eu-west-1.amazonaws.com/a.jpg?"),
        (None, "path", "https://s3.eu-west-1.amazonaws.com/photos/a.jpg?"),
        ("http://store.test:9000", "auto", "http://store.test:9000/photos/a.jpg?"),
        ("http://store.test:9000", "virtual", "http://photos.store.test:9000/a.jpg?"),
    ],
)
def test_buckets_are_addressed_as_the_style_says(endpoint_url: str | None, style: str, expected: str) -> None:
    """By host name at AWS, by path at an endpoint, unless told otherwise."""
    store = S3Store(
        endpoint_url=endpoint_url,
        region="eu-west-1",
        access_key_id="id",
        secret_access_key="secret",
        addressing_style=style,  # type: ignore[arg-type]
    )
    assert store._signed(REF).startswith(expected)
    store.close()


def test_a_bucket_that_somebody_else_has_is_a_wrong_setting(start: Start) -> None:
    """Some stores say BucketAlreadyExists of our own buckets, so the list decides."""
    ours = b"<ListAllMyBucketsResult><Buckets><Bucket><Name>ours</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    taken = refuse("409 Conflict", "BucketAlreadyExists")
    _, store = start(taken, respond(body=ours), taken, respond(body=ours))
    store.create_bucket("ours")
    with pytest.raises(ConfigurationError, match="theirs: the name belongs to someone else"):
        store.create_bucket("theirs")
