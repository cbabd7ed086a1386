"""``enrich classify`` and ``enrich tag --label`` as commands, on a real PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.pictures import picture
from worker import bootstrap, catalog
from worker.cli import app
from worker.db import transaction
from worker.errors import ChoiceError
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies.active_taxonomies import begin
from worker.tagging import Calibration, Label, Taxonomy

COLOUR = Taxonomy(
    name="colour",
    labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green", "blue")),
    models={"tiny": Calibration(threshold=0.5)},
)
LABELS = ("--label", "red", "--label", "green", "--label", "blue")


@pytest.fixture
def site(engine, tmp_path, monkeypatch):
    """A catalog of 40 green images and a red one, two files, and a taxonomy in force; a fake model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(bootstrap, "encoder", lambda *_, **__: ColourEncoder())
    encoder = ColourEncoder()
    red, green = encoder.encode_texts(["red", "green"])
    images = [enriched_image(f"{n:02}.jpg", vector=green) for n in range(40)] + [enriched_image("red.jpg", vector=red)]
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
        catalog.write.save_images(connection, space_id=space.id, images=images)
    begin(engine, lambda: (COLOUR,))
    (tmp_path / "blue.jpg").write_bytes(picture("#00f"))
    (tmp_path / "torn.jpg").write_bytes(picture()[:300])
    return tmp_path


def invoke(*arguments: str):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def lines(*arguments: str) -> list[dict[str, Any]]:
    result = invoke(*arguments, "--json")
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def decided(line: dict[str, Any]) -> list[str]:
    return [label for own in line["taxonomies"] for label in own["decided"]]


def test_files_and_images_by_labels(site):
    """One line for each, as the API answers; a file that cannot be read has its reason and costs no other."""
    blue, torn, red = lines("classify", "blue.jpg", "torn.jpg", "photos/red.jpg", *LABELS)
    assert ["blue.jpg", ["blue"]] == [blue["file"], decided(blue)]
    assert ["torn.jpg", "truncated"] == [torn["file"], torn["problem"]["reason"]]
    assert ["photos/red.jpg", ["red"], 2] == [red["image"], decided(red), red["index"]]


def test_images_of_a_filter_in_pages(site):
    """As many as --limit says, over more than one page, and a word about the rest."""
    result = invoke("classify", "--in", "photos", *LABELS, "--json", "--limit", "40")
    assert 40 == len(result.stdout.splitlines())
    assert "40 images are classified, and there are more" in result.stderr
    every = lines("classify", "--all", "--taxonomy", "colour", "--limit", "1000")
    assert [["green"]] * 40 + [["red"]] == [decided(each) for each in every]
    assert [] == lines("classify", "--in", "photos", "--where", "format=png", *LABELS)


def test_a_table_for_people(site):
    """Labels that hold with their numbers, and what came nearest where none does."""
    (site / "mine.yaml").write_text("name: mine\nlabels:\n  red: [red]\n  green: [green]\n", "utf-8")
    result = invoke("classify", "photos/red.jpg", "blue.jpg", "torn.jpg", "--definition", "mine.yaml")
    assert 0 == result.exit_code
    assert "photos/red.jpg  mine      red" in result.stdout
    assert "– (nearest: " in result.stdout
    assert "torn.jpg: " in result.stderr


def test_nothing_readable_is_a_failure(site):
    """Status 1, for scripts."""
    assert 1 == invoke("classify", "torn.jpg", *LABELS).exit_code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["blue.jpg"], "say by what"),
        (["blue.jpg", *LABELS, "--taxonomy", "colour"], "say by what"),
        ([*LABELS], "say which images"),
        (["blue.jpg", "--all", *LABELS], "say which images"),
        (["blue.jpg", "--in", "photos", *LABELS], "say which images"),
        (["blue.jpg", "--taxonomy", "colour", "--many"], "--many: only together with --label"),
        (["gone.jpg", *LABELS], "there is no file 'gone.jpg'"),
    ],
)
def test_a_wrong_command_line(site, arguments, message):
    """Status 2, and what to write instead."""
    result = invoke("classify", *arguments)
    assert (2, True) == (result.exit_code, message in result.stderr), result.stderr


def test_local_files_by_labels_without_a_server(site, monkeypatch):
    """`tag` needs no database: the best label of each, and files that cannot be read by name."""
    monkeypatch.delenv("ENRICH_DATABASE_URL")
    (site / "red.jpg").write_bytes(picture("#f00"))
    blue, red, torn = lines("tag", ".", *LABELS)
    assert ["blue", "red"] == [each["tags"]["labels"]["label"] for each in (blue, red)]
    assert pytest.approx(1, abs=0.02) == blue["tags"]["labels"]["score"]
    assert ["torn.jpg", "truncated"] == [torn["file"], torn["reason"]]
    [several] = lines("tag", "red.jpg", *LABELS, "--label", "red rose", "--many")
    assert {"red", "red rose"} == {each["label"] for each in several["tags"]["labels"]}


def test_labels_that_cannot_be_chosen_from(site):
    """One alone has nothing to compete with, and is refused before a model is loaded."""
    with pytest.raises(ChoiceError, match="nothing to compete with"):
        invoke("tag", "blue.jpg", "--label", "red")
    result = invoke("tag", "blue.jpg", *LABELS, "--taxonomy", "setting")
    assert (2, True) == (result.exit_code, "not by both" in result.stderr)
