"""What ENRICH_BUCKETS names, and what is said of the rest."""

from __future__ import annotations

import pytest

from tests.memory_store import MemoryStore
from worker import settings
from worker.errors import ConfigurationError, NotWatchedError
from worker.objects import WatchedStore
from worker.types import ObjectRef
from worker.watched_buckets import Watched

PHOTO = ObjectRef(bucket="photos", key="in/a.jpg")


@pytest.mark.parametrize(
    ("watched", "bucket", "key", "expected"),
    [
        ("", "any", "k", False),
        ("*", "any", "k", True),
        ("photos", "photos", "k", True),
        ("photos", "photos2", "k", False),
        ("photos/in/", "photos", "in/a.jpg", True),
        ("photos/in/", "photos", "out/a.jpg", False),
        (" photos , other/x ", "other", "xyz", True),
    ],
)
def test_watched_buckets_and_prefixes(watched, bucket, key, expected):
    """Watching by bucket or by prefix; nothing given watches nothing, and every bucket is a choice of its own."""
    assert expected is settings.load(buckets=watched).watched.covers(bucket, key)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("*,photos", "write only *"),
        ("photo*", "name each bucket, or write * alone"),
        ("photos/2026*", "write photos/2026, for all keys with that prefix"),
        ("s3://photos/in", "write photos/in"),
        ("/photos", "write bucket or bucket/prefix"),
        ("my photos", "write bucket or bucket/prefix"),
    ],
)
def test_what_names_no_bucket_is_refused_with_the_way_to_write_it(given, says):
    """A pattern that silently matches nothing would leave a bucket unread."""
    with pytest.raises(ConfigurationError, match="ENRICH_BUCKETS") as refused:
        settings.load(buckets=given)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("watched", "bucket", "says"),
    [
        ((), "photos", "set ENRICH_BUCKETS=photos"),
        (("photos", "scans"), "photo", "did you mean photos?"),
        (("photos", "scans"), "letters", "add letters to have it read"),
        (("photos/in/",), "photos", "is only partly watched"),
    ],
)
def test_a_refusal_says_what_to_set(watched, bucket, says):
    """With the nearest name that is watched."""
    with pytest.raises(NotWatchedError) as refused:
        Watched(watched).require(bucket)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get(PHOTO, etag=None, max_bytes=100),
        lambda store: store.head(PHOTO),
        lambda store: list(store.list("photos")),
        lambda store: list(store.list("photos", prefix="in/")),
        lambda store: store.put(PHOTO, b"x"),
        lambda store: store.delete(PHOTO),
        lambda store: store.create_bucket("new"),
    ],
)
def test_a_store_gives_nothing_that_is_not_watched(ask):
    """Whoever asks, and whatever for: the store itself is not asked."""
    inner = MemoryStore("photos", "scans")
    etag = inner.put(PHOTO, b"secret")
    with pytest.raises(NotWatchedError):
        ask(WatchedStore(inner, Watched(("scans", "photos/public/"))))
    found = inner.head(PHOTO)
    assert found is not None
    assert (etag, ("photos", "scans")) == (found.etag, inner.buckets())


def test_a_store_gives_what_is_watched():
    """A part of a bucket can be listed and read; of the buckets, those are named of which a part is watched."""
    inner = MemoryStore("photos", "scans")
    inner.put(PHOTO, b"x")
    store = WatchedStore(inner, Watched(("photos/in",)))
    assert ["in/a.jpg"] == [each.key for each in store.list("photos", prefix="in/")]
    assert store.head(PHOTO) is not None
    assert ("photos",) == store.buckets()


@pytest.mark.parametrize(
    ("buckets", "given", "expected"),
    [
        ("photos,scans/in", "photos, scans,photos", ("photos", "scans")),
        ("photos", "*", ("*",)),
        ("*", "theirs", ("theirs",)),
        ("", "theirs", ("theirs",)),
        ("photos", "", ()),
    ],
)
def test_buckets_are_paid_for_as_a_whole(buckets, given, expected):
    """Those that are watched, at least in part."""
    assert expected == settings.load(buckets=buckets, s3_requester_pays=given).s3_requester_pays


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("photo", "did you mean photos?"),
        ("photos/in", "write photos, because only whole buckets are paid for"),
        ("s3://photos", "is a URL"),
        ("photos,*", "write only *"),
        ("ph*", "wildcard"),
    ],
)
def test_what_cannot_be_paid_for_is_refused(given, says):
    """A misspelt name would look like missing rights."""
    with pytest.raises(ConfigurationError, match="ENRICH_S3_REQUESTER_PAYS") as refused:
        settings.load(buckets="photos,scans", s3_requester_pays=given)
    assert says in str(refused.value)
