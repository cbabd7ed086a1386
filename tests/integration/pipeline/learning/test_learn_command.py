"""``enrich learn``, as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from tests.fakes import ColourEncoder
from tests.integration.pipeline.learning.lessons import Lessons, lessons, truths
from worker import bootstrap, cli, logs
from worker.db import Engine
from worker.errors import ChoiceError

Run = Callable[..., Result]


@pytest.fixture
def made(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Lessons:
    """Pictures that people taught about, for commands."""
    monkeypatch.setenv("ENRICH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ENRICH_MODEL", "tiny")
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(bootstrap, "encoder", lambda *_args, **_options: ColourEncoder())
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # loggers would keep the runner's stderr, which it closes
    found = lessons(engine)
    pictures = found.fill(150)
    found.teach(truths(pictures, keys=list(pictures)[:80]))
    return found


def learn(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["learn", "colour", *arguments], input=answer)


def test_it_shows_what_changes_and_asks(made: Lessons, monkeypatch: pytest.MonkeyPatch):
    """Declined, nothing changes; with --yes, the head comes and --zero-shot takes it back."""
    before = made.tags()
    refused = learn()

    assert 1 == refused.exit_code
    assert "--yes" in refused.output
    assert before == made.tags()
    done = learn("--yes")
    assert 0 == done.exit_code, done.output
    assert "the head is better than zero-shot: won" in done.output
    assert "revision 2 is in force" in done.output
    assert made.expected(made.in_force()) == made.tags() != before
    back = learn("--zero-shot", "--yes")
    assert 0 == back.exit_code, back.output
    assert before == made.tags()


def test_one_document_for_programs(made: Lessons):
    """Without --yes it is a preview, with the plan; with it, the revision."""
    before = made.tags()

    preview = json.loads(learn("--json").stdout)
    assert before == made.tags()
    applied = json.loads(learn("--json", "--yes").stdout)

    assert "test" == preview["promoted_by"]
    assert preview["plan"]["changed"]["seen"] > 0
    assert (None, 2) == (preview["applied"], applied["applied"])
    assert {"red", "green", "blue"} == {each["label"] for each in applied["certificates"]}
    assert [20, 40, 80] == [each["reviews"] for each in applied["curve"]]


def test_mistakes_are_refused_with_the_next_step(made: Lessons):
    """Both wishes at once, an unknown taxonomy, an unknown space, no head to take back."""
    for arguments, message in (
        (("--zero-shot", "--promote"), "leave --promote"),
        (("--space", "7"), "there is no space 7"),
        (("--zero-shot",), "has no head in space 1"),
    ):
        done = learn(*arguments)
        assert 0 != done.exit_code
        assert message in str(done.exception), arguments
    unknown = CliRunner().invoke(cli.app, ["learn", "color"])
    assert "colour" in str(unknown.exception)
    assert isinstance(learn("--zero-shot").exception, ChoiceError)
