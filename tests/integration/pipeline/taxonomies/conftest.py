"""One catalog for each test."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tests.fakes import ColourEncoder
from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive
from tests.integration.pipeline.taxonomies.example import FILES, write
from worker import bootstrap, cli
from worker.db import Engine
from worker.tagging import load_taxonomy


@pytest.fixture
def archive(engine: Engine) -> Archive:
    """Three hundred images, tagged by colour."""
    made = Archive.of(engine, COLOUR)
    made.add(300)
    return made


@pytest.fixture
def enrich(engine, tmp_path, monkeypatch):
    """Run a command beside ``car-colour.yaml``, on an archive that a worker has tagged by it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_MODEL", "tiny")
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./car-colour.yaml")
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(bootstrap, "encoder", lambda *_args, **_options: ColourEncoder())
    write(FILES[0])
    archive = Archive.of(engine, load_taxonomy("car-colour.yaml"))
    archive.add(300)

    def run(*arguments: str):
        return CliRunner().invoke(cli.app, ["taxonomy", *arguments])

    run.archive = archive  # type: ignore[attr-defined]
    return run
