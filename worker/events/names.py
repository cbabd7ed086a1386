"""Bucket and object names in notifications: validated loosely, and decoded if the store escaped them."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

from worker.errors import MalformedEventError
from worker.types import ObjectRef

#: Bytes of UTF-8; every S3 store has this limit (docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
MAX_KEY_BYTES = 1024

# Looser than AWS: Ceph with rgw_relaxed_s3_bucket_names has capitals, underscores and up to 255 characters.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")

# What form encoding can come to: printable ASCII without space, and every % begins an escape.
_ESCAPED = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")

# Producers whose code or documentation says that they escape; `possible_keys` has the sources.
_ESCAPING_SOURCES = frozenset({"aws:s3", "minio:s3", "rustfs:s3"})


def is_bucket(name: str) -> bool:
    """Whether the most permissive store allows this bucket name."""
    return _BUCKET.fullmatch(name) is not None


def object_ref(bucket: str, key: str, *, bucket_path: str, key_path: str) -> ObjectRef:
    """The object with these names.

    Args:
        bucket: as the envelope has it.
        key: decoded.
        bucket_path: where the envelope has the bucket, for the error.
        key_path: where the envelope has the key.

    Raises:
        MalformedEventError: no store can have such a bucket or key.
    """
    if not is_bucket(bucket):
        raise MalformedEventError(f"{bucket_path}: expected a bucket name, not {bucket[:80]!r}")
    if (wrong := _wrong_with(key)) is not None:
        raise MalformedEventError(f"{key_path}: expected an object key{wrong}")
    return ObjectRef(bucket=bucket, key=key)


def _wrong_with(key: str) -> str | None:
    """Why no store can have such a key; completes "expected an object key"."""
    if not key:
        return ", which is empty; see docs/reference/notifications.md"
    if "\x00" in key:
        return " without NUL"
    size = len(key.encode())
    return f" of at most {MAX_KEY_BYTES} bytes, not {size}" if size > MAX_KEY_BYTES else None


def possible_keys(raw: str, *, source: str) -> tuple[str, ...]:
    """The keys that an S3 record may mean: first by its producer's documentation, then the other readings.

    A wrong reading costs one GET that answers 404; a missing one costs an image. Who escapes:

    - AWS: "The object key name value is URL encoded", a space becomes ``+``
      (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
    - MinIO: escapes slashes too, on purpose (github.com/minio/minio issues 7665, 11665, 15200).
    - RustFS: ``form_urlencoded::byte_serialize`` (github.com/rustfs/rustfs crates/notify/src/event.rs, issue 2647).
    - Ceph RGW: the key as it is: ``event.object_key = obj->get_name()`` (github.com/ceph/ceph src/rgw, rgw_notify.cc;
      observed in github.com/suitenumerique/meet pull 1455).

    Others call themselves ``aws:s3`` and leave a plus as it is. So a plus is read as a space and as a plus, whoever
    sent it, unless the same key has an escaped plus (``%2B``) as well; where it has an escaped space (``%20``), a plus
    is more likely to be one. Where nobody is known to escape, the key is read as it is, too.

    Args:
        raw: the key as the record has it.
        source: the record's ``eventSource``.
    """
    decoded = _decoded(raw)
    if decoded is None or decoded == raw:
        return (raw,)
    readings = _unescaped(raw, decoded)
    if source not in _ESCAPING_SOURCES:
        readings = (raw, *readings)
    possible = [each for each in dict.fromkeys(readings) if _wrong_with(each) is None]
    return tuple(possible) or readings[:1]


def _unescaped(raw: str, decoded: str) -> tuple[str, ...]:
    """The readings of an escaped key, with pluses as spaces and as pluses; the likelier one first."""
    with_plus = unquote(raw, errors="strict")
    if "%20" in raw:  # form encoding has a plus for it
        return (with_plus, decoded)
    return (decoded,) if "%2B" in raw.upper() else (decoded, with_plus)


def _decoded(raw: str) -> str | None:
    """The key whose form encoding is ``raw``; None if there is none."""
    if _ESCAPED.fullmatch(raw) is None:
        return None
    try:
        return unquote_plus(raw, errors="strict")
    except UnicodeDecodeError:
        return None
