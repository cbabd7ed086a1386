"""What every object store does, checked on the fake and on a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.contract.objects.conftest import Subject
from worker.errors import BucketNotFoundError
from worker.ledger.key_ranges import ascends
from worker.objects import HEAD_BYTES, Fetched, Gone, NotModified, NotRead
from worker.types import ObjectInfo, ObjectRef

LIMIT = 10_000_000
ODD_KEYS = [
    "plain.jpg",
    "sp ace+plus%25%2F é😀.jpg",
    "%2F",
    "a%2Fb.jpg",
    "deep/er/and deeper/x.jpg",
    "q?x#y&z=1;a,b.jpg",
    "'quote\"<>&.jpg",
    "x~*()!$@:=^`|{}[].jpg",
    "new\nline\ttab.jpg",
    "control\x01.jpg",
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",
    "..hidden/...jpg",
    "日本語/写真.jpg",
    "n" * 200 + "/" + "m" * 200 + "/" + "o" * 200,
]


def fetched(subject: Subject, ref: ObjectRef) -> Fetched:
    answer = subject.store.get(ref, etag=None, max_bytes=LIMIT)
    assert isinstance(answer, Fetched)
    return answer


def listed(subject: Subject, prefix: str = "", start_after: str = "") -> list[str]:
    return [found.key for found in subject.store.list(subject.bucket, prefix, start_after)]


def test_an_object_is_read_with_what_the_store_says_about_it(subject: Subject) -> None:
    """All bytes; etag, size, time and type come from the response itself."""
    data = bytes(range(256)) * 300
    ref = subject.ref("a b/photo.jpg")
    etag = subject.store.put(ref, data, "image/jpeg")
    answer = fetched(subject, ref)
    assert answer.data == data
    assert (answer.info.ref, answer.info.etag, answer.info.size) == (ref, etag, len(data))
    assert ("image/jpeg", None) == (answer.info.content_type, answer.info.version_id)
    assert answer.info.last_modified is not None
    assert abs(datetime.now(UTC) - answer.info.last_modified) < timedelta(minutes=5)


def test_a_known_etag_is_not_modified(subject: Subject) -> None:
    """The store compares; nothing is transferred."""
    ref = subject.put("a.jpg", b"first")
    etag = fetched(subject, ref).info.etag
    assert subject.store.get(ref, etag=etag, max_bytes=LIMIT) == NotModified()


def test_an_overwritten_object_is_read_again(subject: Subject) -> None:
    """The former etag no longer matches."""
    ref = subject.put("a.jpg", b"first")
    former = fetched(subject, ref).info.etag
    subject.put("a.jpg", b"second")
    answer = subject.store.get(ref, etag=former, max_bytes=LIMIT)
    assert isinstance(answer, Fetched)
    assert (b"second", True) == (answer.data, answer.info.etag != former)


def test_an_object_that_never_was_is_gone(subject: Subject) -> None:
    """Also where an etag was known, and for HEAD."""
    ref = subject.ref("never.jpg")
    assert subject.store.get(ref, etag=None, max_bytes=LIMIT) == Gone()
    assert subject.store.get(ref, etag="5d41402abc4b2a76b9719d911017c592", max_bytes=LIMIT) == Gone()
    assert subject.store.head(ref) is None


def test_a_deleted_object_is_gone(subject: Subject) -> None:
    """It is neither read nor listed, and deleting it again is no error."""
    ref = subject.put("a.jpg", b"first")
    subject.store.delete(ref)
    subject.store.delete(ref)
    assert subject.store.get(ref, etag=None, max_bytes=LIMIT) == Gone()
    assert subject.store.head(ref) is None
    assert [] == listed(subject)


def test_a_missing_bucket_is_not_a_missing_object(subject: Subject) -> None:
    """No object may be taken for deleted because a bucket's name is wrong."""
    ref = ObjectRef(bucket="no-such-bucket-here", key="a.jpg")
    with pytest.raises(BucketNotFoundError, match="no-such-bucket-here"):
        subject.store.get(ref, etag=None, max_bytes=LIMIT)
    with pytest.raises(BucketNotFoundError, match="no-such-bucket-here"):
        subject.store.head(ref)
    with pytest.raises(BucketNotFoundError, match="no-such-bucket-here"):
        next(subject.store.list("no-such-bucket-here"))


def test_an_empty_object_is_an_object(subject: Subject) -> None:
    """Zero bytes are read as zero bytes."""
    answer = fetched(subject, subject.put("empty.jpg", b""))
    assert (b"", 0) == (answer.data, answer.info.size)
    assert [("empty.jpg", 0)] == [(found.key, found.size) for found in subject.store.list(subject.bucket)]


@pytest.mark.parametrize("size", [1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 3_000_000])
def test_objects_of_any_size_are_read_whole(subject: Subject, size: int) -> None:
    """Around the size of the head, and over many reads."""
    data = (b"0123456789" * (size // 10 + 1))[:size]
    assert fetched(subject, subject.put("a.jpg", data)).data == data


def test_an_object_of_the_limit_is_read_and_one_larger_is_not(subject: Subject) -> None:
    """The limit is inclusive; what is not read still shows its head and size."""
    ref = subject.put("a.jpg", b"x" * 100_000)
    assert isinstance(subject.store.get(ref, etag=None, max_bytes=100_000), Fetched)
    answer = subject.store.get(ref, etag=None, max_bytes=99_999)
    assert isinstance(answer, NotRead)
    assert (answer.why, answer.info.size, answer.head) == ("too-large", 100_000, b"x" * HEAD_BYTES)


def test_an_object_is_judged_by_its_info_and_head(subject: Subject) -> None:
    """The caller sees what the store says and the first bytes, once, and decides."""
    ref = subject.put("a.mp4", b"ftyp" * 50_000, "video/mp4")
    seen: list[tuple[str | None, int, bytes]] = []

    def refuse(info: ObjectInfo, head: bytes) -> bool:
        seen.append((info.content_type, info.size, head))
        return False

    answer = subject.store.get(ref, etag=None, max_bytes=LIMIT, worth_reading=refuse)
    assert isinstance(answer, NotRead)
    assert (answer.why, answer.head) == ("refused", b"ftyp" * 1024)
    assert seen == [("video/mp4", 200_000, b"ftyp" * 1024)]


def test_a_refusal_wins_over_the_size(subject: Subject) -> None:
    """A large file that is no image is not an image that is too large."""
    ref = subject.put("a.bin", b"x" * 100_000)
    answer = subject.store.get(ref, etag=None, max_bytes=10, worth_reading=lambda *_: False)
    assert isinstance(answer, NotRead)
    assert "refused" == answer.why


def test_an_object_worth_reading_is_read(subject: Subject) -> None:
    """The head that was judged is part of the data."""
    ref = subject.put("a.jpg", b"y" * 10_000)
    answer = subject.store.get(ref, etag=None, max_bytes=LIMIT, worth_reading=lambda *_: True)
    assert isinstance(answer, Fetched)
    assert answer.data == b"y" * 10_000


def test_head_says_what_get_says(subject: Subject) -> None:
    """Without the bytes."""
    ref = subject.put("a.jpg", b"z" * 5000)
    assert subject.store.head(ref) == fetched(subject, ref).info


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_arrive_intact(subject: Subject, key: str) -> None:
    """What was put under a key is read, shown and listed under exactly that key."""
    ref = subject.put(key, key.encode())
    assert fetched(subject, ref).data == key.encode()
    info = subject.store.head(ref)
    assert info is not None
    assert (info.ref.key, info.size) == (key, len(key.encode()))
    assert listed(subject) == [key]


def test_a_listing_shows_size_etag_and_time(subject: Subject) -> None:
    """Enough to tell a change without reading."""
    ref = subject.put("a.jpg", b"12345")
    (found,) = subject.store.list(subject.bucket)
    assert (found.key, found.size, found.etag) == ("a.jpg", 5, fetched(subject, ref).info.etag)
    assert abs(datetime.now(UTC) - found.last_modified) < timedelta(minutes=5)


def test_a_listing_of_more_than_a_page_has_every_key_once(subject: Subject) -> None:
    """1,050 keys in folders: pages end inside and between them; it can be resumed behind any key."""
    keys = [f"{number % 3}/{number:04}+ é.jpg" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: subject.put(key, b"1"), keys))
    everything = listed(subject)
    assert sorted(everything) == sorted(keys)
    assert listed(subject, prefix="1/") == [key for key in everything if key.startswith("1/")]
    assert listed(subject, start_after=everything[700]) == everything[701:]


@pytest.mark.parametrize("prefix", ["", "a/", "a"])
def test_a_listing_is_resumed_behind_a_key_that_is_no_longer_there(subject: Subject, prefix: str) -> None:
    """Its place in the store's own order is kept: nothing behind it is skipped, nothing before it comes again."""
    for key in ("a!b.jpg", "a.jpg", "a/b.jpg", "a/b/c.jpg", "a/d!.jpg", "a/d/e.jpg", "ab.jpg", "b.jpg"):
        subject.put(key, b"1")
    everything = listed(subject, prefix=prefix)
    for place, key in enumerate(everything):
        subject.store.delete(subject.ref(key))
        assert listed(subject, prefix=prefix, start_after=key) == everything[place + 1 :]


def test_a_listing_is_in_an_order_that_ranges_of_keys_are_known_for(subject: Subject) -> None:
    """By bytes or by folder; reconciliation concludes from what lies between two keys that nothing else does."""
    for key in ("a!b.jpg", "a.jpg", "a/b.jpg", "a/b/c.jpg", "a/d!.jpg", "a/d/e.jpg", "a0.jpg", "b/ä.jpg", "b/😀.jpg"):
        subject.put(key, b"1")
    steps = list(pairwise(listed(subject)))
    assert any(all(ascends(one, other, order) for one, other in steps) for order in ("bytes", "folders"))


def test_an_empty_bucket_has_an_empty_listing(subject: Subject) -> None:
    """No keys is no error."""
    assert [] == listed(subject)
    assert [] == listed(subject, prefix="nothing/")


def test_creating_a_bucket_again_is_no_error(subject: Subject) -> None:
    """And keeps what is in it."""
    subject.put("a.jpg", b"1")
    subject.store.create_bucket(subject.bucket)
    assert ["a.jpg"] == listed(subject)
    assert subject.bucket in subject.store.buckets()


def test_a_versioned_bucket_answers_with_its_current_version(subject: Subject) -> None:
    """Each write has a version id of its own, and the last one is read."""
    subject.enable_versioning(subject.bucket)
    first = fetched(subject, subject.put("v.jpg", b"1")).info
    second = fetched(subject, subject.put("v.jpg", b"22"))
    assert b"22" == second.data
    assert first.version_id
    assert second.info.version_id
    assert first.version_id != second.info.version_id


def test_a_delete_marker_is_gone(subject: Subject) -> None:
    """In a versioned bucket, too, a deleted object is neither read nor listed; a new version brings it back."""
    subject.enable_versioning(subject.bucket)
    ref = subject.put("v.jpg", b"1")
    subject.store.delete(ref)
    assert subject.store.get(ref, etag=None, max_bytes=LIMIT) == Gone()
    assert subject.store.head(ref) is None
    assert [] == listed(subject)
    subject.put("v.jpg", b"again")
    assert b"again" == fetched(subject, ref).data


def test_objects_are_read_by_many_threads_at_once(subject: Subject) -> None:
    """Each gets its own bytes."""
    refs = [subject.put(f"{number}.jpg", f"body {number}".encode() * 5000) for number in range(32)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda ref: fetched(subject, ref).data, refs * 4))
    assert answers == [f"body {number}".encode() * 5000 for number in range(32)] * 4
