"""The buckets, and prefixes of buckets, that ``ENRICH_BUCKETS`` allows to list and read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import NotWatchedError

#: Means every bucket that the credentials can read. It has to stand alone.
EVERY_BUCKET = "*"

# Looser than AWS: Ceph with rgw_relaxed_s3_bucket_names has capitals, underscores and up to 255 characters.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class Watched:
    """The only objects that are read. Anything else that an event, a row or a command names is refused."""

    names: tuple[str, ...]  # each `bucket` or `bucket/prefix`; or `*` alone

    @property
    def everything(self) -> bool:
        """Whether every bucket is watched."""
        return EVERY_BUCKET in self.names

    def covers(self, bucket: str, key: str) -> bool:
        """Whether an object may be read; given a prefix as the key, whether everything below it may."""
        return self.everything or any(name == bucket and key.startswith(prefix) for name, prefix in self._parts())

    def touches(self, bucket: str) -> bool:
        """Whether any part of a bucket is watched."""
        return self.everything or any(name == bucket for name, _ in self._parts())

    def overlaps(self, bucket: str, prefix: str) -> bool:
        """Whether any key below a prefix is watched, or might be."""
        mine = [watched for name, watched in self._parts() if name == bucket]
        return self.everything or any(each.startswith(prefix) or prefix.startswith(each) for each in mine)

    def prefix_in(self, bucket: str) -> str:
        """The first watched prefix of a bucket, for requests where any watched prefix will do."""
        return next((prefix for name, prefix in self._parts() if name == bucket), "")

    def require(self, bucket: str, key: str = "") -> None:
        """Refuse what is not watched; given a prefix as the key, unless everything below it is watched.

        Raises:
            NotWatchedError: says what is watched and what to set.
        """
        refusal = self.refusal(bucket, key)
        if refusal is not None:
            raise NotWatchedError(refusal)

    def refusal(self, bucket: str, key: str = "") -> str | None:
        """Why an object may not be read, and what to set to have it read; None if it may."""
        if self.covers(bucket, key):
            return None
        what = f"{bucket}/{key}" if key else bucket
        if not self.names:
            return (
                f"{what} is not watched, because ENRICH_BUCKETS is empty: set ENRICH_BUCKETS={bucket} to have it read"
            )
        listed = ", ".join(self.names)
        if self.touches(bucket):
            return f"{what} is only partly watched: ENRICH_BUCKETS names {listed}; name one of these, or add {bucket}"
        near = difflib.get_close_matches(bucket, {name for name, _ in self._parts()}, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? If not, add {bucket}" if near else f"add {bucket}"
        return f"{what} is not watched: ENRICH_BUCKETS names {listed}; {hint} to have it read"

    def described(self) -> str:
        """What a process logs about it at start-up."""
        if self.everything:
            return "watching every bucket that the credentials can read (ENRICH_BUCKETS=*)"
        if self.names:
            return f"watching only {', '.join(self.names)}"
        return (
            "ENRICH_BUCKETS is empty, so nothing is watched: events are ignored and nothing is read. Set it to the "
            "buckets to enrich, such as ENRICH_BUCKETS=photos,scans/incoming, or to * for every bucket that the "
            "credentials can read"
        )

    def _parts(self) -> list[tuple[str, str]]:
        return [(name, prefix) for name, _, prefix in (each.partition("/") for each in self.names)]


def parse(names: Sequence[str]) -> tuple[str, ...]:
    """Check names and drop duplicates.

    Raises:
        ValueError: one of them does not name a bucket; says how to write it.
    """
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        _check(name, alone=len(unique) == 1)
    return unique


def parse_whole(names: Sequence[str], among: Watched) -> tuple[str, ...]:
    """Check names of whole buckets and drop duplicates. They must be watched, unless nothing or everything is.

    Raises:
        ValueError: one of them does not name a bucket; says how to write it.
    """
    unique = parse(names)
    for name in unique:
        bucket, slash, _ = name.partition("/")
        if slash:
            raise ValueError(f"{name!r} is part of a bucket: write {bucket}, because only whole buckets are paid for")
        if among.names and name != EVERY_BUCKET and not among.touches(name):
            raise ValueError(among.refusal(name))
    return unique


def require_bucket_name(name: str) -> None:
    """Refuse what cannot be the name of a bucket.

    Raises:
        ValueError: says how to write it.
    """
    if _BUCKET.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a bucket name")


def _check(name: str, *, alone: bool) -> None:
    if name == EVERY_BUCKET:
        if not alone:
            raise ValueError("* means every bucket, so it must stand alone: write only *, or only the names")
        return
    if "://" in name:
        raise ValueError(f"{name!r} is a URL: write {name.partition('://')[2]}")
    bucket = name.partition("/")[0]
    if "*" in name or "?" in name:
        prefix = name.partition("*")[0].partition("?")[0]
        raise ValueError(
            f"{name!r} has a wildcard: write {prefix}, for all keys with that prefix"
            if "/" in prefix
            else f"{name!r} has a wildcard: name each bucket, or write * alone for every bucket"
        )
    if _BUCKET.fullmatch(bucket) is None:
        raise ValueError(
            f"{name!r} is not a bucket name: write bucket or bucket/prefix, such as photos or scans/incoming"
        )
