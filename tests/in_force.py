"""Taxonomies in force, for tests that have no files."""

from __future__ import annotations

from worker import catalog
from worker.catalog import Revision, Space
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.pipeline import labels
from worker.pipeline.labels import Labels
from worker.pipeline.prompts import Prompts
from worker.tagging import Taxonomy


def put_into_force(engine: Engine, *taxonomies: Taxonomy) -> Revision:
    """Make a revision of exactly these; nothing is retagged."""
    labels.keep(engine, taxonomies)
    with transaction(engine) as connection:
        return catalog.make_revision(connection, labels.versions(taxonomies), action="apply", made_by="test@here")


def following(engine: Engine, space: Space, encoder: Encoder, *first: Taxonomy) -> Labels:
    """What a worker has; ``first`` are put into force if nothing is."""
    labels.begin(engine, lambda: first)
    return Labels(engine, space, Prompts(engine, space, lambda: encoder))
