"""The S3 store against servers that break off, stall, lie and never stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.unit.objects.http_stub import Answer as Script
from tests.unit.objects.http_stub import Stub, break_off, head, pour, refuse, reset, respond, serve, stall
from worker.errors import StoreUnavailableError
from worker.objects import HEAD_BYTES, Answer, Fetched, Gone, NotModified, NotRead, S3Store
from worker.types import ObjectRef

pytestmark = pytest.mark.slow

REF = ObjectRef(bucket="photos", key="a.jpg")
LIMIT = 1_000_000
CHUNKED = head("200 OK", Transfer_Encoding="chunked", ETag='"e"')

Start = Callable[..., tuple[Stub, S3Store]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server with a script, and a store that talks to it."""
    with ExitStack() as stack:

        def started(*answers: Script, timeout: float = 5.0) -> tuple[Stub, S3Store]:
            stub = stack.enter_context(serve(*answers))
            store = S3Store(endpoint_url=stub.url, access_key_id="id", secret_access_key="secret", timeout=timeout)
            stack.callback(store.close)
            return stub, store

        yield started


def get(store: S3Store, *, etag: str | None = None, max_bytes: int = LIMIT) -> Answer:
    return store.get(REF, etag=etag, max_bytes=max_bytes)


def data(answer: Answer) -> bytes:
    assert isinstance(answer, Fetched)
    return answer.data


@pytest.mark.parametrize("kept", [0, 1, HEAD_BYTES, 9_999])
def test_a_short_body_is_never_taken_for_an_object(start: Start, kept: int) -> None:
    """Closed before the announced length: nothing is known, so nothing is returned."""
    _, store = start(break_off(head("200 OK", Content_Length=10_000), b"x" * kept))
    with pytest.raises(StoreUnavailableError, match="broke off"):
        get(store)


def test_a_short_body_in_chunks_is_never_taken_for_an_object(start: Start) -> None:
    """The last chunk is missing."""
    _, store = start(break_off(CHUNKED, b"5\r\nhello\r\n"))
    with pytest.raises(StoreUnavailableError, match="broke off"):
        get(store)


def test_a_body_of_unknown_length_is_never_taken_for_an_object(start: Start) -> None:
    """Without length and chunks, a truncated body looks like a complete one."""
    _, store = start(break_off(head("200 OK"), b"hello"))
    with pytest.raises(StoreUnavailableError, match="without its length"):
        get(store)


def test_a_body_in_chunks_is_read_whole(start: Start) -> None:
    """Its size is what came."""
    _, store = start(break_off(CHUNKED, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"))
    answer = get(store)
    assert isinstance(answer, Fetched)
    assert (b"hello world", 11) == (answer.data, answer.info.size)


@pytest.mark.parametrize("parts", [(), (b"HTTP/1.1 200 OK\r\n",), (head("200 OK", Content_Length=10_000), b"x" * 5000)])
def test_a_server_that_stalls_is_given_up(start: Start, parts: tuple[bytes, ...]) -> None:
    """Before the answer, within its head and within its body."""
    stub, store = start(stall(*parts), timeout=0.2)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        get(store)
    assert time.monotonic() - began < 3
    assert 1 == len(stub.requests)


def test_a_body_that_trickles_is_given_up(start: Start) -> None:
    """A byte now and then resets every read timeout; the pace is bounded, too."""
    _, store = start(pour(head("200 OK", Content_Length=100_000), b"x", pause=0.01), timeout=0.2)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="given up"):
        get(store)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Slow Down", "429 Too Many Requests", "400 Bad"])
def test_a_server_in_trouble_is_unavailable(start: Start, status: str) -> None:
    """Asked once: when to ask again is the ledger's to say."""
    stub, store = start(refuse(status, "SlowDown"))
    with pytest.raises(StoreUnavailableError, match=f"photos/a.jpg: the store answers {status[:3]} SlowDown"):
        get(store)
    assert 1 == len(stub.requests)


def test_a_reset_connection_is_tried_again(start: Start) -> None:
    """Idle connections are closed by servers just as they are picked up: before the answer, or within it."""
    announced = head("200 OK", Content_Length=10_000)
    stub, store = start(reset(), reset(announced, b"x" * 5000), respond(body=b"hello"))
    assert b"hello" == data(get(store))
    assert 3 == len(stub.requests)


def test_connections_that_are_reset_every_time_are_given_up(start: Start) -> None:
    """Three tries, then it is unavailable."""
    stub, store = start(reset())
    with pytest.raises(StoreUnavailableError, match="broke off"):
        get(store)
    assert 3 == len(stub.requests)


def test_an_object_that_is_too_large_is_not_drained(start: Start) -> None:
    """Of 5 GB only what is in the buffers is sent; the connection is dropped."""
    sent: list[int] = []
    announced = head("200 OK", Content_Length=5_000_000_000, Content_Type="image/tiff")
    _, store = start(pour(announced, b"x" * 65_536, sent=sent))
    answer = get(store)
    assert isinstance(answer, NotRead)
    assert (answer.why, answer.info.size, answer.head) == ("too-large", 5_000_000_000, b"x" * HEAD_BYTES)
    time.sleep(0.2)
    assert sum(sent) < 50_000_000


def test_a_body_without_end_is_not_read_for_ever(start: Start) -> None:
    """Chunks have no length to check beforehand: reading stops behind the limit."""
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    _, store = start(pour(CHUNKED, chunk))
    answer = get(store, max_bytes=200_000)
    assert isinstance(answer, NotRead)
    assert "too-large" == answer.why
    assert 200_000 < answer.info.size < 1_000_000


@pytest.mark.parametrize("surplus", [b", and more", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"x" * 100_000])
def test_a_length_that_is_too_short_does_not_spoil_the_next_answer(start: Start, surplus: bytes) -> None:
    """What comes behind the announced length belongs to nothing."""
    _, store = start(respond(body=b"hello" + surplus, Content_Length=5), respond(body=b"second"))
    assert b"hello" == data(get(store))
    time.sleep(0.05)
    assert b"second" == data(get(store))


@pytest.mark.parametrize("length", ["-5", "many", "5, 6"])
def test_a_length_that_is_none_is_unavailable(start: Start, length: str) -> None:
    """Not a crash, not an object."""
    _, store = start(break_off(head("200 OK", Content_Length=length), b"hello"))
    with pytest.raises(StoreUnavailableError):
        get(store)


@pytest.mark.parametrize("noise", [b"", b"hello\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
def test_what_is_not_http_is_unavailable(start: Start, noise: bytes) -> None:
    """The port may be somebody else's."""
    _, store = start(break_off(noise))
    with pytest.raises(StoreUnavailableError):
        get(store)


def test_a_connection_is_kept_for_the_next_request(start: Start) -> None:
    """Whatever the answer was: an object, no change, nothing, or a refusal."""
    stub, store = start(
        respond(body=b"hello"),
        respond("304 Not Modified", ETag='"e"'),
        refuse("404 Not Found", "NoSuchKey"),
        refuse("503 Slow Down", "SlowDown"),
        respond(body=b""),
        respond(body=b"last"),
    )
    assert b"hello" == data(get(store))
    assert get(store, etag="e") == NotModified()
    assert get(store) == Gone()
    with pytest.raises(StoreUnavailableError):
        get(store)
    assert b"" == data(get(store))
    assert b"last" == data(get(store))
    assert 1 == stub.connections


@pytest.mark.parametrize(
    "answer",
    [
        respond(body=b""),
        respond(body=b"<html><body>welcome</body></html>"),
        respond(body=b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>'),
        break_off(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    ],
    ids=["no body", "a page", "no result", "cut in its head"],
)
def test_an_answer_that_lists_nothing_is_no_empty_bucket(start: Start, answer: Script) -> None:
    """An empty bucket says that there is no more; less must not mean that every object was deleted."""
    _, store = start(answer, answer)
    with pytest.raises(StoreUnavailableError, match="photos: the store's answer is not a listing"):
        list(store.list("photos"))


def test_an_empty_bucket_is_empty(start: Start) -> None:
    """As the smallest stores say it."""
    body = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
    _, store = start(respond(body=body))
    assert [] == list(store.list("photos"))
