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
        cameras,
        canary_sample,
        certificates,
        codes,
        decision_history,
        decisions,
        duplicates,
        embedding_queue,
        facet_counts,
        filter_conditions,
        golden,
        heads,
        image_filter,
        image_locks,
        image_names,
        in_force,
        indexes,
        key_words,
        label_counts,
        label_vectors,
        listing,
        matched,
        partitions,
        preview_fills,
        proofs,
        read,
        removal,
        review_candidates,
        review_plans,
        reviewed_images,
        roles,
        saved_queries,
        schema,
        search,
        space_comparison,
        space_counters,
        spaces,
        tag_samples,
        taxonomies,
        taxonomy_revisions,
        texts,
        user_metadata,
        word_search,
        write,
    )

__all__ = [
    "bulk_read",
    "bulk_write",
    "cameras",
    "canary_sample",
    "certificates",
    "codes",
    "decision_history",
    "decisions",
    "duplicates",
    "embedding_queue",
    "facet_counts",
    "filter_conditions",
    "golden",
    "heads",
    "image_filter",
    "image_locks",
    "image_names",
    "in_force",
    "indexes",
    "key_words",
    "label_counts",
    "label_vectors",
    "listing",
    "matched",
    "partitions",
    "preview_fills",
    "proofs",
    "read",
    "removal",
    "review_candidates",
    "review_plans",
    "reviewed_images",
    "roles",
    "saved_queries",
    "schema",
    "search",
    "space_comparison",
    "space_counters",
    "spaces",
    "tag_samples",
    "taxonomies",
    "taxonomy_revisions",
    "texts",
    "user_metadata",
    "word_search",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
