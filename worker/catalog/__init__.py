"""The catalog: metadata, vectors and tags of images, written in one transaction and searched by readers.

Its modules are attributes of the package, loaded at their first use: ``catalog.spaces.activate(…)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.catalog import (
        bulk_read,
        bulk_write,
        canary_sample,
        codes,
        embedding_queue,
        golden,
        image_locks,
        indexes,
        label_counts,
        label_vectors,
        listing,
        partitions,
        read,
        removal,
        roles,
        schema,
        search,
        space_comparison,
        space_counters,
        spaces,
        taxonomies,
        taxonomy_revisions,
        texts,
        write,
    )

__all__ = [
    "bulk_read",
    "bulk_write",
    "canary_sample",
    "codes",
    "embedding_queue",
    "golden",
    "image_locks",
    "indexes",
    "label_counts",
    "label_vectors",
    "listing",
    "partitions",
    "read",
    "removal",
    "roles",
    "schema",
    "search",
    "space_comparison",
    "space_counters",
    "spaces",
    "taxonomies",
    "taxonomy_revisions",
    "texts",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
