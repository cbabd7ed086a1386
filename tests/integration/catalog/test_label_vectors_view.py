"""The view of label vectors for services that read SQL, on a real PostgreSQL."""

from __future__ import annotations

from sqlalchemy import text

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from worker import catalog
from worker.db import Engine, transaction
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Aggregate, Label, Taxonomy

_NEAREST = text("""
    SELECT i.key, l.taxonomy, l.label, l.text FROM image_vectors i
    CROSS JOIN LATERAL (SELECT * FROM label_vectors_in_use ORDER BY vector <=> i.vector, taxonomy LIMIT 1) AS l
    ORDER BY i.key
""")


def colours(aggregate: Aggregate = "mean", *names: str) -> Taxonomy:
    labels = tuple(Label(name=name, prompts=(name, f"{name} wool")) for name in names)
    return Taxonomy(name="colour", labels=labels, aggregate=aggregate)


def fill(engine: Engine, taxonomy: Taxonomy) -> catalog.spaces.Space:
    encoder = ColourEncoder()
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
    keep(engine, [taxonomy])
    LabelVectorWriter(engine=engine, space=space, encode_texts=encoder.encode_texts).run()
    return space


def nearest(engine: Engine) -> list[tuple[str, str, str, str | None]]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(_NEAREST)]


def test_labels_are_compared_with_images_in_sql(engine):
    """A label has one row, the mean of its texts; with `aggregate: max`, one for each; a new version replaces them."""
    space = fill(engine, colours("mean", "red", "green"))
    vectors = ColourEncoder().encode_texts(["red", "green"])
    images = [enriched_image(f"{axis}.jpg", vector=vector) for axis, vector in enumerate(vectors)]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    assert [("0.jpg", "colour", "red", None), ("1.jpg", "colour", "green", None)] == nearest(engine)
    fill(engine, colours("max", "red", "green"))
    assert ["red", "green"] == [row[3] and row[3].split()[0] for row in nearest(engine)]
    with transaction(engine) as connection:
        assert 4 == connection.execute(text("SELECT count(*) FROM label_vectors_in_use")).scalar_one()


def test_a_set_that_is_not_complete_is_not_in_use(engine):
    """As a search, which does not see it either."""
    space = fill(engine, colours("mean", "red"))
    with transaction(engine) as connection:
        connection.execute(text("UPDATE label_sets SET ready_at = NULL WHERE space_id = :id"), {"id": space.id})
        assert [] == connection.execute(text("SELECT * FROM label_vectors_in_use")).all()
