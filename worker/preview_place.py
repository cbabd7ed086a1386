"""What ``ENRICH_PREVIEWS`` names: a prefix of a bucket that is not watched, or a folder of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker import watched_buckets
from worker.suggestions import shown
from worker.watched_buckets import Watched

LOCAL: Final = "local"
_SCHEME: Final = "s3://"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewBucket:
    """A bucket, and the prefix of keys below which previews are kept."""

    bucket: str
    prefix: str  # ends with a slash, or is empty


def parse(value: str, watched: Watched) -> PreviewBucket | None:
    """The place; None: the folder of this machine.

    A preview below a watched prefix would be enriched, and get a preview, without end.

    Raises:
        ValueError: it is not a place for previews; says what to write.
    """
    if value == LOCAL:
        return None
    if not value.startswith(_SCHEME):
        raise ValueError(f"{shown(value)} is not a place for previews: write s3://BUCKET/PREFIX, or {LOCAL}")
    bucket, _, prefix = value.removeprefix(_SCHEME).partition("/")
    watched_buckets.require_bucket_name(bucket)
    place = PreviewBucket(bucket=bucket, prefix=prefix.rstrip("/") + "/" if prefix.strip("/") else "")
    if watched.overlaps(place.bucket, place.prefix):
        raise ValueError(
            f"{value} is watched by ENRICH_BUCKETS={','.join(watched.names)}: each preview would be enriched like an "
            "upload, and get a preview itself. Name a bucket or prefix that is not watched, such as s3://previews"
            + ("; with ENRICH_BUCKETS=* every bucket is, so list the buckets instead" if watched.everything else "")
        )
    return place
