"""What is known about images: metadata, vectors, tags; written in one transaction, searched by others."""

from worker.catalog.listing import ImageFilter, ImagePage, images
from worker.catalog.read import ImageRecord, KnownImage, TagRecord, image, known_images, vector
from worker.catalog.removal import Removal, remove
from worker.catalog.sample import SampledImage, sample
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
from worker.catalog.taxonomies import KeptTaxonomy, TaxonomyVersion, kept_taxonomies, remember_taxonomies
from worker.catalog.write import EnrichedImage, write

__all__ = [
    "EnrichedImage",
    "FilledSpace",
    "Hit",
    "ImageFilter",
    "ImagePage",
    "ImageRecord",
    "KeptTaxonomy",
    "KnownImage",
    "Removal",
    "SampledImage",
    "Space",
    "TagFilter",
    "TagRecord",
    "TaxonomyVersion",
    "activate",
    "ensure_space",
    "filled_spaces",
    "head",
    "image",
    "images",
    "kept_taxonomies",
    "known_images",
    "migrate",
    "missing_in",
    "nearest",
    "remember_taxonomies",
    "remove",
    "require_current",
    "revision",
    "sample",
    "space_of",
    "spaces",
    "vector",
    "write",
]
