"""Taxonomies in force, for tests that have no files."""

from __future__ import annotations

from collections.abc import Sequence

from worker import catalog
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Revision
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.review.queues import ReviewQueues
from worker.pipeline.taxonomies import active_taxonomies
from worker.pipeline.taxonomies.active_taxonomies import ActiveTaxonomies
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.tagging import Tagger, Taxonomy


def put_into_force(engine: Engine, *taxonomies: Taxonomy) -> Revision:
    """Make a revision of exactly these; nothing is retagged."""
    active_taxonomies.keep(engine, taxonomies)
    with transaction(engine) as connection:
        return catalog.taxonomy_revisions.make(
            connection, active_taxonomies.versions(taxonomies), action="apply", made_by="test@here"
        )


def following(engine: Engine, space: Space, encoder: Encoder, *first: Taxonomy) -> ActiveTaxonomies:
    """What a worker has; ``first`` are put into force if nothing is."""
    active_taxonomies.begin(engine, lambda: first)
    return ActiveTaxonomies(engine, space, PromptVectorCache(engine, space, lambda: encoder))


def queues_of(engine: Engine, encoder: Encoder, search: TextSearch, labels: LabelSearch) -> ReviewQueues:
    """What an API has to find images to review."""

    def build(space: Space, desired: Sequence[Taxonomy]) -> Tagger:
        return Tagger(desired, encoder.encode_texts, logit_scale=encoder.logit_scale, model=space.model, space=space.id)

    return ReviewQueues(engine, build, search, labels.images_of)
