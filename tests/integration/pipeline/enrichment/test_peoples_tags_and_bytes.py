"""What a person decided is of the bytes that the person saw: other bytes under the key have the model's decision."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET
from tests.pictures import picture
from worker import catalog, db
from worker.catalog import listing
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.cli import app
from worker.db import Engine, transaction

TEAL = (
    "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
    "SELECT id, 'colour', 'v1', :label, 'human' FROM images"
)


def tag(engine: Engine, label: str | None = "teal") -> None:
    """As people do it by hand."""
    with transaction(engine) as connection:
        connection.execute(text(TEAL), {"label": label})


def put(world: World, colour: str) -> None:
    world.upload("a", picture(colour))
    world.run()


def hashes(world: World) -> str:
    return str(world.image("a").sha256)


def earlier(world: World) -> list[tuple[str | None, str | None]]:
    return [(each.label, each.sha256) for each in world.image("a").earlier_tags]


def views(world: World) -> tuple[object, ...]:
    """What each reader says of the one image: which labels, and who finds it by which label."""
    with transaction(world.engine) as connection:
        rows = connection.execute(text("SELECT label, source FROM image_tags WHERE taxonomy = 'colour'")).all()
        image_tags = [tuple(row) for row in rows]
        enriched_images = connection.execute(text("SELECT tags ->> 'colour' FROM enriched_images")).scalar_one()
        vector = "(SELECT CAST(vector AS halfvec) FROM image_vectors)"
        nearest = text(f"SELECT tags ->> 'colour' FROM search_images({vector}, 5)")
        searched = connection.execute(nearest).scalar_one()
        space = catalog.spaces.active(connection)
        assert space is not None
        query = np.ones(space.dimension, dtype=np.float32) / np.sqrt(space.dimension)
        found, listed = {}, {}
        for label in ("red", "blue", "teal"):
            filters = [TagFilter(taxonomy="colour", label=label)]
            found[label] = len(catalog.search.nearest(connection, space, query, limit=5, tags=filters).hits)
            listed[label] = len(listing.page(connection, ImageFilter(tags=tuple(filters)), limit=5).images)
        assert found == listed
    return image_tags, enriched_images, searched, [label for label, count in found.items() if count]


@pytest.fixture
def teal(world: World) -> World:
    """A red picture that a person called teal."""
    put(world, "red")
    tag(world.engine)
    return world


def test_the_person_s_tag_is_in_force_for_the_bytes_that_were_tagged(teal):
    """In every view, in filtered search and in lists; enriching the same bytes again changes nothing."""
    expected = ([("teal", "human")], "teal", "teal", ["teal"])
    assert expected == views(teal)
    put(teal, "red")
    assert (expected, []) == (views(teal), earlier(teal))


def test_another_picture_under_the_key_has_the_model_s_decision(teal):
    """The person's is kept, can be seen, and says of which bytes it is."""
    red = hashes(teal)
    put(teal, "blue")
    assert ([("blue", "zero-shot")], "blue", "blue", ["blue"]) == views(teal)
    assert [("teal", red)] == earlier(teal)
    assert [("enriched", "a")] == teal.feed()[-1:]


def test_show_says_what_people_decided_about_other_bytes(teal, monkeypatch):
    """In 80 columns, the whole hash, and that it is not in force; nothing where there is nothing to say."""
    monkeypatch.setenv("ENRICH_DATABASE_URL", teal.engine.url.render_as_string(hide_password=False))
    before = CliRunner().invoke(app, ["show", f"{BUCKET}/a"], catch_exceptions=False).stdout
    assert "earlier bytes" not in before
    red = hashes(teal)
    put(teal, "blue")
    told = CliRunner().invoke(app, ["show", f"{BUCKET}/a"], catch_exceptions=False).stdout
    assert "decided by people for earlier bytes under this key (not in force)" in told
    assert "teal" in told
    assert red in re.sub(r"\s", "", told)


def test_the_same_bytes_bring_the_person_s_decision_back(teal):
    """Each picture keeps its own, however often they take turns."""
    red = hashes(teal)
    put(teal, "blue")
    blue = hashes(teal)
    tag(teal.engine, None)
    for _ in range(2):
        put(teal, "red")
        assert ([("teal", "human")], "teal", "teal", ["teal"]) == views(teal)
        assert [(None, blue)] == earlier(teal)
        put(teal, "blue")
        assert ([], None, None, []) == views(teal)  # the person said: none of these
        assert [("teal", red)] == earlier(teal)


def test_who_tags_while_other_bytes_are_written_has_tagged_those_before(teal):
    """The insert waits for the worker, and then is not taken for a decision about a picture that nobody has seen."""
    red = hashes(teal)
    with transaction(teal.engine) as connection:
        connection.execute(text("DELETE FROM tags WHERE source = 'human'"))
    with teal.engine.connect() as writer:
        writer.execute(text("UPDATE images SET sha256 = '\\x00', etag = 'other'"))  # what a worker's transaction does
        tagging = threading.Thread(target=tag, args=(teal.engine,))
        tagging.start()
        until_somebody_waits(teal.engine, tagging)
        writer.commit()
    tagging.join()
    assert ([("red", "zero-shot")], "red", "red", ["red"]) == views(teal)
    assert [("teal", red)] == earlier(teal)
    put(teal, "red")
    assert ([("teal", "human")], "teal", "teal", ["teal"]) == views(teal)


def test_a_worker_that_comes_while_somebody_tags_waits_and_then_sets_it_aside(teal):
    """Whoever tagged had seen the bytes before."""
    red = hashes(teal)
    teal.upload("a", picture("blue"))
    with transaction(teal.engine) as connection:
        connection.execute(text(TEAL), {"label": "mauve"})
        running = threading.Thread(target=teal.run)
        running.start()
        until_somebody_waits(teal.engine, running)
    running.join()
    assert ([("blue", "zero-shot")], "blue", "blue", ["blue"]) == views(teal)
    assert {("teal", red), ("mauve", red)} == set(earlier(teal))


def test_a_statement_that_takes_long_has_tagged_what_it_saw_when_it_began(teal):
    """Many images are tagged at once, and a worker writes other bytes of one before it is its turn."""
    red = hashes(teal)
    with transaction(teal.engine) as connection:
        connection.execute(text("DELETE FROM tags WHERE source = 'human'"))
    waiting = f"{TEAL} WHERE (SELECT true FROM pg_advisory_xact_lock_shared(7))"

    def tag_slowly() -> None:
        with transaction(teal.engine) as connection:
            connection.execute(text(waiting), {"label": "teal"})

    with teal.engine.connect() as isolation_lock:
        isolation_lock.execute(text("SELECT pg_advisory_xact_lock(7)"))
        tagging = threading.Thread(target=tag_slowly)
        tagging.start()
        until_somebody_waits(teal.engine, tagging)
        put(teal, "blue")
        isolation_lock.rollback()
    tagging.join()
    assert ([("blue", "zero-shot")], "blue", "blue", ["blue"]) == views(teal)
    assert [("teal", red)] == earlier(teal)


def until_somebody_waits(engine: Engine, running: threading.Thread) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while True:
        with transaction(engine) as connection:
            if connection.execute(waiting).scalar_one():
                return
        assert running.is_alive()


def test_a_model_s_tags_cost_no_lock(teal):
    """Only people's rows meet the trigger: a worker that tags does not wait for a person who tags the same image."""
    with transaction(teal.engine) as person:
        person.execute(text(TEAL), {"label": "mauve"})
        with transaction(teal.engine) as model:
            model.execute(text("SET LOCAL lock_timeout = '2s'"))
            model.execute(
                text(
                    "INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, source) "
                    "SELECT i.id, s.id, 'weather', 'v', 'fog', 'zero-shot' FROM images i, spaces s"
                )
            )


def test_decisions_from_before_are_bound_to_the_bytes_that_the_image_has(teal):
    """The migration: tags in force stay so for these bytes. What was set aside then returns with whatever comes."""
    from alembic import command

    from worker.catalog.schema import _config

    red = hashes(teal)
    with db.transaction(teal.engine) as connection:
        command.downgrade(_config(connection), "0020")
        connection.execute(
            text(
                "INSERT INTO tags_set_aside (bucket, key, taxonomy, taxonomy_version, label, decided_at) "
                f"VALUES ('{BUCKET}', 'a', 'mood', 'v1', 'calm', '2020-02-02')"
            )
        )
    catalog.schema.migrate(teal.engine)
    assert [("calm", None)] == earlier(teal)
    put(teal, "blue")
    assert ([("blue", "zero-shot")], "blue", "blue", ["blue"]) == views(teal)
    assert [("teal", red)] == earlier(teal)
    assert "calm" == teal.tags("a")["mood"]
    put(teal, "red")
    assert "teal" == teal.tags("a")["colour"]
    assert [("calm", "mood")] == [(each.label, each.taxonomy) for each in teal.image("a").earlier_tags]
