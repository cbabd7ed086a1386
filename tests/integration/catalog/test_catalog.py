"""The catalog on a real PostgreSQL with pgvector."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from sqlalchemy import event, text

from tests.factories import enriched_image, spec, unit
from tests.ledger import ref
from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.catalog.read import KnownImage
from worker.catalog.removal import Removal
from worker.db import Engine, transaction


@pytest.fixture
def space(engine):
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, spec())


def write(engine: Engine, space, *images):
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)


def image(engine: Engine, key: str):
    with transaction(engine) as connection:
        return catalog.read.image(connection, ref(key))


def search(engine: Engine, space, vector, *, limit=10, tags=()):
    with transaction(engine) as connection:
        return catalog.search.nearest(connection, space, vector, limit=limit, tags=tags).hits


def test_what_is_written_is_read_back(engine, space):
    """Every field survives the round trip."""
    given = enriched_image("a", label="night")
    write(engine, space, given)
    found = image(engine, "a")
    info, meta = given.info, given.metadata
    for name in ("etag", "version_id", "size", "last_modified", "content_type"):
        assert getattr(info, name) == getattr(found, name)
    for name in ("width", "height", "format", "mode", "frames", "orientation", "camera_make", "camera_model",
                 "latitude", "longitude", "altitude", "iso", "exposure_time", "f_number", "focal_length",
                 "focal_length_35mm", "lens_make", "lens_model", "sha256", "phash"):  # fmt: skip
        assert getattr(meta, name) == getattr(found, name)
    [tag] = found.tags
    assert ("time-of-day", "night", "zero-shot", True, "tiny") == (
        tag.taxonomy, tag.label, tag.source, tag.active, tag.model,
    )  # fmt: skip
    assert pytest.approx((0.25, 0.75)) == (tag.score, tag.probability)


def test_the_cameras_wall_clock_and_offset_are_kept_apart(engine, space):
    """09:30 at +02:00 stays 09:30; a time without an offset gets none invented."""
    local = datetime(2024, 5, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    aware = enriched_image("aware", taken_at=local)
    naive = enriched_image("naive", taken_at=local.replace(tzinfo=None))
    write(engine, space, aware, naive)
    assert (local.replace(tzinfo=None), timedelta(hours=2)) == (
        image(engine, "aware").taken_at, image(engine, "aware").taken_offset,
    )  # fmt: skip
    assert (local.replace(tzinfo=None), None) == (image(engine, "naive").taken_at, image(engine, "naive").taken_offset)


def test_writing_twice_replaces(engine, space):
    """One image, one vector, one tag per taxonomy, however often it is enriched."""
    write(engine, space, enriched_image("a", label="night"))
    write(engine, space, enriched_image("a", label="day", vector=unit(3)))
    assert ["day"] == [tag.label for tag in image(engine, "a").tags]
    assert (1, 1, 1) == counts(engine)
    assert pytest.approx(1, abs=1e-3) == search(engine, space, unit(3))[0].similarity


def test_abstentions_are_kept_and_not_shown_as_tags(engine, space):
    """ "None of these" is a decision with provenance, but no tag."""
    write(engine, space, enriched_image("a", label=None))
    [tag] = image(engine, "a").tags
    assert (None, pytest.approx(0.75)) == (tag.label, tag.probability)
    assert {} == search(engine, space, unit(0))[0].tags


def test_a_human_decision_survives_enriching_and_wins(engine, space):
    """What a person decided is neither deleted nor hidden by the model."""
    write(engine, space, enriched_image("a", label="night"))
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'time-of-day', 'v', 'dusk', 'human' FROM images"
            )
        )
    write(engine, space, enriched_image("a", label="day"))
    assert {"dusk", "day"} == {tag.label for tag in image(engine, "a").tags}
    assert {"time-of-day": "dusk"} == search(engine, space, unit(0))[0].tags


def test_removing_takes_vectors_and_tags_along(engine, space):
    """A deleted object leaves nothing behind, and only known ones are reported."""
    write(engine, space, enriched_image("a"))
    with transaction(engine) as connection:
        assert {ref("a")} == catalog.removal.remove(connection, [Removal(ref=ref("a")), Removal(ref=ref("unknown"))])
    assert (0, 0, 0) == counts(engine)


def test_search_orders_by_similarity_and_filters_by_tags(engine, space):
    """Nearest first; a filter keeps the order and drops the rest."""
    write(
        engine,
        space,
        enriched_image("near", label="day", vector=unit(0)),
        enriched_image("middle", label="night", vector=unit(0, 0.6)),
        enriched_image("far", label="night", vector=unit(5)),
    )
    assert ["near", "middle", "far"] == [hit.key for hit in search(engine, space, unit(0))]
    night = [TagFilter(taxonomy="time-of-day", label="night")]
    assert ["middle", "far"] == [hit.key for hit in search(engine, space, unit(0), tags=night)]
    assert [] == search(engine, space, unit(0), tags=[*night, TagFilter(taxonomy="time-of-day", label="day")])


def test_filters_under_one_percent_still_find_their_images(engine, space):
    """HNSW filters after the scan: rare tags are compared one by one instead (all 10 of 3,000 are found)."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(3_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = [
        enriched_image(f"k{number}", label="dusk" if number % 300 == 0 else "day", vector=vector)
        for number, vector in enumerate(vectors)
    ]
    write(engine, space, *images)
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE"))
    hits = search(engine, space, vectors[0], tags=[TagFilter(taxonomy="time-of-day", label="dusk")])
    assert {f"k{number}" for number in range(0, 3_000, 300)} == {hit.key for hit in hits}


def known(engine, space):
    with transaction(engine) as connection:
        return catalog.read.known_images(connection, space_id=space.id, refs=[ref("a"), ref("b")])


def test_images_are_known_only_with_a_vector_of_the_space(engine, space):
    """A new model needs the bytes even though the image is known; of other spaces' tags nothing is told."""
    write(engine, space, enriched_image("a", label=None))
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec(model="other"))
    expected = KnownImage(etag="etag-a", tags=frozenset({("time-of-day", "v", None)}))
    assert ({ref("a"): expected}, {}) == (known(engine, space), known(engine, other))


def test_an_overwritten_picture_loses_the_vectors_of_other_spaces(engine, space):
    """A vector never outlives the bytes it was made of; the same bytes again keep it."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec(model="other"))
    write(engine, space, enriched_image("a"))
    write(engine, other, enriched_image("a"))
    write(engine, space, enriched_image("a"))
    assert 2 == counts(engine)[1]
    changed = enriched_image("a")
    write(engine, space, replace(changed, metadata=replace(changed.metadata, sha256="ff" * 32)))
    assert 1 == counts(engine)[1]
    assert ["tiny"] == [tag.model for tag in image(engine, "a").tags]


def test_the_first_space_is_active_and_later_ones_fill(engine, space):
    """Search and views never switch by accident."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec(model="other"))
        assert ("active", "filling") == (space.state, other.state)
        assert space == catalog.spaces.ensure(connection, spec())


def test_a_vector_of_another_dimension_is_refused_by_the_table(engine, space):
    """The database itself keeps spaces apart."""
    with pytest.raises(Exception, match="dimension"):
        write(engine, space, enriched_image("a", vector=np.ones(3, dtype=np.float32)))


def test_search_uses_the_spaces_index(engine, space):
    """The nearest-neighbour query is answered by HNSW, not by reading every vector."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write(engine, space, *(enriched_image(f"k{number}", vector=vector) for number, vector in enumerate(vectors)))
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE"))
        plan = explain(connection, space, vectors[0])
    assert f"embeddings_{space.id}_hnsw" in plan


def test_the_write_path_takes_a_constant_number_of_statements(engine, space):
    """One image or fifty: the same number of round trips."""

    def statements(number: int) -> int:
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(engine, "before_cursor_execute", tick)
        try:
            write(engine, space, *(enriched_image(f"{number}-{each}") for each in range(number)))
        finally:
            event.remove(engine, "before_cursor_execute", tick)
        return count

    assert 7 == statements(1) == statements(50)


def test_the_views_serve_other_services(engine, space):
    """What docs/reference/views.md promises: one row per image, per tag, per vector."""
    write(engine, space, enriched_image("a", label="night"))
    with transaction(engine) as connection:
        image_row = connection.execute(text("SELECT bucket, key, tags FROM enriched_images")).one()
        tag_row = connection.execute(text("SELECT taxonomy, label, model FROM image_tags")).one()
        vector_row = connection.execute(text("SELECT key, dimension, vector_dims(vector) FROM image_vectors")).one()
    assert ("photos", "a", {"time-of-day": "night"}) == tuple(image_row)
    assert ("time-of-day", "night", "tiny") == tuple(tag_row)
    assert ("a", 32, 32) == tuple(vector_row)


def counts(engine: Engine) -> tuple[int, int, int]:
    with transaction(engine) as connection:
        row = connection.execute(
            text("SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM embeddings), (SELECT count(*) FROM tags)")
        ).one()
    return tuple(row)


def explain(connection, space, vector) -> str:
    from worker.catalog.search import by_index
    from worker.catalog.write import literal

    statement = text("EXPLAIN " + by_index(space))
    return "\n".join(connection.execute(statement, {"vector": literal(vector), "limit": 10}).scalars())


def test_times_come_back_aware(engine, space):
    """Instants carry their zone, whatever the server's default is."""
    write(engine, space, enriched_image("a"))
    assert UTC.utcoffset(None) == image(engine, "a").enriched_at.utcoffset()


@pytest.mark.parametrize("hours", [-5, 0, 5.5])
def test_the_offset_is_one_that_at_time_zone_accepts(engine, space, hours):
    """Other services compute the instant in SQL: also west of Greenwich."""
    zone = timezone(timedelta(hours=hours))
    taken = datetime(2024, 5, 1, 9, 30, tzinfo=zone)
    write(engine, space, enriched_image("a", taken_at=taken))
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT taken_at AT TIME ZONE taken_offset FROM enriched_images")).scalar_one()
    assert (taken, zone.utcoffset(None)) == (found, image(engine, "a").taken_offset)


def test_text_from_outside_is_stored_whatever_characters_it_has(engine, space):
    """NUL and halves of surrogate pairs, which PostgreSQL refuses, cost a character and not the image."""
    given = enriched_image("a")
    strange = replace(
        given,
        info=replace(given.info, content_type="image/\0jpeg", version_id="\udcff"),
        metadata=replace(given.metadata, camera_make="\u202eACME\ud800", camera_model="🙂\uffff"),
    )
    write(engine, space, strange)
    found = image(engine, "a")
    assert ("image/\N{REPLACEMENT CHARACTER}jpeg", "?", "\u202eACME?", "🙂\uffff") == (
        found.content_type, found.version_id, found.camera_make, found.camera_model,
    )  # fmt: skip
