"""SeaweedFS: a webhook of filer events, which describe files and folders rather than S3 objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker.errors import MalformedEventError
from worker.events.fields import Field
from worker.events.names import is_bucket, object_ref
from worker.events.values import Envelope, Ignored, IgnoredReason, Source
from worker.types import Hint

_ETAG = "Seaweed-X-Amz-ETag"
_VERSION_ID = "Seaweed-X-Amz-Version-Id"
_VERSIONS = ".versions"
_VERSION_FILE = re.compile(r"v_(?:[0-9a-f]{32}|null)")
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _Change:
    """What happened at one path: no old entry on creation, no new one on deletion, both on update."""

    path: str
    old: Field | None
    new: Field | None

    @property
    def entry(self) -> Field:
        """The newest known state of the path."""
        entry = self.new or self.old
        if entry is None:
            raise MalformedEventError("$.message: expected old_entry or new_entry, and both are missing")
        return entry


def parse_seaweedfs(payload: object, *, buckets_root: str = "/buckets") -> Envelope:
    """Parse one webhook call of a SeaweedFS filer (4.x, ``notification.webhook``).

    A rename is a deletion here and a creation there. In versioned buckets the versions of ``K`` are files in the
    folder ``K.versions``, and the folder's attributes say which one is current: a version and a change of those
    attributes both hint ``K``, because the webhook delivers them in any order and a GET between the two still finds
    the former version. A folder made through S3 (``PUT folder/``) is an object, other folders are not.

    Args:
        payload: parsed JSON, ``{"event_type", "key", "message": {"old_entry", "new_entry", "new_parent_path"}}``.
        buckets_root: the filer's folder of buckets (its ``-filer.dirBuckets``).

    Raises:
        MalformedEventError: names the field and what was expected.
    """
    root = Field(payload)
    event, time = root.member("event_type").text(), None
    changes = _changes(root)
    if len(changes) == 1:  # a renamed file keeps its time, which is not when it was renamed
        time = _time(changes[0].new)

    def understand(change: _Change) -> Envelope:
        found = _follow(change, buckets_root.rstrip("/") + "/")
        if isinstance(found, IgnoredReason):
            return Envelope.of([Ignored(what=change.path, reason=found)])
        bucket, keys = found
        refs = (object_ref(bucket, key, bucket_path="$.key", key_path="$.key") for key in keys)
        return Envelope.of(Hint(ref=ref, source="seaweedfs", event=event, event_time=time) for ref in refs)

    return Envelope.each(changes, understand, shown=lambda _: payload)


def _changes(root: Field) -> tuple[_Change, ...]:
    path, message = _absolute(root.member("key")), root.member("message")
    old, new = message.optional("old_entry"), message.optional("new_entry")
    for entry in filter(None, (old, new)):
        entry.members()
    target = _target(message, new) if old and new else None
    if target is None or target == path:
        change = _Change(path, old, new)
        return (change,) if change.entry else ()
    return (_Change(path, old, None), _Change(target, None, new))


def _target(message: Field, new: Field) -> str | None:
    """Where the entry is now. Updates say so, too: SeaweedFS before 4 even calls every update a rename."""
    parent = message.optional("new_parent_path")
    if parent is None:
        return None
    return f"{_absolute(parent).rstrip('/')}/{new.member('name').text()}"


def _absolute(field: Field) -> str:
    path = field.text()
    if not path.startswith("/"):
        raise MalformedEventError(f"{field.path}: expected an absolute path, not {path[:80]!r}")
    return path


def _follow(change: _Change, root: str) -> tuple[str, tuple[str, ...]] | IgnoredReason:
    """The keys that a change affects and their bucket, or why it affects none."""
    place = _locate(change.path, root)
    if isinstance(place, IgnoredReason):
        return place
    bucket, key = place
    if not key:
        return IgnoredReason.DIRECTORY if _is_directory(change.entry) else IgnoredReason.NOT_A_BUCKET
    keys = _folder_keys(change, key) if _is_directory(change.entry) else _file_keys(change, key)
    return keys if isinstance(keys, IgnoredReason) else (bucket, keys)


def _locate(path: str, root: str) -> tuple[str, str] | IgnoredReason:
    """Bucket and key of a path; the key is empty if the path is the bucket's."""
    if path + "/" == root:
        return IgnoredReason.DIRECTORY
    if not path.startswith(root):
        return IgnoredReason.OUTSIDE_BUCKETS
    bucket, _, key = path.removeprefix(root).partition("/")
    if bucket.startswith("."):
        return IgnoredReason.SYSTEM_PATH
    if not is_bucket(bucket):
        return IgnoredReason.NOT_A_BUCKET
    return IgnoredReason.MULTIPART_PART if key.partition("/")[0] == ".uploads" else (bucket, key)


def _folder_keys(change: _Change, key: str) -> tuple[str, ...] | IgnoredReason:
    name = key.removesuffix(_VERSIONS)
    if name != key and name and not name.endswith("/"):
        moved = _extended(change.old) != _extended(change.new)
        return (name,) if moved else IgnoredReason.VERSION_FOLDER
    if _ETAG not in _extended(change.entry):
        return IgnoredReason.DIRECTORY
    return IgnoredReason.METADATA_ONLY if _same_content(change) else (f"{key}/",)


def _file_keys(change: _Change, key: str) -> tuple[str, ...] | IgnoredReason:
    if _same_content(change):
        return IgnoredReason.METADATA_ONLY
    folder, _, name = key.rpartition("/")
    current = folder.removesuffix(_VERSIONS)
    if current == folder or not current or current.endswith("/") or _VERSION_FILE.fullmatch(name) is None:
        return (key,)
    # Anybody may call a file that; only the store gives it a version id.
    return (current,) if _VERSION_ID in _extended(change.entry) else (current, key)


def _same_content(change: _Change) -> bool:
    """Whether an update left the bytes alone: a tag, a permission, a version marked as superseded."""
    if change.old is None or change.new is None:
        return False
    return list(_content(change.old)) == list(_content(change.new))


def _content(entry: Field) -> Iterator[object]:
    """Everything that differs after bytes were written."""
    attributes = _members(entry, "attributes")
    yield from (attributes.get(name) for name in ("mtime", "mtime_ns", "file_size", "md5"))
    yield from (_members(entry, "extended").get(_ETAG), entry.members().get("content"))
    chunks = entry.members().get("chunks")
    for chunk in chunks if isinstance(chunks, list) else ():
        parts = chunk if isinstance(chunk, dict) else {"": chunk}
        yield {name: value for name, value in parts.items() if name != "file_id"}  # only in the old entry: fid as text


def _is_directory(entry: Field) -> bool:
    return entry.members().get("is_directory") is True


def _extended(entry: Field | None) -> dict[str, object]:
    return {} if entry is None else _members(entry, "extended")


def _members(entry: Field, name: str) -> dict[str, object]:
    found = entry.optional(name)
    return {} if found is None else found.members()


def _time(entry: Field | None) -> datetime | None:
    """When the file was written; None on deletion, which the filer does not date, and for times out of range."""
    attributes = {} if entry is None else _members(entry, "attributes")
    seconds, nanoseconds = attributes.get("mtime"), attributes.get("mtime_ns", 0)
    if type(seconds) is not int or type(nanoseconds) is not int or seconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


SEAWEEDFS = Source(
    name="seaweedfs",
    sender="SeaweedFS's filer",
    parse=parse_seaweedfs,
    schemas=("seaweedfs",),
    example={
        "event_type": "create",
        "key": "/buckets/photos/2026/red flower.jpg",
        "message": {"new_entry": {"name": "red flower.jpg"}, "new_parent_path": "/buckets/photos/2026"},
    },
)
