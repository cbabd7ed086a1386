"""Decisions about many images at once, and how decisions are taken back."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.integration.pipeline.review.test_deciding import SAVED, ask, listed, say, space, tags
from tests.ledger import BUCKET
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.db import transaction
from worker.errors import ChoiceError, CursorError, NotFoundError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.review import matching, undo
from worker.pipeline.review.matching import CountChangedError, SameDecision

__all__ = ["space"]  # a fixture


def test_an_undo_brings_back_what_held_before(engine, space):
    """Of a whole batch; twice does nothing more, and the feed hears of it."""
    first = say(engine, ask("a", "light", Verdict.ACCEPT, "night"))
    second = say(engine, ask("a", "light", Verdict.NONE), ask("b", "light", Verdict.REJECT, "day"))
    done = undo.undo_batch(engine, second.batch, reviewer="bob")
    assert (2, 0) == (done.undone, done.already)
    assert (["night"], ["day"]) == (tags(engine, "light"), tags(engine, "light", "b"))
    assert (0, 2) == ((again := undo.undo_batch(engine, second.batch, reviewer="bob")).undone, again.already)
    [[number], _] = [[each.decision for each in batch.results] for batch in (first, second)]
    assert number is not None
    assert 1 == undo.undo_some(engine, [number, number], reviewer="bob").undone
    assert ["day"] == tags(engine, "light")
    assert 3 == sum(each.verdict is Verdict.UNDO for each in listed(engine))


def test_two_undos_at_once_undo_once(engine, space):
    """Also of images that have left the catalog, whose lock otherwise keeps the two apart."""
    done = say(engine, *(ask(key, "light", Verdict.ACCEPT, "night") for key in "abc"))
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM images"))
    undone: list[undo.Undone] = []
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with transaction(engine) as first:
        first.execute(text("INSERT INTO decisions (bucket, key, taxonomy, verdict, undoes) "
                           "SELECT bucket, key, taxonomy, 'undo', id FROM decisions ORDER BY id LIMIT 1"))  # fmt: skip
        second = threading.Thread(target=lambda: undone.append(undo.undo_batch(engine, done.batch, reviewer="bob")))
        second.start()
        while first.execute(waiting).scalar_one() == 0:
            assert second.is_alive()
    second.join()
    assert [(2, 1)] == [(each.undone, each.already) for each in undone]
    assert 6 == len(listed(engine))


def test_what_cannot_be_undone_is_said(engine, space):
    """A batch or a number that does not exist, and an undo."""
    done = say(engine, ask("a", "light", Verdict.ACCEPT, "night"))
    undone = undo.undo_batch(engine, done.batch, reviewer="ada")
    with pytest.raises(NotFoundError, match="there is no batch"):
        undo.undo_batch(engine, uuid4(), reviewer="ada")
    with pytest.raises(NotFoundError, match="there is no decision 4711"):
        undo.undo_some(engine, [4711], reviewer="ada")
    with pytest.raises(ChoiceError, match="is itself an undo"):
        undo.undo_batch(engine, undone.batch, reviewer="ada")


def test_many_at_once_need_their_count(engine, space):
    """A preview decides nothing; another number than was confirmed decides nothing either."""
    day = ImageFilter(tags=(TagFilter(taxonomy="light", label="Daylight"),))
    night = SameDecision(taxonomy="light", verdict=Verdict.ACCEPT, label="night")
    found = matching.preview(engine, day, night)
    assert (3, ["a", "b", "c"]) == (found.count, [each.key for each in found.examples])
    with pytest.raises(CountChangedError, match="3 images match, not 2"):
        matching.decide_matching(engine, day, night, reviewer="ada", confirmed=2)
    assert () == listed(engine)
    done = matching.decide_matching(engine, day, night, reviewer="ada", confirmed=3)
    assert ({SAVED: 3}, None, None) == (done.outcomes, done.refused, done.next)
    assert {Chosen.BULK} == {each.chosen for each in listed(engine)}
    undo.undo_batch(engine, done.batch, reviewer="ada")
    assert ["day"] == tags(engine, "light", "c")


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (SameDecision(taxonomy="light", verdict=Verdict.ACCEPT, label="nihgt"), "did you mean 'night'"),
        (SameDecision(taxonomy="ligt", verdict=Verdict.ACCEPT, label="night"), "did you mean 'light'"),
        (SameDecision(taxonomy="light", verdict=Verdict.ACCEPT), "accept needs a label"),
        (SameDecision(taxonomy="things", verdict=Verdict.REPLACE, label="lamp"), "say which one is replaced"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_decision_about_many_is_checked_before_it_is_confirmed(engine, space, decision, told):
    """A preview would promise what every image refuses."""
    with pytest.raises((ChoiceError, UnknownNameError), match=told):
        matching.preview(engine, ImageFilter(bucket=BUCKET), decision)


def test_many_at_once_take_several_calls(engine, space, monkeypatch):
    """In one batch, none twice, and none left out because the decision changes what the filter matches."""
    monkeypatch.setattr(matching, "MOST", 2)
    day = ImageFilter(bucket=BUCKET, tags=(TagFilter(taxonomy="light", label="day"),))
    reject = SameDecision(taxonomy="light", verdict=Verdict.REJECT, label="day")
    first = matching.decide_matching(engine, day, reject, reviewer="ada", confirmed=3, patience=0)
    assert ({SAVED: 2}, True) == (first.outcomes, first.next is not None)
    rest = matching.decide_matching(engine, day, reject, reviewer="ada", confirmed=3, after=first.next, patience=0)
    assert ({SAVED: 1}, None, first.batch) == (rest.outcomes, rest.next, rest.batch)
    assert [[], [], []] == [tags(engine, "light", key) for key in "abc"]


def test_what_would_be_everything_is_refused(engine, space):
    """So is a cursor of something else."""
    with pytest.raises(ChoiceError, match="this would decide about every image"):
        matching.preview(engine, ImageFilter(), SameDecision(taxonomy="light", verdict=Verdict.NONE))
    with pytest.raises(ChoiceError, match="a prefix needs a bucket"):
        ImageFilter(prefix="2026/")
    with pytest.raises(CursorError):
        matching.decide_matching(
            engine, ImageFilter(bucket=BUCKET), SameDecision(taxonomy="light", verdict=Verdict.NONE),
            reviewer="ada", confirmed=3, after="nonsense",
        )  # fmt: skip
