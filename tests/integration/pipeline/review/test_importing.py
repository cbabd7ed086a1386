"""Files of decisions are recorded whole or not at all, and once."""

from __future__ import annotations

import csv
import json
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pipeline.review.files import KEYS, Heard, bring, count, decided, fill, ref, tags, written
from worker import catalog
from worker.catalog.decisions import DecisionFilter, Verdict
from worker.db import Engine, transaction
from worker.pipeline.review import export
from worker.pipeline.review import import_file as importing
from worker.pipeline.review.decide import DecisionRequest, decide
from worker.pipeline.review.undo import undo_batch

FIXTURES = Path(__file__).parents[3] / "fixtures" / "decisions"


@pytest.fixture
def images(engine: Engine) -> Engine:
    fill(engine, KEYS)
    return engine


# -- recorded ----------------------------------------------------------------------------------------------------------
def test_labels_are_found_by_title_and_renamed(images, tmp_path):
    """As filters find them; the map comes first."""
    report = bring(images, written(tmp_path, "path,label\na.jpg,daylight\nb.jpg,nacht\n"), labels={"nacht": "night"})
    assert ({"saved": 2}, 0) == (dict(report.outcomes), report.bad)
    assert (["day"], ["night"]) == (decided(images, "a.jpg"), decided(images, "b.jpg"))


def test_a_file_says_who_when_and_how(images, tmp_path):
    """Each row its own; what it leaves out is the import's."""
    row = {"key": "a.jpg", "label": "night", "reviewer": "bo", "reason": "lamps", "at": "2026-01-02T03:04:05Z",
           "chosen": "random", "inclusion_probability": 0.25, "plan": 7, "shown_label": "day"}  # fmt: skip
    bring(images, written(tmp_path, json.dumps(row) + '\n{"key": "b.jpg", "label": "night"}\n'))
    first, second = export.history(images, DecisionFilter())
    kept = {
        name: first[name] for name in ("reviewer", "reason", "chosen", "inclusion_probability", "plan", "shown_label")
    }
    assert kept == {name: row[name] for name in kept}
    assert "2026-01-02 03:04:05+00:00" == str(first["at"])
    assert ("ada", "import") == (second["reviewer"], second["chosen"])


def test_clocks_that_are_ahead(images, tmp_path):
    """A browser's clock may be, by minutes: its decisions were made just now. By years it is not."""
    heard = Heard()
    rows = [f'{{"key": "{key}", "label": "night", "at": "{at}"}}' for key, at in zip(KEYS, ahead(images), strict=False)]
    bring(images, written(tmp_path, "\n".join(rows) + "\n"), heard, skip_invalid=True)
    assert ["line 2: the time 2999-01-01 00:00:00+00:00 is in the future"] == heard.messages()
    [row] = export.history(images, DecisionFilter())
    with transaction(images) as connection:
        assert row["at"] <= catalog.embedding_queue.now(connection)


def ahead(engine: Engine) -> tuple[str, str]:
    with transaction(engine) as connection:
        return str(catalog.embedding_queue.now(connection) + timedelta(minutes=20)), "2999-01-01"


def test_everything_wrong_is_said_and_nothing_recorded(images, tmp_path):
    """Mistakes of parsing, unknown images, labels and taxonomies, all in one go and in their order."""
    content = (
        "path,taxonomy,label\na.jpg,,nigt\nmissing.jpg,,day\nb.jpg,,night\nc.jpg,time-of-dya,day\n"
        "c.jpg,,\nc.jpg,setting,day\n"
    )
    heard = Heard()
    report = bring(images, written(tmp_path, content), heard)
    assert (5, 1, False, 0) == (report.bad, report.rows, report.written, count(images))
    assert [
        "line 2: taxonomy time-of-day has no label 'nigt'; did you mean 'night'?",
        "line 3: photos/missing.jpg is not in the catalog; `enrich list` shows which keys are",
        "line 5: there is no taxonomy 'time-of-dya'; did you mean 'time-of-day'?",
        "line 6: no label and no verdict; if no label of the taxonomy holds, write the verdict none",
        "line 7: taxonomy setting has no label 'day'; its labels are indoor, outdoor",
    ] == heard.messages()


def test_bad_rows_may_be_skipped_but_not_a_damaged_file(images, tmp_path):
    """What follows a cut is unknown."""
    report = bring(images, written(tmp_path, "path,label\na.jpg,nigt\nb.jpg,night\n"), skip_invalid=True)
    assert (1, ["night"]) == (report.saved, decided(images, "b.jpg"))
    cut = '{"key": "a.jpg", "label": "night"}\n{"key": "c.jpg", "la'
    assert not bring(images, written(tmp_path, cut), skip_invalid=True).written
    assert 1 == count(images)


def test_a_dry_run_records_nothing(images, tmp_path):
    """It only says what would be wrong."""
    report = bring(images, written(tmp_path, "path,label\na.jpg,night\n"), dry_run=True)
    assert (1, False, 0) == (report.rows, report.written, count(images))


def test_new_labels(images, tmp_path):
    """They are taken if that is asked for."""
    file = written(tmp_path, "path,label\na.jpg,dusk\n")
    assert 1 == bring(images, file).bad
    assert 1 == bring(images, file, new_labels=True).saved
    assert ["dusk"] == decided(images, "a.jpg")


def test_lists_are_whole_answers(images, tmp_path):
    """A model's other labels go, and so does what a person said before; single labels leave the others alone."""
    rows = [
        {"key": "a.jpg", "taxonomy": "things", "labels": ["cat", "lamp"]},
        {"key": "b.jpg", "taxonomy": "things", "label": "lamp"},
        {"key": "c.jpg", "taxonomy": "things", "labels": ["cat", "lamp"]},
        {"key": "c.jpg", "taxonomy": "things", "labels": ["lamp"]},
        {"key": "2026/quay.jpg", "taxonomy": "kinds", "labels": ["animal", "dog"]},
    ]
    report = bring(images, written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows)))
    assert (0, {"saved": 10}) == (report.bad, dict(report.outcomes))
    things = {key: sorted(label for k, t, label, _ in tags(images) if (k, t) == (key, "things")) for key in KEYS[:3]}
    assert {"a.jpg": ["cat", "lamp"], "b.jpg": ["cat", "lamp", "sofa"], "c.jpg": ["lamp"]} == things
    assert ["animal", "dog"] == decided(images, "2026/quay.jpg", "kinds")


def test_a_list_does_not_fit_one_answer(images, tmp_path):
    """Two labels that exclude each other are refused."""
    heard = Heard()
    bring(images, written(tmp_path, "path,labels\na.jpg,day;night\n"), heard)
    assert ["line 2: day and night: an image has one label of time-of-day, which is exclusive"] == heard.messages()


def test_the_same_list_in_another_file(images, tmp_path):
    """A list that is in force already stays in force."""
    row = {"key": "a.jpg", "taxonomy": "things", "labels": ["cat", "lamp"]}
    bring(images, written(tmp_path, json.dumps(row) + "\n"))
    bring(images, written(tmp_path, json.dumps(row) + "\n\n"))
    assert ["cat", "lamp"] == decided(images, "a.jpg", "things")


def test_images_without_extension(images, tmp_path):
    """They are looked up; two candidates are one too many."""
    fill(images, ["2026/lamp.png", "2026/lamp.webp", "2026/lamp.tar.gz"])
    targets = {"2026/quay": "night", "a": "day", "2026/lamp": "day", "gone": "day", "2026": "day"}
    heard = Heard()
    report = bring(images, written(tmp_path, json.dumps({"labels": targets})), heard, skip_invalid=True)
    assert (2, ["night"]) == (report.saved, decided(images, "2026/quay.jpg"))
    assert [
        "line 1, image 2026/lamp: photos/2026/lamp may be 2026/lamp.png or 2026/lamp.webp: the file has no extensions",
        "line 1, image gone: photos/gone is not in the catalog; `enrich list` shows which keys are",
        "line 1, image 2026: photos/2026 is not in the catalog; `enrich list` shows which keys are",
    ] == heard.messages()


def test_label_studio(images):
    """Names of choices are taxonomies, `_` for `-`; people who disagree are counted."""
    fill(images, ["2026/harbour at night.jpg", "2026/market hall.jpg", "quay.jpg"])
    report = bring(images, FIXTURES / "label-studio.json", taxonomy=None)
    assert ({"saved": 5}, 1, 1) == (dict(report.outcomes), report.agree, report.differ)
    assert ["night"] == decided(images, "2026/harbour at night.jpg")
    assert ["outdoor"] == decided(images, "2026/harbour at night.jpg", "setting")
    assert {"ada@example.org", "bo@example.org", "label-studio:3"} == {
        row["reviewer"] for row in export.history(images, DecisionFilter())
    }


def test_bytes_that_are_not_there_yet(images, tmp_path):
    """A row with a SHA-256 is kept for it."""
    sha256 = "cd" * 32
    report = bring(images, written(tmp_path, f"path,label,sha256\nlater.jpg,night,{sha256}\na.jpg,night,{sha256}\n"))
    assert {"other-bytes": 2} == dict(report.outcomes)
    assert [] == decided(images, "a.jpg")


def test_what_was_seen_has_changed(images, tmp_path):
    """A row about an image that was decided since it was shown is a conflict, and is not recorded."""
    decide(images, [DecisionRequest(ref=ref("a.jpg"), taxonomy="time-of-day", verdict=Verdict.NONE)], reviewer="bo")
    heard = Heard()
    report = bring(images, written(tmp_path, "path,label,shown_decision\na.jpg,night,0\nb.jpg,night,0\n"), heard)
    assert ({"conflict": 1, "saved": 1}, 1) == (dict(report.outcomes), report.bad)
    assert ["line 2: bo decided about it meanwhile; look again"] == heard.messages()


# -- once --------------------------------------------------------------------------------------------------------------
def test_the_same_file_twice(images, tmp_path):
    """Nothing is recorded, whatever people decided since; after an undo, all of it is again."""
    file = written(tmp_path, "path,label\na.jpg,night\nb.jpg,night\nb.jpg,night\n")
    first = bring(images, file)
    assert {"saved": 2, "unchanged": 1} == dict(first.outcomes)
    decide(images, [DecisionRequest(ref=ref("a.jpg"), taxonomy="time-of-day", verdict=Verdict.NONE)], reviewer="bo")
    second = bring(images, file)
    assert (first.batch, 0, 3) == (second.batch, second.saved, second.before)
    assert ([], ["night"]) == (decided(images, "a.jpg"), decided(images, "b.jpg"))
    undo_batch(images, first.batch, reviewer="ada")
    assert 2 == bring(images, file).saved


def test_read_in_another_way_it_is_another_import(images, tmp_path):
    """A file with other options has another batch."""
    file = written(tmp_path, "path,label\na.jpg,night\n")
    assert bring(images, file).batch != bring(images, file, labels={"night": "day"}).batch
    assert ["day"] == decided(images, "a.jpg")


@pytest.mark.parametrize(("rows_at_once", "stop_after"), [(1, 4), (2, 1), (2, 2), (2, 3), (3, 1), (5, 1)])
def test_an_interrupted_import_goes_on(images, tmp_path, monkeypatch, rows_at_once, stop_after):
    """Wherever it stopped, the second run ends where one run would: also for labels that came, went and came again."""
    rows = [("a.jpg", "day"), ("a.jpg", "night"), ("a.jpg", "day"), ("b.jpg", "night"), ("a.jpg", "night")]
    sets = [("c.jpg", ["cat", "lamp"]), ("c.jpg", ["lamp"]), ("c.jpg", ["cat", "lamp"])]
    lines: list[dict[str, Any]] = [{"key": key, "label": label} for key, label in rows]
    lines += [{"key": key, "taxonomy": "things", "labels": labels} for key, labels in sets]
    file = written(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(importing, "_ROWS", rows_at_once)
    calls = 0

    def stopping(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > stop_after:
            raise KeyboardInterrupt
        return decide(*arguments, **more)

    with monkeypatch.context() as stopped:
        stopped.setattr(importing, "decide", stopping)
        with pytest.raises(KeyboardInterrupt):
            bring(images, file)
    had = count(images)
    report = bring(images, file)
    assert (0 < had < 13, 13) == (True, count(images))
    assert report.before == rows_at_once * stop_after
    assert (["night"], ["cat", "lamp"]) == (decided(images, "a.jpg"), decided(images, "c.jpg", "things"))
    assert 8 == bring(images, file).before
    assert 13 == count(images)


# -- large -------------------------------------------------------------------------------------------------------------
def test_memory_does_not_grow_with_the_file(images, tmp_path):
    """20,000 rows take hardly more than 2,000."""
    peaks = []
    for rows in (2_000, 20_000):
        file = tmp_path / f"{rows}.csv"
        with file.open("w", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(["path", "label"])
            writer.writerows([KEYS[n % len(KEYS)], "day" if n % 7 else "night"] for n in range(rows))
        tracemalloc.start()
        assert rows == bring(images, file, dry_run=True).rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 1_000_000
