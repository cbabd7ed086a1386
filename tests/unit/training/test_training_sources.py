"""Training and measuring ask for their data, and say where it comes from when it is not there."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from training import sources
from training.sources import Source

_DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "train-the-starter-model.md"


def fill(folder: Path, wanted: tuple[Source, ...]) -> None:
    for path in (folder / path for source in wanted for path in source.paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)


@pytest.mark.parametrize(("check", "wanted"), [(sources.data, sources.DATA), (sources.photos, sources.PHOTOS)])
def test_a_complete_folder_is_taken(check: Callable[[str], Path], wanted: tuple[Source, ...], tmp_path: Path):
    """As it is."""
    fill(tmp_path, wanted)

    assert check(str(tmp_path)) == tmp_path


def test_what_is_missing_is_named_with_its_source_and_terms(tmp_path: Path):
    """And what is there is not."""
    fill(tmp_path, sources.DATA)
    (tmp_path / "Flickr8k.token.txt").unlink()

    with pytest.raises(argparse.ArgumentTypeError) as refused:
        sources.data(str(tmp_path))

    message = str(refused.value)
    assert str(tmp_path) in message
    assert "Flickr8k.token.txt: Flickr8k (Hodosh" in message
    assert "non-commercial research and education" in message
    assert "docs/how-to/train-the-starter-model.md" in message
    assert "SUN" not in message


def test_missing_pages_are_made_with_a_command(tmp_path: Path):
    """They are the one input that anybody can make."""
    wanted = str(tmp_path / "pages.npz")

    with pytest.raises(argparse.ArgumentTypeError, match=f"python -m training.pages {wanted}"):
        sources.pages(wanted)

    Path(wanted).touch()
    assert sources.pages(wanted) == Path(wanted)


@pytest.mark.parametrize("path", [path for source in (*sources.DATA, *sources.PHOTOS) for path in source.paths])
def test_every_file_is_documented(path: str):
    """By its name, in the table of the page on the starter model."""
    assert f"`{path}`" in _DOCS.read_text(encoding="utf-8")
