"""From first tags to proven ones on a thousand real photos, by CLIP's published vectors and people's labels.

The commands of docs/how-to/trust-your-tags.md, with its numbers.
"""

from __future__ import annotations

import pytest

from tests.integration.pipeline.learning.gallery import ClipTexts, Gallery, taxonomy
from tests.unsplash import MODEL
from worker import bootstrap


@pytest.fixture
def gallery(engine, tmp_path, monkeypatch) -> Gallery:
    """Tagged zero-shot by two taxonomies, of which both ask for a precision of .95."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_MODEL", MODEL)
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./time.yaml,./setting.yaml")
    monkeypatch.setenv("COLUMNS", "80")
    made = Gallery(engine, tmp_path)
    monkeypatch.setattr(bootstrap, "encoder", lambda *_args, **_options: ClipTexts(made.photos))
    return made


def asks_for_proof(gallery: Gallery) -> None:
    """Apply both files with ``target_precision``."""
    for question in ("time", "setting"):
        (gallery.folder / f"{question}.yaml").write_text(taxonomy(question, target=0.95))
    assert 0 == gallery.run("taxonomy", "apply", "--yes").exit_code


def test_zero_shot_gets_no_tag_by_itself(gallery):
    """Until something is proven, labels are suggestions."""
    asks_for_proof(gallery)
    assert {} == gallery.shown("time")
    listed = gallery.json("list", "photos", "--suggested", "time=night", "--limit", "5")
    assert 5 == len(listed["images"])


@pytest.mark.parametrize(
    ("question", "reviews", "before", "after"), [("time", 150, 0.0, 0.9), ("setting", 200, 0.5, 0.9)]
)
def test_reviews_turn_what_cannot_be_proven_into_a_proven_precision(gallery, question, reviews, before, after):
    """Zero-shot proves .95 of hardly anything; what the same reviews teach proves it of nine in ten, and it is so."""
    asks_for_proof(gallery)
    reviewed = gallery.review(question, reviews)
    [zero_shot] = gallery.json("calibrate", question, "--pooled", "--dry-run")["taxonomies"][0]["labels"]
    assert before + 0.1 > zero_shot["coverage"]

    learned = gallery.run("learn", question, "--pooled", "--yes")
    assert (0, True) == (learned.exit_code, "the head is better than zero-shot" in learned.output)
    [certificate] = gallery.json("certificates", question, "--state", "proven")["certificates"]
    assert (None, 0.95) == (certificate["label"], certificate["target"])
    assert after < certificate["coverage"]

    shown = gallery.shown(question)
    assert after < len(shown) / len(gallery.photos.ids)
    others = [each for each in gallery.photos.labelled(question) if each not in reviewed]
    given = [each for each in others if each in shown]
    right = [each for each in given if shown[each] == gallery.photos.people[question][each]]
    assert 0.95 * len(given) <= len(right)


def test_what_was_learned_survives_the_file_and_goes_with_its_prompts(gallery):
    """The same file again changes nothing; another prompt ends the head, its threshold and its proof, and says so."""
    asks_for_proof(gallery)
    gallery.review("time", 150)
    gallery.run("learn", "time", "--pooled", "--yes")
    learned = gallery.shown("time")
    assert "nothing to change: the files are revision 3" in gallery.run("taxonomy", "plan").output

    file = gallery.folder / "time.yaml"
    file.write_text(file.read_text().replace("title: Time", "title: Time of day"))
    gallery.run("taxonomy", "apply", "--yes")
    assert learned == gallery.shown("time")

    file.write_text(file.read_text().replace("[dawn, dusk]", "[dusk]"))
    planned = gallery.run("taxonomy", "plan")
    assert (3, True, True) == (planned.exit_code, "head: - 1" in planned.output, "proven.day: - 0.95" in planned.output)
    gallery.run("taxonomy", "apply", "--yes")
    assert {"expired"} == {each["state"] for each in gallery.json("certificates", "time")["certificates"]}
    assert 150 == len(gallery.shown("time"))  # what people said

    gallery.run("taxonomy", "rollback", "--yes")
    assert learned == gallery.shown("time")
    assert {"proven"} == {each["state"] for each in gallery.json("certificates", "time")["certificates"]}
