"""What a taxonomy file may say."""

from __future__ import annotations

from pathlib import Path

from tests.unit.tagging.refused_files import VALID
from worker.tagging import Calibration, Label, Taxonomy, load_taxonomy, neutral


def _load(tmp_path: Path, content: str) -> Taxonomy:
    file = tmp_path / "taxonomy.yaml"
    file.write_text(content, "utf-8")
    return load_taxonomy(file)


def test_the_smallest_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    """Name and two labels suffice; prompts are used as written, the threshold is a half."""
    expected = Taxonomy(
        neutral=neutral.EDITION,
        name="mood",
        title="mood",
        labels=(
            Label(name="happy", title="happy", prompts=("a smile",)),
            Label(name="sad", title="sad", prompts=("a tear",)),
        ),
        templates=("{}",),
        aggregate="mean",
        calibration=Calibration(threshold=0.5, margin=0.0, temperature=1.0),
    )

    assert expected == _load(tmp_path, VALID)


def test_every_field_arrives(tmp_path: Path) -> None:
    """A file that uses all of the language is read completely; overrides inherit what they leave out."""
    content = """\
name: mood
title: Mood
description: >
  How a picture
  feels.
templates: ["{}", "a photo of {}"]
aggregate: max
threshold: 0.6
margin: 0.1
temperature: 2
background: [a wall]
labels:
  happy: {title: Joyful, description: Smiles., aliases: [glad], prompts: [a smile, a laugh]}
  sad: [a tear]
models:
  starter: {threshold: 0.3}
  openai/clip-vit-base-patch32: {margin: 0.2, temperature: 0.5}
"""
    expected = Taxonomy(
        neutral=neutral.EDITION,
        name="mood",
        title="Mood",
        description="How a picture feels.",
        labels=(
            Label(
                name="happy",
                title="Joyful",
                description="Smiles.",
                aliases=("glad",),
                prompts=("a smile", "a laugh"),
            ),
            Label(name="sad", title="sad", prompts=("a tear",)),
        ),
        templates=("{}", "a photo of {}"),
        aggregate="max",
        background=("a wall",),
        calibration=Calibration(threshold=0.6, margin=0.1, temperature=2.0),
        models={
            "starter": Calibration(threshold=0.3, margin=0.1, temperature=2.0),
            "openai/clip-vit-base-patch32": Calibration(threshold=0.6, margin=0.2, temperature=0.5),
        },
    )

    assert expected == _load(tmp_path, content)


def test_a_model_without_an_entry_uses_the_general_calibration(tmp_path: Path) -> None:
    """Overrides are for the model they name and no other."""
    taxonomy = _load(tmp_path, VALID + "threshold: 0.7\nmodels: {starter: {threshold: 0.2}}\n")

    assert 0.2 == taxonomy.calibration_for("starter").threshold
    assert 0.7 == taxonomy.calibration_for("openai/clip-vit-base-patch32").threshold


def test_prompts_are_data_whatever_characters_they_have(tmp_path: Path) -> None:
    """Braces, percent signs, quotes and other scripts reach the model as written; only spacing is tidied."""
    content = (
        'name: odd\ntemplates: ["see {}"]\nlabels:\n  Straße 1:\n    - "{curly} 100 %s \'x\'"\n'
        "    - |\n      two\n      lines\n  夜景: [夜の街]\n"
    )
    taxonomy = _load(tmp_path, content)

    expected = ("see two lines", "see {curly} 100 %s 'x'")

    assert expected == taxonomy.label_texts(taxonomy.labels[0])
    assert ["Straße 1", "夜景"] == [label.name for label in taxonomy.labels]


def test_characters_are_composed_so_that_editors_make_no_difference(tmp_path: Path) -> None:
    """A Mac may write é as e and an accent: to people, filters and versions it is the same letter."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    loaded = [_load(tmp_path, f"name: a\nlabels:\n  {word}: [{word}]\n  b: [c]\n") for word in (composed, decomposed)]

    assert loaded[0] == loaded[1]
    assert composed == loaded[1].labels[0].name


def test_an_alias_may_repeat_its_own_label(tmp_path: Path) -> None:
    """Redundant, but nothing is ambiguous."""
    taxonomy = _load(tmp_path, "name: a\nlabels:\n  day: {prompts: [b], aliases: [Day, daytime]}\n  night: [c]\n")

    assert ("Day", "daytime") == taxonomy.labels[0].aliases


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    """Editors on Windows write both; the taxonomy is the same, version included."""
    plain = _load(tmp_path, VALID)
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())

    assert plain == load_taxonomy(file)
