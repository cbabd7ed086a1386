"""What an envelope comes to: hints to follow up, and what was left out with the reason."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from worker.types import Hint


class IgnoredReason(enum.StrEnum):
    """Why a notification, or a part of one, is no hint. The codes are an interface: logs and metrics count by them."""

    DIRECTORY = "directory"  # a folder that is no object: filers have them, S3 does not list them
    MULTIPART_PART = "multipart-part"  # a part of an upload; the completed object has an event of its own
    SYSTEM_PATH = "system-path"  # the store's own book-keeping
    VERSION_FOLDER = "version-folder"  # where versions are kept; which version is current did not change
    OUTSIDE_BUCKETS = "outside-buckets"  # a file that S3 cannot see
    NOT_A_BUCKET = "not-a-bucket"  # beside the buckets, with a name that no bucket can have
    METADATA_ONLY = "metadata-only"  # tags, permissions or a lifecycle mark: the bytes are the same
    READ = "read"  # somebody read the object; following it up would be a read again, for ever
    TEST_EVENT = "test-event"  # the store checks that somebody listens


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """Something an envelope said that nobody has to follow up."""

    what: str  # a path, key or bucket, as the envelope has it
    reason: IgnoredReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """One notification, understood. Every event in it is a hint or ignored; nothing is dropped without a word."""

    hints: tuple[Hint, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    test: bool = False  # the store's "is anybody there?"
