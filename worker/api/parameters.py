"""Parameters shared by several routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from worker.api.models import Text

#: Query parameters that may be repeated.
REPEATABLE = frozenset({"tag", "suggested", "taxonomy", "id"})

BucketInPath = Annotated[Text, Path(description="Name of the bucket.", examples=["photos"])]
KeyInPath = Annotated[
    Text,
    Path(
        description="Key of the object, as in the bucket. A client encodes it once, like any part of a path; encoding "
        "its slashes is optional.",
        examples=["2026/red flower.jpg"],
    ),
]
OnlyBucket = Annotated[Text | None, Query(min_length=1, max_length=200, description="Only this bucket.")]
OnlyPrefix = Annotated[
    Text | None, Query(max_length=1_024, description="Only keys with this prefix; requires `bucket`.")
]
