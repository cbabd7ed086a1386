"""Event intake over real HTTP, on a real PostgreSQL: what is committed, what is refused, and who is let in."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.factories import enriched_image
from tests.integration.api.live import TOKEN, record, serve
from tests.ledger import pending, ref
from tests.unit.events.event_fixtures import FIXTURES, fixtures
from worker import ledger
from worker.api.body_limits import Bodies
from worker.db import transaction
from worker.pipeline.intake.ingest import Ingest
from worker.types import ObjectRef

#: Keys that do not survive careless handling of URLs.
KEYS = [
    "plain.jpg",
    "a b c.jpg",
    "1+2=3.jpg",
    "100%.jpg",
    "%2F.jpg",
    "a%20b.jpg",
    "crème brûlée.jpg",
    "🏞️/👩‍🚀.jpg",
    "/leading.jpg",
    "double//slash.jpg",
    "trailing/",
    "what?.jpg",
    "#1.jpg",
    "a?b=c&d#e;f,g.jpg",
    "..hidden/x.jpg",
    "a/../b.jpg",
    "back\\slash.jpg",
    "quote\"'`<>.jpg",
    "line\nbreak\r\n.jpg",
    "ends with a break\n",
    "tab\t.jpg",
    "\u200bzero width.jpg",
    "e\u0301 is not \u00e9.jpg",
    ":;@&=$,!*()[]{}|^~",
    "k" * 1024,
]


def rejected(engine):
    with transaction(engine) as connection:
        return ledger.rejected_events.recent(connection)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_arrives_as_the_uploader_wrote_it(shared_api, key):
    """Escaped in a notification, and percent-encoded in a URL, a key comes out the same at both ends."""
    assert "unknown" == shared_api.image("photos", key).json["state"]
    assert {"hinted": 1, "ignored": {}, "test": False} == shared_api.post("/v1/events/s3", record(key)).json
    with transaction(shared_api.services.engine) as connection:
        standing = ledger.totals.object_state(connection, ref(key))
    assert standing is not None
    assert "pending" == shared_api.image("photos", key).json["state"]


def test_keys_are_shown_as_the_uploader_wrote_them(api, enriched):
    """What is read back is the key itself, not a spelling of it."""
    enriched(*(enriched_image(key) for key in KEYS))
    assert [api.image("photos", key).json["key"] for key in KEYS] == KEYS


@pytest.mark.parametrize("fixture", [each for each in fixtures() if len(each.events) == 1], ids=lambda each: each.name)
def test_what_stores_send_is_taken(shared_api, fixture):
    """Every fixture is accepted at its source's address, under whatever content type its sender gives it."""
    [body] = fixture.bodies
    for content_type in ("application/json; charset=utf-8", "text/plain; charset=UTF-8", "nonsense", "", None):
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = shared_api.send("POST", f"/v1/events/{fixture.source}", body, headers=headers)
        expected = {"hinted": len(fixture.objects), "ignored": fixture.ignored, "test": fixture.test}
        assert (200, expected) == (answer.status, answer.json)
    with transaction(shared_api.services.engine) as connection:
        for bucket, key in fixture.objects:
            assert ledger.totals.object_state(connection, ObjectRef(bucket=bucket, key=key)) is not None


def test_a_test_event_is_accepted(api, engine):
    """AWS checks that somebody listens; nothing is recorded for it."""
    answer = api.send("POST", "/v1/events/s3", (FIXTURES / "aws-s3" / "test-event.json").read_bytes())
    assert (200, {"hinted": 0, "ignored": {"test-event": 1}, "test": True}) == (answer.status, answer.json)
    assert 0 == pending(engine)


def test_objects_that_are_not_watched_are_ignored(api, engine):
    """Who wires more than one bucket to the same address is told what came of it."""
    answer = api.post("/v1/events/s3", record("a.jpg", bucket="unwatched"))
    assert {"hinted": 0, "ignored": {"not-watched": 1}, "test": False} == answer.json
    assert 0 == pending(engine)
    assert b'enrich_ignored_total{reason="not-watched",source="s3"}' in api.get("/metrics").body


def test_chunked_bodies_are_taken(api, engine):
    """A sender that does not know its length in advance is as welcome."""
    body = json.dumps(record("a.jpg")).encode()
    answer = api.send("POST", "/v1/events/s3", iter([body[:10], body[10:]]))
    assert (200, 1) == (answer.status, pending(engine))


# -- refusing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"\xff", "UTF-8"),
        (b"[]", "$: expected an object"),
        (b"{}", "'Records'"),
        (b'{"Records": [{}]}', "$.Records[0]"),
        (b"[" * 50_000, "levels"),
        (b'{"a":' * 10_000, "levels"),
        (b'{"Records": NaN}', "NaN"),
        (b'{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "\\ud800"}}}]}', "surrogate"),
        (b'{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "a\\u0000b"}}}]}', "NUL"),
        (b'{"TopicArn": "arn", "Message": "{}"}', "$.Message"),
        (b"-----------------------------1\r\nContent-Disposition: form-data\r\n", "expected JSON"),
    ],
)
def test_what_cannot_be_parsed_is_refused_and_kept(shared_api, body, says):
    """400 names what is wrong, and the notification can be looked at under the id that the answer gives."""
    answer = shared_api.send("POST", "/v1/events/s3", body)
    assert 400 == answer.status
    assert says in answer.detail
    kept = rejected(shared_api.services.engine)[0]
    assert (kept.id, kept.reason, kept.body) == (answer.json["rejected_id"], answer.detail, body[: 64 << 10])


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "gzip, identity"])
def test_compressed_bodies_are_refused(shared_api, encoding):
    """415 says what to send instead, and nothing is decompressed or kept."""
    before = rejected(shared_api.services.engine)
    answer = shared_api.send("POST", "/v1/events/s3", b"\x1f\x8b", headers={"Content-Encoding": encoding})
    assert (415, "identity") == (answer.status, answer.headers["accept-encoding"])
    assert f"without Content-Encoding: {encoding}" in answer.detail
    assert rejected(shared_api.services.engine) == before


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(shared_api, chunked):
    """413, with or without a length given in advance; the sender gets to read it."""
    body = b"x" * 100_001
    answer = shared_api.send("POST", "/v1/events/s3", iter([body]) if chunked else body)
    assert 413 == answer.status
    assert "100,000 bytes" in answer.detail


def test_a_body_just_within_the_limit_is_read(api):
    """The limit is what it says: one byte less is parsed."""
    body = json.dumps(record("a.jpg")).encode()
    assert 200 == api.send("POST", "/v1/events/s3", body + b" " * (100_000 - len(body))).status


def test_an_endless_body_is_cut_off(shared_api):
    """A sender that never stops is answered and hung up on after a little more than the limit."""
    head = (
        f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    sent = 0
    with socket.create_connection(("127.0.0.1", shared_api.port), timeout=20) as connection:
        connection.sendall(head.encode())
        with pytest.raises(OSError):  # noqa: PT012  # sending until it fails is the test
            while sent < 100_000_000:
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
    # What the kernel's buffers took counts as sent.
    assert sent < 30_000_000


def test_who_waits_to_be_asked_for_a_large_body_is_not_asked(shared_api):
    """With ``Expect: 100-continue`` the refusal comes before a byte of the body has moved."""
    head = (
        f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_api.port), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_bodies_in_memory_are_bounded(services):
    """Where all requests together hold too much, the next is asked to come back."""
    with serve(services) as api:
        parts = api.app.state.parts
        object.__setattr__(parts, "bodies", Bodies(in_memory=1_000, seconds=60))
        answer = api.send("POST", "/v1/events/s3", b"x" * 1_001)
        assert (503, "1") == (answer.status, answer.headers["retry-after"])
        assert 400 == api.send("POST", "/v1/events/s3", b"x" * 1_000).status
        assert 400 == api.send("POST", "/v1/events/s3", b"x" * 1_000).status


def test_a_body_that_does_not_come_is_given_up(services):
    """408 after a while: a sender that stalls holds nothing for ever."""
    with serve(services) as api:
        object.__setattr__(api.app.state.parts, "bodies", Bodies(in_memory=1_000, seconds=0.2))
        head = f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 5\r\n\r\nab"
        with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_sender_that_hangs_up_leaves_nothing(api, engine):
    """Half a notification is none."""
    head = f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 500\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        connection.sendall(head.encode())
    assert 200 == api.post("/v1/events/s3", record("a.jpg")).status
    assert (1, []) == (pending(engine), rejected(engine))


# -- commit and wake-up ------------------------------------------------------------------------------------------------


def test_the_worker_is_woken(api, wake_up):
    """Committed work rings the bell."""
    api.post("/v1/events/s3", record("a.jpg"))
    assert wake_up.rung.wait(5)


def test_a_broker_that_hangs_delays_nobody(services, engine):
    """Answers do not wait for the wake-up: the work is committed, and the scheduler rings for it anyway."""
    release = threading.Event()

    def hang() -> None:
        release.wait(30)

    hanging = Ingest(engine=engine, notify=hang)
    with serve(replace(services, ingest=hanging)) as api:
        started = time.monotonic()
        statuses = [api.post("/v1/events/s3", record(f"{number}.jpg")).status for number in range(20)]
        took = time.monotonic() - started
        release.set()
    assert statuses == [200] * 20
    assert took < 5
    assert 20 == pending(engine)


def test_a_bell_that_breaks_is_rung_again(services, engine):
    """An error of the broker's client is logged; it neither fails the request nor ends the ringing."""
    rings: list[int] = []

    def broken() -> None:
        rings.append(1)
        raise RuntimeError("boom")

    ingest = Ingest(engine=engine, notify=broken)
    with serve(replace(services, ingest=ingest)) as api:
        for count in (1, 2):
            assert 200 == api.post("/v1/events/s3", record("a.jpg")).status
            _wait_for(lambda count=count: len(rings) == count)


def test_many_senders_at_once_lose_nothing(api, engine):
    """Far more requests in flight than threads or connections: every one is answered, every object is pending."""
    with ThreadPoolExecutor(64) as pool:
        answers = pool.map(lambda n: api.post("/v1/events/s3", record(f"{n % 100}.jpg")).status, range(400))
        assert {200} == set(answers)
    assert 100 == pending(engine)


def test_slow_senders_hold_up_nobody(api):
    """Fifty connections that stall in the middle of their bodies leave the API as quick as before."""
    head = f"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 50\r\n\r\n{{"
    stalled = [socket.create_connection(("127.0.0.1", api.port), timeout=20) for _ in range(50)]
    try:
        for connection in stalled:
            connection.sendall(head.encode())
        started = time.monotonic()
        assert 200 == api.post("/v1/events/s3", record("a.jpg")).status
        assert time.monotonic() - started < 2
    finally:
        for connection in stalled:
            connection.close()


def _wait_for(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_deleted_object_is_hinted_like_a_written_one(api, engine):
    """What happened is the store's to say: a deletion is followed up by a GET as well."""
    event = record("a.jpg")
    event["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    assert 1 == api.post("/v1/events/s3", event).json["hinted"]
    with transaction(engine) as connection:
        standing = ledger.totals.object_state(connection, ref("a.jpg"))
    assert standing is not None
    assert standing.pending
