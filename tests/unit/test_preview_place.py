"""Where previews may be kept: never where they would be enriched themselves."""

from __future__ import annotations

import pytest

from worker import settings
from worker.errors import ConfigurationError
from worker.preview_place import PreviewBucket, parse
from worker.watched_buckets import Watched


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("s3://small", PreviewBucket(bucket="small", prefix="")),
        ("s3://small/", PreviewBucket(bucket="small", prefix="")),
        ("s3://small/a/b", PreviewBucket(bucket="small", prefix="a/b/")),
        ("s3://photos/small//", PreviewBucket(bucket="photos", prefix="small/")),
        ("local", None),
    ],
)
def test_a_place_that_is_not_watched(value: str, place: PreviewBucket | None) -> None:
    """A bucket of its own, or a prefix beside the watched ones."""
    assert place == parse(value, Watched(("photos/2026", "scans")))


@pytest.mark.parametrize(
    ("value", "watched"),
    [
        ("s3://photos", ("photos",)),
        ("s3://photos/small", ("photos",)),
        ("s3://photos/2026/small", ("photos/2026/",)),
        ("s3://photos/2026", ("photos/2026/small",)),  # what is watched lies below it
        ("s3://photos/small", ("photos/small",)),
        ("s3://photos/small", ("photos/sm",)),  # watched prefixes need not end at a slash
        ("s3://photos", ("photos/2026",)),
        ("s3://small", ("*",)),
    ],
)
def test_a_watched_place_is_refused(value: str, watched: tuple[str, ...]) -> None:
    """Each preview would get a preview, without end."""
    with pytest.raises(ValueError, match="get a preview itself"):
        parse(value, Watched(watched))


@pytest.mark.parametrize(
    "value", ["small", "/var/previews", "https://small", "s3://", "s3:///a", "s3://a b/c", "Local"]
)
def test_what_is_not_a_place_is_refused(value: str) -> None:
    """With what to write instead."""
    with pytest.raises(ValueError, match=r"s3://BUCKET/PREFIX|not a bucket name"):
        parse(value, Watched(("photos",)))


def test_the_setting_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a process starts, not when the first preview is written."""
    monkeypatch.setenv("ENRICH_BUCKETS", "photos")
    monkeypatch.setenv("ENRICH_PREVIEWS", "s3://photos/small")
    with pytest.raises(ConfigurationError, match=r"ENRICH_PREVIEWS: .*is watched by ENRICH_BUCKETS=photos"):
        settings.load()
