"""Labels of a test set from a file: measured by, and not stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.pipeline.review.gallery import Gallery
from worker.catalog.decisions import DecisionFilter, Verdict
from worker.errors import ChoiceError
from worker.pipeline.evaluation.evaluate import EvaluationRequest, LabelFile, evaluate
from worker.pipeline.evaluation.label_files import read_labels
from worker.pipeline.evaluation.report import TaxonomyReport
from worker.pipeline.review import export
from worker.pipeline.review.formats.reading import open_file
from worker.pipeline.review.formats.rows import ReadOptions

OPTIONS = ReadOptions(taxonomy="colour")


def labels(gallery: Gallery, tmp_path: Path, rows: str, *, head: str = "bucket,key,label") -> LabelFile:
    file = tmp_path / "labels.csv"
    file.write_text(f"{head}\n{rows}")
    return read_labels(gallery.engine, open_file(file), OPTIONS)


def measured(gallery: Gallery, file: LabelFile) -> TaxonomyReport:
    [found] = evaluate(gallery.engine, gallery.build, EvaluationRequest(file=file)).taxonomies
    return found


def test_a_file_measures_tags(gallery: Gallery, tmp_path: Path):
    """All of its images, whatever the model says; people's decisions are not read, and nothing is written."""
    tags = {key: next(iter(own))[1] if own else None for key, own in gallery.seen().items()}
    keys = list(gallery.written)[:40]
    gallery.says(keys[0], Verdict.ACCEPT, "green")
    file = labels(gallery, tmp_path, "".join(f"photos,{key},red\n" for key in keys))
    found = measured(gallery, file)
    tagged = [key for key in keys if tags.get(key) is not None and key != keys[0]]
    assert ("file", 40, False) == (found.design, found.decided, file.report.random)
    assert found.all_images is not None
    assert len(tagged) <= found.all_images.tagged <= len(tagged) + 1
    assert [(1,)] == gallery.sql("SELECT count(*) FROM decisions")


def test_what_cannot_be_used_is_named(gallery: Gallery, tmp_path: Path):
    """Unknown images and labels, and two answers where there is one; the others count."""
    first, second = list(gallery.written)[:2]
    file = labels(
        gallery, tmp_path,
        f"photos,{first},red\nphotos,nowhere.jpg,red\nphotos,{second},rad\nphotos,{first},blue\nphotos,{second},blue\n",
    )  # fmt: skip
    assert (2, 3) == (file.report.images, file.report.problems)
    said = {each.line: each.message for each in file.report.examples}
    assert "photos/nowhere.jpg is not in the catalog" in said[3]
    assert "did you mean 'red'?" in said[4]
    assert f"{first} is blue here and red in line 2; colour has one answer" in said[5]


def test_a_random_sample_says_so_and_what_was_picked_is_left_out(gallery: Gallery, tmp_path: Path):
    """As far as the file says how its images were chosen."""
    keys = list(gallery.written)[:4]
    head = "bucket,key,label,chosen"
    drawn = labels(gallery, tmp_path, "".join(f"photos,{key},red,random\n" for key in keys), head=head)
    assert (True, 4) == (drawn.report.random, measured(gallery, drawn).drawn)
    mixed = labels(gallery, tmp_path, f"photos,{keys[0]},red,import\nphotos,{keys[1]},red,uncertain\n", head=head)
    found = measured(gallery, mixed)
    assert (False, 1, {"uncertain": 1}) == (mixed.report.random, found.scenes, found.left_out)


def test_an_export_of_decisions_is_a_test_set(gallery: Gallery, tmp_path: Path):
    """What stands at its end counts, as in the catalog."""
    first, second, third = list(gallery.written)[:3]
    gallery.says(first, Verdict.ACCEPT, "red")
    gallery.says(first, Verdict.ACCEPT, "blue")
    gallery.says(second, Verdict.REJECT, "red")
    gallery.says(third, Verdict.ACCEPT, "red")
    gallery.says(third, Verdict.WITHDRAW)
    file = tmp_path / "decisions.jsonl"
    rows = export.history(gallery.engine, DecisionFilter())
    file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    [*images] = read_labels(gallery.engine, open_file(file), OPTIONS).images["colour"]
    truths = {image.ref.key: [image.truth(label) for label in ("red", "blue")] for image in images}
    assert {first: [False, True], second: [False, None]} == truths


def test_a_file_without_labels_of_use_is_refused(gallery: Gallery, tmp_path: Path):
    """With the first reason."""
    with pytest.raises(ChoiceError, match=r"labels.csv has no labels that can be used: photos/x is not in the catalog"):
        measured(gallery, labels(gallery, tmp_path, "photos,x,red\n"))
