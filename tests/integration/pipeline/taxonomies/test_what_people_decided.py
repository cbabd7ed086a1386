"""What a person decided about an image outlives whatever happens under its key."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, expire_leases, make_due, ref
from tests.pictures import picture
from worker import ledger
from worker.db import transaction
from worker.errors import AccessDeniedError, ObjectArchivedError
from worker.pipeline.enrichment.poison_images import EXPOSED_DEATHS
from worker.pipeline.operations import quarantine
from worker.pipeline.operations.quarantine import QuarantineQuery
from worker.types import Outcome

PEOPLE = [("colour", "teal"), ("light", None), ("mood", "calm")]


@pytest.fixture
def corrected(world: World):
    """A red picture that people called teal, and of a mood that no model knows."""
    world.upload("a", picture())
    world.run()
    with transaction(world.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source, decided_at) "
                "SELECT i.id, t.taxonomy, 'v1', t.label, 'human', '2020-02-02' FROM images i, "
                "unnest(CAST(:taxonomies AS text[]), CAST(:labels AS text[])) AS t (taxonomy, label)"
            ),
            {"taxonomies": [taxonomy for taxonomy, _ in PEOPLE], "labels": [label for _, label in PEOPLE]},
        )
    return world


def by_people(world: World):
    found = text(
        "SELECT taxonomy, label FROM tags WHERE source = 'human' AND taxonomy_version = 'v1' "
        "AND decided_at = '2020-02-02' ORDER BY taxonomy, label NULLS FIRST"
    )
    with transaction(world.engine) as connection:
        return [tuple(each) for each in connection.execute(found)]


def shown(world: World):
    """What other services read."""
    with transaction(world.engine) as connection:
        return connection.execute(text("SELECT tags FROM enriched_images")).scalars().all()


def kill_workers(world: World):
    """As many as it takes, each while it works on the bytes of the image alone."""
    world.hint("a")
    for _ in range(EXPOSED_DEATHS):
        with transaction(world.engine) as connection:
            taken = ledger.claims.claim(connection, worker="dies", size=8, lease=60)
            assert taken is not None
            ledger.claims.expose(connection, taken.token, taken.objects[0].id)
        expire_leases(world.engine)


def test_they_survive_enriching_again(corrected):
    """The same bytes, other bytes, and the first ones again."""
    for colour in ("red", "blue", "red"):
        corrected.upload("a", picture(colour))
        corrected.run()
    assert PEOPLE == by_people(corrected)
    assert [{"colour": "teal", "mood": "calm"}] == shown(corrected)


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (b"not an image", Outcome.QUARANTINED),
        (picture(size=(640, 480))[:-500], Outcome.QUARANTINED),
        (b"", Outcome.QUARANTINED),
        (b"\xff" * 1_000_001, Outcome.QUARANTINED),
    ],
    ids=["no image", "truncated", "empty", "too large"],
)
def test_they_survive_a_broken_file_in_the_picture_s_place(corrected, data, outcome):
    """Nothing is shown of an image that is not there; with the file that was tagged, people's tags are back."""
    corrected.upload("a", data)
    assert {outcome: 1} == corrected.run()
    assert (None, [], []) == (corrected.image("a"), by_people(corrected), shown(corrected))
    corrected.upload("a", picture())
    assert {Outcome.ENRICHED: 1} == corrected.run()
    assert PEOPLE == by_people(corrected)
    assert [{"colour": "teal", "mood": "calm"}] == shown(corrected)


def test_they_survive_a_text_in_the_picture_s_place(corrected):
    """An excluded object may become an image again."""
    corrected.upload("a", b"see readme", content_type="text/plain")
    assert {Outcome.EXCLUDED: 1} == corrected.run()
    assert corrected.image("a") is None
    corrected.upload("a", picture())
    corrected.run()
    assert PEOPLE == by_people(corrected)


def test_they_survive_several_broken_files_and_a_retry(corrected):
    """Quarantined twice over, given up, retried: nothing is lost on the way."""
    for data in (b"broken", b"broken still"):
        corrected.upload("a", data)
        corrected.run()
    quarantine.drop(corrected.engine, QuarantineQuery(bucket=BUCKET, key="a"))
    corrected.upload("a", b"broken again")
    corrected.run()
    corrected.store.put(ref("a"), picture(), "image/jpeg")
    quarantine.retry(corrected.engine, QuarantineQuery(bucket=BUCKET, key="a"), notify=corrected.enricher.notify)
    corrected.run()
    assert PEOPLE == by_people(corrected)


@pytest.mark.parametrize("error", [AccessDeniedError(ref("a")), ObjectArchivedError("in the archive")])
def test_they_survive_a_store_that_refuses_the_object(corrected, monkeypatch, error):
    """Nothing is known of the bytes: the entry stays as it was."""
    with monkeypatch.context() as patch:

        def refuse(*_args, **_options):
            raise error

        patch.setattr(corrected.store, "get", refuse)
        corrected.hint("a")
        for _ in range(3):
            corrected.run()
            make_due(corrected.engine)
    assert ["a"] == list(corrected.quarantine())
    assert [{"colour": "teal", "mood": "calm"}] == shown(corrected)


def test_an_image_that_kills_when_it_is_enriched_again_stays_as_it_was(corrected, monkeypatch):
    """The bytes are those that were enriched: what is known of them, and what people decided, is true all the same."""
    monkeypatch.setattr(corrected.enricher.labels.now.tagger, "is_current", lambda _tags: False)
    before = corrected.feed()
    kill_workers(corrected)
    corrected.run()
    assert {"a": "killed-worker"} == corrected.quarantine()
    assert [{"colour": "teal", "mood": "calm"}] == shown(corrected)
    assert before == corrected.feed()


def test_a_killer_in_an_image_s_place_takes_the_entry_but_not_what_people_decided(corrected):
    """Other bytes: what the catalog says is true no longer; what people said comes back with the file that they saw."""
    corrected.store.put(ref("a"), picture("blue"), "image/jpeg")
    kill_workers(corrected)
    corrected.run()
    assert {"a": "killed-worker"} == corrected.quarantine()
    assert corrected.image("a") is None
    corrected.upload("a", picture("green"))
    corrected.run()
    assert [] == by_people(corrected)
    corrected.upload("a", picture())
    corrected.run()
    assert PEOPLE == by_people(corrected)


def test_they_survive_a_deletion(corrected):
    """A bucket that is restored from a backup has its tags again."""
    corrected.store.delete(ref("a"))
    corrected.hint("a")
    assert {Outcome.GONE: 1} == corrected.run()
    assert ([], []) == (by_people(corrected), shown(corrected))
    corrected.upload("a", picture())
    corrected.run()
    assert PEOPLE == by_people(corrected)


def test_what_is_decided_while_an_image_is_removed_is_not_lost(corrected):
    """The removal waits for whoever is writing a tag, and then sees it."""
    corrected.upload("a", b"broken")
    with transaction(corrected.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source, decided_at) "
                "SELECT id, 'weather', 'v1', 'fog', 'human', '2020-02-02' FROM images"
            )
        )
        running = threading.Thread(target=corrected.run)
        running.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while connection.execute(waiting).scalar_one() == 0:
            assert running.is_alive()
    running.join()
    corrected.upload("a", picture())
    corrected.run()
    assert [*PEOPLE, ("weather", "fog")] == by_people(corrected)
