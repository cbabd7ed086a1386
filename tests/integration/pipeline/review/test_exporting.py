"""What people decided is written completely, and gives the same tags elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.pipeline.review.files import KEYS, Heard, ask, bring, count, decided, fill, tags, written
from tests.ledger import BUCKET
from worker import db
from worker.catalog.decisions import DecisionFilter, Verdict
from worker.db import Engine, transaction
from worker.pipeline.review import export
from worker.pipeline.review.decide import decide
from worker.pipeline.review.undo import undo_batch


@pytest.fixture
def images(engine: Engine) -> Engine:
    fill(engine, KEYS)
    return engine


@pytest.fixture
def history(images: Engine) -> Engine:
    """Decisions of every kind, some of them undone."""
    decide(
        images,
        [
            ask("a.jpg", "time-of-day", Verdict.ACCEPT, "night"),
            ask("a.jpg", "things", Verdict.NONE),
            ask("a.jpg", "things", Verdict.ACCEPT, "lamp"),
            ask("b.jpg", "time-of-day", Verdict.REJECT, "day"),
            ask("b.jpg", "things", Verdict.ACCEPT, "lamp"),
            ask("b.jpg", "things", Verdict.REJECT, "sofa", reason='odd; "very"'),
            ask("c.jpg", "time-of-day", Verdict.NONE),
            ask("c.jpg", "kinds", Verdict.ACCEPT, "dog"),
            ask("2026/quay.jpg", "time-of-day", Verdict.UNSURE),
        ],
        reviewer="ada",
    )
    undone = decide(images, [ask("c.jpg", "time-of-day", Verdict.ACCEPT, "night")], reviewer="bo")
    undo_batch(images, undone.batch, reviewer="bo")
    return images


def jsonl(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows)


@pytest.fixture
def other(postgres, migrated) -> Iterator[Engine]:
    """Another database with the same images."""
    with postgres.fresh_database(template=migrated) as url:
        other = db.connect(url, name="other", pool_size=2)
        fill(other, KEYS)
        yield other
        other.dispose()


@pytest.mark.parametrize("of", [export.history, export.in_force])
def test_there_and_back_again(history, other, tmp_path, of: Callable[..., Iterable[dict[str, Any]]]):
    """In another database with the same images, the export gives the same tags, by whichever way."""
    before = tags(history)
    assert tags(other) != before
    heard = Heard()
    bring(other, written(tmp_path, jsonl(of(history, DecisionFilter()))), heard, taxonomy=None)
    assert [] == heard.messages()
    assert before == tags(other)


def test_what_only_sql_can_say_comes_back_from_history(images, other, tmp_path):
    """Two labels of a taxonomy with one answer: what a decision said about labels is kept as it was."""
    with transaction(images) as connection:
        for label in ("indoor", "outdoor"):
            insert = text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'setting', 'v1', :label, 'human' FROM images WHERE key = 'c.jpg'"
            )
            connection.execute(insert, {"label": label})
    bring(other, written(tmp_path, jsonl(export.history(images, DecisionFilter()))))
    assert ["indoor", "outdoor"] == decided(images, "c.jpg", "setting") == decided(other, "c.jpg", "setting")


def test_history_is_complete_and_in_order(history):
    """Undone decisions say by what; undos are rows of their own."""
    rows = list(export.history(history, DecisionFilter()))
    assert sorted(row["id"] for row in rows) == [row["id"] for row in rows]
    assert count(history) == len(rows)
    [undone] = [row for row in rows if row["undone_by"] is not None]
    assert [undone["id"]] == [row["undoes"] for row in rows if row["verdict"] == "undo"]
    mine = export.history(history, DecisionFilter(reviewer="bo"))
    assert ["accept", "undo"] == [row["verdict"] for row in mine]


def test_what_is_in_force(history):
    """By image: whole answers, single labels, and rejections; nothing of other bytes."""
    rows = list(export.in_force(history, DecisionFilter()))
    found = [(row["key"], row["taxonomy"], row["verdict"], row["labels"] or row["label"]) for row in rows]
    assert [
        ("a.jpg", "things", "accept", ["lamp"]),
        ("a.jpg", "time-of-day", "accept", ["night"]),
        ("b.jpg", "things", "accept", "lamp"),
        ("b.jpg", "things", "reject", "sofa"),
        ("b.jpg", "time-of-day", "reject", "day"),
        ("c.jpg", "kinds", "accept", ["animal", "dog"]),
        ("c.jpg", "time-of-day", "none", None),
    ] == found
    assert all(row["reviewer"] for row in rows)
    with transaction(history) as connection:
        connection.execute(text("UPDATE images SET sha256 = '\\x00' WHERE key = 'c.jpg'"))
    wanted = DecisionFilter(bucket=BUCKET, prefix="c")
    assert [] == list(export.in_force(history, wanted))
    assert 2 == len(list(export.in_force(history, DecisionFilter(taxonomies=("time-of-day",)))))


def test_pages_of_an_export(history, monkeypatch):
    """However many pages it has."""
    whole = [list(of(history, DecisionFilter())) for of in (export.history, export.in_force)]
    monkeypatch.setattr(export, "_PAGE", 2)
    assert whole == [list(of(history, DecisionFilter())) for of in (export.history, export.in_force)]
