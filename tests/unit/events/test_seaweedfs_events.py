"""SeaweedFS's filer events, recorded and made up."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.events.event_fixtures import filer_event, load
from worker.errors import MalformedEventError
from worker.events import Envelope, IgnoredReason, parse_seaweedfs
from worker.types import Hint, ObjectRef

VERSION = "v_0123456789abcdef0123456789abcdef"


def keys(events: list[Any], bucket: str | None = None) -> set[str]:
    return {
        hint.ref.key
        for event in events
        for hint in parse_seaweedfs(event).hints
        if bucket is None or hint.ref.bucket == bucket
    }


def hinted(event: Any) -> list[str]:
    return [hint.ref.key for hint in parse_seaweedfs(event).hints]


def reasons(event: Any) -> list[IgnoredReason]:
    return [ignored.reason for ignored in parse_seaweedfs(event).ignored]


def test_a_recorded_session_hints_exactly_the_objects_that_were_uploaded() -> None:
    """300 uploads, one overwrite and one deletion come to their keys; folders and book-keeping to nothing."""
    expected = {f"n/{number}.jpg" for number in range(300)} | {"a b/ü photo.jpg"}
    assert expected == keys(load("seaweedfs/recorded-session.json"))


def test_a_recorded_session_accounts_for_every_event() -> None:
    """Each of the 314 notifications is a hint or ignored with a reason."""
    envelopes = [parse_seaweedfs(event) for event in load("seaweedfs/recorded-session.json")]
    counted = Counter(ignored.reason for envelope in envelopes for ignored in envelope.ignored)
    assert counted == {IgnoredReason.SYSTEM_PATH: 7, IgnoredReason.DIRECTORY: 4}
    assert [len(envelope.hints) + len(envelope.ignored) for envelope in envelopes] == [1] * 314


def test_a_recorded_multipart_upload_hints_the_object_and_no_part() -> None:
    """Parts, their folder and their removal are ignored; the completed object, its copy and its deletion are not."""
    events = load("seaweedfs/multipart-copy-versioning.json")
    assert {"multi/big.jpg", "copy/of big.jpg"} == keys(events, "pics")
    parts = sum(IgnoredReason.MULTIPART_PART in reasons(event) for event in events)
    assert 9 == parts


def test_recorded_versions_hint_the_key_they_are_versions_of() -> None:
    """Two versions and a delete marker of one key hint that key and nothing in its folder."""
    assert {"v.jpg"} == keys(load("seaweedfs/multipart-copy-versioning.json"), "ver")


def test_a_recorded_versioned_bucket_hints_its_keys_through_suspension_and_removal_of_versions() -> None:
    """Versions put, marked, removed one by one, and null versions all come to the three keys of the bucket."""
    expected = {"p/null.jpg", "p/v.jpg", "p/s.jpg"}
    assert expected == keys(load("seaweedfs/versioning-session.json"))


def test_the_change_of_the_current_version_is_a_hint() -> None:
    """The folder's attributes switch after the version is written: a GET before that still finds the former version."""
    switches = [
        event
        for event in load("seaweedfs/versioning-session.json")
        if event["key"] == "/buckets/ver/p/v.jpg.versions" and event["event_type"] == "update"
    ]
    assert [hinted(event) for event in switches] == [["p/v.jpg"]] * 6


def test_recorded_renames_hint_the_old_and_the_new_key() -> None:
    """A renamed file, also one in a renamed folder, is gone here and new there; the folder itself is no object."""
    renames = [e for e in load("seaweedfs/rename-tag-folder-session.json") if e["event_type"] == "rename"]
    assert [["d/a.jpg", "e/b c.jpg"], ["e/b c.jpg", "f/b c.jpg"], []] == [hinted(event) for event in renames]
    assert reasons(renames[2]) == [IgnoredReason.DIRECTORY, IgnoredReason.DIRECTORY]


def test_a_recorded_tag_and_a_recorded_permission_are_metadata_only() -> None:
    """Updates that leave the bytes alone are ignored; the overwrites around them are not."""
    updates = [e for e in load("seaweedfs/rename-tag-folder-session.json") if e["event_type"] == "update"]
    expected: list[list[IgnoredReason]] = [[], [IgnoredReason.METADATA_ONLY], [IgnoredReason.METADATA_ONLY], []]
    assert expected == [reasons(event) for event in updates]


def test_recorded_folder_objects_are_objects() -> None:
    """`PUT folder/` makes something that LIST shows, so it is hinted, and so is its deletion."""
    events = [e for e in load("seaweedfs/rename-tag-folder-session.json") if "/fold" in e["key"]]
    assert [["fold/"], ["foldb/"], ["fold/"]] == [hinted(event) for event in events]


def test_a_recorded_upload_gives_the_whole_hint() -> None:
    """Bucket, decoded key, source, the store's event name and an aware time."""
    hint = Hint(
        ref=ObjectRef(bucket="pics", key="a b/ü photo.jpg"),
        source="seaweedfs",
        event="create",
        event_time=datetime(2026, 11, 21, 7, 37, 39, tzinfo=UTC),
    )
    assert parse_seaweedfs(load("seaweedfs/object-created.json")) == Envelope(hints=(hint,))


def test_a_deletion_has_no_time() -> None:
    """The old entry's time says when the object was written, not when it was deleted."""
    (hint,) = parse_seaweedfs(load("seaweedfs/object-deleted.json")).hints
    assert hint.event_time is None


def test_a_rename_has_no_time() -> None:
    """A renamed file keeps the time it was written at."""
    renamed = [e for e in load("seaweedfs/rename-tag-folder-session.json") if e["event_type"] == "rename"]
    assert [None, None] == [hint.event_time for hint in parse_seaweedfs(renamed[0]).hints]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"mtime": 1, "mtime_ns": 854858296}, datetime(1970, 1, 1, 0, 0, 1, 854858, tzinfo=UTC)),
        ({"mtime": -62135596800}, None),
        ({"mtime": 10**30}, None),
        ({"mtime": 1, "mtime_ns": 10**30}, None),
        ({"mtime": 1.5}, None),
        ({"mtime": True}, None),
        ({"mtime": "1"}, None),
        ({}, None),
    ],
)
def test_times_are_read_where_they_are_times(attributes: dict[str, Any], expected: datetime | None) -> None:
    """An odd time is no reason to refuse a notification."""
    event = filer_event("/buckets/pics/a.jpg", entry={"name": "a.jpg", "attributes": attributes})
    assert [expected] == [hint.event_time for hint in parse_seaweedfs(event).hints]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/buckets", IgnoredReason.DIRECTORY),
        ("/buckets/", IgnoredReason.NOT_A_BUCKET),
        ("/topics/.system/log", IgnoredReason.OUTSIDE_BUCKETS),
        ("/buckets2/pics/a.jpg", IgnoredReason.OUTSIDE_BUCKETS),
        ("/buckets/.system/owners/a/pics", IgnoredReason.SYSTEM_PATH),
        ("/buckets/stray.jpg", IgnoredReason.NOT_A_BUCKET),
        ("/buckets/not a bucket/a.jpg", IgnoredReason.NOT_A_BUCKET),
        ("/buckets/pics/.uploads", IgnoredReason.MULTIPART_PART),
        ("/buckets/pics/.uploads/x/0001.part", IgnoredReason.MULTIPART_PART),
    ],
)
def test_paths_that_are_no_objects_are_ignored_with_a_reason(path: str, reason: IgnoredReason) -> None:
    """What S3 cannot see is not hinted."""
    assert (hinted(filer_event(path)), reasons(filer_event(path))) == ([], [reason])


@pytest.mark.parametrize(
    "key",
    [
        "deep/.uploads/a.jpg",
        ".uploads2/a.jpg",
        "a.versions",
        "a.versions/cat.jpg",
        ".versions/" + VERSION,
        "deep/.versions/" + VERSION,
        VERSION,
        "sp ace+plus%25 é😀.jpg",
        "new\nline.jpg",
        "a/../b.jpg",
    ],
)
def test_files_that_only_look_like_book_keeping_are_objects(key: str) -> None:
    """Users may call their files anything."""
    assert hinted(filer_event(f"/buckets/pics/{key}")) == [key]


def test_a_file_named_like_a_version_is_hinted_both_ways() -> None:
    """Without a version id nobody can tell a user's file from a version, and a hint too many costs one GET."""
    assert ["q", f"q.versions/{VERSION}"] == hinted(filer_event(f"/buckets/pics/q.versions/{VERSION}"))


def test_the_root_of_buckets_can_be_moved() -> None:
    """Filers may keep their buckets elsewhere."""
    event = filer_event("/data/s3/pics/a.jpg")
    envelope = parse_seaweedfs(event, buckets_root="/data/s3/")
    assert [hint.ref for hint in envelope.hints] == [ObjectRef(bucket="pics", key="a.jpg")]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], r"^\$: expected an object, not an array$"),
        ({}, r"^\$: expected a member 'event_type', which is missing$"),
        ({"event_type": 1}, r"^\$\.event_type: expected a string, not a number$"),
        ({"event_type": "create", "key": "x", "message": {}}, r"^\$\.key: expected an absolute path, not 'x'$"),
        ({"event_type": "create", "key": "/x", "message": {}}, r"^\$\.message: expected old_entry or new_entry"),
        (
            {"event_type": "create", "key": "/x", "message": {"new_entry": "x"}},
            r"^\$\.message\.new_entry: expected an object, not a string$",
        ),
        (
            {
                "event_type": "rename",
                "key": "/x",
                "message": {"old_entry": {}, "new_entry": {}, "new_parent_path": "/"},
            },
            r"^\$\.message\.new_entry: expected a member 'name'",
        ),
        (
            filer_event("/buckets/pics/" + "k" * 1025),
            r"^\$\.key: expected an object key of at most 1024 bytes, not 1025$",
        ),
        (filer_event("/buckets/pics/a\x00b"), r"^\$\.key: expected an object key without NUL$"),
        (filer_event("/buckets/pics/\ud800"), r"^\$\.key: expected Unicode text, not a lone surrogate$"),
        (
            filer_event("/buckets/pics/a", entry={"attributes": []}),
            r"^\$\.message\.new_entry\.attributes: expected an object, not an array$",
        ),
    ],
)
def test_a_malformed_event_is_refused_by_the_name_of_the_field(event: Any, message: str) -> None:
    """The error says where and what was expected."""
    with pytest.raises(MalformedEventError, match=message):
        parse_seaweedfs(event)
