"""The quarantine is a place: seen by reason, retried, dropped."""

from __future__ import annotations

import pytest

from tests.ledger import BUCKET, pending, ref, row
from tests.pictures import picture
from worker.inbox import Selection
from worker.pipeline import quarantine
from worker.types import Outcome


@pytest.fixture
def filled(world):
    """Two files that are no images, one that is cut short, and a good one."""
    world.upload("a/text.jpg", b"text")
    world.upload("b/text.jpg", b"text")
    world.upload("a/cut.jpg", picture(size=(640, 480))[:-500])
    world.upload("good.jpg", picture())
    world.run()
    return world


def keys(world, **selection):
    found = quarantine.listing(world.engine, Selection(**selection), limit=100)
    return {entry.key for entry in found.entries}


def retry(world, **selection):
    return quarantine.retry(world.engine, Selection(**selection), ring=world.enricher.ring)


def test_entries_are_selected_by_reason_place_and_age(filled):
    """Everything given must hold."""
    assert {"a/text.jpg", "b/text.jpg"} == keys(filled, reason="not-an-image")
    assert {"a/text.jpg"} == keys(filled, reason="not-an-image", bucket=BUCKET, prefix="a/")
    assert {"a/cut.jpg"} == keys(filled, key="a/cut.jpg")
    assert set() == keys(filled, older_than=3_600)
    assert set() == keys(filled, bucket="other")


def test_the_counts_cover_the_whole_selection(filled):
    """Also what the limit leaves out."""
    found = quarantine.listing(filled.engine, Selection(), limit=1)
    assert (1, {"not-an-image": 2, "truncated": 1}) == (len(found.entries), found.counts)


def test_a_retry_by_reason_is_worked_on_and_somebody_is_woken(filled):
    """What can be mended is mended; what cannot comes back with its reason."""
    filled.store.put(ref("a/text.jpg"), picture("blue"), "image/jpeg")
    assert 2 == retry(filled, reason="not-an-image")
    assert (2, 1) == (pending(filled.engine), len(filled.rung))
    assert {Outcome.ENRICHED: 1, Outcome.QUARANTINED: 1} == filled.run()
    assert {"b/text.jpg", "a/cut.jpg"} == keys(filled)


def test_a_retry_that_is_pending_is_not_counted_again(filled):
    """Impatience does no harm."""
    assert (3, 0) == (retry(filled), retry(filled))


def test_dropped_entries_are_excluded_until_they_are_named_again(filled):
    """Giving up is an outcome, too: the equation still holds."""
    assert 1 == quarantine.drop(filled.engine, Selection(key="a/cut.jpg"))
    assert {"a/text.jpg", "b/text.jpg"} == keys(filled)
    assert "excluded" == row(filled.engine, "a/cut.jpg").outcome
    filled.hint("a/cut.jpg")
    filled.run()
    assert "a/cut.jpg" in keys(filled)
