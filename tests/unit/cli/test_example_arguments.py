"""Examples as people write them on a command line."""

from __future__ import annotations

import base64

import pytest
import typer

from worker.cli import example_arguments
from worker.errors import ConfigurationError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """A directory with a file whose name could be that of an image of the catalog, and one that could be words."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"here")
    (tmp_path / "sunset").write_bytes(b"dusk")
    monkeypatch.chdir(tmp_path)


def data(content: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("photos/a.jpg", data(b"here")),
        ("sunset", data(b"dusk")),
        ("file:sunset", data(b"dusk")),
        ("image:photos/a.jpg", {"image": "photos/a.jpg"}),
        ("photos/b.jpg", {"image": "photos/b.jpg"}),
        ("photos/2026/red flower.jpg", {"image": "photos/2026/red flower.jpg"}),
        ("people", {"text": "people"}),
        ("a dog: brown", {"text": "a dog: brown"}),
        ("text:sunset", {"text": "sunset"}),
        ("text:photos/a.jpg", {"text": "photos/a.jpg"}),
        ("label:setting/indoor", {"label": {"taxonomy": "setting", "label": "indoor"}}),
    ],
)
def test_what_an_example_means(argument, expected):
    """A prefix decides; else a file that exists, then a slash, then words."""
    assert expected == example_arguments.parsed(argument)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("holiday.jpg", "there is no file 'holiday.jpg' here"),
        ("text:", "an example is empty"),
        ("", "an example is empty"),
        ("image:nothing", "write BUCKET/KEY"),
        ("label:setting", "write TAXONOMY/LABEL"),
    ],
)
def test_what_means_nothing(argument, says):
    """A misspelt file is not searched for as words."""
    with pytest.raises(typer.BadParameter, match=says):
        example_arguments.parsed(argument)


def test_a_file_that_is_not_there():
    """It was said to be one."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.jpg cannot be read: No such file"):
        example_arguments.parsed("file:nowhere.jpg")
