"""``enrich map`` as an operator runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.commands import enrich
from worker.db import Engine
from worker.pipeline.maps import requests


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `enrich map` on this test's database."""
    url = engine.url.render_as_string(hide_password=False)
    return lambda *arguments: enrich("map", *arguments, cwd=tmp_path, ENRICH_DATABASE_URL=url)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command says to people, on one line."""
    return " ".join(done.stderr.split())


def test_a_map_is_drawn_updated_and_listed(run, fill):
    """Each command says how many images it is about; the list is JSON in the API's format, if that is asked for."""
    assert "there is no map yet" in run("list").stdout
    fill(150)
    drawn = run("draw", "--method", "pca", "--sample", "100")
    assert (0, True) == (drawn.returncode, "map 1: 150 images, 100 of them fitted by pca" in said(drawn)), drawn.stderr
    fill(10, prefix="b", seed=3)
    assert "10 images were placed on map 1, which has 160" in said(run("update"))
    [found] = json.loads(run("list", "--json").stdout)["maps"]
    assert (1, "ready", True, 160) == (found["id"], found["state"], found["current"], found["images"])
    assert "ready (shown)" in run("list").stdout


def test_a_map_that_is_being_drawn_is_not_drawn_twice(run, engine, fill):
    """The command says which one it is."""
    fill(120)
    asked, _ = requests.request(engine, requests.MapRequest())
    refused = run("draw")
    assert (1, True) == (refused.returncode, f"map {asked.id} is being drawn by another process" in said(refused))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("draw", "--method", "pcs"), "did you mean 'pca'"),
        (("draw",), "upload images first"),
        (("update",), "there is no map of the active space yet"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(run, arguments, says):
    """Exit status 1, and what to do."""
    refused = run(*arguments)
    assert (1, True) == (refused.returncode, says in said(refused)), refused.stderr
