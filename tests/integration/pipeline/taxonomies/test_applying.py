"""Applying taxonomies: what is in the catalog afterwards, and what was written for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.integration.pipeline.taxonomies.archive import COLOUR, STRICT, TWO, WARM, Archive, colours
from tests.waiting import until
from worker import catalog
from worker.catalog.image_filter import ImageFilter
from worker.db import transaction
from worker.errors import ApplyingError, NotFoundError, OutdatedTaxonomiesError, TaxonomyError
from worker.pipeline.common import time_filters
from worker.pipeline.reading import image_list
from worker.pipeline.taxonomies import lifecycle, retag
from worker.pipeline.taxonomies.retag import Retagger, TagComparer
from worker.tagging import Label, Requirement, Taxonomy, neutral

#: For a taxonomy without blue.
WARM_RED = Taxonomy(
    name="warmth",
    labels=WARM.labels,
    calibration=WARM.calibration,
    when=((Requirement(taxonomy="colour", labels=("red",)),),),
)
#: The same file, read by a release that judges labels relative to neutral prompts.
RELATIVE = replace(COLOUR, neutral=neutral.EDITION)


@pytest.mark.parametrize(
    "desired",
    [(STRICT,), (TWO,), (COLOUR, WARM), (WARM_RED, TWO, colours("other")), (colours("other"),), (), (RELATIVE, WARM)],
    ids=["threshold", "a label less", "one more", "all at once", "another one", "none", "neutral prompts"],
)
def test_the_catalog_is_as_if_everything_were_tagged_anew(archive, desired):
    """To the last bit of scores and probabilities; what no longer holds is gone."""
    done = archive.apply(*desired)
    assert (2, True, 300) == (done.revision, done.is_new, done.images)
    assert archive.expected(*desired) == archive.tags()


def test_a_release_with_another_rule_changes_nothing_before_it_is_applied(archive):
    """Workers go on by the rule that is stored; the plan says what is new, and what it does to the tags."""
    archive.add(20, seed=7)
    planned = archive.plan(RELATIVE)

    assert archive.expected(COLOUR) == archive.tags()
    assert ("changed", 320) == (planned.taxonomies[0].edit.edit, planned.touched.seen)
    assert planned.taxonomies[0].edit.edits[0].startswith("neutral prompts: ")


def test_a_worker_and_a_retagging_agree_on_what_is_relative(archive):
    """What a worker writes after the change is to the last bit what the plan would write: nothing to do."""
    archive.apply(RELATIVE)
    archive.labels.follow()
    archive.add(50, seed=8)

    assert archive.expected(RELATIVE) == archive.tags()
    assert archive.plan(RELATIVE, sample=None).is_empty


def test_only_differences_are_written(archive):
    """A taxonomy that stays the same keeps its rows, untouched."""
    archive.apply(COLOUR, colours("other"))
    before = archive.sql("SELECT id, xmin FROM tags WHERE taxonomy = 'colour' ORDER BY id")
    archive.apply(COLOUR, colours("other", threshold=0.9))
    assert before == archive.sql("SELECT id, xmin FROM tags WHERE taxonomy = 'colour' ORDER BY id")
    kept = archive.sql("SELECT count(*) FROM tags WHERE taxonomy = 'other' AND label IS NOT NULL")
    assert 0 < kept[0][0] < 300


def test_lists_by_time_do_not_know_of_other_tags(archive):
    """As the API's document says of ``updated_since``: the feed tells of them."""
    [(latest,)] = archive.sql("SELECT max(enriched_at) + interval '1 microsecond' FROM images")
    announced = len(archive.feed())
    assert 0 < archive.apply(STRICT).changed == len(archive.feed()) - announced
    since = ImageFilter(enriched_since=time_filters.parse(latest.isoformat()))
    assert () == image_list.images(archive.engine, since, limit=10).images


def test_images_of_which_readers_see_something_else_are_announced_once(archive):
    """Those and no others: a version or a probability alone is no news."""
    before, announced = archive.seen(), archive.feed()
    done = archive.apply(STRICT)
    after = archive.seen()
    changed = sorted(key for key in archive.written if before.get(key) != after.get(key))
    news = archive.feed()[len(announced) :]
    assert 0 < len(changed) < 300
    assert (changed, len(changed)) == (sorted(news), done.changed)
    archive.apply(STRICT)
    assert len(announced) + len(changed) == len(archive.feed())


def test_what_people_decided_stays_and_hides_what_a_model_says(archive):
    """Their tags are not touched. An image of which readers see the same is announced, and not counted: it has news
    once people withdraw what they decided.
    """
    key = next(key for key, tags in archive.seen().items() if ("colour", "blue") in tags)
    archive.sql(
        "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
        "SELECT id, 'colour', 'by hand', 'green', 'human' FROM images WHERE key = :key",
        key=key,
    )
    person = archive.sql("SELECT * FROM tags WHERE source = 'human'")
    announced = len(archive.feed())
    done = archive.apply(TWO)
    assert person == archive.sql("SELECT * FROM tags WHERE source = 'human'")
    assert {("colour", "green")} == archive.seen()[key]
    assert key in (news := archive.feed()[announced:])
    assert len(news) == done.changed + 1
    archive.apply()
    assert {key: {("colour", "green")}} == archive.seen()


def test_applying_what_is_in_force_does_nothing(archive):
    """No new revision, and no image is looked at."""
    done = archive.apply(COLOUR)
    assert (1, False, 0, 0) == (done.revision, done.is_new, done.images, done.changed)


def test_words_for_people_change_no_tag(archive):
    """They are kept, and what is in force stays."""
    titled = Taxonomy(
        name="colour",
        labels=(Label(name="red", prompts=("red",), title="Rot"), *COLOUR.labels[1:]),
        calibration=COLOUR.calibration,
    )
    assert [("words", ('labels.red.title: + "Rot"',))] == [
        (each.edit.edit, each.edit.edits) for each in archive.plan(titled).taxonomies
    ]
    assert not archive.apply(titled).is_new
    assert archive.plan(titled).is_empty
    assert not archive.plan(COLOUR).is_empty


def test_a_catalog_of_an_older_release_is_brought_up_to_date(engine):
    """Tags that were written before there were revisions: what is in force is known, and how far it reaches is not."""
    old = Archive.of(engine, STRICT)
    old.add(50)
    old.sql("DELETE FROM retaggings")
    old.sql("DELETE FROM taxonomy_revisions")
    now = Archive.of(engine, COLOUR)
    now.written = old.written
    assert old.plan(COLOUR).unfinished
    assert (1, False, 50) == (now.apply(COLOUR).revision, now.apply(COLOUR).is_new, len(now.written))
    assert now.expected(COLOUR) == now.tags()
    assert now.plan(COLOUR).is_empty


def test_a_taxonomy_that_cannot_be_decided_is_refused_before_anything_happens(archive):
    """Here its condition names one that is not there."""
    before = archive.tags()
    with pytest.raises(TaxonomyError, match="no taxonomy of that name"):
        archive.apply(WARM)
    assert (before, 1) == (archive.tags(), archive.plan(COLOUR).revision)


def test_going_back_gives_what_was_there_before(archive):
    """From the database alone; the history tells both ways."""
    before = archive.tags()
    archive.apply(TWO, colours("other"))
    number, change = lifecycle.content(archive.engine, None)
    done = archive.change(change, action="rollback", back_to=number)
    assert (3, before) == (done.revision, archive.tags())
    history = lifecycle.history(archive.engine, limit=10)
    assert [(3, "rollback", 1), (2, "apply", None), (1, "begin", None)] == [
        (each.revision.id, each.revision.action, each.revision.back_to) for each in history.entries
    ]
    assert [
        [("colour", "changed"), ("other", "removed")],
        [("colour", "changed"), ("other", "added")],
        [("colour", "added")],
    ] == [[(edit.name, edit.edit) for edit in each.edits] for each in history.entries]
    assert [("colour", COLOUR.version, 300)] == [(each.name, each.version, each.images) for each in history.images]


def test_the_history_of_a_large_catalog_takes_its_time(archive):
    """All tags are counted, and no timeout ends that; here it is a lock that makes it last."""
    with ThreadPoolExecutor(1) as pool, transaction(archive.engine) as other:
        other.execute(text("LOCK TABLE tags"))
        with transaction(archive.engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = '100ms'"))
            counted = pool.submit(catalog.taxonomy_revisions.images_per_version, connection, archive.space.id)
            time.sleep(0.3)
            other.rollback()
            assert [300] == [each.images for each in counted.result()]


def test_going_back_goes_on_where_it_was_interrupted(archive, monkeypatch):
    """The same command again: it does not go back to what it was leaving. When it is done, it does."""
    before = archive.tags()
    archive.apply(TWO)
    number, change = lifecycle.content(archive.engine, None)
    with monkeypatch.context() as patched:
        patched.setattr(lifecycle, "Retagger", lambda *_, **__: _Interrupted())
        with pytest.raises(KeyboardInterrupt):
            archive.change(change, action="rollback", back_to=number)
    number, change = lifecycle.content(archive.engine, None)
    done = archive.change(change, action="rollback", back_to=number)
    assert (1, 3, False, before) == (number, done.revision, done.is_new, archive.tags())
    assert 2 == lifecycle.content(archive.engine, None)[0]


class _Interrupted:
    def run(self) -> None:
        raise KeyboardInterrupt


def test_one_taxonomy_goes_back_alone(archive):
    """By a version that was kept, of which a few digits are enough."""
    archive.apply(TWO, colours("other"))
    number, change = lifecycle.content(archive.engine, f"colour@{COLOUR.version[:6]}")
    archive.change(change, action="rollback")
    assert (None, archive.expected(COLOUR, colours("other"))) == (number, archive.tags())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "there is none before it"),
        ("7", "there is no revision 7"),
        ("colour@ffff", "0 versions of 'colour' begin with 'ffff'; kept are: "),
        ("colour@", "a version is missing after @; kept are: "),
        ("size@1", "no taxonomy 'size' was ever in force"),
        ("99999999999999999999", "there is no revision 99999999999999999999"),
        ("²", "neither the number of a revision nor NAME@VERSION"),
        ("yesterday", "neither the number of a revision nor NAME@VERSION"),
    ],
)
def test_going_back_to_what_is_not_there(archive, target, message):
    """Says what there is."""
    with pytest.raises(NotFoundError, match=message):
        lifecycle.content(archive.engine, target)


def test_two_do_not_apply_at_once(archive):
    """The second one is told, and changes nothing."""
    told = r"are being applied already, since .*\(database session [0-9]+\)"
    with lifecycle._alone(archive.engine), pytest.raises(ApplyingError, match=told):
        archive.apply(STRICT)
    assert 1 == archive.plan(COLOUR).revision
    assert archive.apply(STRICT).is_new


def test_a_retagging_that_was_overtaken_writes_nothing(archive):
    """Whoever still works for an older revision is stopped by the first block."""
    archive.put_into_force(STRICT)
    late = archive.labels.follow()
    archive.put_into_force(TWO)
    before = archive.tags()
    with pytest.raises(OutdatedTaxonomiesError):
        Retagger(archive.engine, archive.space, late).run()
    assert before == archive.tags()


def test_an_interrupted_retagging_goes_on_where_it_was(archive, monkeypatch):
    """Ctrl-C after some blocks of a hundred: the rest is done by the next run, and nothing is announced twice."""
    announced = len(archive.feed())
    before = archive.seen()
    monkeypatch.setattr(retag, "BLOCK", 100)

    def interrupt(step: retag.RetagProgress) -> None:
        if step.done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.apply(STRICT, progress=interrupt)
    plan = archive.plan(STRICT)
    assert (True, False) == (plan.unfinished, plan.is_empty)
    done = archive.apply(STRICT)
    assert (2, False, 200) == (done.revision, done.is_new, done.images)
    assert archive.expected(STRICT) == archive.tags()
    after = archive.seen()
    changed = sorted(key for key in archive.written if before.get(key) != after.get(key))
    assert changed == sorted(archive.feed()[announced:])


@pytest.mark.parametrize(("tags", "sizes"), [(200, [40, 40, 50, 50, 50, 50, 20]), (100_000, [40, 40, 160, 60])])
def test_blocks_hold_so_many_tags_however_many_an_image_has(archive, monkeypatch, tags, sizes):
    """Four of each image: blocks grow until they are full of tags."""
    monkeypatch.setattr(retag, "_FIRST", 40)
    monkeypatch.setattr(retag, "TAGS", tags)
    desired = [COLOUR, *(colours(f"t{number}") for number in range(3))]
    comparer = TagComparer(archive.engine, archive.space, archive.build(archive.space, desired))
    blocks = list(comparer.everything())
    assert sizes == [len(each.block.images) for each in blocks]
    assert all(len(each.found.new.images) == 4 * len(each.block.images) <= tags for each in blocks)


@pytest.mark.parametrize(("was", "now"), [("active", "filling"), ("filling", "active")])
def test_a_space_that_is_switched_meanwhile_is_announced_by_what_it_is_then(archive, was, now):
    """Readers see the tags of the active space and of no other."""
    archive.put_into_force(TWO)
    before = len(archive.feed())
    retagger = Retagger(archive.engine, replace(archive.space, state=was), archive.labels.follow())
    archive.sql("UPDATE spaces SET state = :now", now=now)
    changed = retagger.run().changed
    assert 0 < changed
    assert (changed if now == "active" else 0) == len(archive.feed()) - before


def test_images_that_a_worker_has_in_hand_are_waited_for(archive):
    """A block with a locked image ends when the lock does; the others are not held up by it, and nobody deadlocks."""
    archive.put_into_force(STRICT)
    retagger = Retagger(archive.engine, archive.space, archive.labels.follow())
    with ThreadPoolExecutor(1) as pool, transaction(archive.engine) as other:
        other.exec_driver_sql("SELECT 1 FROM images ORDER BY id LIMIT 1 FOR UPDATE")
        running = pool.submit(retagger.run)
        until(lambda: 1 == archive.sql(OLDER, version=STRICT.version)[0][0])
        time.sleep(0.2)
        assert not running.done()
        other.rollback()
        done = running.result(timeout=20)
    assert (300, 300) == (done.images, done.written)
    assert archive.expected(STRICT) == archive.tags()


OLDER = "SELECT count(DISTINCT image_id) FROM tags WHERE taxonomy_version <> :version"


def test_a_picture_that_was_overwritten_meanwhile_keeps_its_new_tags(archive):
    """What was read before is not written: neither over newer tags, nor beside them."""
    archive.put_into_force(STRICT)
    retagger = Retagger(archive.engine, archive.space, archive.labels.follow())
    [compared] = retagger._comparer.everything()
    keys = list(archive.written)
    archive.write({keys[0]: archive.written[keys[1]], keys[1]: archive.written[keys[0]]})
    retagger._settle(compared)
    assert archive.expected(STRICT) == archive.tags()


def test_a_prompt_is_encoded_once(archive):
    """By whoever needs it first; then plans need no model at all."""
    archive.plan(STRICT)
    archive.encoder.encode_texts = None
    archive.plan(STRICT)
    archive.apply(STRICT)
    assert archive.expected(STRICT) == archive.tags()
