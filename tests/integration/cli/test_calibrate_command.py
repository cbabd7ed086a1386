"""``enrich calibrate`` and ``enrich certificates``, as a person and as a script."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.fakes import ColourEncoder
from tests.integration.pipeline.evaluation.reviews import CAREFUL, add_scenes, draw, imported, review
from tests.integration.pipeline.review.gallery import Gallery
from worker import bootstrap, cli
from worker.db import Engine
from worker.errors import ChoiceError


@pytest.fixture
def gallery(engine: Engine) -> Gallery:
    """Red scenes."""
    made = Gallery.of(engine, CAREFUL)
    assert isinstance(made, Gallery)
    add_scenes(made, 400)
    return made


@pytest.fixture
def enrich(engine: Engine, tmp_path, monkeypatch):
    """Run a command on the gallery."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_MODEL", "tiny")
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setattr(bootstrap, "encoder", lambda *_args, **_options: ColourEncoder())
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def test_a_proven_threshold_is_shown_and_applied(gallery, enrich):
    """With the plan; a second run has nothing to do."""
    imported(gallery, sorted(gallery.written)[:150])
    dry = enrich("calibrate", "colour", "--label", "red", "--dry-run")
    assert (0, True, []) == (
        dry.exit_code, "colour=red: 0.95 is proven from a probability of 0." in dry.output,
        gallery.sql("SELECT id FROM certificates"),
    )  # fmt: skip
    done = enrich("calibrate", "colour", "--label", "red", "--yes")
    assert (0, True) == (done.exit_code, "revision 2 is in force" in done.output), done.output
    again = enrich("calibrate", "colour", "--label", "red")
    assert (0, True) == (again.exit_code, "nothing to put into force" in again.output), again.output
    listed = enrich("certificates")
    assert ["colour", "red", "proven", "0.95"] == listed.output.splitlines()[1].split()[:4]
    assert listed.output.splitlines()[1].rstrip().endswith("in force")


def test_a_person_is_asked(gallery, enrich):
    """Without a terminal nothing is applied, and the certificates are kept."""
    imported(gallery, sorted(gallery.written)[:150])
    asked = enrich("calibrate", "colour", "--label", "red")
    assert (1, True) == (asked.exit_code, "pass --yes to confirm" in asked.output), asked.output
    assert [(1,)] == [tuple(each) for each in gallery.sql("SELECT id FROM certificates")]
    assert [(1,)] == [tuple(each) for each in gallery.sql("SELECT max(id) FROM taxonomy_revisions")]


def test_what_is_missing_is_said(gallery, enrich):
    """And what to do next: the plan that is open, or the command that draws one."""
    review(gallery, draw(gallery), 26)
    shown = enrich("calibrate", "colour").output
    assert "colour=red: 0.95 cannot be proven yet: 26 pictures reviewed, none wrong; 72 without a mistake" in shown
    assert "go on with plan 1: `enrich review colour red`" in shown
    assert "draw more at random: `enrich review colour blue --target 0.95`" in shown
    assert "no certificates yet" in enrich("certificates", "--state", "proven").output


def test_a_document_for_scripts(gallery, enrich):
    """Without --yes nothing is put into force."""
    imported(gallery, sorted(gallery.written)[:150])
    found = json.loads(enrich("calibrate", "colour", "--json").stdout)
    red = next(each for each in found["taxonomies"][0]["labels"] if each["label"] == "red")
    assert (None, 1, False, 0) == (
        found["applied"], red["certificate"], found["plan"]["is_empty"], red["test"]["errors"],
    )  # fmt: skip
    assert 2 == json.loads(enrich("calibrate", "colour", "--json", "--yes").stdout)["applied"]
    listed = json.loads(enrich("certificates", "--json", "--label", "red").stdout)
    assert [("proven", True)] == [(each["state"], each["in_force"]) for each in listed["certificates"]]


def test_pooling_comes_with_a_warning(gallery, enrich):
    """Weak labels are hidden by it."""
    assert "may hide a label that is often wrong" in enrich("calibrate", "colour", "--pooled").output
    assert isinstance(enrich("calibrate", "--label", "red").exception, ChoiceError)
