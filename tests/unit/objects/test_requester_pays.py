"""Buckets whose requesters pay: what is sent for them, and only for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.unit.objects.http_stub import Answer as Script
from tests.unit.objects.http_stub import Stub, refuse, respond, serve
from worker.errors import AccessDeniedError, ConfigurationError, EnrichError
from worker.objects import S3Store
from worker.types import ObjectRef

pytestmark = pytest.mark.slow

HEADER = "x-amz-request-payer: requester"
PAID, FREE = ObjectRef(bucket="paid", key="a b.jpg"), ObjectRef(bucket="free", key="a b.jpg")
EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

Start = Callable[..., tuple[Stub, S3Store]]
REQUESTS: dict[str, tuple[Script, Callable[[S3Store, ObjectRef], object]]] = {
    "GetObject": (respond(body=b"x"), lambda store, ref: store.get(ref, etag="old", max_bytes=10)),
    "HeadObject": (respond(body=b""), lambda store, ref: store.head(ref)),
    "ListObjectsV2": (respond(body=EMPTY), lambda store, ref: list(store.list(ref.bucket))),
    "PutObject": (respond(ETag='"e"'), lambda store, ref: store.put(ref, b"x")),
    "DeleteObject": (respond("204 No Content"), lambda store, ref: store.delete(ref)),
}


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with a script, and a store that pays in some buckets."""
    with ExitStack() as stack:

        def started(*answers: Script, pays: tuple[str, ...] = ("paid",)) -> tuple[Stub, S3Store]:
            stub = stack.enter_context(serve(*answers))
            store = S3Store(endpoint_url=stub.url, access_key_id="id", secret_access_key="secret", requester_pays=pays)
            stack.callback(store.close)
            return stub, store

        yield started


def is_agreed(request: str) -> bool:
    """Whether the header is sent, and signed: AWS refuses headers of its own that are not."""
    head = request.lower()
    sent = HEADER in head.split("\r\n")
    signed = "host%3bx-amz-request-payer" in head or ";x-amz-request-payer" in head.partition("signedheaders=")[2]
    assert sent == signed, request
    return sent


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_for_such_a_bucket_says_that_we_pay(start: Start, name: str) -> None:
    """And no request for another does."""
    answer, ask = REQUESTS[name]
    stub, store = start(answer)
    ask(store, PAID)
    ask(store, FREE)
    assert [True, False] == [is_agreed(request) for request in stub.requests]
    assert all(f"/{bucket}" in target for bucket, target in zip(("paid", "free"), stub.targets, strict=True))


def test_so_does_the_question_for_the_bucket_itself(start: Start) -> None:
    """HeadBucket has no parameter for it, and is asked where an object is not found."""
    stub, store = start(respond("404 Not Found"), respond("200 OK"), respond("404 Not Found"), respond("200 OK"))
    assert (None, None) == (store.head(PAID), store.head(FREE))
    assert [True, True, False, False] == [is_agreed(request) for request in stub.requests]


def test_every_page_of_a_listing_says_it(start: Start) -> None:
    """Not the first alone."""
    more = EMPTY.replace(b"false</IsTruncated>", b"true</IsTruncated><NextContinuationToken>t</NextContinuationToken>")
    stub, store = start(respond(body=more), respond(body=EMPTY))
    assert [] == list(store.list("paid"))
    assert [True, True] == [is_agreed(request) for request in stub.requests]


def test_all_buckets_can_be_named_at_once(start: Start) -> None:
    """The list of buckets belongs to nobody else, and is free."""
    stub, store = start(respond(body=b"x"), respond(body=b"<ListAllMyBucketsResult/>"), pays=("*",))
    store.get(FREE, etag=None, max_bytes=10)
    store.buckets()
    assert [True, False] == [is_agreed(request) for request in stub.requests]


@pytest.mark.parametrize("name", ["GetObject", "HeadObject", "ListObjectsV2"])
def test_a_refusal_mentions_the_setting_where_it_may_be_the_reason(start: Start, name: str) -> None:
    """Not where we have agreed already: then something else is missing."""
    _, ask = REQUESTS[name]
    _, store = start(refuse("403 Forbidden", "AccessDenied"))
    kind: type[EnrichError] = ConfigurationError if name == "ListObjectsV2" else AccessDeniedError
    with pytest.raises(kind, match="name free in ENRICH_S3_REQUESTER_PAYS"):
        ask(store, FREE)
    with pytest.raises(kind, match="check the credentials' policy") as paid:
        ask(store, PAID)
    assert "REQUESTER_PAYS" not in str(paid.value)
