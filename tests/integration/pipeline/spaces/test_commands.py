"""``enrich space``: the commands that docs/how-to/change-models.md shows, in its order, and how they behave."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.fakes import ColourEncoder
from tests.integration.pipeline.spaces import world as worlds
from tests.integration.pipeline.spaces.world import World
from tests.ledger import ref
from worker import bootstrap, cli, logs, tagging
from worker.cli import commands
from worker.errors import ConfigurationError, NotFoundError, SpaceMismatchError

DOCUMENT = Path(__file__).parents[4] / "docs" / "how-to" / "change-models.md"
COLOURS = {f"{number:02}.jpg": ("red", "green", "blue")[number % 3] for number in range(12)}


def documented() -> list[list[str]]:
    lines = [line.strip() for line in DOCUMENT.read_text().splitlines()]
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is installed: by name, and for every other name a model that sees along other axes."""
    installed: dict[str, Any] = {"tiny": ColourEncoder}

    def encoder(_settings: object, *, model: str | None = None, **_: object) -> ColourEncoder:
        assert model is not None
        return installed[model]() if model in installed else worlds.TurnedEncoder(model)

    monkeypatch.setattr(bootstrap, "encoder", encoder)
    return installed


@pytest.fixture
def enrich(world: World, models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run a command on the world's catalog and store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", world.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_MODEL", "tiny")
    monkeypatch.setattr(bootstrap, "store", lambda _: world.store)
    monkeypatch.setattr(tagging, "load_taxonomies", lambda _: (worlds.COLOURS,))
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # loggers would keep the runner's stderr, which it closes

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli.app, arguments, input=stdin)

    return run


def test_the_documented_way_from_one_model_to_another(world: World, enrich):
    """Every command of the page, as it stands there; at the end the old space is gone and the new one answers."""
    world.enriched(**COLOURS)
    commands = documented()
    assert ["create", "fill", "compare", "activate", "activate", "activate", "retire", "drop", "check"] == [
        command[2] for command in commands
    ]
    for name, *arguments in commands:
        done = enrich(*arguments)
        assert ("enrich", 0) == (name, done.exit_code), (arguments, done.output, done.exception)
    [left] = json.loads(enrich("space", "list", "--json").stdout)
    assert (2, "active", 12, 0, True) == tuple(left[name] for name in ("id", "state", "images", "failed", "indexed"))
    assert {"model", "revision", "source", "dimension", "bytes", "made_with"} <= left.keys()


def test_comparing_for_programs(world: World, enrich):
    """What docs/reference/command-line.md says that it has."""
    world.enriched(**COLOURS)
    enrich("space", "create", "turned")
    enrich("space", "fill", "2")
    found = json.loads(enrich("space", "compare", "2", "--json").stdout)
    table = (
        (DOCUMENT.parents[1] / "reference" / "command-line.md")
        .read_text()
        .partition("| `space compare` |")[2]
        .partition("\n")[0]
    )
    assert all(f'"{name}"' in table for name in (*found, *found["taxonomies"][0]))
    assert ([1, 2], 12, 1.0) == (found["spaces"], found["sampled"], found["taxonomies"][0]["agreement"])


def test_filling_from_previews_needs_previews_of_all(world: World, enrich):
    """What somebody happened to look at is too little: it says what to set, before a model is loaded."""
    enrich("space", "create", "turned")
    done = enrich("space", "fill", "2", "--from", "previews")
    assert isinstance(done.exception, ConfigurationError)
    assert "set ENRICH_PREVIEWS" in str(done.exception)


def test_filling_from_previews_says_what_it_read(world: World, enrich, monkeypatch: pytest.MonkeyPatch):
    """A fill from originals leaves previews for the next one, which compares itself with originals."""
    monkeypatch.setenv("ENRICH_PREVIEWS", "local")
    world.enriched(**COLOURS)
    enrich("space", "create", "turned")
    enrich("space", "fill", "2")
    enrich("space", "create", "turned too")
    done = enrich("space", "fill", "3", "--from", "previews")
    assert (0, True) == (done.exit_code, "12 from their previews, 0 from originals" in done.output), done.output
    assert "12 originals: mean cosine" in done.output
    printed = enrich("space", "parity", "3", "--sample", "5", "--json").stdout
    found = json.loads(printed[printed.index("{") :])  # behind the log, which goes elsewhere outside of tests
    table = (DOCUMENT.parents[1] / "reference" / "command-line.md").read_text().partition("| `space parity` |")[2]
    assert all(f'"{name}"' in table.partition("\n")[0] for name in found)
    listed = json.loads(enrich("space", "list", "--json").stdout)
    assert [(0, None), (0, None), (12, 5)] == [
        (each["from_previews"], each["preview_parity"] and each["preview_parity"]["images"]) for each in listed
    ]
    assert isinstance(enrich("space", "parity", "2").exception, NotFoundError)


def test_dropping_asks_first(world: World, enrich):
    """With what it would free; "no" deletes nothing."""
    enrich("space", "create", "turned")
    done = enrich("space", "drop", "2", stdin="n\n")
    assert (1, True) == (done.exit_code, "Delete space 2 with its tags, and free 0.00 GB?" in done.output)
    assert ["filling"] == world.sql("SELECT state FROM spaces WHERE id = 2")


def test_an_incomplete_fill_ends_with_one(world: World, enrich):
    """And says why; here the store has lost what the catalog has."""
    world.enriched(**COLOURS)
    enrich("space", "create", "turned")
    for each in list(world.store.list("photos")):
        world.store.delete(ref(each.key))
    done = enrich("space", "fill", "2")
    assert (1, True) == (done.exit_code, "12 still missing" in done.output)


@pytest.mark.parametrize("command", ["fill", "compare", "activate", "retire", "drop", "check"])
def test_a_space_that_is_not_there(world: World, enrich, command):
    """Each says how to see those that are."""
    done = enrich("space", command, "7", *(["--yes"] if command == "drop" else []))
    assert isinstance(done.exception, NotFoundError)
    assert "enrich space list" in str(done.exception)


def test_comparing_the_active_space_with_itself(world: World, enrich):
    """Makes no sense, and is said so."""
    assert isinstance(enrich("space", "compare", "1").exception, ConfigurationError)


def test_a_model_that_makes_other_vectors_has_an_exit_status_of_its_own(world: World, enrich, models):
    """A supervisor need not start it again; accepting makes what is there now the measure."""
    models["tiny"] = lambda: worlds.TurnedEncoder("tiny")
    refused = enrich("space", "check", "1")
    assert isinstance(refused.exception, SpaceMismatchError)
    assert 78 == commands.exit_status(refused.exception)
    assert 0 == enrich("space", "check", "1", "--accept").exit_code
    assert 0 == enrich("space", "check", "1").exit_code
