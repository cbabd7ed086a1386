"""``enrich decide``, as a person types it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.integration.pipeline.review.test_deciding import space, tags, write
from worker.cli import app, commands
from worker.db import Engine, transaction

__all__ = ["space"]  # a fixture
BUCKET = "photos"
BATCH = "0c8c0a52-8bd1-4d5c-9a2e-6f1a3b5c7d9e"


@pytest.fixture
def run(engine: Engine, space, monkeypatch):
    """The command on this database; Ada is at the keyboard."""
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_REVIEWER", "ada")

    def decide(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["decide", *arguments], catch_exceptions=False)

    return decide


@pytest.fixture
def enrich(run, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """The whole program, with its errors for people: its status, and all that it says on one line."""

    def main(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["enrich", *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((said.out + said.err).split())

    return main


def reviewers(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return list(connection.execute(text("SELECT reviewer FROM decisions ORDER BY id")).scalars())


def batch(result: Result) -> str:
    return str(re.findall(r"enrich decide --undo (\S+)", result.output)[0])


def test_several_decisions_about_an_image_and_their_undo(run, engine):
    """Labels that hold, one that does not, and none of these; one number takes all of it back."""
    done = run(f"{BUCKET}/a", "light=night", "kinds=", "--reject", "things=cat")
    assert 0 == done.exit_code
    assert ["light: accept night: saved", "kinds: none: saved", "things: reject cat: saved"] == done.stdout.splitlines()
    assert (["night"], [], ["sofa"]) == (tags(engine, "light"), tags(engine, "kinds"), tags(engine, "things"))
    undone = run("--undo", batch(done), "--reviewer", "bob")
    assert "3 undone\n" == undone.stdout
    assert (["day"], ["animal", "dog"]) == (tags(engine, "light"), tags(engine, "kinds"))
    assert "0 undone, 3 had been undone before\n" == run("--undo", batch(done)).stdout
    assert ["ada"] * 3 + ["bob"] * 3 == reviewers(engine)


def test_unsure(run, engine):
    """Is recorded, and changes nothing."""
    assert "light: unsure: saved\n" == run(f"{BUCKET}/a", "--unsure", "light").stdout
    assert ["day"] == tags(engine, "light")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([], 2, "name an image, BUCKET/KEY, or say which ones with --in, --tag or --suggested"),
        ([f"{BUCKET}/a"], 2, "nothing to decide"),
        ([f"{BUCKET}/a", "light"], 2, "'light': write TAXONOMY=LABEL"),
        ([f"{BUCKET}/a", "light=nihgt"], 1, "did you mean 'night'?"),
        ([f"{BUCKET}/x", "light=night"], 1, f"{BUCKET}/x is not in the catalog"),
        (["--undo", "yesterday"], 2, "'yesterday' is not the number of a batch"),
        (
            ["--undo", "0c8c0a52-8bd1-4d5c-9a2e-6f1a3b5c7d9e"],
            1,
            "there is no batch 0c8c0a52-8bd1-4d5c-9a2e-6f1a3b5c7d9e",
        ),
        ([f"{BUCKET}/a", "light=night", "--undo", "0c8c0a52-8bd1-4d5c-9a2e-6f1a3b5c7d9e"], 2, "decides nothing else"),
        (["--in", BUCKET, "light=night"], 1, "Not a terminal: pass --yes to confirm. Nothing was decided."),
        (["--in", BUCKET, "light=night", "kinds=dog"], 2, "one decision at a time"),
        (
            [f"{BUCKET}/a", "light=night", "light=Daylight"],
            1,
            "light has one answer, so night and day cannot both hold",
        ),
        ([f"{BUCKET}/a", "light=night", "light="], 2, "light: both accept night and none: leave one of them out"),
        ([f"{BUCKET}/a", "things=cat", "--reject", "things=cat"], 2, "things: both accept cat and reject cat"),
        (["--in", "buket", "light=night", "--yes"], 1, "buket"),
        (["--in", BUCKET, "light=nihgt", "--yes"], 1, "taxonomy light has no label 'nihgt'; did you mean 'night'?"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said(enrich, engine, arguments, status, told):
    """With the next step, and nothing is recorded."""
    ended, said = enrich("decide", *arguments)
    assert status == ended
    assert told in said
    assert [] == reviewers(engine)


def test_all_that_match(run, engine):
    """By place and tag; the count and the least certain are shown first, and it is one batch."""
    shown = run("--in", BUCKET, "light=night").stderr
    assert "3 images match; the model is least certain of these:" in shown
    assert f"{BUCKET}/a: light: day 0.75" in shown
    done = run("--in", f"{BUCKET}/", "--tag", "light=Daylight", "--reject", "light=day", "--yes")
    assert "3 saved\n" == done.stdout
    assert [[], [], []] == [tags(engine, "light", key) for key in "abc"]
    assert "no image matches\n" == run("--in", BUCKET, "--tag", "light=day", "light=night", "--yes").stdout
    assert "3 undone\n" == run("--undo", batch(done)).stdout


def test_what_was_overwritten_meanwhile_is_not_decided(run, engine):
    """A person's decision is about the bytes, and the others come back to be asked about."""
    run(f"{BUCKET}/a", "light=night")
    write(engine, "a", sha256="cd" * 32)
    assert ["day"] == tags(engine, "light")
