"""Parameters that several routes have, each with its one description."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from worker.api.models import Text

#: Query parameters of which there may be several; of all others, one.
REPEATABLE = frozenset({"tag", "taxonomy"})

BucketInPath = Annotated[Text, Path(description="Name of the bucket.", examples=["photos"])]
KeyInPath = Annotated[
    Text,
    Path(
        description="Key of the object, as the bucket has it. A client encodes it once, as any part of a path; slashes "
        "in it may be encoded as well, or stay.",
        examples=["2026/red flower.jpg"],
    ),
]
OnlyBucket = Annotated[Text | None, Query(min_length=1, max_length=200, description="Only this bucket.")]
OnlyPrefix = Annotated[Text | None, Query(max_length=1_024, description="Only keys that begin so; with `bucket`.")]
