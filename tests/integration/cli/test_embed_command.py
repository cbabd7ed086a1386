"""``enrich embed`` as a command, on a real PostgreSQL."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.factories import DIMENSION, enriched_image
from tests.fakes import ColourEncoder
from tests.pictures import picture
from worker import bootstrap, catalog
from worker.cli import app
from worker.db import transaction
from worker.errors import ChoiceError, ImageRejectedError
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.spaces.model_loading import space_spec


@pytest.fixture
def site(engine, tmp_path, monkeypatch):
    """A catalog with red.jpg; a fake model in place of the commands' own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setattr(bootstrap, "encoder", lambda *_, **__: ColourEncoder())
    encoder = ColourEncoder()
    [red] = encoder.encode_texts(["red"])
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
        catalog.write.save_images(connection, space_id=space.id, images=[enriched_image("red.jpg", vector=red)])
    (tmp_path / "green.jpg").write_bytes(picture("#0f0"))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["embed", *arguments], catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.stdout


def test_files_images_and_texts(site):
    """In the order of the help, as the API answers."""
    found = json.loads(run("green.jpg", "photos/red.jpg", "--text", "blue", "--json"))
    assert [1, 0, 2] == [int(np.argmax(each["embedding"])) for each in found["data"]]
    assert ("tiny", 1, 3) == (found["model"], found["space"], found["usage"]["total_tokens"])


def test_a_numpy_file(site):
    """float32, a row for each input, of more inputs than are embedded at once."""
    run(*["green.jpg"] * 33, "--text", "red", "--npy", "vectors.npy")
    vectors = np.load(site / "vectors.npy")
    assert ((34, DIMENSION), np.float32) == (vectors.shape, vectors.dtype)
    assert [1] * 33 + [0] == vectors.argmax(axis=1).tolist()


def test_a_table_for_people(site):
    """Each input, the beginning of its vector, and whose vectors they are."""
    result = CliRunner().invoke(app, ["embed", "--text", "red"], catch_exceptions=False)
    assert "red    [0.9" in result.stdout
    assert "1 × 32 numbers, of tiny in space 1" in result.stderr


def test_what_cannot_be_embedded_is_named(site):
    """With no file written, though others could be."""
    (site / "torn.jpg").write_bytes(picture()[:300])
    with pytest.raises(ImageRejectedError, match=r"torn\.jpg: "):
        run("green.jpg", "torn.jpg", "--npy", "vectors.npy")
    assert not (site / "vectors.npy").exists()
    with pytest.raises(ImageNotFoundError):
        run("photos/gone.jpg")
    with pytest.raises(ChoiceError, match="the text is empty"):
        run("--text", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "say what to embed"), (["gone.jpg"], "there is no file 'gone.jpg'"), (["--label", "red"], "TAXONOMY=LABEL")],
)
def test_a_wrong_command_line(site, arguments, message):
    """Status 2, and what to write instead."""
    result = CliRunner().invoke(app, ["embed", *arguments])
    assert (2, True) == (result.exit_code, message in result.stderr), result.stderr
