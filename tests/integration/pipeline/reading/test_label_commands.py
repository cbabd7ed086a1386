"""``enrich explain``, ``labels`` and ``search --label`` as commands, on a real PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from worker import bootstrap, catalog
from worker.cli import app
from worker.db import transaction
from worker.errors import NotFoundError, TaxonomyError
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.tagging import Label, Tagger, Taxonomy

FILE = """\
name: colour
labels:
  red: {title: Rot, prompts: [red]}
  green: [green]
"""
COLOUR = Taxonomy(
    name="colour",
    labels=(Label(name="red", title="Rot", prompts=("red",)), Label(name="green", prompts=("green",))),
)


@pytest.fixture
def site(engine, tmp_path, monkeypatch):
    """A red picture, tagged; commands find the database by the environment, and a fake model in place of theirs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colour.yaml").write_text(FILE, "utf-8")
    (tmp_path / "words.txt").write_text("a red rose\na green field\n", "utf-8")
    (tmp_path / "words.yaml").write_text("name: words\nvocabulary: words.txt\n", "utf-8")
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_TAXONOMIES", "colour.yaml,words.yaml")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(bootstrap, "encoder", lambda *_, **__: ColourEncoder())
    encoder = ColourEncoder()
    [vector] = encoder.encode_texts(["red"])
    [tags] = Tagger((COLOUR,), encoder.encode_texts, logit_scale=20.0, model="tiny").tag(vector[None])
    keep(engine, [COLOUR])
    image = replace(enriched_image("red.jpg", vector=vector), tags=tags)
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
        catalog.write.save_images(connection, space_id=space.id, images=[image])
    return engine


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.stdout


def test_an_explanation_is_a_table_with_reasons(site):
    """What was decided, where it is from, and each label's numbers."""
    told = run("explain", "photos/red.jpg")
    assert "colour: red (decided)" in told
    assert f"version {COLOUR.version}, space 1, zero-shot" in told
    assert "another-label-nearer" in told


def test_an_explanation_as_json_is_that_of_the_api(site):
    """Every number."""
    told = json.loads(run("explain", "photos/red.jpg", "--json"))
    [one] = told["taxonomies"]
    assert ("decided", "current", ["colour"]) == (one["decided_by"], one["standing"], told["uncalibrated"])


def test_a_person_s_decision_comes_first(site):
    """And what the model says, below it."""
    with transaction(site) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'colour', 'v', 'green', 'human' FROM images"
            )
        )
    told = run("explain", "photos/red.jpg")
    assert "colour: green (human-decision)" in told
    assert "the numbers are the model's" in told


def test_people_are_shown_titles_and_programs_are_not(site):
    """Beside the name, which filters take: in all tables, and in none of the JSON's labels."""
    run("labels", "fill")
    for command in ("show photos/red.jpg", "explain photos/red.jpg", "search red", "labels near photos/red.jpg"):
        assert "red (Rot)" in run(*command.split()), command
        assert "(Rot)" not in run(*command.split(), "--json"), command


def test_labels_are_filled_shown_and_searched(site):
    """From files to answers."""
    run("labels", "fill")
    stored = json.loads(run("labels", "status", "--json"))
    assert [
        ("colour", 2, True), ("words", 2, True),
    ] == [(each["taxonomy"], each["labels"], each["ready"]) for each in stored]  # fmt: skip
    assert "yes" in run("labels", "status")
    near = json.loads(run("labels", "near", "photos/red.jpg", "--limit", "2", "--json"))["labels"]
    assert {("colour", "red"), ("words", "a red rose")} == {(each["taxonomy"], each["label"]) for each in near}
    assert "Rot" in run("labels", "near", "photos/red.jpg", "--taxonomy", "colour")
    for label in ("colour/red", "colour/rot", "words/a red rose"):
        assert "photos/red.jpg" in run("search", "--label", label)


def test_a_vocabulary_that_was_never_applied_can_be_forgotten(site):
    """With its vectors; and stored again."""
    with transaction(site) as connection:
        catalog.taxonomy_revisions.begin(connection, {"colour": COLOUR.version}, made_by="a@b")
    run("labels", "fill")
    run("labels", "drop", "words")
    assert ["colour"] == [each["taxonomy"] for each in json.loads(run("labels", "status", "--json"))]
    with transaction(site) as connection:
        assert 0 == connection.execute(text("SELECT count(*) FROM label_vectors WHERE label LIKE 'a %'")).scalar_one()
    with pytest.raises(NotFoundError, match="no taxonomy 'words'; labels are stored of colour"):
        run("labels", "drop", "words")
    run("labels", "fill")
    assert "words" in run("labels", "status")


def test_what_decides_or_decided_is_not_forgotten(site):
    """What is in force is taken out by `taxonomy remove`; what was is kept to go back to."""
    with pytest.raises(NotFoundError, match="no taxonomies are in force yet"):
        run("labels", "drop", "colour")
    mood = Taxonomy(name="mood", labels=(Label(name="glad", prompts=("green",)),), background=("blue",))
    keep(site, [mood])
    with transaction(site) as connection:
        catalog.taxonomy_revisions.begin(connection, {"mood": mood.version}, made_by="a@b")
    with pytest.raises(TaxonomyError, match=r"mood is in force: .*enrich taxonomy remove mood"):
        run("labels", "drop", "mood")
    with pytest.raises(TaxonomyError, match="or images have tags of it"):
        run("labels", "drop", "colour")
    with transaction(site) as connection:
        catalog.taxonomy_revisions.make(connection, {}, action="apply", made_by="a@b")
    with pytest.raises(TaxonomyError, match="mood was in force once"):
        run("labels", "drop", "mood")
    assert {"colour", "mood"} <= set(run("taxonomy", "list").split())


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("color=red", "there is no taxonomy 'color'; did you mean 'colour'?"),
        ("weather=rain", "there is no taxonomy 'weather'; there are colour"),
        ("colour=rde", "taxonomy colour has no label 'rde'; did you mean 'red'?"),
        ("colour=mauve", "taxonomy colour has no label 'mauve'; `enrich taxonomy show colour`"),
        ("colour=green", None),
    ],
)
def test_a_filter_that_nothing_can_pass_is_named(site, tag, says):
    """Nothing found by a misspelt name would look like nothing there, in words and as JSON."""
    run("labels", "fill")
    for arguments in (("search", "red"), ("search", "--label", "colour/red"), ("search", "red", "--json"), ("list",)):
        done = CliRunner().invoke(app, [*arguments, "--tag", tag])
        if says is None:
            assert 0 == done.exit_code
        else:
            assert (1, "") == (done.exit_code, done.stdout)
            assert str(done.exception).startswith(says)


@pytest.mark.parametrize("arguments", [(), ("red", "--label", "colour/red"), ("--label", "colour")])
def test_a_search_is_for_words_or_for_a_label(site, arguments):
    """Anything else is a mistake of the command line."""
    refused = CliRunner().invoke(app, ["search", *arguments])
    assert (2, len(arguments) == 3) == (refused.exit_code, "not by both" in refused.output)
