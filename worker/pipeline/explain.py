"""The use case: why an image has the tags it has, from its stored vector; and what the model saw."""

from __future__ import annotations

import io
from dataclasses import dataclass

from worker import catalog, images, tagging
from worker.catalog import ImageRecord
from worker.db import Engine, transaction
from worker.encoder import Encoder, as_picture
from worker.errors import NotFoundError
from worker.images import ImageLimits
from worker.objects import Fetched, ObjectStore
from worker.pipeline import query
from worker.pipeline.space import space_spec
from worker.tagging import Tagger, TaxonomyExplanation
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """An image's tags, and what these taxonomies say about it now."""

    record: ImageRecord
    model: str
    taxonomies: tuple[TaxonomyExplanation, ...]
    current: bool  # whether what the catalog has of these taxonomies is what they would write


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the model saw of an object."""

    png: bytes
    etag: str  # of the bytes it was made of


def explain(engine: Engine, ref: ObjectRef, *, encoder: Encoder, tagger: Tagger) -> Explained:
    """Explain one image from the vector in the catalog; asks neither object store nor image encoder.

    Raises:
        ImageNotFoundError: the catalog does not have the image; the message says what is known of it.
        NotFoundError: it has no vector of this model.
    """
    record = query.image(engine, ref)
    with transaction(engine) as connection:
        space = catalog.space_of(connection, space_spec(encoder))
        vector = None if space is None else catalog.vector(connection, space.id, ref)
        known = {} if space is None else catalog.known_images(connection, space_id=space.id, refs=[ref])
    if vector is None:
        raise NotFoundError(
            f"{ref} has no vector of {encoder.space.model}: set ENRICH_MODEL to a model that has seen it, or run "
            "workers with this one and `enrich backfill`"
        )
    ours = {taxonomy.name for taxonomy in tagger.taxonomies}
    written = [tag for tag in known[ref].tags if tag[0] in ours]
    told = {tag for (tags,) in [tagger.tag(vector[None])] for tag in ((t.taxonomy, t.version, t.label) for t in tags)}
    return Explained(
        record=record,
        model=encoder.space.model,
        taxonomies=tagging.explain(tagger, vector, encoder.encode_texts),
        current=told == set(written),
    )


def seen(store: ObjectStore, ref: ObjectRef, *, encoder: Encoder, limits: ImageLimits) -> Seen:
    """Fetch an object and prepare it as for the model.

    Raises:
        NotFoundError: it is gone, or too large.
        ImageRejectedError: it cannot be decoded.
        StoreUnavailableError: the store cannot be reached.
    """
    got = store.get(ref, etag=None, max_bytes=limits.max_bytes)
    if not isinstance(got, Fetched):
        raise NotFoundError(
            f"{ref} cannot be read: it is gone from the store, or larger than {limits.max_bytes:,} bytes"
        )
    decoded = images.read_image(got.data, limits=limits, min_side=encoder.input_side)
    with decoded.pixels as picture:
        shown = as_picture(encoder.preprocess(picture))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return Seen(png=out.getvalue(), etag=got.info.etag)
