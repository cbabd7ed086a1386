"""What is known about images: metadata, vectors, tags; written in one transaction, searched by others."""

from worker.catalog.read import ImageRecord, TagRecord, image, known_etags
from worker.catalog.schema import head, migrate, require_current, revision
from worker.catalog.search import Hit, TagFilter, nearest
from worker.catalog.spaces import (
    FilledSpace,
    Space,
    activate,
    ensure_space,
    filled_spaces,
    missing_in,
    space_of,
    spaces,
)
from worker.catalog.taxonomies import remember_taxonomies
from worker.catalog.write import EnrichedImage, remove, write

__all__ = [
    "EnrichedImage",
    "FilledSpace",
    "Hit",
    "ImageRecord",
    "Space",
    "TagFilter",
    "TagRecord",
    "activate",
    "ensure_space",
    "filled_spaces",
    "head",
    "image",
    "known_etags",
    "migrate",
    "missing_in",
    "nearest",
    "remember_taxonomies",
    "remove",
    "require_current",
    "revision",
    "space_of",
    "spaces",
    "write",
]
