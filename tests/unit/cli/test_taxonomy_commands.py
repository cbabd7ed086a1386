"""``enrich taxonomy show`` and ``check``, which need no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.errors import TaxonomyError

FILE = """\
name: pets
mode: multi-label
when: {subject: [animal, none of these]}
labels:
  cat: {title: Cat, aliases: [kitty], prompts: [a cat], not: [a toy cat]}
  dog: {prompts: [a dog], threshold: 0.8}
background: [a wall]
models:
  starter: {threshold: 0.6}
"""


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A taxonomy file, in a directory where no system runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "pets.yaml"
    file.write_text(FILE, "utf-8")
    return file


def _json(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["taxonomy", *arguments, "--json"], catch_exceptions=False)
    assert 0 == result.exit_code
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_valid_files_without_advice_end_with_zero(pets: Path) -> None:
    """What ships is both, and --strict has nothing to say."""
    result = CliRunner().invoke(app, ["taxonomy", "check", "--strict"], catch_exceptions=False)

    assert 0 == result.exit_code


def test_advice_is_told_and_counts_with_strict_only(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model, for which nobody chose numbers."""
    monkeypatch.setenv("ENRICH_MODEL", "some/model")
    codes = [
        CliRunner().invoke(app, ["taxonomy", "check", "setting", *more], catch_exceptions=False).exit_code
        for more in ([], ["--strict"])
    ]

    assert [0, 1] == codes
    assert [
        {
            "taxonomy": "setting",
            "label": None,
            "message": "not calibrated for some/model: its tags are unproven; look at some, then give it numbers "
            "under 'models:'",
        }
    ] == _json("check", "setting")["advice"]


def test_mistakes_end_with_file_and_line(pets: Path) -> None:
    """A condition on what is not loaded is one."""
    with pytest.raises(TaxonomyError, match=r"pets\.yaml:3: when\.subject: no taxonomy of that name is loaded"):
        CliRunner().invoke(app, ["taxonomy", "check", str(pets)], catch_exceptions=False)


def test_a_taxonomy_is_shown_as_it_is_understood(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All levels, with whatever decides; the version is the one tags carry."""
    monkeypatch.setenv("ENRICH_TAXONOMIES", f"subject,{pets}")
    shown = _json("show", "pets")

    assert ("pets", "multi-label", True) == (shown["name"], shown["mode"], shown["many"])
    assert 16 == len(str(shown["version"]))

    text = CliRunner().invoke(app, ["taxonomy", "show", "pets"], catch_exceptions=False).stdout
    for expected in (
        "only when subject is animal or none of these",
        "not: a toy cat",
        "background: a wall",
        "kitty",
        "dog 0.8",
    ):
        assert expected in text


def test_labels_that_the_model_does_not_know_are_told_and_are_no_advice(pets: Path) -> None:
    """By name, in the words of the file; another model may know them."""
    shown = CliRunner().invoke(app, ["taxonomy", "check", "--strict", "time-of-day"], catch_exceptions=False)

    assert 0 == shown.exit_code
    assert "time-of-day: practically never recognised by starter: dawn, dusk" in shown.output
    assert {"time-of-day": ["dawn", "dusk"]} == _json("check", "time-of-day")["unknown"]
